"""Who is brought back after a start, with what words, and how often after a loss: all of it here.

Whoever is left at rest is attached when somebody wakes it. Words cost a turn, so only those get
any whose turn or conversation was lost; everybody else comes back in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from netsky_runtime.counting import count
from netsky_runtime.records import CRASH_LOOP, MANAGER0
from netsky_runtime.states import ActorKind, ActorStatus

if TYPE_CHECKING:
    from netsky_runtime.db.standings import Standing

CUT: Final = "Your last turn was cut short by a crash. It was about:"
STOPPED: Final = "Your last turn was {because}, and you can go on now. It was about:"
LOST: Final = (
    "Your conversation {thread} was lost and this one begins without it. What you had been "
    "handed there, and may have begun with, was:"
)
"""How the words begin that an actor is given, by what happened to it."""
RECOVERIES: Final = 3
"""How often one input is recovered from crashes before its actor is parked for the owner."""
AT_ONCE: Final = 8
"""How many threads are attached at the same time: a hundred would stampede the engine."""


class Duty(StrEnum):
    """What becomes of an actor at a start."""

    WORK = "work"
    """Attached, reconciled, and given what waits."""
    LISTEN = "listen"
    """Attached and reconciled, again when it is lost, so that what runs is heard to its end; given
    nothing."""
    REST = "rest"
    """Left unattached."""


Applies = Callable[["Standing"], bool]

TABLE: Final[tuple[tuple[str, Applies, Duty], ...]] = (
    ("the owner has no thread", lambda s: s.actor.kind is ActorKind.OWNER, Duty.REST),
    ("it is stopped", lambda s: s.actor.status is ActorStatus.STOPPED, Duty.REST),
    (
        "it is parked and a turn may run",
        lambda s: s.actor.status is ActorStatus.PARKED and s.under_way,
        Duty.LISTEN,
    ),
    ("it is parked", lambda s: s.actor.status is ActorStatus.PARKED, Duty.REST),
    ("it is manager0", lambda s: s.actor.id == MANAGER0, Duty.WORK),
    ("a turn may run", lambda s: s.under_way, Duty.WORK),
    ("something waits for it", lambda s: s.waits, Duty.WORK),
    (
        "it is a manager with an objective",
        lambda s: s.actor.kind is ActorKind.MANAGER and bool(s.actor.objective),
        Duty.WORK,
    ),
    (
        "it is a worker with an open task",
        lambda s: s.actor.kind is ActorKind.WORKER and s.has_task,
        Duty.WORK,
    ),
    ("nothing is left to do", lambda _: True, Duty.REST),
)
"""Why, for whom, what. The first line that applies decides."""


def decide(standing: Standing) -> Duty:
    """Return what becomes of an actor."""
    return next(duty for _, applies, duty in TABLE if applies(standing))


@dataclass(frozen=True, slots=True)
class Budget:
    """How often an actor is brought back in any window of time before it is parked.

    A loss counts when work was on the thread, or when the thread had a process of its own; what
    merely shared a process that died is brought back however often.
    """

    times: int = 5
    window_seconds: float = 600.0

    @property
    def window_ms(self) -> int:
        """The window in milliseconds."""
        return round(self.window_seconds * 1_000)

    def spent(self, losses: int, *, last: str) -> str:
        """Return why an actor is parked after so many losses in the window; empty: it is not."""
        if losses <= self.times:
            return ""
        minutes = self.window_seconds / 60
        often = count(self.times, "time")
        return f"{CRASH_LOOP}: came back {often} in {minutes:g} min; last: {last}"
