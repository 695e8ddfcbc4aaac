"""A thread whose door cannot go on with it continues through another, or is taken over from."""

import asyncio

import pytest

from netsky_runtime.agents import dispatch, runner
from netsky_runtime.codex.base import (
    AnswerLost,
    NoSuchDoor,
    StillWriting,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.db import actors, approvals, inputs, messages, sessions, turns, views
from netsky_runtime.errors import Unhealthy
from netsky_runtime.states import (
    ActorStatus,
    ApprovalKind,
    ApprovalStatus,
    InputStatus,
    MessageKind,
    RuntimeName,
    SessionState,
    TurnStatus,
)
from tests.support.crew import crew, scripted
from tests.support.doors import DoorSession, app_server, mcp_server, resident, times_heard
from tests.support.patience import PATIENCE

GONE = ThreadGone("No rollout found.")


@pytest.fixture(autouse=True)
def _a_lost_thread_is_looked_for_at_once(monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))


class House:
    """The doors of one home; every thread has one writer among them."""

    def __init__(self, folder):
        writers = {}
        self.mcp = mcp_server(folder, writers=writers)
        self.app = app_server(folder, writers=writers)
        self.resident = resident(folder, writers=writers)

    def crew(self, folder, first=None):
        doors = [self.mcp, self.app, self.resident]
        first = first or self.mcp
        return crew(folder, runtime=first, others=[door for door in doors if door is not first])


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


async def session_of(fleet, actor_id="manager0"):
    return await fleet.database.read(lambda tx: sessions.current(tx, actor_id))


def moves(fleet):
    return [
        (level, fields["actor"], fields["from"], fields["to"], fields["thread"])
        for level, line, fields in fleet.lines
        if line == "thread goes on through another door"
    ]


async def warmed(fleet):
    await fleet.reply_to(await fleet.send("SAY[warm]"))
    return (await session_of(fleet)).thread_id


async def hired(fleet, actor_id):
    """Start the next worker as the owner does, and wait until it has worked."""
    started = await fleet.database.write(
        lambda tx: fleet.delegation.start_worker(tx, title="T", body="SAY[ready]")
    )
    assert started.wake == {actor_id}
    fleet.wake(actor_id)

    async def worked(tx):
        found = await turns.list_for_actor(tx, actor_id, limit=1)
        return found and found[0].status is TurnStatus.COMPLETED

    await fleet.until(worked)


async def test_a_conversation_outlives_its_mcp_server_on_the_app_server(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
        house.mcp.kill()
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
        row = await session_of(fleet)
        assert (row.runtime, row.thread_id) == (RuntimeName.APP_SERVER, thread_id)
        assert row.state is SessionState.LIVE
        assert moves(fleet) == [("warning", "manager0", "mcp_server", "app_server", thread_id)]
        assert len(await fleet.fleet.session_of("manager0").history()) == 2
        # It was started without tools of its own: they come from the server everywhere.
        assert "mcp_servers" in house.app.specs[-1].config
        assert house.app.specs[-1].tools == ()
    async with House(tmp_path).crew(tmp_path) as fleet:
        assert (await fleet.reply_to(await fleet.send("SAY[and here]"))).body == "and here"
        assert moves(fleet) == []


async def test_when_an_mcp_server_dies_its_whole_crew_moves_and_who_is_new_comes_to_the_next_one(
    tmp_path, house
):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        await hired(fleet, "worker1")
        house.mcp.kill()

        async def left(tx):
            crew = [await sessions.current(tx, actor_id) for actor_id in ("manager0", "worker1")]
            there = (RuntimeName.APP_SERVER, SessionState.LIVE)
            return all((row.runtime, row.state) == there for row in crew)

        await fleet.until(left)
        assert sorted(line[1] for line in moves(fleet)) == ["manager0", "worker1"]
        await hired(fleet, "worker2")
        posted = await fleet.send("SAY[new here]", to="worker2")
        assert (await fleet.reply_to(posted)).body == "new here"
        assert (await session_of(fleet, "worker2")).runtime is RuntimeName.MCP_SERVER
        # Rooms hear of it from the door, once: an error for each thread would be a flood.
        assert [line for line in fleet.lines if line[0] == "error"] == []
        [told] = fleet.told
        assert "and whoever else was there, goes on through app_server: mcp_server cannot" in told
        assert "it was killed" in told
        for actor_id in ("manager0", "worker1"):
            row = await session_of(fleet, actor_id)
            assert "came here from mcp_server, which could not go on: " in row.differences
            assert "it was killed" in row.differences


async def test_an_actor_without_a_thread_waits_for_the_next_mcp_server(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)
        house.mcp.kill()
        assert (await fleet.reply_to(await fleet.send("SAY[hello]"))).body == "hello"
        assert (await session_of(fleet)).runtime is RuntimeName.MCP_SERVER


async def test_what_a_sub_agent_asked_in_an_engine_that_was_left_is_lost(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        engine_id = (await session_of(fleet)).engine_id
        asked, _ = await fleet.database.write(
            lambda tx: approvals.store(
                tx,
                engine_id=engine_id,
                request_id="child",
                thread_id="thread-of-a-sub-agent",
                turn_id="t",
                item_id="i",
                actor_id="manager0",
                kind=ApprovalKind.COMMAND,
                now=1,
            )
        )
        house.mcp.kill()
        await fleet.reply_to(await fleet.send("SAY[still here]"))
        assert (await fleet.approval(asked)).status is ApprovalStatus.LOST


async def test_a_turn_that_died_with_its_mcp_server_is_recovered_through_another_door(
    tmp_path, house
):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        house.mcp.kill()
        again = await fleet.question(after=asked)
        assert (await fleet.approval(asked)).status is ApprovalStatus.LOST
        await fleet.decide(again)
        assert (await fleet.settled(cut)).status is InputStatus.ANSWERED
        assert times_heard(tmp_path, cut.input.id) == 1
        row = await fleet.input(cut)
        assert await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id])) == 1
        assert (await session_of(fleet)).runtime is RuntimeName.APP_SERVER


