"""What the owner does about tokens: budgets, and pauses of the whole fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.clock import iso
from netsky_runtime.db import holds
from netsky_runtime.errors import UsageError
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.agents.budgets import BudgetKeeper
    from netsky_runtime.agents.pause import Pauses
    from netsky_runtime.budgets import Gauge, Pause
    from netsky_runtime.control import protocol
    from netsky_runtime.verbs import Verb


class BudgetVerbs:
    """Verbs that need only the database."""

    def __init__(self, *, budgets: BudgetKeeper, pauses: Pauses) -> None:
        self._budgets = budgets
        self._pauses = pauses

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {
            "budgets.set": self.set_budget,
            "budgets.clear": self.clear_budget,
            "pause": self.pause,
            "unpause": self.unpause,
        }

    async def set_budget(self, request: protocol.SetBudget) -> dict[str, Any]:
        """Bound an actor, a task or the day; whoever waited for more goes on at once."""
        _check(request.scope, request.subject)
        gauge = await self._budgets.set(
            request.scope, request.subject, request.tokens, more=request.more
        )
        return _standing(request.scope, request.subject, gauge)

    async def clear_budget(self, request: protocol.BudgetOf) -> dict[str, Any]:
        """Take the default of the settings again."""
        _check(request.scope, request.subject)
        gauge = await self._budgets.clear(request.scope, request.subject)
        return _standing(request.scope, request.subject, gauge)

    async def pause(self, request: protocol.PauseUntil) -> dict[str, Any]:
        """Send nothing to anybody for a time. Running turns go on."""
        pause = await self._pauses.pause(until=request.until)
        words = holds.paused(pause, now=pause.began_at).reason
        return {**_pause(pause), "reason": words}

    async def unpause(self, _request: protocol.Empty) -> dict[str, Any]:
        """End every pause, also one that a limit asked for."""
        return {"ended": [_pause(each) for each in await self._pauses.unpause()]}


def _check(scope: BudgetScope, subject: str) -> None:
    if (scope is BudgetScope.DAY) is bool(subject):
        msg = "A budget is of an actor or task, by its name, or of the day, which has none."
        raise UsageError(msg, hint="netsky budgets set actor worker3 200000, or: day 5000000.")


def _standing(scope: BudgetScope, subject: str, gauge: Gauge | None) -> dict[str, Any]:
    named = {"scope": scope.value, "subject": subject}
    if gauge is None:
        return {**named, "limit": None, "used": None, "left": None}
    return {**named, "limit": gauge.limit, "used": gauge.used, "left": gauge.left}


def _pause(pause: Pause) -> dict[str, Any]:
    until = iso(pause.resumes_at) if pause.resumes_at is not None else None
    return {"kind": pause.kind.value, "reason": pause.reason, "until": until}
