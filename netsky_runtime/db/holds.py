"""Why what waits for an actor is not sent: the fleet is paused, or a budget is used up.

One function of what is stored, for the gate before dispatch, the command line and the room alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from netsky_runtime.budgets import Gauge, Hold, next_midnight
from netsky_runtime.db import budgets, inputs, pauses, rows
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from netsky_runtime.budgets import Pause
    from netsky_runtime.db.rows import Tx


_PARKED = "SELECT id, park_reason FROM actors INDEXED BY actors_parked WHERE status = 'parked'"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What is held at one moment, and by what."""

    fleet: Hold | None
    """What holds everybody."""
    gauges: tuple[Gauge, ...]
    """All budgets, used up or not."""
    waiting: Mapping[str, Hold]
    """Actor to hold, for the actors whose queued inputs are held."""


async def look(tx: Tx, *, now: int) -> Held:
    """Return everything at once: what is used is added up a single time."""
    gauges = await budgets.every(tx, now=now)
    pause = await pauses.current(tx, now)
    if pause is not None:
        fleet: Hold | None = paused(pause, now=now)
    else:
        fleet = spent([each for each in gauges if each.scope is BudgetScope.DAY], now=now)
    waiting = await inputs.queues(tx)
    if fleet is not None:
        held = dict.fromkeys(waiting, fleet)
    elif waiting and any(gauge.spent for gauge in gauges):
        found = {each: spent(await budgets.of_subject(tx, each), now=now) for each in waiting}
        held = {actor_id: hold for actor_id, hold in found.items() if hold is not None}
    else:
        held = {}
    return Held(fleet=fleet, gauges=gauges, waiting=held)


async def reasons(tx: Tx, *, now: int) -> Mapping[str, str]:
    """Return actor to why its queued inputs are not sent, where that is not its other work."""
    held = (await look(tx, now=now)).waiting
    parked = await rows.many(tx, _PARKED)
    return {row["id"]: f"parked: {row['park_reason']}" for row in parked} | {
        actor_id: hold.reason for actor_id, hold in held.items()
    }
