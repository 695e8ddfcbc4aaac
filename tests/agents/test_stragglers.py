"""Turns that run on though their actor was stopped: ended at once, or at the next start."""

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime.agents import interrupts, runner, stragglers
from netsky_runtime.agents.stopping import Stopping
from netsky_runtime.codex.base import (
    AnswerLost,
    Decision,
    HistoryUnavailable,
    NoSuchDoor,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, approvals, attention, inputs, messages, sessions, turns
from netsky_runtime.errors import Conflict
from netsky_runtime.states import (
    ActorStatus,
    ApprovalStatus,
    DecisionWord,
    InputStatus,
    MessageKind,
    TurnStatus,
)
from tests.agents.test_stopping import as_stored, named
from tests.support.crew import crew, scripted
from tests.support.doors import app_server, mcp_server, resident
from tests.support.fakes import settle
from tests.support.patience import PATIENCE

ENDED = ("warning", "a turn of a stopped actor was ended")
RUNS_ON = ("error", "a turn of a stopped actor may run on")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 0)
    monkeypatch.setattr(stragglers, "RETRY_SECONDS", (0.01,))


async def nobody_answers(*_args):
    msg = "The engine does not answer."
    raise ThreadUnavailable(msg)


async def begin(fleet, body="HANG"):
    """Give worker1 a task, and wait until its turn runs; return the task's input."""

    async def hire(tx):
        return await fleet.delegation.start_worker(tx, title="T", body=body)

    async def look(tx):
        found = await inputs.open_for(tx, "worker1")
        return next((i for i in found if i.status is InputStatus.SEEN), None)

    started = await fleet.database.write(hire)
    assert started.actor_id == "worker1"
    fleet.wake("worker1")
    return await fleet.until(look)


async def stopped_unheard(fleet, patch, *, worker="worker1"):
    """Stop a worker whose engine hears neither that nor anybody who comes afterwards."""
    patch.setattr(ScriptedSession, "interrupt", nobody_answers)
    patch.setattr(ScriptedRuntime, "resume", nobody_answers)
    await fleet.fleet.stop_actor(worker)


async def logged(fleet, line):
    """Wait for a row of the log and return its fields."""

    async def look(_tx):
        return next((fields for *told, fields in fleet.lines if tuple(told) == line), None)

    return await fleet.until(look)


async def settled(fleet, row):
    async def look(tx):
        now = await inputs.require(tx, row.id)
        over = not now.status.open and now.status is not InputStatus.UNCERTAIN
        return now if over else None

    return await fleet.until(look)


async def turns_of(fleet, worker="worker1"):
    return await fleet.database.read(lambda tx: turns.list_for_actor(tx, worker, 9))


async def left(fleet):
    return await fleet.database.read(sessions.left)


async def reports(tx):
    """What manager0 was reported by worker1 itself."""
    found = [m for _, m in await messages.recent(tx, limit=50)]
    return [m for m in found if (m.kind, m.sender) == (MessageKind.REPORT, "worker1")]


async def test_a_turn_that_a_stop_could_not_end_is_ended_as_soon_as_its_engine_answers(
    tmp_path, monkeypatch
):
    async with crew(tmp_path) as fleet:
        cut = await begin(fleet)
        thread = fleet.fleet.session_of("worker1")._thread
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            told = await logged(fleet, RUNS_ON)
            assert (told["actor"], told["reason"]) == ("worker1", "The engine does not answer.")
            assert (await as_stored(fleet, cut)).status is InputStatus.UNCERTAIN
            assert thread.running is not None
        row = await settled(fleet, cut)
        assert (row.status, row.reason) == (
            InputStatus.INTERRUPTED,
            "its turn was stopped on purpose",
        )
        assert thread.running is None
        (turn,) = await turns_of(fleet)
        assert (turn.id, turn.status) == (row.turn_id, TurnStatus.INTERRUPTED)
        told = await logged(fleet, ENDED)
        assert told == {"actor": "worker1", "thread": row.thread_id, "turn": row.turn_id}
        assert [line[:2] for line in fleet.lines].count(RUNS_ON) == 1
        assert await left(fleet) == ()
        actor = await fleet.database.read(lambda tx: actors.require(tx, "worker1"))
        assert actor.status is ActorStatus.STOPPED