async def test_turns_that_another_door_tells_under_other_ids_do_not_run_for_ever(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        house.app.renames = True
        house.mcp.kill()
        again = await fleet.question(after=asked)
        running = await fleet.database.read(turns.running)
        assert [turn.id for turn in running] == [again.turn_id]
        house.app.renames = False
        await fleet.decide(again)
        assert (await fleet.settled(cut)).status is InputStatus.ANSWERED


async def test_what_was_handed_to_a_dying_mcp_server_and_not_consumed_is_sent_again(
    tmp_path, house, monkeypatch
):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        real = DoorSession.submit

        async def swallow(self, batch):
            monkeypatch.setattr(DoorSession, "submit", real)
            house.mcp.kill()

        monkeypatch.setattr(DoorSession, "submit", swallow)
        posted = await fleet.send("SAY[heard]")
        assert (await fleet.reply_to(posted)).body == "heard"
        assert times_heard(tmp_path, posted.input.id) == 1


async def test_a_thread_goes_on_in_a_resident_codex_when_there_is_no_app_server(tmp_path, house):
    house.app.shut = NoSuchDoor("This Codex has no app-server.")
    async with house.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
        house.mcp.kill()
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
        row = await session_of(fleet)
        assert (row.runtime, row.thread_id) == (RuntimeName.RESIDENT, thread_id)


async def test_a_thread_that_a_door_may_still_write_to_is_asked_for_at_no_other(
    tmp_path, house, monkeypatch
):
    house.app.shut = NoSuchDoor("This Codex has no app-server.")
    house.resident.refuses = StillWriting("A process of the pane does not end.")
    asked, enough = [], asyncio.Event()
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        for door in (house.mcp, house.resident):

            async def resume(*given, door=door, real=door.resume):
                asked.append(door.name)
                if asked.count(RuntimeName.RESIDENT) == 3:
                    enough.set()
                return await real(*given)

            monkeypatch.setattr(door, "resume", resume)
        house.mcp.kill()
        async with asyncio.timeout(PATIENCE):
            await enough.wait()
        house.resident.refuses = None
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
        assert set(asked[asked.index(RuntimeName.RESIDENT) :]) == {RuntimeName.RESIDENT}


async def test_a_door_that_a_new_codex_has_not_any_more_is_left_for_another(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
    later = House(tmp_path)
    later.mcp.shut = NoSuchDoor("This Codex has no MCP server.")
    async with later.crew(tmp_path) as fleet:
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
        assert (await session_of(fleet)).thread_id == thread_id


async def test_an_actor_without_a_thread_leaves_a_door_that_is_not_there(tmp_path, house):
    house.mcp.shut = NoSuchDoor("This Codex has no MCP server.")
    async with house.crew(tmp_path) as fleet:
        assert (await fleet.reply_to(await fleet.send("SAY[hello]"))).body == "hello"
        assert (await session_of(fleet)).runtime is RuntimeName.APP_SERVER


async def test_first_words_to_a_door_that_is_not_there_any_more_are_found_all_the_same(
    tmp_path, house, monkeypatch
):
    """Netsky ended before it had learned the thread's name, and then Codex was replaced."""
    reached = asyncio.Event()

    async def hang(*_args):
        reached.set()
        await asyncio.Event().wait()

    async with house.crew(tmp_path) as fleet:
        with monkeypatch.context() as held:
            held.setattr(dispatch, "learn_name", hang)
            posted = await fleet.send("SAY[hello]")
            async with asyncio.timeout(PATIENCE):
                await reached.wait()
            await fleet.fleet.close()
    later = House(tmp_path)
    later.mcp.shut = NoSuchDoor("This Codex has no MCP server.")
    async with later.crew(tmp_path) as fleet:
        assert (await fleet.reply_to(posted)).body == "hello"
        assert times_heard(tmp_path, posted.input.id) == 1
        assert (await session_of(fleet)).runtime is RuntimeName.APP_SERVER


async def test_first_words_that_an_mcp_server_took_before_it_died_are_not_sent_again(
    tmp_path, house, monkeypatch
):
    """It died before it could tell the thread's name, and knows none after its restart."""
    real = DoorSession.submit

    async def die(self, batch):
        monkeypatch.setattr(DoorSession, "submit", real)
        await self._inner.submit(batch)
        house.mcp.kill()
        raise AnswerLost("The MCP server has ended.", connected=False)

    async with house.crew(tmp_path) as fleet:
        monkeypatch.setattr(DoorSession, "submit", die)
        posted = await fleet.send("SLOW0.05 SAY[in the end]")
        row = await fleet.settled(posted)
        assert row.status is InputStatus.ANSWERED
        assert times_heard(tmp_path, posted.input.id) == 1
        assert await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id])) == 1
        session = await session_of(fleet)
        assert (session.runtime, session.previous_thread_id) == (RuntimeName.APP_SERVER, "")


