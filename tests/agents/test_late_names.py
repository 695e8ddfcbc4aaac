"""A thread that has no id before its first words: whenever netsky ends, nothing is sent twice."""

import asyncio

import pytest

from netsky_runtime.agents import dispatch, runner
from netsky_runtime.codex.base import AnswerLost, HistoryUnavailable
from netsky_runtime.codex.events import EventKind
from netsky_runtime.db import inputs, sessions
from netsky_runtime.states import InputStatus, SessionState, ToolsDoor
from tests.support.crew import crew
from tests.support.doors import DoorSession, resident, times_heard
from tests.support.patience import PATIENCE


@pytest.fixture(autouse=True)
def _a_lost_thread_is_looked_for_at_once(monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))


async def session_of(fleet, actor_id="manager0"):
    return await fleet.database.read(lambda tx: sessions.current(tx, actor_id))


async def ended_in_the_middle(folder, monkeypatch, where, name, *, first, body="SAY[hello]"):
    """Send a first message and end netsky when ``where.name`` has (or has not) done its work."""
    real = getattr(where, name)
    reached = asyncio.Event()

    async def hang(*args, **named):
        if first:
            await real(*args, **named)
        reached.set()
        await asyncio.Event().wait()

    async with crew(folder, runtime=resident(folder)) as fleet:
        with monkeypatch.context() as held:
            held.setattr(where, name, hang)
            posted = await fleet.send(body)
            async with asyncio.timeout(PATIENCE):
                await reached.wait()
            await fleet.fleet.close()
        return posted


