"""Stopping one actor and all of them: bounded, nothing new begun, nothing left hanging."""

import asyncio
from functools import partial

import pytest

from netsky_runtime.agents import interrupts, listener, runner, stragglers
from netsky_runtime.agents import stopping as stopping_module
from netsky_runtime.agents.recovery import recover
from netsky_runtime.agents.settlement import settle_turn
from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.comms.replies import ReplyDesk
from netsky_runtime.db import actors, inputs, messages, sessions, tasks, trouble, turns
from netsky_runtime.errors import Conflict, DatabaseError
from netsky_runtime.states import ActorStatus, InputMode, InputStatus, MessageKind, TaskStatus
from tests.db.test_trouble import broken, until_waiting
from tests.support.crew import crew, scripted
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE


def named(name):
    """The task of this name that runs now, if one does."""
    return next((task for task in asyncio.all_tasks() if task.get_name() == name), None)


async def working(fleet, body="HANG", *, worker="worker1"):
    """Hire a worker and return its task's input once its turn runs."""
    await fleet.hire(body)

    async def look(tx):
        found = await inputs.open_for(tx, worker)
        return next((i for i in found if i.status is InputStatus.SEEN), None)

    return await fleet.until(look)


async def as_stored(fleet, row):
    return await fleet.database.read(lambda tx: inputs.require(tx, row.id))


async def is_interrupted(tx, *, row):
    return (await inputs.require(tx, row.id)).status is InputStatus.INTERRUPTED


async def gone(_self, _thread_id, _spec):
    msg = "Nobody answers."
    raise ThreadUnavailable(msg)


async def deaf(_self, _turn_id):
    msg = "Nobody answers."
    raise ThreadUnavailable(msg)


async def reported(tx):
    """The report of worker1 and the input that it became."""
    found = [m for _, m in await messages.recent(tx, limit=50)]
    reports = [m for m in found if (m.kind, m.sender) == (MessageKind.REPORT, "worker1")]
    return reports[0] if reports else None


async def all_heard(tx):
    return not await inputs.open_for(tx, "manager0")


async def test_a_stopped_workers_task_is_open_again_and_its_manager_is_told(tmp_path):
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        queued = await fleet.send("SAY[later]", to="worker1")
        await fleet.fleet.stop_actor("worker1")
        task = await fleet.database.read(lambda tx: tasks.require(tx, "t1"))
        assert (task.status, task.owner_id) == (TaskStatus.OPEN, None)
        assert (await as_stored(fleet, cut)).status is InputStatus.INTERRUPTED
        assert (await fleet.input(queued)).status is InputStatus.CANCELLED
        report = await fleet.database.read(reported)
        assert report.target == "manager0"
        assert "t1 is open again" in report.body
        await fleet.until(all_heard)


async def test_what_a_stop_heard_no_end_of_is_uncertain_and_the_resumed_actor_works_on(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 0)
    monkeypatch.setattr(stragglers, "RETRY_SECONDS", (0.01,))
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        with monkeypatch.context() as unreachable:
            unreachable.setattr(ScriptedRuntime, "resume", gone)
            await fleet.fleet.stop_actor("worker1")
            left = await as_stored(fleet, cut)
            assert left.status is InputStatus.UNCERTAIN
            assert "stopped by the owner" in left.reason
            await fleet.fleet.resume_actor("worker1")
            fresh = await fleet.send("SAY[fresh]", to="worker1")
            assert (await fleet.reply_to(fresh)).body == "fresh"
            assert (await as_stored(fleet, cut)).status is InputStatus.UNCERTAIN
        await fleet.until(partial(is_interrupted, row=cut))
        fresh = await fleet.send("SAY[fresher]", to="worker1")
        assert (await fleet.reply_to(fresh)).body == "fresher"


async def test_what_a_recovery_was_to_answer_for_is_uncertain_when_its_actor_is_stopped(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 0)
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)

        async def recovers(tx):
            actor = await actors.require(tx, "worker1")
            await recover(fleet.kit, tx, actor, [cut], now=fleet.clock.now())

        await fleet.database.write(recovers)
        await fleet.fleet.stop_actor("worker1")
        left = await as_stored(fleet, cut)
        assert left.status is InputStatus.UNCERTAIN
        assert "stopped by the owner" in left.reason