async def test_a_netsky_that_ends_while_another_door_resumes_comes_back_to_that_door(
    tmp_path, house, monkeypatch
):
    """There may be a Codex on the thread already: only the door that has it may write."""
    reached, real = asyncio.Event(), house.app.resume

    async def hang(thread_id, spec):
        await real(thread_id, spec)
        reached.set()
        await asyncio.Event().wait()

    async with house.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
        monkeypatch.setattr(house.app, "resume", hang)
        house.mcp.kill()
        async with asyncio.timeout(PATIENCE):
            await reached.wait()
        await fleet.fleet.close()
        row = await session_of(fleet)
        assert (row.runtime, row.thread_id) == (RuntimeName.APP_SERVER, thread_id)
    async with House(tmp_path).crew(tmp_path) as fleet:
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
        assert (await session_of(fleet)).thread_id == thread_id


async def test_a_thread_that_another_door_has_and_that_cannot_be_recorded_is_let_go(
    tmp_path, house, monkeypatch
):
    real = sessions.set_state
    failed = asyncio.Event()

    async def fail(tx, session_id, state, **more):
        if state is SessionState.LIVE and not failed.is_set():
            failed.set()
            raise Unhealthy("The disk is full.")
        await real(tx, session_id, state, **more)

    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        monkeypatch.setattr(sessions, "set_state", fail)
        house.mcp.kill()
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
        assert failed.is_set()
        assert len(house.app._engine.sessions) == 1


async def test_a_thread_waits_while_it_is_not_sure_that_no_door_can_continue_it(tmp_path, house):
    house.app.refuses = ThreadUnavailable("The engine is starting.")

    async with house.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
        engine_id = (await session_of(fleet)).engine_id
        house.resident.shut = NoSuchDoor("There is no tmux.")
        house.mcp.kill()
        posted = await fleet.send("SAY[patient]")

        async def lost(tx):
            row = await sessions.current(tx, "manager0")
            return row if "The engine is starting." in row.end_reason else None

        row = await fleet.until(lost)
        assert (row.thread_id, row.runtime) == (thread_id, RuntimeName.MCP_SERVER)
        assert (row.state, row.engine_id) == (SessionState.LOST, engine_id)
        house.app.refuses = None
        assert (await fleet.reply_to(posted)).body == "patient"
        assert (await session_of(fleet)).thread_id == thread_id


