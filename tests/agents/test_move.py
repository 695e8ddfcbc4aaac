"""Taking an actor to another door: one writer at every moment, nothing repeated, nothing lost."""

import asyncio

import pytest

from netsky_runtime.agents import move, runner
from netsky_runtime.agents.dispatch import Dispatcher
from netsky_runtime.agents.listener import Listener
from netsky_runtime.codex.base import StillWriting, ThreadUnavailable, TurnRunning, Unsupported
from netsky_runtime.codex.events import EventKind
from netsky_runtime.control import vocabulary
from netsky_runtime.db import events, sessions
from netsky_runtime.errors import Conflict, DeadlineExceeded, NotFound, Refused, Unhealthy
from netsky_runtime.states import InputMode, InputStatus, RuntimeName, SessionState, ToolsDoor
from tests.support.crew import crew, scripted
from tests.support.doors import DoorSession, app_server, mcp_server, resident, times_heard
from tests.support.fakes import settle
from tests.support.patience import PATIENCE

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT


class House:
    """The doors of one home; every thread has one writer among them."""

    def __init__(self, folder):
        writers = {}
        self.doors = {
            APP: app_server(folder, writers=writers),
            MCP: mcp_server(folder, writers=writers),
            RESIDENT: resident(folder, writers=writers),
        }

    def crew(self, folder, first=APP):
        others = [door for name, door in self.doors.items() if name is not first]
        return crew(folder, runtime=self.doors[first], others=others)


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


async def session_of(fleet, actor_id="manager0"):
    return await fleet.database.read(lambda tx: sessions.current(tx, actor_id))


async def warmed(fleet):
    posted = await fleet.send("SAY[warm]")
    await fleet.reply_to(posted)
    return posted


def losses(fleet):
    return [line for _, line, _ in fleet.lines if line in {"thread lost", "actor parked"}]


@pytest.mark.parametrize(
    ("first", "to"), [(APP, RESIDENT), (RESIDENT, APP), (MCP, APP), (MCP, RESIDENT)]
)
async def test_a_thread_goes_on_behind_another_door_and_nothing_is_repeated(
    tmp_path, house, first, to
):
    async with house.crew(tmp_path, first) as fleet:
        posted = await warmed(fleet)
        thread_id = (await session_of(fleet)).thread_id
        moved = await fleet.fleet.move("manager0", to, interrupt=False)
        assert (moved.runtime, moved.thread_id, moved.state) == (to, thread_id, SessionState.LIVE)
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        assert fleet.fleet.session_of("manager0").thread_id == thread_id
        assert len(await fleet.fleet.session_of("manager0").history()) == 2
        assert times_heard(tmp_path, posted.input.id) == 1
        assert losses(fleet) == []
        assert house.doors[first]._writers == {thread_id: to.value}
    async with House(tmp_path).crew(tmp_path, first) as fleet:
        assert (await fleet.reply_to(await fleet.send("SAY[still]"))).body == "still"
        assert (await session_of(fleet)).runtime is to


