"""What budgets, pauses and holds say, and the arithmetic of days. Pure; times are ms."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING

from netsky_runtime.counting import count
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from datetime import tzinfo

    from netsky_runtime.states import PauseKind

PARKED = "budget: "
"""How the reason begins for which an actor is parked that has used up a budget."""
ALMOST = 0.8
"""The part of a budget from which on it is shown as nearly used up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """A budget and what is used of it, in tokens."""

    scope: BudgetScope
    subject: str
    """The actor or task; empty for the day."""
    limit: int
    used: int
    set_by_owner: bool = True
    """Whether it was set for this subject, or is the default from the settings."""

    @property
    def left(self) -> int:
        """Tokens that may still be used."""
        return max(0, self.limit - self.used)

    @property
    def spent(self) -> bool:
        """Whether nothing is left."""
        return self.used >= self.limit

    @property
    def part(self) -> float:
        """How much is used, 1.0 being all of it."""
        return self.used / self.limit

    @property
    def name(self) -> str:
        """The budget in words."""
        if self.scope is BudgetScope.DAY:
            return f"the day's budget of {count(self.limit, 'token')}"
        return f"the budget of {self.subject}, {count(self.limit, 'token')}"

    @property
    def reason(self) -> str:
        """Why nothing more is sent once it is spent."""
        return f"{self.name}, is used up" if self.subject else f"{self.name} is used up"

    @property
    def remedy(self) -> str:
        """The command that lets the work go on."""
        words = " ".join(filter(None, (self.scope.value, self.subject)))
        return f"netsky budgets set {words} +{self.limit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which nothing is dispatched to anybody."""

    seq: int
    kind: PauseKind
    reason: str
    began_at: int
    resumes_at: int | None
    """``None``: when the owner ends it."""
    ended_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Why what waits for an actor is not sent now."""

    reason: str
    until: int | None
    """When it is over by itself; ``None`` when somebody must do something."""
    remedy: str = ""
    """The command that ends it at once."""


def midnight(now: int, zone: tzinfo | None = None) -> int:
    """Return when the day of ``now`` began; ``zone`` is the machine's own unless given."""
    return _start(now, 0, zone)


def next_midnight(now: int, zone: tzinfo | None = None) -> int:
    """Return when the day of ``now`` ends: 23, 24 or 25 hours after it began."""
    return _start(now, 1, zone)


def _start(now: int, days: int, zone: tzinfo | None) -> int:
    here = datetime.fromtimestamp(now / 1_000, zone)
    first = datetime.combine(here.date() + timedelta(days=days), time.min, zone)
    return round(first.timestamp() * 1_000)