async def test_a_turn_that_runs_on_waits_for_the_owner_over_restarts_until_it_has_ended(
    tmp_path, monkeypatch
):
    async with crew(tmp_path) as fleet:
        cut = await begin(fleet)

        async def waits(tx):
            found = await attention.waiting(tx, now=fleet.clock.now(), limit=50)
            return [each.actor for each in found if each.key == f"runs_on:{cut.thread_id}"]

        async def waits_no_more(tx):
            return not await waits(tx)

        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            assert await fleet.until(waits) == ["worker1"]
            await fleet.fleet.close()
            assert await fleet.database.read(waits) == ["worker1"]
            await fleet.fleet.start()
            await fleet.fleet.close()
            assert await fleet.database.read(waits) == ["worker1"]
        await fleet.fleet.start()
        await fleet.until(waits_no_more)
        assert (await settled(fleet, cut)).status is InputStatus.INTERRUPTED


async def test_a_turn_of_a_stopped_actor_that_waits_for_an_approval_is_ended_at_the_next_start(
    tmp_path, monkeypatch
):
    async with crew(tmp_path) as fleet:
        await begin(fleet, "ASK[make] SAY[made]")
        asked = await fleet.question()
        thread = fleet.fleet.session_of("worker1")._thread
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            await fleet.fleet.close()  # netsky is gone: its engine works on
        assert thread.running is not None
        await fleet.fleet.start()
        told = await logged(fleet, ENDED)
        assert (told["thread"], thread.running) == (asked.thread_id, None)
        assert await left(fleet) == ()
        assert (await fleet.approval(asked)).status is ApprovalStatus.LOST
        pending = [ApprovalStatus.PENDING]
        assert await fleet.database.read(lambda tx: approvals.list_(tx, statuses=pending)) == ()


async def over(thread):
    """Wait for the end of a scripted thread's turn."""
    async with asyncio.timeout(PATIENCE):
        while thread.running is not None:
            await settle()


async def test_what_a_stopped_actors_turn_has_said_meanwhile_is_reported(tmp_path, monkeypatch):
    async with crew(tmp_path) as fleet:
        await begin(fleet, "ASK[make] SAY[made after all]")
        asked = await fleet.question()
        thread = fleet.fleet.session_of("worker1")._thread
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            await fleet.fleet.close()
        answer = Decision(word=DecisionWord.ACCEPT)  # somebody's, at Codex's own screen
        thread.answer(asked.request_id, EventKind.APPROVAL_REQUESTED, answer)
        await over(thread)
        await fleet.fleet.start()

        async def said(tx):
            return "made after all" in [report.body for report in await reports(tx)]

        await fleet.until(said)
        (turn,) = await turns_of(fleet)
        assert turn.status is TurnStatus.COMPLETED
        assert await left(fleet) == ()


async def test_an_engine_that_died_over_a_stopped_actors_turn_recovers_nothing(
    tmp_path, monkeypatch
):
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        cut = await begin(fleet)
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            fleet.runtime.kill()
        assert (await settled(fleet, cut)).status is InputStatus.INTERRUPTED
        (turn,) = await turns_of(fleet)
        assert turn.status is TurnStatus.INTERRUPTED
        found = await fleet.database.read(lambda tx: messages.recent(tx, limit=50))
        assert [m for _, m in found if m.kind is MessageKind.RECOVERY] == []