@pytest.fixture
def nowhere(house):
    """Doors of which none can continue a thread of the MCP server."""
    house.app.refuses = GONE
    house.resident.shut = NoSuchDoor("There is no tmux.")
    return house


async def test_a_lost_conversation_begins_anew_and_knows_what_it_takes_over_from(tmp_path, nowhere):
    async with nowhere.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
        before = await session_of(fleet)
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        waiting = await fleet.send("SAY[patient]")
        nowhere.mcp.kill()
        again = await fleet.question(after=asked)
        running = await fleet.database.read(turns.running)
        assert [turn.thread_id for turn in running] == [again.thread_id]
        await fleet.decide(again)
        assert (await fleet.settled(cut)).status is InputStatus.ANSWERED
        assert (await fleet.reply_to(waiting)).body == "patient"
        row = await session_of(fleet)
        assert row.previous_thread_id == thread_id
        assert row.thread_id not in {"", thread_id}
        assert row.runtime is RuntimeName.APP_SERVER
        assert {row.tag, row.token}.isdisjoint({before.tag, before.token})
        ended = await fleet.database.read(lambda tx: sessions.require(tx, before.id))
        assert (ended.state, ended.thread_id) == (SessionState.ENDED, thread_id)
        assert "Session not found" in ended.end_reason
        assert thread_id in nowhere.app.specs[-1].instructions
        # Told first, once, and by name; nothing was sent twice.
        history = await fleet.fleet.session_of("manager0").history()
        heard = [i.text for turn in history for i in turn.items if i.type == "user_message"]
        assert thread_id in heard[0]
        assert "kind: recovery" in heard[0]
        assert len(heard) == 2
        for posted in (cut, waiting):
            assert times_heard(tmp_path, posted.input.id) == 1
        assert (await fleet.approval(asked)).status is ApprovalStatus.LOST


@pytest.mark.parametrize("handed", [True, False])
async def test_what_a_lost_thread_may_or_may_not_have_heard_is_told_and_answered_once(
    tmp_path, nowhere, monkeypatch, handed
):
    async def swallow(self, batch):
        monkeypatch.undo()
        monkeypatch.setattr(runner, "BACKOFF", (0.01,))
        nowhere.mcp.kill()
        if not handed:
            self._door.unreadable = "The rollout is gone."
            raise runner.HistoryUnavailable("The rollout is gone.")

    async with nowhere.crew(tmp_path) as fleet:
        await warmed(fleet)
        monkeypatch.setattr(DoorSession, "submit", swallow)
        posted = await fleet.send("SAY[in the end]")
        row = await fleet.settled(posted)
        assert row.status is InputStatus.ANSWERED
        assert times_heard(tmp_path, posted.input.id) == 0
        reply = await fleet.database.read(lambda tx: messages.require(tx, row.reply_id))
        assert reply.body == "in the end"
        assert await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id])) == 1


async def test_an_idle_actor_whose_conversation_was_lost_costs_no_turn(tmp_path, nowhere):
    async with nowhere.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
        nowhere.mcp.kill()

        async def anew(tx):
            return (await sessions.current(tx, "manager0")).previous_thread_id

        assert await fleet.until(anew) == thread_id
        found = await fleet.database.read(lambda tx: messages.recent(tx, limit=50))
        assert not [m for _, m in found if m.kind is MessageKind.RECOVERY]
        view = await fleet.database.read(lambda tx: views.actor_view(tx, "manager0"))
        assert view.turn is None
        assert (await fleet.reply_to(await fleet.send("SAY[fresh]"))).body == "fresh"


async def test_a_conversation_that_is_lost_again_and_again_is_left_to_the_owner(tmp_path, nowhere):
    nowhere.app.shut = NoSuchDoor("This Codex has no app-server.")
    async with nowhere.crew(tmp_path) as fleet:
        await warmed(fleet)
        posted = await fleet.send("DIE")
        row = await fleet.settled(posted)
        assert row.status is InputStatus.UNCERTAIN
        actor = await fleet.database.read(lambda tx: actors.require(tx, "manager0"))
        assert actor.status is ActorStatus.PARKED
        assert await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id])) == 3


