"""What a thread has used so far, as its rollout last told."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.rollout.reader import RolloutReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

REACHES: Final = (64 * 1024, 4 * 1024 * 1024)
"""Bytes before the end of a rollout that are searched, and then, when nothing was found there."""


def last_usage(path: Path) -> Mapping[str, Any] | None:
    """Return the ``data`` of ``EventKind.USAGE``; ``None`` when no total stands near the end.

    Blocks: call it in a thread. Raises ``OSError``.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        for reach in REACHES:
            file.seek(max(0, size - reach))
            found = _last_of(file.read(reach).split(b"\n"))
            if found is not None or reach >= size:
                return found
    return None


def _last_of(lines: Sequence[bytes]) -> Mapping[str, Any] | None:
    for line in reversed(lines):
        if b'"token_count"' not in line:
            continue
        for event in RolloutReader().feed(line):
            if event.kind is EventKind.USAGE:
                return event.data
    return None
