"""Time that passes for a fleet that is watched: on a clock by hand, beside a real database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from netsky_runtime.agents.watchdog import LOOK_SECONDS

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from tests.support.crew import Crew
    from tests.support.fakes import ManualClock


async def stored(fleet: Crew) -> None:
    """Return when all that was on its way into the database is there: time waits for no disk."""
    await fleet.database.write(_nothing)


async def _nothing(_tx: Tx) -> None:
    return


async def passes(clock: ManualClock, seconds: float) -> None:
    """Let time go on, one look of the watchdog after the other, each to its end."""
    while seconds > 0:
        await clock.advance(min(LOOK_SECONDS, seconds))
        seconds -= LOOK_SECONDS
        looks = [task for task in asyncio.all_tasks() if task.get_name().startswith("watchdog of")]
        if looks:
            await asyncio.wait(looks, timeout=5)
