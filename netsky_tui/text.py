"""Lines of toned text, and the arithmetic of terminal cells. No Textual, no markup."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from netsky_tui.cli.text import cells, cut, harmless, one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Span = tuple[str, str]
"""Text and its tone (``dim``, ``good``…; see styles/room.tcss)."""
Line = tuple[Span, ...]

__all__ = [
    "Line",
    "Span",
    "beside",
    "cells",
    "clock_time",
    "columns",
    "cut",
    "harmless",
    "line_width",
    "one_line",
    "pad",
    "short_age",
    "shorten_path",
    "truncate",
    "wrap",
]
_TAB = "    "
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_SELECTOR = "\ufe0f"
_FAR = 8
"""Times a row's cells; a line of so many characters has more of them than what combines."""


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return ``text`` in exactly ``width`` cells, cut with ``…`` or filled with spaces."""
    fitted = cut(text, width)
    space = " " * (width - cells(fitted))
    return space + fitted if right else fitted + space


def line_width(line: Iterable[Span]) -> int:
    """Return the cells a line takes."""
    return sum(cells(text) for text, _ in line)


def truncate(line: Sequence[Span], width: int) -> Line:
    """Return the line in at most ``width`` cells, ending in ``…`` when something is missing."""
    if line_width(line) <= width:
        return tuple(line)
    out: list[Span] = []
    left = width
    for text, tone in line:
        size = cells(text)
        if size >= left:
            # One cell more than fits makes ``cut`` put its mark.
            out.append((cut(text + "  ", left), tone))
            break
        out.append((text, tone))
        left -= size
    return tuple(out)


def beside(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """Put ``left`` and ``right`` at the two ends of a line; the left one gives way."""
    tail = truncate(right, width)
    room = width - line_width(tail)
    head = truncate(left, max(0, room - 1))
    return (*head, (" " * (room - line_width(head)), "text"), *tail)


def columns(*parts: tuple[str, int, str]) -> Line:
    """Build a line of (text, width, tone) columns, one cell apart; width 0 leaves one out."""
    out: list[Span] = []
    for text, width, tone in parts:
        if width > 0:
            if out:
                out.append((" ", "text"))
            out.append((pad(text, width), tone))
    return tuple(out)


def wrap(text: str, width: int) -> list[str]:
    """Break ``text`` (made harmless here) into rows of at most ``width`` cells.

    Spaces at the start of a line are kept, so that code stays readable; a word that is longer
    than a row is broken. Nothing is left out except spaces at a break.
    """
    width = max(1, width)
    rows: list[str] = []
    for line in harmless(text).expandtabs(len(_TAB)).split("\n"):
        _wrap_line(line.rstrip(), width, rows)
    return rows


def _wrap_line(line: str, width: int, rows: list[str]) -> None:
    start = 0
    # What is far too long is not measured: a long line would be, to its end, for each of its rows.
    while len(line) - start > _FAR * width or cells(line[start:]) > width:
        end = _fitting(line, start, width)
        blank = line.rfind(" ", start, end + 1)
        if blank > start and not line[start:blank].isspace():
            rows.append(line[start:blank].rstrip())
            start = _past_spaces(line, blank + 1)
        else:
            rows.append(line[start:end])
            start = end
            if start == len(line):
                return
    rows.append(line[start:])


def _fitting(line: str, start: int, width: int) -> int:
    """Return where that part of the line ends which begins at ``start`` and fits."""
    if line.isascii():
        return start + width
    used, last = 0, start
    for index in range(start, len(line)):
        # Some signs are wider with this selector behind them.
        wider = line[index] == _SELECTOR and cells(line[last] + _SELECTOR) > cells(line[last])
        if size := wider or cells(line[index]):
            used += size
            last = last if wider else index
        if used > width:
            return max(start + 1, last)
    return len(line)


def _past_spaces(line: str, start: int) -> int:
    while start < len(line) and line[start].isspace():
        start += 1
    return start


def short_age(then: int | None, now: int) -> str:
    """Say how long ago in at most 3 cells: ``now``, ``3m``, ``2h``, ``5d``.

    Nothing finer than a minute, so that a calm room stays still.
    """
    if then is None:
        return ""
    passed = max(0, now - then)
    if passed < _MINUTE:
        return "now"
    if passed < _HOUR:
        return f"{passed // _MINUTE}m"
    if passed < 2 * _DAY:
        return f"{passed // _HOUR}h"
    return f"{min(999, passed // _DAY)}d"


def clock_time(at: int, now: int, *, seconds: bool = False) -> str:
    """Return local time of day, with the date before it when that is not today."""
    moment = time.localtime(at / 1000)
    form = "%H:%M:%S" if seconds else "%H:%M"
    if time.localtime(now / 1000)[:3] != moment[:3]:
        form = "%d %b " + form
    return time.strftime(form, moment)


def shorten_path(path: str, width: int) -> str:
    """Cut a path from the left: its end tells more."""
    text = one_line(path)
    if cells(text) <= width:
        return text
    while text and cells(text) > width - 1:
        text = text[1:]
    return "…" + text
