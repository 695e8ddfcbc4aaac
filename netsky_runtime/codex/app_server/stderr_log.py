"""The engine's standard error: a file, because a pipe nobody reads freezes the engine.

Bounded while netsky runs: what is over the cap moves to one older file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from netsky_runtime.wire.last_words import plain

if TYPE_CHECKING:
    from pathlib import Path

CAP = 4 * 1024 * 1024
TAIL = 2000


@dataclass(frozen=True, slots=True)
class StderrLog:
    """One file the engine appends to, and the older one beside it. All calls touch the disk."""

    path: Path
    cap: int = CAP

    def open(self) -> BinaryIO:
        """Open for appending, private to this user; the engine inherits it."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        return os.fdopen(os.open(self.path, flags, 0o600), "ab", buffering=0)

    def trim(self) -> bool:
        """Move what there is aside when it is over the cap; return whether it was.

        The engine goes on writing to the same file, from its start. What it writes between
        the copy and the cut is lost: a log may, a frozen engine may not.
        """
        try:
            if self.path.stat().st_size <= self.cap:
                return False
            kept = self._last(self.cap)
            older = self.path.with_suffix(".old.log")
            older.touch(mode=0o600)
            older.write_bytes(kept)
            os.truncate(self.path, 0)
        except FileNotFoundError:
            return False
        return True

    def size(self) -> int:
        """Return how many bytes there are: what comes later is of who is started now."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def tail(self, since: int = 0) -> str:
        """Return the last words, to be quoted in an error; none from before byte ``since``.

        Where the file was cut since, all of it is later.
        """
        size = self.size()
        try:
            said = self._last(min(TAIL, size - since if size >= since else size))
        except OSError:
            return ""
        return plain(said.decode(errors="replace")).strip()

    def _last(self, size: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - size))
            return file.read(size)
