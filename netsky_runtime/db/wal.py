"""Whether the write-ahead log of a killed daemon still holds every commit that was acknowledged.

SQLite reads a log up to its first frame that is not right, and takes the rest for what a crash
left half written. A damaged frame in the middle so drops acknowledged commits without a word.
The format is SQLite's (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, BinaryIO, Final

from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEADER, _FRAME = 32, 24
_LITTLE, _BIG = 0x377F0682, 0x377F0683
_MASK: Final = 0xFFFFFFFF
LARGEST: Final = 64 * 1024 * 1024
"""Bytes; a log that readers let grow beyond is looked through no further (2 s)."""

_Sum = tuple[int, int]


def inspect(database: Path) -> None:
    """Raise ``DatabaseError`` when the log beside ``database`` is damaged before its end.

    A commit is on the disk before the next one is written. So a frame that is not right, with a
    whole commit and yet another frame of the same generation behind it, was right once. Damage
    to the very last commit looks like one that a crash cut, and is taken for that.
    """
    path = database.with_name(database.name + "-wal")
    try:
        # Locks are held on the database and its -shm, never on the log: it may be opened by hand.
        with path.open("rb") as file:
            lost = _lost(file)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"The log {path} cannot be read: {error.strerror or error}."
        raise DatabaseError(msg, hint="Check who owns the file, and its disk.") from error
    if lost:
        msg = f"The log {path} is damaged: {lost} commit{'s' * (lost != 1)} in it cannot be read."
        hint = "`netsky restore` a backup. To go on without what is in the log, move it away."
        raise DatabaseError(msg, hint=hint)


def _lost(file: BinaryIO) -> int:
    """Return how many commits that were on the disk lie behind a frame that is not right."""
    header = file.read(_HEADER)
    if len(header) < _HEADER:
        return 0
    magic, _, page, _, *salts = struct.unpack(">6I", header[:24])
    if magic not in (_LITTLE, _BIG) or not 512 <= page <= 65536:
        return 0  # no frame can be told from another; SQLite starts the log anew
    words = struct.Struct("<II" if magic == _LITTLE else ">II")
    running = _checksum(words, header[:24], (0, 0))
    right = whole = running == struct.unpack(">II", header[24:])
    commits = behind = 0
    for frame in _frames(file, page):
        _, size, *told = struct.unpack(">6I", frame[:_FRAME])
        if not whole:
            salts, whole = told[:2], True  # the header cannot say which generation this is
        ours = told[:2] == salts
        if right:
            running = _checksum(words, frame[:8], running)
            running = _checksum(words, frame[_FRAME:], running)
            right = ours and running == tuple(told[2:])
        if right or not ours:
            continue
        behind = commits  # those before this frame were on the disk before it was written
        commits += bool(size)
    return behind


def _frames(file: BinaryIO, page: int) -> Iterator[bytes]:
    for _ in range(LARGEST // (page + _FRAME)):
        frame = file.read(_FRAME + page)
        if len(frame) < _FRAME + page:
            return
        yield frame


def _checksum(words: struct.Struct, data: bytes, start: _Sum) -> _Sum:
    first, second = start
    for one, other in words.iter_unpack(data):
        first = (first + one + second) & _MASK
        second = (second + other + first) & _MASK
    return first, second
