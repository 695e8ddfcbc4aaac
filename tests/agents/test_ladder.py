"""What is done about a turn that hangs: rung by rung, each on its evidence, written down."""

import asyncio

import pytest

from netsky_runtime import health
from netsky_runtime.agents.pulses import Pulse
from netsky_runtime.agents.rungs import ORDER, Climb, Patience, due
from netsky_runtime.db import actors, rungs, turns, views
from netsky_runtime.states import (
    ActorStatus,
    HealthState,
    InputStatus,
    RungName,
    RungOutcome,
    TurnStatus,
)
from tests.support.crew import crew
from tests.support.fakes import ManualClock


async def climbed(fleet, actor_id="manager0"):
    found = await fleet.database.read(lambda tx: rungs.last_of(tx, actor_id, limit=20))
    return [(rung.rung, rung.outcome) for rung in reversed(found)]


async def until_climbed(fleet, rung, outcome):
    async def look(tx):
        found = await rungs.last_of(tx, "manager0", limit=1)
        return bool(found) and (found[0].rung, found[0].outcome) == (rung, outcome)

    await fleet.until(look)


async def health_of(fleet, actor_id="manager0"):
    return health.of(await fleet.database.read(lambda tx: views.actor_view(tx, actor_id)))


async def hanging(fleet, clock, order="HANG"):
    """Send what makes a turn hang, let the watchdog look, and return the message."""
    posted = await fleet.send(order)
    await fleet.reached(posted, InputStatus.SEEN)
    fleet.watch()
    await clock.until_sleeping()
    return posted


async def test_a_turn_that_hangs_is_reconciled_then_interrupted_and_the_actor_answers_again(
    tmp_path,
):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await hanging(fleet, clock)
        await clock.advance(299)
        assert await climbed(fleet) == []
        await clock.advance(6)
        await until_climbed(fleet, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        how = await health_of(fleet)
        assert (how.state, how.reason) == (HealthState.UNHEALTHY, health.SILENT)
        await clock.advance(306)
        row = await fleet.settled(posted)
        assert row.status is InputStatus.FAILED
        assert "netsky interrupted it: no sign of life of its turn for 10 min" in row.reason
        await clock.advance(10)
        await until_climbed(fleet, RungName.INTERRUPT, RungOutcome.HELPED)
        assert (await fleet.reply_to(await fleet.send("SAY[back]"))).body == "back"
        assert await climbed(fleet) == [
            (RungName.RECONCILE, RungOutcome.NO_CHANGE),
            (RungName.INTERRUPT, RungOutcome.HELPED),
        ]