@pytest.mark.parametrize(
    "gone",
    [
        ThreadGone("Nobody knows this thread."),
        NoSuchDoor("This Codex has no mcp-server."),  # it went with netsky, and its turns with it
    ],
)
async def test_a_stopped_actors_thread_that_nothing_carries_runs_no_turn(
    tmp_path, monkeypatch, gone
):
    door = mcp_server(tmp_path, survives_netsky=False)
    async with crew(tmp_path, runtime=door, others=[app_server(tmp_path)]) as fleet:
        await begin(fleet)
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            await fleet.fleet.close()
        (row,) = await left(fleet)
        if isinstance(gone, NoSuchDoor):
            door.shut = gone
        else:
            door.refuses = gone
        await fleet.fleet.start()

        async def rests(tx):
            return not await turns.running(tx, "worker1")

        await fleet.until(rests)
        told = await logged(fleet, ("info", "a stopped actor's thread is gone"))
        assert told["thread"] == row.thread_id


async def test_nobody_waits_for_the_thread_of_a_stopped_actor(tmp_path, monkeypatch):
    real, asked = ScriptedRuntime.resume, asyncio.Event()

    async def mute(self, thread_id, spec):
        if thread_id == row.thread_id:
            asked.set()
            await asyncio.Event().wait()
        return await real(self, thread_id, spec)

    async with crew(tmp_path) as fleet:
        await begin(fleet)
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            await fleet.fleet.close()
        (row,) = await left(fleet)
        monkeypatch.setattr(ScriptedRuntime, "resume", mute)
        await fleet.fleet.start()
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
            await fleet.fleet.settled(seconds=5)
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"
        assert await left(fleet) == (row,)


async def taken_up_later(fleet, monkeypatch):
    """Stop worker1 unheard, and the fleet; return a session that would go on with its thread."""
    await begin(fleet)
    with monkeypatch.context() as patch:
        await stopped_unheard(fleet, patch)
        await fleet.fleet.close()
    (row,) = await left(fleet)
    return replace(row, id="s-again", token="t-again", ended_at=None)


async def test_a_thread_that_its_actor_goes_on_with_is_left_to_it(tmp_path, monkeypatch):
    async with crew(tmp_path) as fleet:
        again = await taken_up_later(fleet, monkeypatch)
        await fleet.database.write(lambda tx: sessions.insert(tx, again))
        assert await left(fleet) == ()


async def test_a_thread_that_somebody_goes_on_with_while_it_is_attached_to_is_let_go(
    tmp_path, monkeypatch
):
    real = ScriptedRuntime.resume
    async with crew(tmp_path) as fleet:
        again = await taken_up_later(fleet, monkeypatch)

        async def meanwhile(self, thread_id, spec):
            await fleet.database.write(lambda tx: sessions.insert(tx, again))
            return await real(self, thread_id, spec)

        monkeypatch.setattr(ScriptedRuntime, "resume", meanwhile)
        await fleet.fleet.start()
        looking = named("straggler of worker1")
        await asyncio.wait([looking], timeout=PATIENCE)
        assert looking.done()
        (turn,) = await turns_of(fleet)
        assert turn.status is TurnStatus.IN_PROGRESS


async def test_a_resident_is_ended_with_the_turn_of_its_stopped_actor(tmp_path, monkeypatch):
    door = resident(tmp_path, environment=True)
    async with crew(tmp_path, runtime=door) as fleet:
        cut = await begin(fleet)
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            assert cut.thread_id in door.own
        assert (await settled(fleet, cut)).status is InputStatus.INTERRUPTED
        async with asyncio.timeout(PATIENCE):
            while cut.thread_id in door.own:
                await settle()


async def test_a_resident_is_left_alone_once_its_stopped_actor_is_back(tmp_path, monkeypatch):
    """Its next thread lives under the same name: attaching to the old one would end that."""
    monkeypatch.setattr(stragglers, "RETRY_SECONDS", (600.0,))
    door = resident(tmp_path, environment=True)
    async with crew(tmp_path, runtime=door) as fleet:
        await begin(fleet)
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            await logged(fleet, RUNS_ON)
            trying = named("straggler of worker1")
            await fleet.fleet.resume_actor("worker1")
            await asyncio.wait([trying], timeout=PATIENCE)
            assert trying.cancelled()
            await fleet.fleet.close()
        before = len(door.specs)
        await fleet.fleet.start()
        looking = named("straggler of worker1")
        await asyncio.wait([looking], timeout=PATIENCE)
        assert looking.done()
        await fleet.fleet.settled(seconds=5)
        assert "worker1" not in {spec.label for spec in door.specs[before:]}