async def test_a_thread_goes_there_and_back_with_the_tools_it_was_started_with(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        for n, to in enumerate((RESIDENT, APP, RESIDENT, APP)):
            await fleet.fleet.move("manager0", to, interrupt=False)
            posted = await fleet.send(f"SAY[{n}]")
            assert (await fleet.reply_to(posted)).body == str(n)
            assert times_heard(tmp_path, posted.input.id) == 1
        there, back = house.doors[RESIDENT].specs[-1], house.doors[APP].specs[-1]
        assert ("mcp_servers" in there.config, bool(there.tools)) == (True, False)
        assert ("mcp_servers" in back.config, bool(back.tools)) == (False, True)
        assert (await session_of(fleet)).tools_door is ToolsDoor.DYNAMIC
        assert len(await fleet.fleet.session_of("manager0").history()) == 5


async def test_an_actor_that_waits_for_its_turns_end_is_not_moved_unless_it_may_be_interrupted(
    tmp_path, house
):
    async with house.crew(tmp_path) as fleet:
        running = await fleet.send("HANG")
        await fleet.reached(running, InputStatus.SEEN)
        with pytest.raises(Conflict, match="in the middle of a turn") as refused:
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert "--interrupt" in refused.value.hint
        waiting = await fleet.send("SAY[patient]")
        moved = await fleet.fleet.move("manager0", RESIDENT, interrupt=True)
        assert moved.runtime is RESIDENT
        assert (await fleet.settled(running)).status is InputStatus.INTERRUPTED
        assert (await fleet.reply_to(waiting)).body == "patient"
        assert times_heard(tmp_path, waiting.input.id) == 1


async def _before_an_open_door(house, fleet, group, monkeypatch):
    """Begin a move that will be refused, and hold the door it opens until the event is set."""
    door, opening, go_on = house.doors[RESIDENT], asyncio.Event(), asyncio.Event()
    real = door.open

    async def slow():
        opening.set()
        await go_on.wait()
        await real()

    with monkeypatch.context() as held:
        held.setattr(door, "open", slow)
        moving = group.create_task(_refused(fleet))
        await opening.wait()
    return moving, go_on


async def test_a_turn_that_begins_while_the_other_door_opens_is_not_interrupted_unasked(
    tmp_path, house, monkeypatch
):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            moving, go_on = await _before_an_open_door(house, fleet, group, monkeypatch)
            running = await fleet.send("ASK[make] SAY[made]")
            question = await fleet.question()
            go_on.set()
            assert "in the middle of a turn" in (await moving).message
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "made"
        assert (await session_of(fleet)).runtime is APP


async def test_a_move_is_not_refused_for_a_turn_whose_answer_is_there(tmp_path, house, monkeypatch):
    noting, asked, go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
    real, current = Listener._unseen, move._current

    async def slow(self):
        noting.set()
        await go_on.wait()
        return await real(self)

    async def told(seat):
        row = await current(seat)
        asked.set()
        return row

    async with house.crew(tmp_path) as fleet:
        monkeypatch.setattr(Listener, "_unseen", slow)
        monkeypatch.setattr(move, "_current", told)
        await warmed(fleet)
        await noting.wait()
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            moving = group.create_task(fleet.fleet.move("manager0", RESIDENT, interrupt=False))
            await asked.wait()
            await settle()
            go_on.set()
        assert (await moving).runtime is RESIDENT


async def test_words_that_come_while_a_thread_is_moved_wait_for_it(tmp_path, house, monkeypatch):
    released, go_on = asyncio.Event(), asyncio.Event()
    real = DoorSession.release

    async def slow(self):
        await real(self)
        released.set()
        await go_on.wait()

    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        monkeypatch.setattr(DoorSession, "release", slow)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            moving = group.create_task(fleet.fleet.move("manager0", RESIDENT, interrupt=False))
            await released.wait()
            posted = await fleet.send("SAY[there]")
            again = group.create_task(_refused(fleet))
            assert "being moved already" in (await again).message
            assert (await fleet.input(posted)).attempts == 0
            go_on.set()
            await moving
        assert (await fleet.reply_to(posted)).body == "there"


async def test_the_second_of_two_who_want_the_same_is_told_that_it_is_done(
    tmp_path, house, monkeypatch
):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            late, go_on = await _before_an_open_door(house, fleet, group, monkeypatch)
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
            go_on.set()
            assert "to resident: it is there already" in (await late).message
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"


async def test_what_the_left_door_still_says_is_kept_and_changes_nothing_at_the_new_one(
    tmp_path, house, monkeypatch
):
    async def linger(self):
        self._inner._let_go()
        self._door.left(self)

    async def told(tx):
        found = await events.recent(tx, "manager0", limit=99)
        return any(fact.turn_id == "ghost" for fact in found)

    monkeypatch.setattr(runner, "LAST_WORDS_SECONDS", 5.0)
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        left = fleet.fleet.session_of("manager0")
        monkeypatch.setattr(DoorSession, "release", linger)
        await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        left.tell(EventKind.BLOCKED, reason="A dialog.", screen="Yes?")
        left.tell(EventKind.MODEL, model="gpt-other")
        left.tell(EventKind.TURN_STARTED, turn_id="ghost")
        await fleet.until(told)
        await left.close()
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        assert not [line for _, line, _ in fleet.lines if "blocked" in line or "model" in line]
        assert "gpt-other" not in (await session_of(fleet)).differences


async def test_history_is_read_at_the_new_door_before_anything_is_sent(
    tmp_path, house, monkeypatch
):
    read = []
    real = DoorSession.history

    async def history(self):
        read.append(self._door.name)
        return await real(self)

    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        monkeypatch.setattr(DoorSession, "history", history)
        await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        assert read == [RESIDENT]


async def test_nothing_is_steered_into_a_turn_that_ends_for_a_move(tmp_path, house, monkeypatch):
    asked, go_on, looked = asyncio.Event(), asyncio.Event(), asyncio.Event()
    dispatch = Dispatcher.dispatch

    async def look(self):
        again = await dispatch(self)
        looked.set()
        return again

    async def slow(self, turn_id):
        asked.set()
        await go_on.wait()
        await self._inner.interrupt(turn_id)

    async with house.crew(tmp_path) as fleet:
        running = await fleet.send("HANG")
        await fleet.reached(running, InputStatus.SEEN)
        monkeypatch.setattr(DoorSession, "interrupt", slow, raising=False)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            moving = group.create_task(fleet.fleet.move("manager0", RESIDENT, interrupt=True))
            await asked.wait()
            monkeypatch.setattr(Dispatcher, "dispatch", look)
            steered = await fleet.send("SAY[there]", mode=InputMode.STEER)
            for _ in range(2):  # the first may have begun before the message was there
                looked.clear()
                fleet.wake("manager0")
                await looked.wait()
            go_on.set()
            await moving
        assert (await fleet.reply_to(steered)).body == "there"
        assert (await fleet.input(steered)).attempts == 1
        assert (await fleet.settled(running)).status is InputStatus.INTERRUPTED


async def test_a_thread_that_is_lost_before_it_was_moved_is_not_moved(tmp_path, house, monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))

    async def die(self, turn_id):
        house.doors[APP].shut = Unhealthy("Codex does not answer.")
        house.doors[APP].kill()

    async with house.crew(tmp_path) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        with monkeypatch.context() as held:
            held.setattr(DoorSession, "interrupt", die, raising=False)
            with pytest.raises(Conflict, match="was not moved"):
                await fleet.fleet.move("manager0", RESIDENT, interrupt=True)
        house.doors[APP].shut = None
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.settled(running)).status is InputStatus.ANSWERED
        assert (await session_of(fleet)).runtime is APP