@pytest.mark.parametrize("name", ["app", "resident"])
async def test_a_thread_that_its_own_door_and_no_other_can_find_is_parked(tmp_path, house, name):
    first = getattr(house, name)
    async with house.crew(tmp_path, first) as fleet:
        await warmed(fleet)
    later = House(tmp_path)
    later.app.refuses = later.resident.refuses = GONE
    async with later.crew(tmp_path, getattr(later, name)) as fleet:

        async def parked(tx):
            return (await actors.require(tx, "manager0")).status is ActorStatus.PARKED

        await fleet.until(parked)
        assert await session_of(fleet) is None


async def test_a_door_that_is_not_there_for_now_is_no_end_of_a_thread(tmp_path, house):
    async with house.crew(tmp_path, house.resident) as fleet:
        thread_id = await warmed(fleet)
    later = House(tmp_path)
    later.resident.shut = NoSuchDoor("There is no tmux.", hint="Install tmux.")
    later.app.refuses = GONE
    async with later.crew(tmp_path, later.resident) as fleet:

        async def lost(tx):
            row = await sessions.current(tx, "manager0")
            return row if row.state is SessionState.LOST else None

        row = await fleet.until(lost)
        assert (row.thread_id, row.end_reason) == (thread_id, "There is no tmux.")
        later.resident.shut = None
        assert (await fleet.reply_to(await fleet.send("SAY[back]"))).body == "back"


async def test_a_door_that_is_only_ill_is_waited_for(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        thread_id = await warmed(fleet)
    later = House(tmp_path)
    later.mcp.shut = Unhealthy("Codex does not answer.")
    async with later.crew(tmp_path) as fleet:

        async def lost(tx):
            return (await sessions.current(tx, "manager0")).state is SessionState.LOST

        await fleet.until(lost)
        assert moves(fleet) == []
        assert (await session_of(fleet)).thread_id == thread_id


async def test_questions_of_other_actors_stay_when_one_thread_leaves_their_engine(tmp_path, house):
    """Two actors on one app-server; the thread of one cannot be found there any more."""
    async with house.crew(tmp_path, house.app) as fleet:
        await warmed(fleet)
        await fleet.hire("ASK[make] SAY[made]")
        asked = await fleet.question()
        house.app.refuses = GONE
        thread = fleet.fleet.session_of("manager0")
        thread._inner.lost("its connection broke")

        async def elsewhere(tx):
            return (await sessions.current(tx, "manager0")).runtime is RuntimeName.RESIDENT

        await fleet.until(elsewhere)
        assert (await fleet.approval(asked)).status is ApprovalStatus.PENDING
        await fleet.decide(asked)

        async def over(tx):
            found = await turns.list_for_actor(tx, "worker1", limit=1)
            return found[0].status is TurnStatus.COMPLETED

        await fleet.until(over)


async def test_a_script_has_no_other_door(tmp_path, house):
    async with crew(tmp_path, runtime=scripted(tmp_path), others=[house.app]) as fleet:
        await warmed(fleet)
        await fleet.fleet.close()
        for file in (tmp_path / "scripted").glob("*.jsonl"):
            file.unlink()
        await fleet.kit.runtime(RuntimeName.SCRIPTED).close(keep_engine=False)
        await fleet.fleet.start()

        async def parked(tx):
            return (await actors.require(tx, "manager0")).status is ActorStatus.PARKED

        await fleet.until(parked)
        assert moves(fleet) == []


async def test_a_turn_whose_engine_was_ended_on_purpose_is_interrupted_and_no_crash(
    tmp_path, house
):
    async with house.crew(tmp_path, house.app) as fleet:
        thread_id = await warmed(fleet)
        posted = await fleet.send("HANG")

        async def seen(tx):
            row = await inputs.require(tx, posted.input.id)
            return row.status is InputStatus.SEEN and await turns.running(tx, "manager0")

        await fleet.until(seen)
        await fleet.database.write(lambda tx: turns.stop(tx, thread_id))
        house.app.kill()
        row = await fleet.settled(posted)
        assert row.status is InputStatus.INTERRUPTED
        assert await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id])) == 0
        assert (await fleet.reply_to(await fleet.send("SAY[on]"))).body == "on"
        last = await fleet.database.read(lambda tx: turns.list_for_actor(tx, "manager0", limit=9))
        [stopped] = [turn for turn in last if turn.status is TurnStatus.INTERRUPTED]
        assert stopped.error == turns.STOPPED
        assert stopped.completed_at is not None
