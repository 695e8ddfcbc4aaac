"""What listener and dispatcher note of a session at the same moment: both stays."""

import asyncio
from types import SimpleNamespace

import pytest

from netsky_runtime.agents.blocking import set_blocked
from netsky_runtime.agents.naming import learn_name
from netsky_runtime.agents.seat import Seat
from netsky_runtime.db import sessions
from tests.support.crew import crew
from tests.support.doors import resident


@pytest.mark.parametrize("name_first", [True, False])
async def test_a_name_and_a_block_that_are_learned_at_once_are_both_kept(tmp_path, name_first):
    thread = SimpleNamespace(thread_id="th-1", engine_id="e-1")
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        await fleet.fleet.settled(seconds=5)
        await fleet.fleet.close()  # nobody else has its row

        async def current(tx):
            return await sessions.current(tx, "manager0")

        seat = Seat("manager0", kit=fleet.kit)
        seat.row = await fleet.database.read(current)
        steps = [learn_name(seat, thread), set_blocked(seat, "A dialog is open.")]
        await asyncio.gather(*(steps if name_first else reversed(steps)))
        assert seat.row == await fleet.database.read(current)
        assert (seat.row.thread_id, seat.row.blocked) == ("th-1", "A dialog is open.")
        await set_blocked(seat, "")
        assert (await fleet.database.read(current)).blocked == ""


async def test_a_place_without_a_session_says_so(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        with pytest.raises(RuntimeError, match="worker9 has no session"):
            Seat("worker9", kit=fleet.kit).changed(blocked="x")
