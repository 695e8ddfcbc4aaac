"""What is used of a budget, at a glance: a bar, the part in percent, a colour that warns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.budgets import ALMOST, Gauge
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_tui.text import Span

CELLS = 5


def warns(gauge: Gauge) -> bool:
    """Whether a budget is nearly used up: from four fifths on."""
    return gauge.part >= ALMOST


def tone(gauge: Gauge) -> str:
    """Return the colour of a budget."""
    if gauge.spent:
        return "bad"
    return "warn" if warns(gauge) else "dim"


def short(gauge: Gauge) -> Span:
    """Draw a budget in a few cells: whose, a bar, how much is used."""
    full = min(CELLS, int(gauge.part * CELLS))
    bar = "▰" * full + "▱" * (CELLS - full)
    return (f"{gauge.subject or 'day'} {bar} {percent(gauge)}", tone(gauge))


def whole(gauge: Gauge) -> str:
    """Write a budget in numbers."""
    return f"{gauge.used:,} of {gauge.limit:,} ({percent(gauge)})"


def percent(gauge: Gauge) -> str:
    """Return the part that is used, never rounded up to all of it."""
    return f"{min(int(gauge.part * 100), 999)}%"


def day(gauges: Sequence[Gauge]) -> Gauge | None:
    """Return the budget of the day, if there is one."""
    return next((each for each in gauges if each.scope is BudgetScope.DAY), None)


def of_actor(gauges: Sequence[Gauge], actor_id: str) -> Gauge | None:
    """Return an actor's own budget, if it has one."""
    own = (BudgetScope.ACTOR, actor_id)
    return next((each for each in gauges if (each.scope, each.subject) == own), None)
