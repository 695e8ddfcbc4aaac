"""Why what waits for an actor is not sent: the fleet is paused, or a budget is used up.

One function of what is stored, for the gate before dispatch, the command line and the room alike.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from netsky_runtime.budgets import Gauge, Hold, next_midnight
from netsky_runtime.db import budgets, inputs, pauses
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netsky_runtime.budgets import Pause
    from netsky_runtime.db.rows import Tx


async def of_fleet(tx: Tx, *, now: int) -> Hold | None:
    """Return what holds everybody."""
    pause = await pauses.current(tx, now)
    if pause is not None:
        return paused(pause, now=now)
    day = await budgets.of_day(tx, now=now)
    return spent([day], now=now) if day is not None else None


async def of_actor(tx: Tx, actor_id: str, *, now: int) -> Hold | None:
    """Return what holds the actor's inputs."""
    pause = await pauses.current(tx, now)
    if pause is not None:
        return paused(pause, now=now)
    return spent(await budgets.of_actor(tx, actor_id, now=now), now=now)


def paused(pause: Pause, *, now: int) -> Hold:
    """Return the hold of a pause."""
    until = f" until {when(pause.resumes_at, now)}" if pause.resumes_at is not None else ""
    return Hold(
        reason=f"paused{until}: {pause.reason}", until=pause.resumes_at, remedy="netsky unpause"
    )


def spent(gauges: Iterable[Gauge], *, now: int) -> Hold | None:
    """Return the hold of the first budget that is used up: the day's, the actor's, its task's."""
    for gauge in gauges:
        if gauge.spent:
            until = next_midnight(now) if gauge.scope is BudgetScope.DAY else None
            return Hold(reason=gauge.reason, until=until, remedy=gauge.remedy)
    return None


def when(at: int, now: int) -> str:
    """Return a time as people say it: the hour, with the day when it is another one."""
    then, here = (datetime.fromtimestamp(ms / 1_000, UTC).astimezone() for ms in (at, now))
    return f"{then:%H:%M}" if then.date() == here.date() else f"{then:%a %d %b %H:%M}"


def waits_its_turn(due: int) -> Hold:
    """Return the hold of an actor that begins after others, when a pause is over."""
    return Hold(reason="the pause is over, and others begin first", until=due)


async def of_waiting(tx: Tx, *, now: int) -> Mapping[str, Hold]:
    """Return actor to hold, for the actors whose queued inputs are held."""
    waiting = await inputs.queues(tx)
    if not waiting:
        return {}
    everybody = await of_fleet(tx, now=now)
    if everybody is not None:
        return dict.fromkeys(waiting, everybody)
    if not any(gauge.spent for gauge in await budgets.every(tx, now=now)):
        return {}
    found = {each: spent(await budgets.of_actor(tx, each, now=now), now=now) for each in waiting}
    return {actor_id: hold for actor_id, hold in found.items() if hold is not None}
