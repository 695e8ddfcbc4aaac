"""Text for terminals: harmless characters, cell widths, ages."""

from __future__ import annotations

import re
from functools import cache

_LINE_BREAKS = re.compile(r"[\t ]*\n[\t\n ]*")

ELLIPSIS = "…"
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000


@cache
def _unsafe() -> re.Pattern[str]:
    # C0 without newline and tab, DEL, C1 (0x9b starts an escape sequence on some terminals), line
    # and paragraph separators, bidirectional overrides (they can show a command other than the
    # one that runs), lone surrogates (no encoding takes them).
    return re.compile(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    )


def harmless(text: str) -> str:
    """Return ``text`` with every character that could steer a terminal made visible.

    Newlines and tabs stay. ESC becomes ``␛``, others their control picture or their number.
    """
    if text.isprintable():  # nearly always, and then the pattern is never built (6 ms)
        return text
    return _unsafe().sub(_picture, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Return ``harmless(text)`` on one line, with line breaks as ``⏎``."""
    return _LINE_BREAKS.sub(" ⏎ ", harmless(text).strip()).replace("\t", " ")


def escape_json(text: str) -> str:
    """Escape what JSON leaves raw but a terminal obeys; the value stays the same."""
    if text.isprintable():
        return text
    return _unsafe().sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"\\u{code:04x}"


def cells(text: str) -> int:
    """Return how many terminal cells ``text`` takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # 15 ms, and most tables are ASCII

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return ``text`` in at most ``width`` cells, ending in ``…`` when something is missing."""
    if cells(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    if text.isascii():
        return text[: width - 1] + ELLIPSIS
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1).rstrip() + ELLIPSIS


def fold(text: str, width: int) -> list[str]:
    """Return ``text`` as lines of at most ``width`` cells, broken between words where it can be."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if cells(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        *whole, line = _pieces(word, width)
        lines += whole
    return [*lines, line]


def _pieces(word: str, width: int) -> list[str]:
    if word.isascii():
        return [word[at : at + width] for at in range(0, len(word), width)] or [""]
    from rich.cells import chop_cells

    return chop_cells(word, width)


def pad(text: str, width: int) -> str:
    """Fill ``text`` with spaces to ``width`` cells."""
    return text + " " * (width - cells(text))


def age(then: int | None, now: int) -> str:
    """Say how long ago ``then`` was, both in milliseconds: ``12 s``, ``3 min``, ``2 h``."""
    if then is None:
        return "-"
    passed = max(0, now - then)
    if passed < _MINUTE:
        return f"{passed // 1000} s"
    if passed < _HOUR:
        return f"{passed // _MINUTE} min"
    if passed < 2 * _DAY:
        return f"{passed // _HOUR} h"
    return f"{passed // _DAY} d"