async def test_a_thread_without_a_name_is_recorded_once_it_has_one(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        posted = await fleet.send("SAY[hello]")
        assert (await fleet.reply_to(posted)).body == "hello"
        row = await session_of(fleet)
        thread = fleet.fleet.session_of("manager0")
        assert row.thread_id == thread.thread_id != ""
        assert (row.state, row.tools_door) == (SessionState.LIVE, ToolsDoor.MCP)
        assert (await fleet.input(posted)).thread_id == row.thread_id
        assert (await fleet.reply_to(await fleet.send("SAY[more]"))).body == "more"
        assert fleet.fleet.session_of("manager0") is thread


@pytest.mark.parametrize(
    ("where", "name", "first", "heard"),
    [
        (DoorSession, "submit", False, 0),
        (DoorSession, "submit", True, 1),
        (dispatch, "learn_name", False, 1),
        (dispatch, "learn_name", True, 1),
        (dispatch.Dispatcher, "_hand", False, 1),
        (dispatch.Dispatcher, "_hand", True, 1),
    ],
)
async def test_first_words_are_sent_once_wherever_netsky_ended(
    tmp_path, monkeypatch, where, name, first, heard
):
    posted = await ended_in_the_middle(tmp_path, monkeypatch, where, name, first=first)
    assert times_heard(tmp_path, posted.input.id) == heard
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        assert (await fleet.reply_to(posted)).body == "hello"
        assert times_heard(tmp_path, posted.input.id) == 1
        row = await session_of(fleet)
        assert row.thread_id == fleet.fleet.session_of("manager0").thread_id


async def test_a_thread_that_was_found_by_its_mark_recovers_the_turn_that_was_cut(
    tmp_path, monkeypatch
):
    posted = await ended_in_the_middle(
        tmp_path, monkeypatch, DoorSession, "submit", first=True, body="ASK[make] SAY[made]"
    )
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        await fleet.decide(await fleet.question())
        assert (await fleet.settled(posted)).status is InputStatus.ANSWERED
        assert times_heard(tmp_path, posted.input.id) == 1
        assert (await session_of(fleet)).tools_door is ToolsDoor.MCP


async def cut_off(tmp_path, monkeypatch, door):
    """Return first words whose netsky ended, and who tried to find their thread in vain since."""
    posted = await ended_in_the_middle(tmp_path, monkeypatch, DoorSession, "submit", first=True)
    tried = []

    async def find(mark, *, since):
        tried.append((mark, since))
        raise HistoryUnavailable("Codex's rollouts cannot be searched.")

    monkeypatch.setattr(door, "find", find)
    return posted, tried


async def test_while_nobody_can_look_for_the_thread_nothing_is_sent_again(tmp_path, monkeypatch):
    door = resident(tmp_path)
    real = door.find
    posted, tried = await cut_off(tmp_path, monkeypatch, door)

    async def tried_twice(_tx):
        return len(tried) >= 2

    async with crew(tmp_path, runtime=door) as fleet:
        await fleet.until(tried_twice)
        assert (await fleet.input(posted)).attempts == 1
        row = await session_of(fleet)
        assert set(tried) == {(row.tag, row.started_at)}
        monkeypatch.setattr(door, "find", real)
        assert (await fleet.reply_to(posted)).body == "hello"
    assert times_heard(tmp_path, posted.input.id) == 1


async def test_when_nobody_can_look_for_the_thread_for_long_a_human_decides(tmp_path, monkeypatch):
    door = resident(tmp_path)
    posted, tried = await cut_off(tmp_path, monkeypatch, door)
    async with crew(tmp_path, runtime=door) as fleet:
        assert (await fleet.settled(posted)).status is InputStatus.UNCERTAIN
        assert len(tried) == runner.DOUBTS_AFTER
        assert (await fleet.reply_to(await fleet.send("SAY[more]"))).body == "more"
    assert times_heard(tmp_path, posted.input.id) == 1


async def test_nothing_is_looked_for_when_nothing_was_sent(tmp_path, monkeypatch):
    door = resident(tmp_path)
    asked = []

    async def find(mark, *, since):
        asked.append(mark)
        return ""

    monkeypatch.setattr(door, "find", find)
    async with crew(tmp_path, runtime=door) as fleet:
        await fleet.fleet.settled(seconds=5)
        assert (await fleet.reply_to(await fleet.send("SAY[hello]"))).body == "hello"
    assert asked == []


@pytest.mark.parametrize("how", ["lost", "lost-consumed"])
async def test_first_words_whose_answer_was_lost_are_looked_up_in_history(tmp_path, how):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        posted = await fleet.send(f"ERR[{how}] SAY[once]")
        assert (await fleet.reply_to(posted)).body == "once"
        assert times_heard(tmp_path, posted.input.id) == 1
        assert (await session_of(fleet)).thread_id


async def test_first_words_that_the_dead_engine_took_are_found_when_history_can_be_read(
    tmp_path, monkeypatch
):
    door = resident(tmp_path)
    real = DoorSession.submit

    async def die(self, batch):
        monkeypatch.setattr(DoorSession, "submit", real)
        await self._inner.submit(batch)
        door.kill()
        raise AnswerLost("The engine was killed.", connected=False)

    async with crew(tmp_path, runtime=door) as fleet:
        monkeypatch.setattr(DoorSession, "submit", die)
        posted = await fleet.send("SLOW0.05 SAY[in the end]")
        row = await fleet.settled(posted)
        assert row.status is InputStatus.ANSWERED
        assert await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id])) == 1
        assert times_heard(tmp_path, posted.input.id) == 1


async def test_a_thread_that_a_human_began_is_recorded_as_the_sessions(tmp_path):
    door = resident(tmp_path)
    door.blocked = "A dialog is open."
    async with crew(tmp_path, runtime=door) as fleet:
        await fleet.fleet.settled(seconds=5)
        posted = await fleet.send("SAY[later]")

        async def blocked(tx):
            return (await sessions.current(tx, "manager0")).blocked

        await fleet.until(blocked)
        thread = fleet.fleet.session_of("manager0")
        thread._named = True  # as when a human types the first words
        thread.tell(EventKind.WARNING, message="anything")

        async def named(tx):
            return (await sessions.current(tx, "manager0")).thread_id

        assert await fleet.until(named) == thread.thread_id
        door.blocked = ""
        thread.tell(EventKind.BLOCKED, reason="", screen="")
        assert (await fleet.reply_to(posted)).body == "later"
