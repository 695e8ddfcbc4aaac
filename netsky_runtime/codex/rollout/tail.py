"""Whole lines of a file that grows: one bounded read, and where it stopped. Blocks."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, Final

if TYPE_CHECKING:
    from pathlib import Path

CHUNK: Final = 1024 * 1024
"""Bytes read at a time."""
LONGEST: Final = 64 * 1024 * 1024
"""A line that is longer is left out."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a file has been read: always the start of a line, but for one left out."""

    offset: int = 0
    inode: int = 0
    """Of the file that was read; 0 before the first read."""
    restarts: int = 0
    """How often the file was found cut or replaced, and was read from its start again."""
    leaving_out: bool = False
    """Whether what comes up to the next line end belongs to a line that is too long."""


def read(path: Path, position: Position) -> tuple[Position, list[bytes]]:
    """Return the next whole lines, without their ends, and where they stop.

    No lines when there is nothing new, only half a line, or no file. Raises ``OSError`` other than
    ``FileNotFoundError``.
    """
    try:
        with path.open("rb") as file:
            return _read(file, _checked(file, position))
    except FileNotFoundError:
        return position, []


def _checked(file: BinaryIO, position: Position) -> Position:
    """Return the start when this is not the file that was read, or was cut since."""
    found = os.fstat(file.fileno())
    same = position.inode in (0, found.st_ino) and found.st_size >= position.offset
    if same and position.offset and not position.leaving_out:
        # A new file may get the old one's number, and be longer.
        file.seek(position.offset - 1)
        same = file.read(1) == b"\n"
    if same:
        return replace(position, inode=found.st_ino)
    return Position(inode=found.st_ino, restarts=position.restarts + 1)


def _read(file: BinaryIO, position: Position) -> tuple[Position, list[bytes]]:
    size = CHUNK
    while True:
        file.seek(position.offset)
        data = file.read(size)
        end = data.rfind(b"\n") + 1
        if end or (len(data) < size and not position.leaving_out):
            break
        if position.leaving_out or size >= LONGEST:
            offset = position.offset + len(data)
            position = replace(position, offset=offset, leaving_out=True)
            if len(data) < size:
                return position, []
            size = CHUNK
        else:
            size = min(2 * size, LONGEST)
    lines = data[:end].split(b"\n")[:-1]
    if end and position.leaving_out:
        lines = lines[1:]
    leaving_out = position.leaving_out and not end
    return replace(position, offset=position.offset + end, leaving_out=leaving_out), lines
