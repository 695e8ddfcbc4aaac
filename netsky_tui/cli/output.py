"""Standard output: tables for people, JSON for scripts. Standard error: narration."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from netsky_runtime.clock import iso
from netsky_tui.cli.text import cells, cut, escape_json, fold, harmless, one_line, pad

_RED, _GREEN, _YELLOW, _BLUE, _DIM = "31", "32", "33", "34", "2"
_COLOURS = {
    **dict.fromkeys(
        ("unhealthy", "failed", "failed turn", "stuck", "fail", "lost", "uncertain", "error", "P0"),
        _RED,
    ),
    **dict.fromkeys(("ok", "ready", "healthy", "done", "answered", "live", "accepted"), _GREEN),
    **dict.fromkeys(
        ("blocked", "pending", "queued", "reported", "parked", "warn", "warning", "unresponsive"),
        _YELLOW,
    ),
    **dict.fromkeys(("busy", "in_progress", "handed", "seen"), _BLUE),
    **dict.fromkeys(("idle", "stopped", "cancelled", "closed", "ended", "shut", "debug"), _DIM),
}
_NOT_OURS = frozenset({"data", "raw", "questions", "answer", "metadata", "fields", "entry"})
"""Keys whose values are other people's JSON, printed as it came."""
_GAP = "  "
_NARROWEST = 3
_FLEX_NARROWEST = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. The words of a ``state`` column are coloured on a terminal."""

    title: str
    state: bool = False
    flex: bool = False
    """Gives up width first when the terminal is narrow."""
    folds: bool = False
    """What does not fit goes on in the next lines; other columns are cut."""


def narrate(sentence: str) -> None:
    """Say something to the human, out of the way of the data."""
    sys.stderr.write(harmless(sentence) + "\n")


def say(text: str = "", *, like: str = "") -> None:
    """Print text for people, made harmless; coloured ``like`` a word is, on a terminal."""
    sys.stdout.write(paint(like, harmless(text)) + "\n")


def emit(value: object) -> None:
    """Print one JSON document on one line, and hand it to the reader at once.

    Times (``at``, ``since``, ``…_at``: milliseconds inside netsky) leave as ISO 8601 in UTC.
    """
    document = json.dumps(_readable(value), ensure_ascii=False)
    sys.stdout.write(escape_json(document) + "\n")
    sys.stdout.flush()


def _readable(value: object, key: str = "") -> object:
    match value:
        case Mapping():
            return {
                name: item if name in _NOT_OURS else _readable(item, name)
                for name, item in value.items()
            }
        case list() | tuple():
            return [_readable(item) for item in value]
        case int() if key in {"at", "since"} or key.endswith("_at"):
            return iso(value)
        case _:
            return value


def on_terminal() -> bool:
    """Whether people read standard output as it is printed."""
    return sys.stdout.isatty()


def terminal_width() -> int:
    """Return how many cells a line of the terminal has."""
    return shutil.get_terminal_size().columns


def colourful() -> bool:
    """Whether standard output is a terminal that wants colour."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and on_terminal()


def paint(word: str, text: str | None = None) -> str:
    """Colour ``text`` (default the word itself) by what ``word`` means, on a terminal."""
    shown = word if text is None else text
    code = _COLOURS.get(word)
    return f"\x1b[{code}m{shown}\x1b[0m" if code and colourful() else shown


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]]) -> None:
    """Print aligned columns; cut or folded to a terminal's width, whole in a pipe."""
    body = [[_cell(value) for value in row] for row in rows]
    titles = [column.title for column in columns]
    widths = [max(map(cells, column)) for column in zip(titles, *body, strict=True)]
    if on_terminal():
        widths = _fit(widths, columns, terminal_width())
    states = [column.state for column in columns]
    lines = [_line(titles, widths, [False] * len(widths))]
    for row in body:
        lines += [_line(part, widths, states) for part in _folded(row, widths, columns)]
    sys.stdout.write("\n".join(lines) + "\n")


def fields(pairs: Mapping[str, object]) -> None:
    """Print ``name: value`` lines, without those that have no value.

    A value of several lines stands indented under its name.
    """
    label = max(map(cells, pairs)) + 1
    for name, value in pairs.items():
        if value is None or value == "":
            continue
        text = harmless(str(value))
        if "\n" in text:
            indented = "\n".join(f"    {line}" for line in text.splitlines())
            sys.stdout.write(f"{name}:\n{indented}\n")
        else:
            sys.stdout.write(f"{pad(name + ':', label)} {paint(text)}\n")


def _cell(value: object) -> str:
    return "-" if value is None or value == "" else one_line(str(value))


def _folded(
    row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]
) -> Iterable[Sequence[str]]:
    """Return the lines of a row."""
    lines = [
        fold(cell, width) if column.folds else [cell]
        for cell, width, column in zip(row, widths, columns, strict=True)
    ]
    return zip_longest(*lines, fillvalue="")


def _line(row: Sequence[str], widths: Sequence[int], states: Sequence[bool]) -> str:
    parts = []
    for cell, width, state in zip(row, widths, states, strict=True):
        text = pad(cut(cell, width), width)
        parts.append(paint(cell, text) if state else text)
    return _GAP.join(parts).rstrip()


def _fit(widths: Sequence[int], columns: Sequence[Column], room: int) -> list[int]:
    """Take what does not fit from the flexible columns, then from the others, last ones first."""
    fitted = list(widths)
    excess = sum(fitted) + len(_GAP) * (len(fitted) - 1) - room
    order = [at for at, column in enumerate(columns) if column.flex]
    limits = dict.fromkeys(order, _FLEX_NARROWEST)
    for at in [*order, *reversed(range(len(fitted)))]:
        spare = fitted[at] - limits.pop(at, _NARROWEST)
        if excess > 0 and spare > 0:
            taken = min(spare, excess)
            fitted[at] -= taken
            excess -= taken
    return fitted
