"""Codex that cannot take, loses, refuses or answers late: tried again with rests, never twice."""

import asyncio

import pytest

from netsky_runtime import health
from netsky_runtime.agents import dispatch, runner
from netsky_runtime.agents.dispatch import OVERDUE_SECONDS, RETRY_MS
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.codex.base import AnswerLost, ThreadGone, ThreadUnavailable, TurnRunning
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted import engine
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, attention, inputs, messages, sessions, tasks, turns, views
from netsky_runtime.states import (
    ActorStatus,
    HealthState,
    InputStatus,
    MessageKind,
    SessionState,
    TaskStatus,
)
from tests.support.crew import crew, scripted
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE


async def times_in_history(fleet, posted):
    """How often the thread's history shows the message."""
    history = await fleet.fleet.session_of("manager0").history()
    shown = [item.text for turn in history for item in turn.items if item.type == "user_message"]
    return sum(posted.input.id in text for text in shown)


async def next_rest(clock):
    async with asyncio.timeout(PATIENCE):
        return await clock.pass_next()


async def test_what_waits_is_sent_after_a_gap_that_hid_the_turns_end(tmp_path, monkeypatch):
    real = ScriptedSession.receive
    hidden = []

    def receive(self, event):
        if event.kind is EventKind.TURN_COMPLETED and not hidden:
            hidden.append(event)
            self.active_turn = ""
            event = CodexEvent(EventKind.RESYNC, event.thread_id, event.at)
        real(self, event)

    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        first = await fleet.send("ASK[make] SAY[first]")
        question = await fleet.question()
        second = await fleet.send("SAY[second]")
        monkeypatch.setattr(ScriptedSession, "receive", receive)
        await fleet.decide(question)
        assert (await fleet.reply_to(first)).body == "first"
        assert (await fleet.reply_to(second)).body == "second"
        assert hidden


async def test_what_was_cancelled_at_the_moment_it_was_to_go_does_not_go_and_fails_nothing(
    tmp_path, monkeypatch
):
    starting, go_on = asyncio.Event(), asyncio.Event()
    real = ScriptedRuntime.start

    async def slow(self, spec):
        starting.set()
        await go_on.wait()
        return await real(self, spec)

    monkeypatch.setattr(ScriptedRuntime, "start", slow)
    async with crew(tmp_path) as fleet:
        dropped = await fleet.send("SAY[dropped]")
        async with asyncio.timeout(PATIENCE):
            await starting.wait()
        gone, now = [dropped.input.id], fleet.clock.now()
        await fleet.database.write(
            lambda tx: inputs.settle(tx, gone, InputStatus.CANCELLED, now=now)
        )
        kept = await fleet.send("SAY[kept]")
        go_on.set()
        assert (await fleet.reply_to(kept)).body == "kept"
        assert await times_in_history(fleet, dropped) == 0


async def test_a_thread_with_somebody_elses_turn_is_asked_again_after_growing_rests(
    tmp_path, monkeypatch
):
    asked = []

    async def busy(self, batch):
        asked.append(batch.id)
        raise TurnRunning("Somebody else's turn runs.")

    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        with monkeypatch.context() as held:
            held.setattr(ScriptedSession, "submit", busy)
            posted = await fleet.send("SAY[at last]")
            rests = [await next_rest(clock) for _ in RETRY_MS[:4]]
            assert [rest * 1000 for rest in rests] == list(RETRY_MS[:4])
            async with asyncio.timeout(PATIENCE):
                await clock.until_sleeping()
            assert len(asked) == 5
        await next_rest(clock)
        assert (await fleet.reply_to(posted)).body == "at last"


async def test_a_thread_that_cannot_start_is_tried_again_after_growing_rests(tmp_path, monkeypatch):
    tried = []

    async def broken(self, spec):
        tried.append(spec)
        raise ThreadUnavailable("config.toml is broken")

    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        with monkeypatch.context() as without:
            without.setattr(ScriptedRuntime, "start", broken)
            posted = await fleet.send("SAY[at last]")
            assert [await next_rest(clock) for _ in range(4)] == list(runner.BACKOFF[:4])
            async with asyncio.timeout(PATIENCE):
                await clock.until_sleeping()
            assert len(tried) == 5
            session = await fleet.database.read(lambda tx: sessions.current(tx, "manager0"))
            assert session.state is SessionState.LOST
        await next_rest(clock)
        assert (await fleet.reply_to(posted)).body == "at last"


