"""What is said of a process that has ended: how it did, and its words without colours."""

from __future__ import annotations

import re
from typing import Final

_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)|[\x0e\x0f]"
)


def plain(text: str) -> str:
    """Return the text without a terminal's escapes."""
    if text.isprintable():  # most lines of a screen have none, and there are thousands a second
        return text
    return _ESCAPES.sub("", text)


def how_ended(code: int | None) -> str:
    """Say how a process ended, in a sentence; its exit code is negative for a signal.

    Empty for one that still runs, or that nothing ailed.
    """
    if not code:
        return ""
    if code < 0:
        return f"Its process was killed by signal {-code}."
    return f"It ended with code {code}."
