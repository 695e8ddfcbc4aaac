"""What a daemon is started with; apart from it, because a room draws itself before it loads one."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from netsky_runtime.paths import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a daemon is started with."""

    home: Home
    cwd: Path = field(default_factory=Path.cwd)
    """Where new actors work unless a setting says otherwise."""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    flags: Mapping[str, Any] = field(default_factory=dict)
    """Settings from the command line, by name."""
    forwarder: Sequence[str] = ()
    """Command that carries an actor's outbox, but for the actor's id, which comes last. Runs beside
    each thread that has a terminal of its own; without it nobody carries these."""
    demo: bool = False
    """Let the scripted runtime play the demo instead of orders in the text."""
    only: frozenset[str] | None = None
    """Serve these actors and leave the others' work to a netsky that serves all."""
    progress: Callable[[str], None] = lambda _line: None
    """Told, in a few words, what the start is doing."""