@pytest.mark.parametrize("began", [True, False])
async def test_a_thread_that_cannot_be_attached_for_long_waits_for_a_human_and_is_tried_again(
    tmp_path, monkeypatch, began
):
    async def shut(self, *_):
        raise ThreadUnavailable("config.toml is broken")

    async def waiting(tx):
        found = await attention.list_(tx, now=0)
        return [(item.key, item.since, item.about.text) for item in found]

    runtime, clock = scripted(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=runtime, clock=clock) as fleet:
        if began:
            await fleet.reply_to(await fleet.send("SAY[warm]"))
        since = clock.now()
        with monkeypatch.context() as without:
            without.setattr(ScriptedRuntime, "start", shut)
            without.setattr(ScriptedRuntime, "resume", shut)
            await runtime.close(keep_engine=False)
            posted = await fleet.send("SAY[at last]")
            rested = 0.0
            while rested < runner.AWAY_SECONDS:
                async with asyncio.timeout(PATIENCE):
                    await clock.until_sleeping()
                assert await fleet.database.read(waiting) == []
                rested += await next_rest(clock)
            async with asyncio.timeout(PATIENCE):
                await clock.until_sleeping()
            found = await fleet.database.read(waiting)
            assert found == [("unattached:scripted", since, "config.toml is broken")]
            how = health.of(await fleet.database.read(lambda tx: views.actor_view(tx, "manager0")))
            assert (how.state, how.reason, how.since) == (
                HealthState.UNHEALTHY,
                "config.toml is broken",
                since,
            )
        await fleet.fleet.resume_actor("manager0")  # at once, also before the rest is over
        assert (await fleet.reply_to(posted)).body == "at last"
        assert await fleet.database.read(waiting) == []


async def test_a_thread_that_was_served_for_long_is_looked_for_at_once_again(tmp_path):
    runtime, clock = scripted(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=runtime, clock=clock) as fleet:
        rests = []
        for served in (1, 1, runner.STEADY_SECONDS + 1):
            await fleet.reply_to(await fleet.send("SAY[warm]"))
            await clock.advance(served)
            await runtime.close(keep_engine=False)
            rests.append(await next_rest(clock))
        assert rests == [runner.BACKOFF[0], runner.BACKOFF[1], runner.BACKOFF[0]]


