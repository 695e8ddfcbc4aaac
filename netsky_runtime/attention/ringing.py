"""When the owner is rung for, and with what words. Nothing here waits, reads or rings."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from netsky_runtime.states import AttentionKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from netsky_runtime.attention.items import Waiting

RingBy = Literal["bell", "desktop", "both", "none"]
SETTLE_SECONDS: Final = 1.0
"""How long the first of a burst waits for the others."""
GAP_SECONDS: Final = 15.0
"""How long it is quiet after a ring: what comes meanwhile rings together."""
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A part of each day, in minutes after midnight; it may reach over midnight."""

    begins: int
    ends: int

    @classmethod
    def parse(cls, text: str) -> QuietHours | None:
        """Read ``22:00-07:00``; empty is no quiet at all. Raises ``ValueError``."""
        if not text:
            return None
        found = _HOURS.fullmatch(text)
        if found is None:
            msg = "quiet hours are written like 22:00-07:00"
            raise ValueError(msg)
        hour, minute, end_hour, end_minute = map(int, found.groups())
        begins, ends = hour * 60 + minute, end_hour * 60 + end_minute
        if begins == ends:
            msg = "quiet hours begin and end at different times"
            raise ValueError(msg)
        return cls(begins, ends)

    def left(self, at: datetime) -> float:
        """Return for how many seconds after this local time it is still quiet; 0 when it is not."""
        second = (at.hour * 60 + at.minute) * 60 + at.second + at.microsecond / 1e6
        length = (self.ends - self.begins) % _DAY * 60
        passed = (second - self.begins * 60) % (_DAY * 60)
        return length - passed if passed < length else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether to ring now, else when to ask again."""

    ring: bool = False
    again: float | None = None
    """Seconds; ``None``: when something new waits."""


def verdict(*, untold: int, waited: float, since_ring: float, quiet: float) -> Verdict:
    """Decide about what the owner was not told of.

    ``waited`` is how long the first of it has been known, ``since_ring`` how long ago he was rung
    for last, ``quiet`` for how long it is still quiet, all in seconds.
    """
    if not untold:
        return Verdict()
    wait = max(quiet, SETTLE_SECONDS - waited, GAP_SECONDS - since_ring)
    return Verdict(again=wait) if wait > 0 else Verdict(ring=True)


_ONE: Final[Mapping[AttentionKind, str]] = MappingProxyType(
    {
        AttentionKind.APPROVAL: "{actor} asks for an approval",
        AttentionKind.QUESTION: "{actor} asks you a question",
        AttentionKind.BLOCKED: "{actor}: its screen waits for you",
        AttentionKind.UNCERTAIN: "A message to {actor} may not have arrived",
        AttentionKind.CRASH_LOOP: "{actor} is parked: a crash loop",
        AttentionKind.PARKED: "{actor} is parked",
        AttentionKind.BUDGET: "A budget is used up: {actor} waits",
        AttentionKind.PAUSED: "Your pause holds work of {actor}",
        AttentionKind.UNATTACHED: "The thread of {actor} cannot be attached",
        AttentionKind.RUNS_ON: "A turn of {actor} runs on after its stop",
        AttentionKind.STUCK: "A task of {actor} is stuck",
        AttentionKind.STALLED: "A task of {actor} stands still",
        AttentionKind.LOST: "An approval of {actor} was lost",
        AttentionKind.FAILED: "A message to {actor} failed",
        AttentionKind.QUARANTINED: "{actor} has a bad file on the bus",
    }
)
_MANY: Final[Mapping[AttentionKind, tuple[str, str]]] = MappingProxyType(
    {
        AttentionKind.APPROVAL: ("approval", "approvals"),
        AttentionKind.QUESTION: ("question", "questions"),
        AttentionKind.BLOCKED: ("blocked screen", "blocked screens"),
        AttentionKind.UNCERTAIN: ("uncertain message", "uncertain messages"),
        AttentionKind.CRASH_LOOP: ("crash loop", "crash loops"),
        AttentionKind.PARKED: ("parked actor", "parked actors"),
        AttentionKind.BUDGET: ("used-up budget", "used-up budgets"),
        AttentionKind.PAUSED: ("pause", "pauses"),
        AttentionKind.UNATTACHED: ("door that attaches nobody", "doors that attach nobody"),
        AttentionKind.RUNS_ON: ("turn that runs on", "turns that run on"),
        AttentionKind.STUCK: ("stuck task", "stuck tasks"),
        AttentionKind.STALLED: ("stalled task", "stalled tasks"),
        AttentionKind.LOST: ("lost approval", "lost approvals"),
        AttentionKind.FAILED: ("failed message", "failed messages"),
        AttentionKind.QUARANTINED: ("address with bad files", "addresses with bad files"),
    }
)


def words(untold: Sequence[Waiting], *, after_quiet: bool) -> str:
    """Say what waits in one sentence, without quoting anybody: it may be seen on a locked screen.

    One thing by its actor, several by their number, the most urgent first.
    """
    first = "While it was quiet: " if after_quiet else ""
    if len(untold) == 1:
        said = _ONE[untold[0].kind].format(actor=untold[0].actor)
    else:
        counted = Counter(each.kind for each in untold)
        parts = [f"{count} {_MANY[kind][count > 1]}" for kind, count in counted.items()]
        said = f"{len(untold)} things wait for you: {', '.join(parts)}"
    return f"{first}{said}."
