"""When it is time for which rung about a turn that gives no sign of life: pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.states import RungName, RungOutcome

if TYPE_CHECKING:
    from netsky_runtime.agents.pulses import Pulse

ORDER: Final = tuple(RungName)

BUDGET: Final = {
    RungName.RECONCILE: 150.0,
    RungName.INTERRUPT: 45.0,
    RungName.REATTACH: 60.0,
    RungName.MOVE: 240.0,
    RungName.PARK: 30.0,
}
"""How many seconds a rung may take; then it has failed."""
_REST: Final = {RungName.INTERRUPT: 30.0, RungName.REATTACH: 30.0, RungName.MOVE: 30.0}
"""How long a turn may take, after such a rung, to end or to stir."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a turn may give no sign of life, in seconds."""

    turn: float
    """While only the model is to speak."""
    command: float
    """While a command or another tool of its runs, or where no live text is heard."""

    def of(self, pulse: Pulse) -> float:
        """Return what this turn has now."""
        long = pulse.working or pulse.mute
        return max(self.turn, self.command) if long else self.turn


@dataclass(slots=True)
class Climb:
    """How far the ladder was climbed for one turn. Any sign of life of the turn ends it."""

    actor_id: str
    thread_id: str
    turn_id: str
    signs: int
    """How many signs of life the actor had given when it was begun."""
    silent_since: float
    """Monotonic time of the turn's last sign of life."""
    rung: RungName | None = None
    outcome: RungOutcome = RungOutcome.TRYING
    seq: int = 0
    """The row of that rung."""
    ended: float = 0.0
    """Monotonic time at which that rung was done with."""
    items: int | None = None
    """How many items of the turn history showed when it was last read; ``None``: it was not."""


def due(climb: Climb, *, patience: float, now: float) -> RungName | None:
    """Return the rung it is time for, ``None`` while there is reason to wait.

    History is read after ``patience`` seconds of silence. The turn is interrupted when it kept
    silent for as long again, with its live text listened to and history showing nothing new.
    What follows waits until the rung before it has certainly not helped.
    """
    if climb.rung is None:
        return RungName.RECONCILE if now - climb.silent_since >= patience else None
    if climb.rung is RungName.PARK:
        return None
    rest = patience if climb.rung is RungName.RECONCILE else _REST[climb.rung]
    if climb.outcome is RungOutcome.FAILED and climb.rung is not RungName.RECONCILE:
        rest = 0.0
    if now - climb.ended < rest:
        return None
    return ORDER[ORDER.index(climb.rung) + 1]
