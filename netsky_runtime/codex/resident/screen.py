"""What a captured screen of Codex's TUI allows. When in doubt: not ready.

Seen on 0.120, 0.145, 0.153.4, 0.163 and 0.169: the composer is a line that starts with a bold
angle (``!`` when a shell command is typed) and holds the cursor; its placeholder is dim, and the
cursor stands before it. Messages of the past have the same sign with a dim or bold blank after
it, and no cursor. Every dialog, picker and pager hides the cursor. While a turn runs, a line
above the composer ends in ``esc to interrupt)``. Below the composer of a side conversation, which
is written down nowhere, a line says ``Side from main thread`` (0.153.4, 0.163.0). A paste of more
than 1000 characters is shown as ``[Pasted Content 3000 chars]``. Once Codex has started, a line
below the composer tells model and folder; 0.163 and 0.169 show the composer a second sooner, and
dialogs may come in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from netsky_runtime.wire.last_words import plain as without_escapes

PASTE_SHOWN: Final = 1_000
"""A longer paste is shown by its length only."""
HOW_LOOKS: Final = 10
"""How often a pane is looked at again for how its program has ended, before that is unknown."""
QUOTED_LINES: Final = 24
QUOTED: Final = 600
"""Characters of a screen in the reason of its program's end."""
_STATUS_LINES: Final = 12
_COMPOSER_COLUMN: Final = 2

_ANGLE: Final = "\u203a"

_STYLE = re.compile(r"\x1b\[([0-9;:]*)m")
_RUNNING = re.compile(r"^\W? ?.*\((?:\d+[hms] ?)+ • esc to interrupt\)")
_PASTED = re.compile(r"\[Pasted Content (\d+) chars\]")
_LOADING = re.compile(r"^(?:│ model: +| {5})loading\b", re.MULTILINE)
_STATUS = re.compile(r"^  \S.* · [~/…]", re.MULTILINE)
_SIDE = re.compile(r"\bSide from main thread · ")
_TRUST: Final = ("Do you trust the contents", "Trust this folder?")
_TRUST_ANSWER = re.compile(rf"^{_ANGLE} 1\. (?:Yes, continue|Trust and continue)\b", re.MULTILINE)
"""Chosen, as it is at first: then Enter means yes."""
_LOGIN: Final = "Sign in with ChatGPT"
_ASKS: Final = "Would you like to "
"""Looked for first: most screens have no such words, and fifty are read a second."""
_LIMIT = re.compile(r"^ +Approaching rate limits\n\s*(?P<asked>Switch to .*\?)", re.MULTILINE)
"""After a turn that the account's limit ended; Escape keeps the model (0.153.4, 0.163.0)."""
_APPROVAL = re.compile(r"^ *Would you like to .*\?", re.MULTILINE)
_ENDED = re.compile(r"Pane is dead \((?:signal (?P<signal>\w+)|status (?P<code>\d+))?")
CODE_TOLD: Final = "netsky: Codex has ended with code"
"""How the launch script tells it, because tmux may never hear of it (3.3a, now and then)."""
_TOLD = re.compile(rf"{CODE_TOLD} (?P<code>\d+)(?P<signal>)")
_BY_SIGNAL = 128
"""What a shell adds to the number of the signal that killed its command."""
_INK = re.compile(r"[^\x21-\x7e]+")