async def test_a_residents_turn_is_over_when_the_next_thread_has_taken_its_place(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(stragglers, "RETRY_SECONDS", (600.0,))
    door = resident(tmp_path, environment=True)
    async with crew(tmp_path, runtime=door) as fleet:
        await begin(fleet)
        with monkeypatch.context() as patch:
            await stopped_unheard(fleet, patch)
            await logged(fleet, RUNS_ON)
            await fleet.fleet.resume_actor("worker1")
        posted = await fleet.send("SAY[anew]", to="worker1")
        assert (await fleet.reply_to(posted)).body == "anew"
        await fleet.fleet.close()
        await fleet.fleet.start()
        await logged(fleet, ("info", "a stopped actor's thread is gone"))
        assert [turn.status for turn in await turns_of(fleet)] == [
            TurnStatus.COMPLETED,
            TurnStatus.INTERRUPTED,
        ]


async def test_a_turn_that_begins_while_its_actor_is_stopped_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 60)
    sending, go_on = asyncio.Event(), asyncio.Event()
    real = ScriptedSession.submit

    async def slow(self, batch):
        sending.set()
        await go_on.wait()
        await real(self, batch)

    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        monkeypatch.setattr(ScriptedSession, "submit", slow)
        late = await fleet.send("HANG")
        async with asyncio.timeout(30):
            await sending.wait()
            draining = asyncio.ensure_future(fleet.fleet.drain())
            while named("interrupt of manager0") is None:
                await settle()
            go_on.set()
            await draining
        assert (await fleet.input(late)).status is InputStatus.INTERRUPTED


async def test_what_comes_while_its_actor_is_stopped_is_not_handed_over(tmp_path, monkeypatch):
    real = Stopping._store_stop

    async def late(self, actor_id):
        made.append(await fleet.send("SAY[too late]", to=actor_id))
        async with asyncio.timeout(PATIENCE):
            await self._runners[actor_id].attached.wait()
        await real(self, actor_id)

    made = []
    async with crew(tmp_path) as fleet:
        await begin(fleet, "SAY[one]")
        await fleet.until(reports)
        monkeypatch.setattr(Stopping, "_store_stop", late)
        await fleet.fleet.stop_actor("worker1")
        row = await fleet.input(made[0])
        assert (row.status, row.attempts) == (InputStatus.CANCELLED, 0)


async def test_an_actor_is_not_stopped_while_nobody_can_tell_whether_it_has_begun(
    tmp_path, monkeypatch
):
    """What was sent last may run in an engine that netsky has lost, and nobody has heard of it."""
    monkeypatch.setattr(interrupts, "REACH_SECONDS", 0)
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))

    async def unanswered(self, batch):
        self.lost("the connection was lost")
        await self._engine.submit(self._thread, batch)
        msg = "The connection was lost."
        raise AnswerLost(msg, connected=False)

    async def unreadable(_session):
        msg = "The connection was lost."
        raise HistoryUnavailable(msg)

    async with crew(tmp_path) as fleet:
        await begin(fleet, "SAY[one]")
        await fleet.until(reports)
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "submit", unanswered)
            patch.setattr(ScriptedSession, "history", unreadable)
            patch.setattr(ScriptedRuntime, "resume", nobody_answers)
            sent = await fleet.send("HANG", to="worker1")
            async with asyncio.timeout(PATIENCE):
                while fleet.fleet.session_of("worker1") is not None:
                    await settle()
            with pytest.raises(Conflict, match="cannot be attached"):
                await fleet.fleet.stop_actor("worker1")
        monkeypatch.setattr(interrupts, "REACH_SECONDS", 60)
        monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 60)
        await fleet.fleet.stop_actor("worker1")
        assert (await fleet.input(sent)).status is InputStatus.INTERRUPTED
        assert await left(fleet) == ()