async def _refused(fleet):
    with pytest.raises(Conflict) as refused:
        await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
    return refused.value


async def test_a_thread_whose_new_door_fails_is_back_at_the_old_one(tmp_path, house):
    house.doors[RESIDENT].refuses = ThreadUnavailable("The pane did not start.")
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        with pytest.raises(ThreadUnavailable, match="The pane did not start"):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        row = await session_of(fleet)
        assert (row.runtime, row.state) == (APP, SessionState.LIVE)
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"
        assert losses(fleet) == []


async def test_a_thread_whose_new_door_may_still_write_stays_with_that(tmp_path, house):
    house.doors[RESIDENT].refuses = StillWriting("A process of the pane does not end.")
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        with pytest.raises(StillWriting):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert (await session_of(fleet)).runtime is RESIDENT
        assert house.doors[APP]._writers == {}
        house.doors[RESIDENT].refuses = None
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        assert (await session_of(fleet)).runtime is RESIDENT


async def test_a_thread_whose_move_cannot_be_recorded_has_one_writer_all_the_same(
    tmp_path, house, monkeypatch
):
    real, failed = sessions.set_state, []

    async def fail(tx, session_id, state, **more):
        if state is SessionState.LIVE and not failed:
            failed.append(session_id)
            raise Unhealthy("The disk is full.")
        await real(tx, session_id, state, **more)

    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        monkeypatch.setattr(sessions, "set_state", fail)
        with pytest.raises(Unhealthy, match="disk is full"):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        row = await session_of(fleet)
        assert (row.runtime, row.state) == (RESIDENT, SessionState.LIVE)
        assert len(house.doors[RESIDENT]._engine.sessions) == 1
        assert len(house.doors[APP]._engine.sessions) == 0


