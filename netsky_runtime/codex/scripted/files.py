"""A scripted thread on disk: one JSON line for each thing that happened in it.

Lines are appended on the loop, each with one ``write`` to a file of the home and no ``fsync``,
into the page cache, which survives the process as real Codex's rollout does; the event that
tells of it can follow at once. Measured on ext4, 5000 appends each: 8 µs for lines of 200
characters and 12 µs for 4000 (medians; 99 of 100 took 30 µs or less, the slowest of all 4 ms).
Reading a whole thread is done in a thread.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.codex.base import HistoricItem, HistoricTurn
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_THREAD_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


@dataclass(slots=True)
class TurnRecord:
    """A turn of a scripted thread, as it grows."""

    id: str
    started_at: int
    status: TurnStatus = TurnStatus.IN_PROGRESS
    completed_at: int | None = None
    error: str = ""
    usage_limit: bool = False
    items: list[HistoricItem] = field(default_factory=list)

    def historic(self) -> HistoricTurn:
        """Return what history says of it now."""
        return HistoricTurn(
            id=self.id,
            status=self.status,
            started_at=self.started_at,
            completed_at=self.completed_at,
            error=self.error,
            usage_limit=self.usage_limit,
            items=tuple(self.items),
        )


@dataclass(slots=True)
class Remembered:
    """What a thread's file says."""

    launch: Mapping[str, Any]
    turns: list[TurnRecord]
    usage: Mapping[str, int]


class ThreadFile:
    """The file of one thread. Made by the first ``append``."""

    def __init__(self, directory: Path, thread_id: str) -> None:
        self._path = directory / f"{thread_id}.jsonl"

    @staticmethod
    def may_exist(thread_id: str) -> bool:
        """Whether this can be the id of a thread at all."""
        return _THREAD_ID.fullmatch(thread_id) is not None

    def exists(self) -> bool:
        """Whether the thread has had a turn."""
        return self._path.exists()

    def append(self, kind: str, **fields: Any) -> None:
        """Write down one thing. Raises ``OSError``."""
        line = orjson.dumps({"kind": kind, **fields}, option=orjson.OPT_APPEND_NEWLINE)
        with open(self._path, "ab", buffering=0, opener=_private) as file:
            file.write(line)

    def load(self) -> Remembered | None:
        """Read everything; ``None`` when there is no such thread. Raises ``OSError``.

        A turn that was begun and never ended was cut: it is interrupted, with no end time.
        """
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            # The process ended in the middle of a line: nobody was told of it.
            self._path.write_bytes(whole)
        return _read(whole)

    def peek(self) -> Remembered | None:
        """Read what is there as ``load`` does, and leave a line that is being written alone."""
        content = self._content()
        return _read(content[: content.rfind(b"\n") + 1])

    def _content(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""


def _read(content: bytes) -> Remembered | None:
    remembered = Remembered(launch={}, turns=[], usage={})
    for line in content.splitlines():
        _remember(remembered, orjson.loads(line))
    for turn in remembered.turns:
        if turn.status is TurnStatus.IN_PROGRESS:
            turn.status = TurnStatus.INTERRUPTED
    return remembered if remembered.turns else None


def _remember(remembered: Remembered, line: dict[str, Any]) -> None:
    match line["kind"]:
        case "thread":
            remembered.launch = line["launch"]
        case "turn":
            remembered.turns.append(TurnRecord(id=line["id"], started_at=line["at"]))
        case "item":
            item = HistoricItem(id=line["id"], type=line["data"]["type"], data=line["data"])
            remembered.turns[-1].items.append(item)
        case "usage":
            remembered.usage = line["totals"]
        case "end":
            turn = remembered.turns[-1]
            turn.status = TurnStatus(line["status"])
            turn.completed_at, turn.error = line["at"], line["error"]
            turn.usage_limit = line.get("usage_limit", False)
        case _:
            return  # written by a newer netsky


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