async def test_a_second_thread_that_was_lost_before_its_first_turn_is_started_anew(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    runtime = scripted(tmp_path)
    real = ScriptedSession.submit

    async def die(self, batch):
        monkeypatch.setattr(ScriptedSession, "submit", real)
        await runtime.close(keep_engine=False)
        raise AnswerLost("The engine was killed.", connected=False)

    async def had_its_turn(tx):
        return [t for t in await tasks.list_(tx) if t.status is TaskStatus.REPORTED]

    async with crew(tmp_path, runtime=runtime) as fleet:
        await fleet.hire("SAY[one]")
        await fleet.until(had_its_turn)
        await fleet.fleet.stop_actor("worker1")
        await fleet.fleet.resume_actor("worker1")
        monkeypatch.setattr(ScriptedSession, "submit", die)
        posted = await fleet.send("SAY[two]", to="worker1")
        assert (await fleet.reply_to(posted)).body == "two"


async def test_a_task_that_codex_refuses_is_told_to_its_manager(tmp_path):
    async def refused(tx):
        found = [m for _, m in await messages.recent(tx, limit=50)]
        given = [m for m in found if m.target == "worker1"]
        told = [m for m in found if m.sender == "worker1"]
        return (given[0], told[0]) if told else None

    async def heard(tx):
        return not await inputs.open_for(tx, "manager0")

    async with crew(tmp_path) as fleet:
        await fleet.hire("ERR[reject]")
        given, told = await fleet.until(refused)
        assert (told.target, told.in_reply_to) == ("manager0", given.id)
        assert "rejected on order" in told.body
        await fleet.until(heard)


async def test_reports_that_are_too_much_together_are_sent_one_by_one(tmp_path, monkeypatch):
    async def both_reported(tx):
        found = [m for _, m in await messages.recent(tx, limit=50)]
        return len([m for m in found if m.kind is MessageKind.REPORT]) == 2

    async def heard(tx):
        return not await inputs.open_for(tx, "manager0")

    words = "x" * 3_000
    hire = f'TOOL[start_worker {{"title": "T", "body": "SAY[{words}]"}}]ENDTOOL'
    async with crew(tmp_path) as fleet:
        held = await fleet.send(f"{hire} {hire} ASK[make]")
        question = await fleet.question()
        await fleet.until(both_reported)
        monkeypatch.setattr(engine, "MAX_INPUT_CHARS", 5_000)
        await fleet.decide(question)
        await fleet.reply_to(held)
        await fleet.until(heard)
        ended = await fleet.database.read(lambda tx: turns.list_for_actor(tx, "manager0", limit=9))
        assert len(ended) == 3
        cancelled = "SELECT id FROM actor_inputs WHERE status = 'cancelled'"
        assert not list(await fleet.database.read(lambda tx: tx.execute_fetchall(cancelled)))


async def test_a_tool_call_that_fails_inside_is_answered_so_its_turn_goes_on(tmp_path, monkeypatch):
    async def broken(self, **_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Toolbox, "call", broken)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send('TOOL[start_worker {"title": "T"}]ENDTOOL SAY[went on]')
        told = (await fleet.reply_to(posted)).body
        assert told == "went on\ntool: netsky could not do it: a bug"
        (line,) = [line for line in fleet.lines if line[1] == "tool call failed"]
        assert "a bug" in line[2]["error"]


async def test_what_a_slow_engine_took_late_is_found_and_answered_once(tmp_path, monkeypatch):
    sent = []

    async def lose(self, batch):
        sent.append(batch)
        raise AnswerLost("turn/start was not answered.", connected=True)

    real = ScriptedSession.submit
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        monkeypatch.setattr(ScriptedSession, "submit", lose)
        posted = await fleet.send("ASK[make] SAY[made]")
        for _ in range(3):
            assert await next_rest(clock) == dispatch.LOOK_SECONDS
        (batch,) = sent
        await real(fleet.fleet.session_of("manager0"), batch)
        question = await fleet.question()
        await clock.advance(2 * OVERDUE_SECONDS)
        await fleet.decide(question)
        assert (await fleet.reply_to(posted)).body == "made"
        assert await times_in_history(fleet, posted) == 1
        assert sent == [batch]


async def test_what_a_slow_engine_never_took_is_uncertain_in_the_end_and_what_follows_is_sent(
    tmp_path, monkeypatch
):
    sent = []

    async def lose(self, batch):
        sent.append(batch)
        raise AnswerLost("turn/start was not answered.", connected=True)

    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        with monkeypatch.context() as slow:
            slow.setattr(ScriptedSession, "submit", lose)
            posted = await fleet.send("SAY[lost]")
            waited = 0.0
            while waited < OVERDUE_SECONDS:
                assert (await fleet.input(posted)).status is InputStatus.QUEUED
                waited += await next_rest(clock)
            assert (await fleet.settled(posted)).status is InputStatus.UNCERTAIN
            assert len(sent) == 1
        assert (await fleet.reply_to(await fleet.send("SAY[next]"))).body == "next"
        assert await times_in_history(fleet, posted) == 0


async def test_sending_an_original_again_while_its_recovery_runs_answers_both(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))
    runtime = scripted(tmp_path)

    async def gone(self, thread_id, spec):
        raise ThreadGone("no rollout found")

    async def parked(tx):
        return (await actors.require(tx, "manager0")).status is ActorStatus.PARKED

    async def send_again(row):
        why = "sent again by the owner's decision"
        await fleet.database.write(lambda tx: inputs.requeue(tx, [row.id], reason=why))

    async with crew(tmp_path, runtime=runtime) as fleet:
        posted = await fleet.send("ASK[make] SAY[made]")
        first = await fleet.question()
        await runtime.close(keep_engine=False)
        await fleet.question(after=first)  # asked by the recovery
        with monkeypatch.context() as without:
            without.setattr(ScriptedRuntime, "resume", gone)
            await runtime.close(keep_engine=False)
            await fleet.until(parked)
        rows = await fleet.database.read(inputs.uncertain)
        (recovery,) = [row for row in rows if row.recovers]
        (original,) = [row for row in rows if not row.recovers]
        assert original.id == posted.input.id
        await send_again(recovery)
        await fleet.fleet.resume_actor("manager0")
        asked = await fleet.question()
        await send_again(original)
        fleet.wake("manager0")
        await fleet.decide(asked)
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.reply_to(posted)).body == "made"
        answered = await fleet.database.read(lambda tx: inputs.require(tx, recovery.id))
        assert answered.status is InputStatus.ANSWERED