class Look(StrEnum):
    """What a screen is."""

    STARTING = "starting"
    READY = "ready"
    """An empty composer and no turn: the only screen that may be typed into."""
    TYPED = "typed"
    """Somebody's words stand in the composer."""
    BUSY = "busy"
    """A turn runs; Codex can be interrupted."""
    TRUST = "trust"
    APPROVAL = "approval"
    """Codex asks whether it may do something; Escape declines and ends the turn."""
    DIALOG = "dialog"
    DEAD = "dead"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A screen as ``capture-pane -p -e`` tells it, and where its cursor is."""

    text: str
    cursor_x: int
    cursor_y: int
    cursor_shown: bool
    dead: bool = False
    scrolled: bool = False
    """Somebody reads back in it (tmux's copy mode): keys would not reach Codex."""

    def plain(self) -> str:
        """Return the screen as a human reads it, without colours."""
        return plain(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a capture means."""

    look: Look
    reason: str = ""
    """Why nothing may be typed, for a human; empty when only a turn or the start is awaited."""
    typed: str = ""
    """What stands in the composer, from its first visible line to the cursor."""
    started: bool = False
    """Of a ready composer: whether it shows that Codex has started. The operator can configure
    the line that tells it away."""


def plain(text: str) -> str:
    """Return captured text without its escapes and the blank lines at its end."""
    return without_escapes(text).rstrip()


def tail(capture: Capture, lines: int = QUOTED_LINES) -> str:
    """Return the last lines that say something, to be quoted."""
    said = [line.rstrip() for line in capture.plain().splitlines() if line.strip()]
    while capture.dead and said and (_ENDED.match(said[-1]) or _TOLD.match(said[-1])):
        said.pop()
    return "\n".join(said[-lines:])


def how_ended(capture: Capture) -> str:
    """Say, of a pane whose program has ended, how: as its last lines tell.

    What stood on the screen of a program that was killed is no reason, and is not quoted.
    """
    words = _last_line(capture)
    if words and (number := words["signal"]):
        return f"Codex has ended: its process was killed by signal {number}."
    code = exit_code(capture)
    if not code:
        return "Codex has ended."
    if code > _BY_SIGNAL:
        return f"Codex has ended: its process was killed by signal {code - _BY_SIGNAL}."
    quoted = tail(capture)[-QUOTED:].rstrip(".")
    return f"Codex has ended with code {code}{f': {quoted}' if quoted else ''}."


def exit_code(capture: Capture) -> int | None:
    """Return the code that the program of a dead pane ended with; ``None`` after a signal."""
    words = _last_line(capture)
    return int(words["code"]) if words and words["code"] else None


def says_how(capture: Capture) -> bool:
    """Whether it shows yet how its program has ended: a moment after it is known to have."""
    return _last_line(capture) is not None


def _last_line(capture: Capture) -> re.Match[str] | None:
    said = [line for line in capture.plain().splitlines() if line.strip()][-2:]
    told = [found for line in said if (found := _TOLD.match(line) or _ENDED.match(line))]
    return told[0] if told else None


def read(capture: Capture) -> Reading:
    """Say what a screen is."""
    if capture.dead:
        return Reading(look=Look.DEAD, reason="Codex has ended.")
    if capture.scrolled:
        return Reading(look=Look.UNREADABLE, reason="Somebody scrolls back in Codex's screen.")
    if not capture.cursor_shown:
        return _dialog(capture)
    lines = capture.text.split("\n")
    composer = _composer(lines, capture.cursor_y)
    if composer is None:
        return _without_composer(capture)
    row, sign = composer
    above = [plain(line) for line in lines[max(0, row - _STATUS_LINES) : row]]
    below = plain("\n".join(lines[row + 1 :]))
    if _SIDE.search(below):
        return Reading(look=Look.DIALOG, reason=ASIDE)
    typed = _typed(lines, row, capture)
    if any(_RUNNING.match(line) for line in above):
        return Reading(look=Look.BUSY, typed=typed)
    if sign == "!":
        return Reading(look=Look.TYPED, reason=_WORDS, typed=f"!{typed}")
    if typed:
        return Reading(look=Look.TYPED, reason=_WORDS, typed=typed)
    if _LOADING.search(capture.plain()):
        return Reading(look=Look.STARTING)
    return Reading(look=Look.READY, started=_STATUS.search(below) is not None)


def shows(reading: Reading, text: str) -> bool:
    """Whether what stands in the composer is this text that was pasted, and nothing else.

    A long paste is known by its length. Of a short one the end is compared, as far as it is
    visible, without what terminals may draw otherwise: blanks and letters outside ASCII.
    """
    if not reading.typed:
        return False
    if len(text) > PASTE_SHOWN:
        pasted = _PASTED.fullmatch(reading.typed.strip())
        return pasted is not None and int(pasted.group(1)) == len(text)
    seen, meant = _INK.sub("", reading.typed), _INK.sub("", text)
    return meant.endswith(seen) and bool(seen or not meant)


def _dialog(capture: Capture) -> Reading:
    text = capture.plain()
    if not text:
        return Reading(look=Look.STARTING)
    if any(words in text for words in _TRUST) and _TRUST_ANSWER.search(text):
        return Reading(look=Look.TRUST, reason="Codex asks whether it may trust the folder.")
    if _LOGIN in text:
        return Reading(look=Look.DIALOG, reason="Codex is not logged in.")
    if _ASKS in text and (asked := _APPROVAL.search(text)):
        reason = f"Codex asks on its own screen: {asked.group().strip()}"
        return Reading(look=Look.APPROVAL, reason=reason)
    if limit := _LIMIT.search(text):
        reason = f"Codex asks on its own screen: {limit['asked']} Escape there keeps the model."
        return Reading(look=Look.DIALOG, reason=reason)
    return Reading(look=Look.DIALOG, reason="Codex shows a dialog that only a human can answer.")


def _without_composer(capture: Capture) -> Reading:
    # Before its first frame Codex, or the shell, prints plain lines from the top.
    if capture.cursor_x == 0 and not plain("\n".join(capture.text.split("\n")[capture.cursor_y :])):
        return Reading(look=Look.STARTING)
    return Reading(look=Look.UNREADABLE, reason="Codex's screen shows no composer.")


def _composer(lines: list[str], cursor_y: int) -> tuple[int, str] | None:
    """Return the row of the composer that holds the cursor, and its sign."""
    for row in range(min(cursor_y, len(lines) - 1), -1, -1):
        text = plain(lines[row])
        if text[:1] in {_ANGLE, "!"} and text[1:2] in {"", " "}:
            return (row, text[0]) if _is_sign(lines, row) else None
        if text and not text.startswith("  "):
            return None
    return None


def _is_sign(lines: list[str], row: int) -> bool:
    """Whether the first character of a row is bold and not dim."""
    before = "\n".join(lines[:row])
    start = before.rfind("\x1b[0")
    styles = _STYLE.findall(before[start:] if start >= 0 else before)
    first = re.match(r"(?:\x1b\[[0-9;:]*m)*", lines[row])
    styles += _STYLE.findall(first.group() if first else "")
    bold, dim = _weight(styles)
    return bold and not dim


def _weight(styles: list[str]) -> tuple[bool, bool]:
    bold = dim = False
    for style in styles:
        codes = iter(style.split(";"))
        for code in codes:
            match code:
                case "" | "0":
                    bold = dim = False
                case "1":
                    bold = True
                case "2":
                    dim = True
                case "22":
                    bold = dim = False
                case "38" | "48" | "58":
                    # A colour's numbers are no styles: 5;n or 2;r;g;b follow.
                    for _ in range(1 if next(codes, "") == "5" else 3):
                        next(codes, "")
    return bold, dim


def _typed(lines: list[str], row: int, capture: Capture) -> str:
    """Return what was typed up to the cursor; nothing where only the placeholder is shown."""
    shown = [plain(line)[_COMPOSER_COLUMN:] for line in lines[row : capture.cursor_y + 1]]
    at_start = (capture.cursor_y, capture.cursor_x) == (row, _COMPOSER_COLUMN)
    if not at_start:
        return "\n".join(shown)
    # At the start stand the placeholder, dim, or words that somebody has gone back to.
    rest = lines[row].partition(_ANGLE)[2] or lines[row].partition("!")[2]
    styles = re.match(r"(?:\s|\x1b\[[0-9;:]*m)*", rest)
    _, dim = _weight(_STYLE.findall(styles.group() if styles else ""))
    return "" if dim or not plain(rest).strip() else plain(rest).strip()


_WORDS: Final = "Somebody's words stand in Codex's composer: send them or delete them."
ASIDE: Final = "A side conversation is open on Codex's screen: Ctrl+C there closes it."
