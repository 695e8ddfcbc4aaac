"""An engine that answers nothing: since when, and what the operator is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

NOTED_SECONDS: Final = 1.0
"""How long a question may be unanswered, and nothing else told, before who looks is told."""
LONG_SECONDS: Final = 5.0
"""How long before it is among the notices."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question that the engine was asked."""

    at: int
    """By the wall clock, in ms."""
    began: float
    """By the monotonic clock, in seconds."""
    heard: int
    """How many messages had come by then."""


def told(asked: Unanswered | None, *, monotonic: float, pid: int | None) -> tuple[int | None, str]:
    """Return since when Codex, the process ``pid``, is silent, in ms, and what to say of it.

    The words name the moment, not how long ago it was: they stay the same.
    """
    if asked is None or (silent := monotonic - asked.began) < NOTED_SECONDS:
        return None, ""
    if silent < LONG_SECONDS:
        return asked.at, ""
    since = f"{datetime.fromtimestamp(asked.at / 1000, UTC).astimezone():%H:%M:%S}"
    who = "Codex" if pid is None else f"Codex (process {pid})"
    return asked.at, f"{who} has answered nobody since {since}. If it stays so, it is replaced."