async def test_a_thread_that_no_door_takes_back_is_looked_for_at_the_old_one(
    tmp_path, house, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    house.doors[RESIDENT].refuses = ThreadUnavailable("The pane did not start.")
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        house.doors[APP].refuses = ThreadUnavailable("The engine is draining.")
        with pytest.raises(ThreadUnavailable, match="The engine is draining"):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        house.doors[APP].refuses = None
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"
        assert (await session_of(fleet)).runtime is APP


async def test_a_thread_that_its_mcp_server_let_go_of_goes_on_wherever_it_can(
    tmp_path, house, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    house.doors[RESIDENT].refuses = ThreadUnavailable("The pane did not start.")
    async with house.crew(tmp_path, MCP) as fleet:
        await warmed(fleet)
        thread_id = (await session_of(fleet)).thread_id
        with pytest.raises(ThreadUnavailable, match="The pane did not start"):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"
        row = await session_of(fleet)
        assert (row.runtime, row.thread_id) == (APP, thread_id)


@pytest.mark.parametrize(
    ("error", "raised"),
    [(TurnRunning("A human's turn runs."), Conflict), (ThreadUnavailable("?"), ThreadUnavailable)],
)
async def test_a_thread_that_its_door_does_not_let_go_stays_where_it_is(
    tmp_path, house, monkeypatch, error, raised
):
    async def hold(_self):
        raise error

    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        thread = fleet.fleet.session_of("manager0")
        monkeypatch.setattr(DoorSession, "release", hold)
        with pytest.raises(raised):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert fleet.fleet.session_of("manager0") is thread
        assert (await session_of(fleet)).runtime is APP
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"


async def test_a_door_that_does_not_open_changes_nothing(tmp_path, house):
    house.doors[RESIDENT].shut = Unhealthy("There is no tmux.", hint="Install tmux.")
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        thread = fleet.fleet.session_of("manager0")
        with pytest.raises(Unhealthy, match="no tmux"):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert fleet.fleet.session_of("manager0") is thread


async def test_a_thread_cannot_go_to_the_mcp_server_nor_where_it_is_nor_to_a_script(
    tmp_path, house
):
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        with pytest.raises(Unsupported, match="only threads that it has started"):
            await fleet.fleet.move("manager0", MCP, interrupt=False)
        with pytest.raises(Conflict, match="to app_server: it is there already"):
            await fleet.fleet.move("manager0", APP, interrupt=False)
        with pytest.raises(Refused, match="no thread of Codex"):
            await fleet.fleet.move("manager0", RuntimeName.SCRIPTED, interrupt=False)
        with pytest.raises(NotFound):
            await fleet.fleet.move("worker9", RESIDENT, interrupt=False)
        with pytest.raises(Conflict):
            await fleet.fleet.move("owner", RESIDENT, interrupt=False)


async def test_a_scripts_thread_cannot_go_to_a_door_of_codex(tmp_path, house):
    others = list(house.doors.values())
    async with crew(tmp_path, runtime=scripted(tmp_path), others=others) as fleet:
        await warmed(fleet)
        with pytest.raises(Refused):
            await fleet.fleet.move("manager0", APP, interrupt=False)


@pytest.mark.parametrize("to", [MCP, RESIDENT])
async def test_an_actor_without_a_thread_starts_it_behind_the_other_door(tmp_path, house, to):
    async with house.crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)
        moved = await fleet.fleet.move("manager0", to, interrupt=False)
        assert (moved.runtime, moved.thread_id) == (to, "")
        assert (await fleet.reply_to(await fleet.send("SAY[hello]"))).body == "hello"
        row = await session_of(fleet)
        assert (row.runtime, row.tools_door) == (to, ToolsDoor.MCP)


async def test_an_actor_whose_first_words_may_have_been_sent_is_not_moved(
    tmp_path, house, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    reached = asyncio.Event()

    async def hang(self, batch):
        reached.set()
        await asyncio.Event().wait()

    async def unfound(_mark, **_since):
        raise ThreadUnavailable("The folder of sessions cannot be read.")

    async with house.crew(tmp_path, RESIDENT) as fleet:
        with monkeypatch.context() as held:
            held.setattr(DoorSession, "submit", hang)
            posted = await fleet.send("SAY[hello]")
            async with asyncio.timeout(PATIENCE):
                await reached.wait()
            await fleet.fleet.close()
        with monkeypatch.context() as held:
            held.setattr(house.doors[RESIDENT], "find", unfound)
            await fleet.fleet.start()

            async def lost(tx):
                return (await sessions.current(tx, "manager0")).state is SessionState.LOST

            await fleet.until(lost)
            with pytest.raises(Conflict, match="not found yet"):
                await fleet.fleet.move("manager0", APP, interrupt=False)
        assert (await fleet.reply_to(posted)).body == "hello"


async def test_a_thread_that_is_not_attached_is_not_moved(tmp_path, house, monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        house.doors[APP].shut = Unhealthy("Codex does not answer.")
        house.doors[APP].kill()

        async def lost(tx):
            row = await sessions.current(tx, "manager0")
            return row.end_reason == "Codex does not answer."

        await fleet.until(lost)
        with pytest.raises(Conflict, match=r"not attached.*Codex does not answer"):
            await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert (await session_of(fleet)).runtime is APP


@pytest.mark.parametrize("after", ["release", "row", "resume"])
async def test_a_netsky_that_ends_in_the_middle_comes_back_on_the_door_that_its_row_names(
    tmp_path, house, monkeypatch, after
):
    reached = asyncio.Event()
    where, name, named = {
        "release": (move, "_send_to", APP),
        "row": (house.doors[RESIDENT], "resume", RESIDENT),
        "resume": (move, "attached", RESIDENT),
    }[after]

    async def hang(*_args):
        reached.set()
        await asyncio.Event().wait()

    async with house.crew(tmp_path) as fleet:
        posted = await warmed(fleet)
        with monkeypatch.context() as held:
            held.setattr(where, name, hang)
            async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
                moving = group.create_task(_stopped(fleet))
                await reached.wait()
                await fleet.fleet.close()
                await moving
        assert (await session_of(fleet)).runtime is named
    async with House(tmp_path).crew(tmp_path) as fleet:
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"
        assert (await session_of(fleet)).runtime is named
        assert times_heard(tmp_path, posted.input.id) == 1


async def _stopped(fleet):
    with pytest.raises(Conflict, match="was stopped while it was moved"):
        await fleet.fleet.move("manager0", RESIDENT, interrupt=False)


async def test_a_turn_that_does_not_end_in_time_leaves_its_thread_where_it_is(
    tmp_path, house, monkeypatch
):
    async def deaf(self, turn_id):
        """Take the order and do nothing."""

    monkeypatch.setattr(move, "REST_SECONDS", 0.01)
    async with house.crew(tmp_path) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        with monkeypatch.context() as held:
            held.setattr(DoorSession, "interrupt", deaf, raising=False)
            with pytest.raises(Conflict, match="did not come to rest"):
                await fleet.fleet.move("manager0", RESIDENT, interrupt=True)
        waiting = await fleet.send("SAY[next]")
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "made"
        assert (await fleet.reply_to(waiting)).body == "next"
        assert (await session_of(fleet)).runtime is APP


async def test_who_waits_for_a_door_that_takes_too_long_is_told_so_and_the_move_goes_on(
    tmp_path, house, monkeypatch
):
    door, go_on = house.doors[RESIDENT], asyncio.Event()
    real = door.resume

    async def slow(thread_id, spec):
        await go_on.wait()
        return await real(thread_id, spec)

    # The verb answers before its clients have given it up.
    assert move.REST_SECONDS + move.CARRY_SECONDS < vocabulary.MOVE_SECONDS
    monkeypatch.setattr(move, "CARRY_SECONDS", 0.01)
    monkeypatch.setattr(door, "resume", slow)
    async with house.crew(tmp_path) as fleet:
        await warmed(fleet)
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(DeadlineExceeded, match="still on its way to resident") as late:
                await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        assert "netsky actors show manager0" in late.value.hint
        go_on.set()
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        row = await session_of(fleet)
        assert (row.runtime, row.state) == (RESIDENT, SessionState.LIVE)


async def test_a_stopped_actor_is_not_moved(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        await fleet.hire("SAY[one]")
        await fleet.fleet.stop_actor("worker1")
        with pytest.raises(Conflict, match="stopped"):
            await fleet.fleet.move("worker1", RESIDENT, interrupt=False)


async def test_questions_of_other_actors_stay_when_a_thread_leaves_their_engine(tmp_path, house):
    async with house.crew(tmp_path) as fleet:
        await fleet.hire("ASK[make] SAY[made]")
        asked = await fleet.question()
        await fleet.fleet.move("manager0", RESIDENT, interrupt=False)
        await fleet.decide(asked)

        async def heard(tx):
            return (await sessions.current(tx, "manager0")).runtime is RESIDENT

        assert await fleet.until(heard)
