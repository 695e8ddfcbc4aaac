"""Budgets at work: what a turn takes is counted, and what takes too much is stopped.

An actor whose own budget, or whose task's, is used up is parked for the owner; the day's pauses
the fleet until midnight. Either way the running turns it bounds are interrupted, once each, and
go on by a recovery input when there are tokens again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netsky_runtime.budgets import PARKED, Gauge, next_midnight
from netsky_runtime.codex.base import RuntimeFailure
from netsky_runtime.db import actors, budgets, inputs, ledger, pauses, spending, turns
from netsky_runtime.db import tasks as task_rows
from netsky_runtime.errors import Conflict, NetskyError, UsageError
from netsky_runtime.records import OWNER
from netsky_runtime.states import ActorStatus, BudgetScope, LedgerKind, PauseKind

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.fact_records import Usage
    from netsky_runtime.log import Log
    from netsky_runtime.records import Turn
    from netsky_runtime.supervise import Supervisor


class TurnStopper:
    """Interrupts turns that are over a budget, once each."""

    def __init__(
        self, *, supervisor: Supervisor, log: Log, interrupt: Callable[[Turn], Awaitable[str]]
    ) -> None:
        self._supervisor = supervisor
        self._log = log
        self._interrupt = interrupt
        self._stopped: dict[str, str] = {}
        """Actor to the last of its turns that was interrupted for a budget."""

    def __call__(self, turn: Turn) -> None:
        """Interrupt this turn for what it says stops it, unless that was done before."""
        if self._stopped.get(turn.actor_id) != turn.id:
            self._stopped[turn.actor_id] = turn.id
            self._supervisor.spawn(f"budget of {turn.actor_id}", self._stop(turn))

    async def _stop(self, turn: Turn) -> None:
        try:
            await self._interrupt(turn)
        except (NetskyError, RuntimeFailure) as error:
            # The next usage of the turn tries again; until then it goes on.
            if self._stopped.get(turn.actor_id) == turn.id:
                del self._stopped[turn.actor_id]
            if isinstance(error, Conflict):
                return  # it ended by itself, or its thread is not attached yet
            fields = {"actor": turn.actor_id, "turn": turn.id, "error": str(error)}
            self._log("error", "a turn over its budget could not be interrupted", fields)


@dataclass(frozen=True, slots=True)
class Effects:
    """What is to be done once a transaction about budgets is stored."""

    stop: list[Turn] = field(default_factory=list)
    """What is to be interrupted, and why."""
    log: list[str] = field(default_factory=list)
    """What was found to be used up."""
    wake: set[str] = field(default_factory=set)
    """Actors that may go on."""


class BudgetKeeper:
    """Counts tokens, enforces budgets and lets go on when they are raised."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        stop: Callable[[Turn], None],
        wake: Callable[[str], None],
    ) -> None:
        self._database = database
        self._clock = clock
        self._stop = stop
        self._log = log
        self._wake = wake

    async def count(self, tx: Tx, used: Iterable[Usage]) -> Effects:
        """Count usage, in the transaction that stores it, and look at the budgets it counts for."""
        effects = Effects()
        touched: dict[str, None] = {}
        for usage in used:
            await spending.tell(tx, usage)
            touched[usage.actor_id] = None
        if touched:
            await self._enforce_day(tx, effects)
        for actor_id in touched:
            await self._enforce(tx, actor_id, effects)
        return effects

    def carry_out(self, effects: Effects) -> None:
        """Interrupt, log and wake, after the commit."""
        for turn in effects.stop:
            self._stop(turn)
        for words in effects.log:
            self._log("warning", "budget used up", {"reason": words})
        for actor_id in effects.wake:
            self._wake(actor_id)

    async def set(
        self, scope: BudgetScope, subject: str, tokens: int, *, more: bool = False
    ) -> Gauge | None:
        """Set a budget, with ``more`` to what is used by now and so much more; 0 is none.

        Returns how it stands then. Raises ``NotFound`` for an unknown actor or task,
        ``UsageError`` for the owner.
        """
        now = self._clock.now()

        async def change(tx: Tx) -> None:
            used = await budgets.used(tx, scope, subject, now=now) if more else 0
            limit = used + tokens
            await budgets.set_(tx, scope, subject, limit, now=now)
            entry = {"by": OWNER, "budget": _words(scope, subject), "tokens": limit}
            await ledger.append(tx, LedgerKind.BUDGET_SET, entry, now=now)

        return await self._change(scope, subject, change)

    async def clear(self, scope: BudgetScope, subject: str) -> Gauge | None:
        """Take the default of the settings again, and return how it stands then."""
        now = self._clock.now()

        async def change(tx: Tx) -> None:
            await budgets.clear(tx, scope, subject)
            entry = {"by": OWNER, "budget": _words(scope, subject)}
            await ledger.append(tx, LedgerKind.BUDGET_CLEARED, entry, now=now)

        return await self._change(scope, subject, change)

    async def _change(
        self, scope: BudgetScope, subject: str, change: Callable[[Tx], Awaitable[object]]
    ) -> Gauge | None:
        now = self._clock.now()

        async def body(tx: Tx) -> tuple[Gauge | None, Effects]:
            await _check(tx, scope, subject)
            await change(tx)
            effects = await self._review(tx)
            return await budgets.get(tx, scope, subject, now=now), effects

        gauge, _ = await self._database.write(body, then=lambda done: self.carry_out(done[1]))
        return gauge

    async def look_again(self) -> None:
        """Look at every budget anew: a default was changed, or netsky has just started."""
        await self._database.write(self._review, then=self.carry_out)

    async def _review(self, tx: Tx) -> Effects:
        """Free whom a budget held that is not used up any more, and enforce the others."""
        effects, now = Effects(), self._clock.now()
        over = await self._enforce_day(tx, effects)
        if not over:
            await pauses.end(tx, PauseKind.DAY, now=now)
        for actor in await actors.list_all(tx):
            if actor.id == OWNER or actor.status is ActorStatus.STOPPED:
                continue
            own = await self._enforce(tx, actor.id, effects)
            if own is None and not over:
                await turns.let_run(tx, actor.id)
            if own is None and await release(tx, actor.id, now=now):
                effects.wake.add(actor.id)
        effects.wake.update(await inputs.queues(tx))  # what a budget held may go
        return effects

    async def _enforce_day(self, tx: Tx, effects: Effects) -> bool:
        """Pause the fleet and stop what runs if the day's budget is used up; say whether it is."""
        now = self._clock.now()
        day = await budgets.of_day(tx, now=now)
        if day is None or not day.spent:
            return False
        if await pauses.lasting(tx, PauseKind.DAY, now) is None:
            until = next_midnight(now)
            await pauses.begin(tx, PauseKind.DAY, day.reason, resumes_at=until, now=now)
            effects.log.append(day.reason)
        effects.stop.extend(await turns.stop_for(tx, f"stopped by {day.name}"))
        return True

    async def _enforce(self, tx: Tx, actor_id: str, effects: Effects) -> Gauge | None:
        """Park the actor and stop what it runs if a budget of its own, or of its task, is used up.

        Returns that budget.
        """
        for gauge in await budgets.of_subject(tx, actor_id):
            if gauge.spent:
                await self._park(tx, actor_id, gauge, effects, now=self._clock.now())
                return gauge
        return None

    async def _park(
        self, tx: Tx, actor_id: str, gauge: Gauge, effects: Effects, *, now: int
    ) -> None:
        why = f"stopped by {gauge.name}"
        effects.stop.extend(await turns.stop_for(tx, why, actor_id=actor_id))
        actor = await actors.require(tx, actor_id)
        if actor.status is ActorStatus.ACTIVE:
            reason = f"{PARKED}{gauge.reason}"
            await actors.set_status(tx, actor_id, ActorStatus.PARKED, reason=reason, now=now)
            effects.log.append(gauge.reason)


async def release(tx: Tx, actor_id: str, *, now: int) -> bool:
    """Let an actor go on that a budget parked which binds it no more; say whether it does."""
    actor = await actors.require(tx, actor_id)
    if actor.status is not ActorStatus.PARKED or not actor.park_reason.startswith(PARKED):
        return False
    if any(gauge.spent for gauge in await budgets.of_subject(tx, actor_id)):
        return False
    await actors.set_status(tx, actor_id, ActorStatus.ACTIVE, reason="", now=now)
    return True


def _words(scope: BudgetScope, subject: str) -> str:
    return f"{scope.value} {subject}".strip()


async def _check(tx: Tx, scope: BudgetScope, subject: str) -> None:
    if scope is BudgetScope.ACTOR:
        if subject == OWNER:
            msg = "The owner is you, and no budget bounds you."
            raise UsageError(msg, hint="Give the name of a manager or a worker.")
        await actors.require(tx, subject)
    elif scope is BudgetScope.TASK:
        await task_rows.require(tx, subject)