async def test_what_was_being_sent_when_its_actor_was_stopped_blocks_nothing_later(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 0)
    sending = asyncio.Event()

    async def hang(self, batch):
        sending.set()
        await asyncio.Event().wait()

    async with crew(tmp_path) as fleet:
        await fleet.hire("SAY[one]")
        await fleet.until(reported)
        await fleet.until(all_heard)
        with monkeypatch.context() as slow:
            slow.setattr(ScriptedSession, "submit", hang)
            cut = await fleet.send("SAY[cut]", to="worker1")
            async with asyncio.timeout(PATIENCE):
                await sending.wait()
            await fleet.fleet.stop_actor("worker1")
        assert (await fleet.input(cut)).status is InputStatus.UNCERTAIN
        await fleet.fleet.resume_actor("worker1")
        urgent = await fleet.send("SAY[urgent]", to="worker1", mode=InputMode.INTERRUPT)
        after = await fleet.send("SAY[after]", to="worker1")
        assert (await fleet.reply_to(urgent)).body == "urgent"
        assert (await fleet.reply_to(after)).body == "after"


async def test_a_stop_starts_no_new_turn(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("HANG")
        await fleet.reached(running, InputStatus.SEEN)
        waiting = await fleet.send("SAY[never in this life]")
        await fleet.fleet.drain()
        assert (await fleet.input(running)).status is InputStatus.INTERRUPTED
        left = await fleet.input(waiting)
        assert (left.status, left.attempts) == (InputStatus.QUEUED, 0)
        assert fleet.fleet.running() == {}


async def test_a_worker_that_is_hired_during_a_stop_begins_after_the_next_start(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.fleet.drain()

        async def hire(tx):
            return await fleet.delegation.start_worker(
                tx, manager_id="manager0", title="T", body="SAY[hello]"
            )

        await fleet.database.write(hire)
        fleet.wake("worker1")
        async with asyncio.timeout(PATIENCE):
            while named("wake of worker1") is None:  # then its runner has nothing more to do
                await settle()
        session = await fleet.database.read(lambda tx: sessions.current(tx, "worker1"))
        assert session.thread_id == ""
    async with crew(tmp_path) as fleet:
        assert (await fleet.until(reported)).body == "hello"


async def test_a_stop_waits_no_longer_than_it_says_for_threads_that_do_not_answer(
    tmp_path, monkeypatch
):
    asked = []

    async def deaf(self, turn_id):
        asked.append(turn_id)
        await asyncio.Event().wait()

    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        for number in range(1, 4):
            await working(fleet, worker=f"worker{number}")
        monkeypatch.setattr(ScriptedSession, "interrupt", deaf)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            draining = group.create_task(fleet.fleet.drain())
            while len(asked) < 3:  # each is written down before it is sent
                await settle()
            await clock.advance(interrupts.DRAIN_SECONDS - 0.1)
            assert not draining.done()
            await clock.advance(0.2)


async def test_a_stop_does_not_wait_for_a_thread_that_does_not_let_go(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "CLOSE_SECONDS", 0.01)

    async def deaf(self):
        await asyncio.Event().wait()

    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        with monkeypatch.context() as hanging:
            hanging.setattr(ScriptedSession, "close", deaf)
            async with asyncio.timeout(PATIENCE):
                await fleet.fleet.close()
        assert fleet.lines[-1][1] == "thread was not let go"


async def test_a_stop_waits_until_the_end_of_a_turn_that_an_earlier_netsky_started_is_recorded(
    tmp_path, monkeypatch
):
    ended, recorded = asyncio.Event(), asyncio.Event()

    async def slow(*args):
        ended.set()
        await recorded.wait()
        await settle_turn(*args)

    async def over(tx):
        return (await inputs.require(tx, item.id)).status is InputStatus.INTERRUPTED

    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        item = await working(fleet)
        await fleet.fleet.close()
        await fleet.fleet.start()
        await fleet.fleet.settled(seconds=5)
        monkeypatch.setattr(listener, "settle_turn", slow)
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            stopping = group.create_task(fleet.fleet.stop_actor("worker1"))
            await ended.wait()
            await clock.advance(interrupts.DRAIN_SECONDS / 2)
            assert not stopping.done()
            recorded.set()
            await fleet.until(over)
            await clock.advance(interrupts.DRAIN_SECONDS / 4)
            # Nothing sleeps any more: the stop goes on because the end is recorded.


async def test_waking_a_stopped_actor_starts_no_session(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("SAY[one]")
        await fleet.until(reported)
        await fleet.fleet.stop_actor("worker1")
        fleet.wake("worker1")
        done, _ = await asyncio.wait([named("runner of worker1")], timeout=5)
        assert done
        assert await fleet.database.read(lambda tx: sessions.current(tx, "worker1")) is None


async def test_a_message_that_comes_while_its_actor_is_stopped_leaves_no_runner(
    tmp_path, monkeypatch
):
    real = stopping_module.abandon

    async def abandon(tx, actor_id, **given):
        fleet.wake(actor_id)
        # Its runner reads that the actor is active: the stop is not committed yet.
        await fleet.database.read(lambda tx: sessions.current(tx, actor_id))
        await real(tx, actor_id, **given)

    monkeypatch.setattr(stopping_module, "abandon", abandon)
    async with crew(tmp_path) as fleet:
        await fleet.hire("SAY[one]")
        await fleet.until(reported)
        await fleet.fleet.stop_actor("worker1")
        assert named("runner of worker1") is None
        assert await fleet.database.read(lambda tx: sessions.current(tx, "worker1")) is None


async def test_a_manager_hears_a_report_though_the_workers_listener_was_cancelled_meanwhile(
    tmp_path, monkeypatch
):
    real = ReplyDesk.settle

    async def cut(self, tx, **given):
        woken = await real(self, tx, **given)
        if given["actor"].id == "worker1":
            named("runner of worker1").cancel()
            await settle()
        return woken

    monkeypatch.setattr(ReplyDesk, "settle", cut)
    async with crew(tmp_path) as fleet:
        await fleet.hire("ASK[make] SAY[done]")
        await fleet.decide(await fleet.question())
        assert (await fleet.until(reported)).body == "done"
        await fleet.until(all_heard)


async def test_a_manager_hears_of_a_worker_that_the_owner_has_taken_over(tmp_path):
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        chat = await fleet.send("SAY[blue it is]", to="worker1", mode=InputMode.INTERRUPT)
        assert (await fleet.reply_to(chat)).target == "owner"
        assert (await as_stored(fleet, cut)).status is InputStatus.INTERRUPTED
        report = await fleet.until(reported)
        assert report.target == "manager0"
        assert "The turn on t1 was stopped" in report.body
        assert "blue it is" in report.body
        assert report.metadata["answers"] == []  # the owner has the answer
        task = await fleet.database.read(lambda tx: tasks.require(tx, "t1"))
        assert task.status is TaskStatus.REPORTED
        await fleet.until(all_heard)


async def test_a_turn_is_stopped_while_the_disk_that_it_fills_takes_nothing(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("HANG")
        await fleet.reached(posted, InputStatus.SEEN)
        with broken(fleet.database, "SQLITE_FULL"), trouble.refusing():
            assert await fleet.fleet.interrupt("manager0")
            await until_waiting(fleet.database)
        row = await fleet.settled(posted)
        assert (row.status, row.reason) == (
            InputStatus.INTERRUPTED,
            "its turn was stopped on purpose",
        )


async def test_all_turns_are_stopped_while_the_disk_takes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 0.3)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("HANG")
        await fleet.reached(posted, InputStatus.SEEN)
        thread = fleet.fleet.session_of("manager0")
        with broken(fleet.database, "SQLITE_FULL"):
            await fleet.fleet.drain()
            assert thread.active_turn == ""
        assert (await fleet.settled(posted)).status is InputStatus.INTERRUPTED


async def test_codex_that_dies_over_a_stop_which_could_not_be_stored_cuts_nothing(
    tmp_path, monkeypatch
):
    runtime = scripted(tmp_path)

    async def dies(_self, _turn_id):
        await runtime.close(keep_engine=False)

    monkeypatch.setattr(ScriptedSession, "interrupt", dies)
    async with crew(tmp_path, runtime=runtime) as fleet:
        posted = await fleet.send("HANG")
        await fleet.reached(posted, InputStatus.SEEN)
        with broken(fleet.database, "SQLITE_FULL"), trouble.refusing():
            await fleet.fleet.interrupt("manager0")
        row = await fleet.settled(posted)
        assert (row.status, row.reason) == (
            InputStatus.INTERRUPTED,
            "its turn was stopped on purpose",
        )
        assert (await fleet.reply_to(await fleet.send("SAY[next]"))).body == "next"


async def running(fleet, worker="worker1"):
    return await fleet.database.read(lambda tx: turns.running(tx, worker))


async def status_of(fleet, worker="worker1"):
    actor = await fleet.database.read(lambda tx: actors.require(tx, worker))
    return actor.status


async def test_a_turn_whose_thread_is_lost_just_now_is_attached_to_and_stopped(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (60.0,))
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        before = fleet.fleet.session_of("worker1")
        before.lost("the connection was lost")  # what carries the thread lives on
        async with asyncio.timeout(PATIENCE):
            while fleet.fleet.session_of("worker1") is not None:
                await settle()
        await fleet.fleet.stop_actor("worker1")
        assert before._thread.running is None
        assert await running(fleet) == ()
        assert (await as_stored(fleet, cut)).status is InputStatus.INTERRUPTED
        assert await status_of(fleet) is ActorStatus.STOPPED


async def test_an_actor_whose_turn_nobody_can_reach_is_stopped_only_when_that_is_given_up(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(interrupts, "REACH_SECONDS", 0)
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    monkeypatch.setattr(stragglers, "RETRY_SECONDS", (0.01,))
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        thread = fleet.fleet.session_of("worker1")._thread
        with monkeypatch.context() as unreachable:
            unreachable.setattr(ScriptedRuntime, "resume", gone)
            fleet.fleet.session_of("worker1").lost("the connection was lost")
            async with asyncio.timeout(PATIENCE):
                while fleet.fleet.session_of("worker1") is not None:
                    await settle()
            with pytest.raises(Conflict, match="cannot be attached"):
                await fleet.fleet.stop_actor("worker1")
            assert await status_of(fleet) is ActorStatus.ACTIVE
            await fleet.fleet.stop_actor("worker1", unheard=True)
            assert await status_of(fleet) is ActorStatus.STOPPED
            assert (await as_stored(fleet, cut)).status is InputStatus.UNCERTAIN
            assert thread.running is not None
        await fleet.until(partial(is_interrupted, row=cut))
        assert thread.running is None


async def test_an_actor_whose_stop_cannot_be_stored_works_on(tmp_path, monkeypatch):
    async def full(*_args, **_given):
        msg = "The disk is full."
        raise DatabaseError(msg)

    async with crew(tmp_path) as fleet:
        await working(fleet)
        waiting = await fleet.send("SAY[later]", to="worker1")
        with monkeypatch.context() as broken:
            broken.setattr(stopping_module, "abandon", full)
            with pytest.raises(DatabaseError):
                await fleet.fleet.stop_actor("worker1")
        assert (await fleet.reply_to(waiting)).body == "later"


async def test_what_a_stopped_actor_lived_in_is_ended_when_its_stop_is_stored(
    tmp_path, monkeypatch
):
    vacated = []
    async with crew(tmp_path) as fleet:

        async def vacate(_self, label):
            actor = await fleet.database.read(lambda tx: actors.require(tx, label))
            vacated.append((label, actor.status, fleet.fleet.session_of(label)))
            return "somebody looks at its screen" if len(vacated) == 1 else ""

        monkeypatch.setattr(ScriptedRuntime, "vacate", vacate)
        await working(fleet)

        assert await fleet.fleet.stop_actor("worker1") == "somebody looks at its screen"
        assert await fleet.fleet.stop_actor("worker1") == ""  # asked for again, it is ended

    assert vacated == [("worker1", ActorStatus.STOPPED, None)] * 2


async def test_a_stop_stands_where_what_the_actor_lived_in_does_not_end(tmp_path, monkeypatch):
    async def vacate(_self, _label):
        msg = "tmux does not tell its panes."
        raise ThreadUnavailable(msg)

    async def hang(_self, _label):
        await asyncio.Event().wait()

    async with crew(tmp_path) as fleet:
        await working(fleet)
        monkeypatch.setattr(ScriptedRuntime, "vacate", vacate)
        assert "does not tell" in await fleet.fleet.stop_actor("worker1")
        monkeypatch.setattr(ScriptedRuntime, "vacate", hang)
        monkeypatch.setattr(stopping_module, "VACATE_SECONDS", 0)
        assert "does not end" in await fleet.fleet.stop_actor("worker1")
        stopped = await fleet.database.read(lambda tx: actors.require(tx, "worker1"))
        assert stopped.status is ActorStatus.STOPPED


async def test_a_turn_that_outlasts_its_stop_keeps_its_place_until_it_is_ended(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 0)
    monkeypatch.setattr(stragglers, "RETRY_SECONDS", (0.01,))
    vacated = []

    async def vacate(_self, label):
        vacated.append(label)
        return ""

    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        monkeypatch.setattr(ScriptedRuntime, "vacate", vacate)
        with monkeypatch.context() as unreachable:
            unreachable.setattr(ScriptedRuntime, "resume", gone)
            unreachable.setattr(ScriptedSession, "interrupt", deaf)
            assert await fleet.fleet.stop_actor("worker1") == ""
        assert vacated == []
        await fleet.until(partial(is_interrupted, row=cut))
