"""The script language: orders written into the text of a user message.

``SAY[words]``, ``RUN[command]``, ``ASK[command]`` (or ``ESC``), ``PATCH`` or ``PATCH[path]``,
``TOOL[name {json}]ENDTOOL``, ``USER[question]``, ``SLOW<seconds>``, ``FLOOD<n>``, ``FAIL``,
``USE<tokens>``, ``LIMIT<seconds>``, ``HANG``, ``DIE``, and
``ERR[reject|unavailable|lost|lost-consumed]`` for the submit itself.
Orders run in the order they are written; the words of every ``SAY`` come last, as one message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from netsky_runtime.codex.scripted.letters import letters, unescape
from netsky_runtime.codex.scripted.orders import (
    Call,
    Die,
    Fail,
    Flood,
    Hang,
    Limit,
    Order,
    Patch,
    Pause,
    Question,
    Run,
    Say,
    Use,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from netsky_runtime.codex.scripted.orders import Plan, Prompt

DEFAULT_SLOW = 5.0
_TOOL_OPEN, _TOOL_CLOSE = "TOOL[", "]ENDTOOL"
_TEXT = r"[^\]]{1,20000}"  # bounded, or brackets that never close cost the square of the text
_ORDER = re.compile(
    rf"SAY\[(?P<say>{_TEXT})\]|RUN\[(?P<run>{_TEXT})\]|(?:ASK|ESC)\[(?P<ask>{_TEXT})\]"
    rf"|USER\[(?P<user>{_TEXT})\]|PATCH\[(?P<path>{_TEXT})\]|(?P<patch>\bPATCH\b)"
    r"|\bSLOW(?P<slow>\d+\.?\d*|(?!\w))|\bFLOOD(?P<flood>\d+)"
    r"|\bUSE(?P<use>\d+)|\bLIMIT(?P<limit>\d+\.?\d*)"
    r"|\b(?P<word>FAIL|HANG|DIE)\b|(?P<tool>TOOL\[)|ERR\[(?P<err>[a-z-]+) ?(?P<times>\d*)\]",
)
_NUMBERED: dict[str, Callable[[str], Order]] = {
    "flood": lambda number: Flood(int(number)),
    "use": lambda number: Use(int(number)),
    "limit": lambda number: Limit(float(number)),
}
_WORDS: dict[str, Order] = {"FAIL": Fail(), "HANG": Hang(), "DIE": Die()}


class OrdersInText:
    """The script that does what the text says, and answers politely when it says nothing."""

    def plan(self, prompt: Prompt) -> Plan:
        """Run the orders of the text one after the other, then say the words."""
        said: list[str] = []
        answers: list[str] = []
        flooded = False
        for order in parse(unescape(prompt.text)):
            if isinstance(order, Say):
                said.append(order.text)
                continue
            outcome = yield order
            if isinstance(order, Call):
                answers.append(f"tool: {harmless(outcome.text)}")
            elif isinstance(order, Question):
                answers.append(f"answer: {harmless(outcome.text)}")
            flooded = flooded or isinstance(order, Flood)
        if said or answers or not flooded:
            words = " ".join(said) or polite(prompt.text)
            yield Say("\n".join((words, *answers)))


def parse(text: str) -> tuple[Order, ...]:
    """Return the orders of an unescaped text, in the order they are written."""
    return tuple(order for _, _, match, inner in _spans(text) for order in _orders_of(match, inner))


def refusal(text: str) -> tuple[str, int] | None:
    """Return how submitting this text fails and how many times, if the text says so."""
    for _, _, match, _ in _spans(unescape(text)):
        if match["err"]:
            return match["err"], int(match["times"] or 1)
    return None


def harmless(text: str) -> str:
    """Return the text with its orders struck out: quoted elsewhere, it orders nothing."""
    kept, at = [], 0
    for start, end, _, _ in _spans(text):
        kept.append(text[at:start])
        at = end
    kept.append(text[at:])
    return "(done)".join(kept)


def polite(text: str) -> str:
    """Return what is answered when nobody ordered any words."""
    found = letters(text)
    lines = [line.strip() for letter in found for line in letter.body.splitlines()]
    first = next((line for line in lines if line), "")
    quoted = " ".join(harmless(first).split())
    return f"Understood: {quoted[:160]}" if quoted else "Understood."


def _spans(text: str) -> Iterator[tuple[int, int, re.Match[str], str]]:
    """Yield start, end, match and, for a tool call, what is between its brackets."""
    at = 0
    while match := _ORDER.search(text, at):
        end, inner = match.end(), ""
        if match["tool"]:
            end = _tool_end(text, match.end())
            if end < 0:
                at = match.end()
                continue
            inner = text[match.end() : end - len(_TOOL_CLOSE)]
        yield match.start(), end, match, inner
        at = end


def _tool_end(text: str, at: int) -> int:
    """Return the end of a tool call that may carry others in its arguments; -1 if none."""
    depth = 1
    while depth:
        close = text.find(_TOOL_CLOSE, at)
        if close < 0:
            return -1
        inner = text.find(_TOOL_OPEN, at, close)
        if inner >= 0:
            depth, at = depth + 1, inner + len(_TOOL_OPEN)
        else:
            depth, at = depth - 1, close + len(_TOOL_CLOSE)
    return at


def _orders_of(match: re.Match[str], inner: str) -> Iterator[Order]:
    found = match.lastgroup
    value = match[found] if found else ""
    match found:
        case "say":
            yield Say(value)
        case "run":
            yield Run(value)
        case "ask":
            yield Run(value, asks=True, reason="needs to write outside the workspace")
        case "user":
            yield Question(value)
        case "path":
            yield Patch(value)
        case "patch":
            yield Patch("hello.txt", kind="add", diff="hello from patch\n")
        case "slow":
            yield Pause(float(value or DEFAULT_SLOW))
        case "flood" | "use" | "limit":
            yield _NUMBERED[found](value)
        case "word":
            yield _WORDS[value]
        case "tool":
            name, _, arguments = inner.strip().partition(" ")
            yield Call(name, arguments.strip() or "{}")
        case _:
            return  # how a submit fails is no order to the turn
