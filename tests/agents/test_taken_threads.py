"""One thread, one actor: a door that names another's thread is believed in nothing."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from netsky_runtime.agents.listener import Listener
from netsky_runtime.agents.naming import learn_name, look_for_name
from netsky_runtime.agents.seat import Seat
from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import actors, inputs, posting, rows, sessions
from netsky_runtime.states import InputStatus, SessionState
from tests.db.making import actor, draft, session
from tests.support.crew import crew
from tests.support.doors import resident

TAKEN = "th-9"
REASON = f"manager0 was given a thread that is not its own. The thread {TAKEN} is worker9's."
SPOKEN = {"type": "user_message", "text": "touch same1"}


class Mistaken:
    """A session whose door takes worker9's thread for its own."""

    thread_id = TAKEN
    engine_id = "e-1"
    active_turn = ""

    async def events(self):
        yield CodexEvent(EventKind.TURN_STARTED, TAKEN, 1, "tu-1", data={"started_at": 1})
        yield CodexEvent(EventKind.ITEM_COMPLETED, TAKEN, 1, "tu-1", "it-1", SPOKEN)


@asynccontextmanager
async def beside_worker9(folder):
    """Give a crew, manager0's seat, to which nobody else goes."""
    async with crew(folder, runtime=resident(folder)) as fleet:
        await fleet.fleet.settled(seconds=5)
        await fleet.fleet.close()

        async def body(tx):
            await actors.insert(tx, actor("worker9"))
            await sessions.insert(
                tx, session("s-9", "worker9", thread_id=TAKEN, state=SessionState.LIVE)
            )

        await fleet.database.write(body)
        seat = Seat("manager0", kit=fleet.kit)
        seat.row = await row_of(fleet)
        yield fleet, seat


async def row_of(fleet):
    return await fleet.database.read(lambda tx: sessions.current(tx, "manager0"))


async def test_a_thread_of_another_actor_is_refused_and_its_name_blocks(tmp_path):
    async with beside_worker9(tmp_path) as (fleet, seat):
        with pytest.raises(ThreadUnavailable, match="not its own"):
            await learn_name(seat, Mistaken())
        row = await row_of(fleet)
        assert (row.thread_id, row.blocked) == ("", REASON)
        assert seat.row == row


async def test_nothing_that_happens_in_another_actors_thread_is_kept(tmp_path):
    async with beside_worker9(tmp_path) as (fleet, seat):
        seat.thread = Mistaken()
        listener = Listener(seat, seat.thread, supervisor=fleet.supervisor)
        assert await listener.run() == REASON
        await fleet.facts.flush()

        async def kept(tx):
            return await rows.many(tx, "SELECT kind FROM events UNION ALL SELECT id FROM turns")

        assert await fleet.database.read(kept) == []


async def test_what_was_sent_stays_when_the_mark_leads_to_another_actors_thread(tmp_path):
    async with beside_worker9(tmp_path) as (fleet, seat):

        async def sent(tx):
            posted = await posting.post(tx, draft(), ids=fleet.ids, now=1)
            text = {posted.input.id: "SAY[hello]"}
            await inputs.attempt(tx, text, batch_id="b-1", thread_id="")
            return posted

        posted = await fleet.database.write(sent)

        async def find(mark, *, since):
            return TAKEN

        with pytest.raises(ThreadUnavailable, match="not its own"):
            await look_for_name(
                seat, seat.row, SimpleNamespace(find=find, capabilities=seat.capabilities)
            )
        item = await fleet.input(posted)
        assert (item.status, item.thread_id, item.batch_id) == (InputStatus.QUEUED, "", "b-1")
