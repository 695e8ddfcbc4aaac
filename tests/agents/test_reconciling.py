"""The hard cases of coming back: whatever died when, nothing is lost and nothing sent twice."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from netsky_runtime.agents import dispatch, gaps, interrupts, reconcile, runner
from netsky_runtime.agents.settlement import settle_in
from netsky_runtime.codex.base import (
    HistoricItem,
    HistoricTurn,
    HistoryUnavailable,
    ThreadBlocked,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, engines, events, inputs, messages, turns
from netsky_runtime.records import Engine
from netsky_runtime.states import (
    ActorStatus,
    EngineState,
    InputMode,
    InputStatus,
    MessageKind,
    RuntimeName,
    Source,
    TurnStatus,
)
from tests.support.crew import crew, scripted
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE


@pytest.fixture(autouse=True)
def _a_lost_thread_is_looked_for_at_once(monkeypatch):
    monkeypatch.setattr(runner, "BACKOFF", (0.01,))


async def told(fleet, actor_id="manager0"):
    """The ids of the inputs in the thread's history, in order, as often as they stand there."""
    row = fleet.fleet._runners[actor_id].seat.row
    history = await fleet.fleet.session_of(actor_id).history()
    return [
        input_id
        for turn in history
        for item in turn.items
        if item.type == "user_message"
        for input_id in fleet.kit.envelopes.input_ids_in(item.text, tag=row.tag)
    ]


@asynccontextmanager
async def dying(folder, monkeypatch, where, name):
    """A crew that is warm, and whose netsky dies once it calls ``where.name``."""
    reached = asyncio.Event()

    async def die(*_args, **_given):
        reached.set()
        await asyncio.Event().wait()

    async with crew(folder) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        with monkeypatch.context() as patch:
            patch.setattr(where, name, die)
            yield fleet
            async with asyncio.timeout(PATIENCE):
                await reached.wait()
            await fleet.fleet.close()


@pytest.mark.parametrize(
    ("where", "name", "attempts"),
    [
        pytest.param(dispatch.Dispatcher, "_intend", 1, id="before the attempt"),
        pytest.param(ScriptedSession, "submit", 2, id="between attempt and submit"),
        pytest.param(dispatch.Dispatcher, "_hand", 1, id="between submit and hand"),
    ],
)
async def test_a_message_is_answered_once_wherever_netsky_dies(
    tmp_path, monkeypatch, where, name, attempts
):
    async with dying(tmp_path, monkeypatch, where, name) as fleet:
        posted = await fleet.send("SAY[here]")
        behind = await fleet.send("SAY[behind]")
    async with crew(tmp_path) as fleet:
        for each, words in ((posted, "here"), (behind, "behind")):
            assert (await fleet.reply_to(each)).body == words
        assert (await fleet.input(posted)).attempts == attempts
        shown = await told(fleet)
        assert shown.count(posted.input.id) == shown.count(behind.input.id) == 1


class Forgetful:
    """History without the turns, or the user messages, that Codex lost when it was killed."""

    def __init__(self, monkeypatch):
        self.turns: set[str] = set()
        self.texts: set[str] = set()
        real = ScriptedSession.history

        async def history(session):
            found = [turn for turn in await real(session) if turn.id not in self.turns]
            return [replace(turn, items=self._left(turn.items)) for turn in found]

        monkeypatch.setattr(ScriptedSession, "history", history)

    def _left(self, items):
        return tuple(item for item in items if not any(text in item.text for text in self.texts))


async def test_what_was_seen_and_lost_with_its_engine_is_sent_again(tmp_path, monkeypatch):
    history = Forgetful(monkeypatch)
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        lost = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        seen = await fleet.input(lost)
        assert seen.status is InputStatus.SEEN
        history.turns.add(seen.turn_id)
        fleet.runtime.kill()
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.reply_to(lost)).body == "made"
        assert (await fleet.input(lost)).attempts == 2
        gone = await fleet.database.read(lambda tx: turns.get(tx, seen.thread_id, seen.turn_id))
        assert gone.status is TurnStatus.INTERRUPTED


async def test_a_steer_that_vanished_with_its_engine_is_sent_again_and_the_turn_recovers(
    tmp_path, monkeypatch
):
    history = Forgetful(monkeypatch)
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        first = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        steered = await fleet.send("SAY[polished]", mode=InputMode.STEER)
        await fleet.reached(steered, InputStatus.HANDED)
        history.texts.add(steered.input.id)
        fleet.runtime.kill()
        again = await fleet.question(after=asked)
        history.texts.clear()
        await fleet.reached(steered, InputStatus.HANDED)  # it joins the turn that recovers
        await fleet.decide(again)
        reply = await fleet.reply_to(first)
        assert reply == await fleet.reply_to(steered)
        assert reply.body == "polished"
        assert (await fleet.input(first)).attempts == 1


async def test_what_is_cut_is_told_of_before_anything_that_waited(tmp_path):
    async with crew(tmp_path) as fleet:
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        waited = [await fleet.send(f"SAY[waited {number}]") for number in range(2)]
        fleet.runtime.kill()
        await fleet.decide(await fleet.question(after=asked))
        replies = [await fleet.reply_to(posted) for posted in (cut, *waited)]
        assert [reply.body for reply in replies] == ["made", "waited 0", "waited 1"]
        assert sorted(reply.id for reply in replies) == [reply.id for reply in replies]


async def test_nothing_overtakes_a_recovery_that_has_to_rest(tmp_path, monkeypatch):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()

        async def rest(tx):
            (recovery,) = [i for i in await inputs.open_for(tx, "manager0") if i.recovers]
            await inputs.requeue(tx, [recovery.id], reason="busy", not_before=clock.now() + 20_000)

        fleet.fleet._runners["manager0"].seat.closing = True
        fleet.runtime.kill()
        waited = await fleet.send("SAY[waited]")

        async def recovers(tx):
            return [i for i in await inputs.open_for(tx, "manager0") if i.recovers]

        async with asyncio.timeout(PATIENCE):
            await clock.pass_next()
        await fleet.until(recovers)
        await fleet.database.write(rest)
        fleet.fleet._runners["manager0"].seat.closing = False
        fleet.wake("manager0")
        async with asyncio.timeout(PATIENCE):
            await clock.until_sleeping()
        assert (await fleet.input(waited)).attempts == 0
        await clock.advance(20)
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.reply_to(cut)).body == "made"
        assert (await fleet.reply_to(waited)).body == "waited"


async def test_a_recovery_that_is_cut_and_lost_is_sent_again_and_not_doubled(tmp_path, monkeypatch):
    history = Forgetful(monkeypatch)
    async with crew(tmp_path) as fleet:
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        fleet.runtime.kill()
        asked = await fleet.question(after=asked)

        async def recovery(tx):
            found = [i for i in await inputs.open_for(tx, "manager0") if i.recovers]
            return found[0] if found and found[0].status is InputStatus.SEEN else None

        seen = await fleet.until(recovery)
        history.turns.add(seen.turn_id)
        fleet.runtime.kill()
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.reply_to(cut)).body == "made"

        async def recoveries(tx):
            found = [message for _, message in await messages.recent(tx, limit=99)]
            return [m for m in found if m.kind is MessageKind.RECOVERY]

        assert len(await fleet.database.read(recoveries)) == 1
        assert (await fleet.database.read(lambda tx: inputs.require(tx, seen.id))).attempts == 2


async def test_a_crash_in_the_middle_of_a_reconciliation_changes_nothing(tmp_path, monkeypatch):
    """Else a cut turn could be recorded, and its recovery queued twice by the next look."""
    async with crew(tmp_path) as fleet:
        cut = await fleet.send("ASK[make] SAY[made]")
        await fleet.question()
        await fleet.fleet.close()
    real = reconcile._queue_again

    async def fails(*_args, **_given):
        msg = "the process is gone"
        raise HistoryUnavailable(msg)

    with monkeypatch.context() as patch:
        patch.setattr(reconcile, "_queue_again", fails)
        async with crew(tmp_path) as fleet:
            await fleet.fleet.settled(seconds=5)
            left = await fleet.input(cut)
            running = await fleet.database.read(lambda tx: turns.running(tx, "manager0"))
            assert [turn.id for turn in running] == [left.turn_id]
            assert [
                i.id for i in await fleet.database.read(lambda tx: inputs.open_for(tx, "manager0"))
            ] == [left.id]
    assert reconcile._queue_again is real
    async with crew(tmp_path) as fleet:
        await fleet.decide(await fleet.question())
        assert (await fleet.reply_to(cut)).body == "made"


async def test_an_input_that_a_human_sent_in_another_turn_is_found_there(tmp_path, monkeypatch):
    """Where words are typed, what was queued again may yet stand in a composer."""
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        with monkeypatch.context() as patch:
            patch.setattr(dispatch.Dispatcher, "dispatch", _nothing)
            posted = await fleet.send("SAY[typed]")

            async def tried(tx):
                await inputs.attempt(
                    tx, {posted.input.id: "envelope"}, batch_id="b-1", thread_id=""
                )
                await inputs.requeue(tx, [posted.input.id], reason="nobody pressed Enter")

            await fleet.database.write(tried)
        real = ScriptedSession.history
        tag = fleet.fleet._runners["manager0"].seat.row.tag

        async def shows(session):
            first, *others = await real(session)
            item = HistoricItem(
                id="u9",
                type="user_message",
                data={
                    "text": first.items[0].text.replace(await _first(fleet, tag), posted.input.id)
                },
            )
            said = HistoricItem(id="a9", type="agent_message", data={"text": "typed it is"})
            return [first, *others, replace(first, id="turn-9", items=(item, said))]

        monkeypatch.setattr(ScriptedSession, "history", shows)
        await fleet.fleet.reconcile("manager0")
        row = await fleet.settled(posted)
        assert (row.status, row.turn_id) == (InputStatus.ANSWERED, "turn-9")


async def _nothing(_self):
    return None


async def _first(fleet, tag):
    shown = await fleet.database.read(lambda tx: messages.recent(tx, limit=99))
    found = [m for _, m in shown if m.body == "SAY[warm]"]
    rows = await fleet.database.read(lambda tx: messages.deliveries_of(tx, found[0].id))
    return rows[0].input_id


async def test_what_was_seen_in_an_engine_that_died_is_uncertain_when_no_history_can_tell(
    tmp_path, monkeypatch
):
    async def unreadable(_session):
        msg = "The rollout cannot be read."
        raise HistoryUnavailable(msg)

    async with crew(tmp_path) as fleet:
        seen = await fleet.send("ASK[make] SAY[made]")
        await fleet.question()
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "history", unreadable)
            fleet.runtime.kill()
            doubtful = await fleet.reached(seen, InputStatus.UNCERTAIN)
            assert "history cannot be read" in doubtful.reason


async def test_facts_that_died_with_netsky_just_after_the_turns_end_are_told_by_history(
    tmp_path, monkeypatch
):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        row = await fleet.settled(await fleet.send("SAY[said]"))
        await fleet.facts.flush()

        async def forget(tx):
            await tx.execute("DELETE FROM events WHERE turn_id = ?", (row.turn_id,))

        await fleet.database.write(forget)
    async with crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)

        async def told_again(tx):
            return await events.ended(tx, row.thread_id, [row.turn_id])

        assert await fleet.until(told_again) == {row.turn_id}
        kept = await fleet.database.read(lambda tx: inputs.require(tx, row.id))
        assert kept == row


@pytest.mark.parametrize(("ended", "shown"), [(None, 9_000), (5_000, 5_000)])
async def test_the_end_of_a_cut_turn_is_dated_when_netsky_learned_of_it(ended, shown):
    """By the time it began it stood below what came later."""
    stored = []

    class Facts:
        async def put(self, _actor_id, event):
            stored.append(event)

        async def flush(self):
            pass

    clock = ManualClock(start_ms=9_000)
    seat = SimpleNamespace(actor_id="manager0", kit=SimpleNamespace(clock=clock, facts=Facts()))
    turn = HistoricTurn(
        id="t",
        status=TurnStatus.INTERRUPTED,
        items=(HistoricItem(id="i", type="agent_message", data={"text": "said"}),),
        started_at=1_000,
        completed_at=ended,
        error="",
    )
    await gaps.store(seat, "th", [turn])
    item, end = stored
    assert (item.kind, item.at) == (EventKind.ITEM_COMPLETED, ended or 1_000)
    assert (end.kind, end.at) == (EventKind.TURN_COMPLETED, shown)
    assert end.data["completed_at"] == ended


@pytest.mark.parametrize("grace", [True, False])
async def test_what_a_killed_netsky_wrote_to_a_living_engine_has_a_moment_to_be_taken(
    tmp_path, monkeypatch, grace
):
    """The engine may read it after the next netsky has attached: sent again, it came twice."""
    clock = ManualClock()
    survives = replace(ScriptedRuntime.capabilities, survives_netsky=grace)
    runtime = scripted(tmp_path)
    runtime.capabilities = survives
    async with crew(tmp_path, runtime=runtime, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        await fleet.fleet.close()
        posted = await fleet.inbox.receive(
            source=Source.CLI, sender="owner", target="manager0", body="SAY[once]"
        )
        await fleet.fleet.close()

        async def wrote(tx):
            await inputs.attempt(
                tx, {posted.input.id: "e"}, batch_id="b-9", thread_id=thread.thread_id
            )

        await fleet.database.write(wrote)
        await fleet.fleet.start()
        await fleet.fleet.settled(seconds=5)
        if grace:
            async with asyncio.timeout(PATIENCE):
                await clock.until_sleeping()
            assert (await fleet.input(posted)).batch_id == "b-9"
            async with asyncio.timeout(PATIENCE):
                await clock.advance(reconcile.GRACE_SECONDS)
        assert (await fleet.reply_to(posted)).body == "once"
        assert (await fleet.input(posted)).attempts == 2


async def test_a_turn_that_died_while_it_was_interrupted_was_stopped_on_purpose(
    tmp_path, monkeypatch
):
    asked = asyncio.Event()

    async def deaf(_session, _turn_id):
        asked.set()
        await asyncio.Event().wait()

    async with crew(tmp_path) as fleet:
        running = await fleet.send("HANG")
        await fleet.reached(running, InputStatus.SEEN)
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "interrupt", deaf)
            async with asyncio.TaskGroup() as group:
                stopping = group.create_task(fleet.fleet.interrupt("manager0"))
                await asked.wait()
                fleet.runtime.kill()
                stopping.cancel()
        assert (await fleet.settled(running)).status is InputStatus.INTERRUPTED
        assert (await fleet.reply_to(await fleet.send("SAY[next]"))).body == "next"


async def test_an_interrupt_that_codex_was_never_told_leaves_a_crash_a_crash(tmp_path, monkeypatch):
    async def refused(_session, _turn_id):
        msg = "The connection was lost."
        raise interrupts.RuntimeFailure(msg)

    async with crew(tmp_path) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "interrupt", refused)
            with pytest.raises(interrupts.RuntimeFailure):
                await fleet.fleet.interrupt("manager0")
        fleet.runtime.kill()
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.reply_to(running)).body == "made"


@pytest.mark.parametrize("stopped", [True, False])
async def test_a_turn_that_began_when_netsky_had_left_is_no_crash_when_its_engine_was_stopped(
    tmp_path, monkeypatch, stopped
):
    """``netsky stop`` without a daemon ends it: no turn that it has not heard of is marked."""
    async with dying(tmp_path, monkeypatch, dispatch.Dispatcher, "_hand") as fleet:
        posted = await fleet.send("HANG")

    async def forget(tx):
        row = await inputs.require(tx, posted.input.id)
        await inputs.requeue(tx, [row.id], reason="as it was before it was heard of")
        await inputs.attempt(
            tx, {row.id: row.envelope}, batch_id=row.batch_id, thread_id=row.thread_id
        )
        await tx.execute_fetchall("DELETE FROM turns WHERE status = 'in_progress'")
        engine = Engine(
            id="engine-1",
            runtime=RuntimeName.APP_SERVER,
            state=EngineState.RUNNING,
            pid=1,
            pid_started=1.0,
            binary="codex",
            version="0.1",
            codex_home="",
            socket="",
            started_at=1,
        )
        await engines.insert(tx, engine)
        reason = turns.STOPPED if stopped else "it was killed"
        end = fleet.clock.now() + 60_000
        await engines.end(tx, engine.id, state=EngineState.ENDED, reason=reason, now=end)

    async with crew(tmp_path, starts=False) as fleet:
        await fleet.database.write(forget)
        await fleet.fleet.start()
        if stopped:
            row = await fleet.settled(posted)
            assert (row.status, row.attempts) == (InputStatus.INTERRUPTED, 2)
        else:

            async def recovers(tx):
                return await inputs.recoveries_of(tx, [posted.input.id])

            assert await fleet.until(recovers) == 1


async def recovery(tx):
    found = await inputs.open_for(tx, "manager0")
    return next((item for item in found if item.recovers), None)


async def test_a_thread_that_is_gone_while_a_recovery_waits_leaves_the_cut_work_to_that(tmp_path):
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        cut = await fleet.send("ASK[make] SAY[made]")
        await fleet.question()
        await fleet.pauses.pause(until=None)
        fleet.runtime.kill()
        await fleet.until(recovery)
    for file in (tmp_path / "scripted").iterdir():
        file.unlink()

    async def parked(tx):
        return (await actors.require(tx, "manager0")).status is ActorStatus.PARKED

    async with crew(tmp_path) as fleet:
        await fleet.until(parked)
        assert (await fleet.input(cut)).status is InputStatus.SEEN
        await fleet.pauses.unpause()
        await fleet.fleet.resume_actor("manager0")
        await fleet.decide(await fleet.question())
        assert (await fleet.reply_to(cut)).body == "made"


async def test_unreadable_history_leaves_to_a_waiting_recovery_what_it_answers_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "DOUBTS_AFTER", 1)

    async def unreadable(_session):
        msg = "its rollout is damaged"
        raise HistoryUnavailable(msg)

    async def doubted(_tx):
        return any("rollout is damaged" in str(line[2]) for line in fleet.lines)

    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        await fleet.pauses.pause(until=None)
        fleet.runtime.kill()
        await fleet.until(recovery)
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "history", unreadable)
            fleet.runtime.kill()
            await fleet.until(doubted)
            assert (await fleet.input(cut)).status is InputStatus.SEEN
        await fleet.pauses.unpause()
        await fleet.decide(await fleet.question(after=asked))
        assert (await fleet.reply_to(cut)).body == "made"


async def test_an_answered_recovery_answers_also_what_was_uncertain_meanwhile(tmp_path):
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        fleet.runtime.kill()
        again = await fleet.question(after=asked)

        async def doubts(tx):
            await inputs.settle(
                tx, [cut.input.id], InputStatus.UNCERTAIN, reason="nobody knows", now=1
            )

        await fleet.database.write(doubts)
        await fleet.decide(again)
        assert (await fleet.reached(cut, InputStatus.ANSWERED)).reply_id


async def test_what_a_recovery_answers_for_is_not_sent_besides_when_history_lost_it(
    tmp_path, monkeypatch
):
    history = Forgetful(monkeypatch)
    async with crew(tmp_path) as fleet:
        cut = await fleet.send("ASK[make] SAY[made]")
        first = await fleet.question()
        fleet.runtime.kill()
        second = await fleet.question(after=first)  # of the recovery
        history.turns.add(first.turn_id)
        fleet.runtime.kill()
        third = await fleet.question(after=second)
        row = await fleet.input(cut)
        assert (row.status, row.attempts) == (InputStatus.SEEN, 1)
        await fleet.decide(third)
        assert (await fleet.reply_to(cut)).body == "made"


async def test_a_recovery_that_failed_takes_no_doubt_away(tmp_path):
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        cut = await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        fleet.runtime.kill()
        again = await fleet.question(after=asked)
        seat = fleet.fleet._runners["manager0"].seat

        async def doubts_and_fails(tx):
            await inputs.settle(
                tx, [cut.input.id], InputStatus.UNCERTAIN, reason="nobody knows", now=1
            )
            turn = await turns.get(tx, again.thread_id, again.turn_id)
            failed = replace(turn, status=TurnStatus.FAILED, completed_at=2, error="overloaded")
            await settle_in(tx, seat, failed, (), now=2)
            return [i.status for i in await inputs.unsettled_for(tx, "manager0")]

        assert await fleet.database.write(doubts_and_fails) == [InputStatus.UNCERTAIN]


async def test_a_turn_that_is_younger_than_the_history_it_is_compared_with_is_not_sent_again(
    tmp_path, monkeypatch
):
    """It ends while history is compared: what history did not show yet was consumed."""
    real = ScriptedSession.history

    async def before_it_ends(session):
        found = [turn for turn in await real(session) if turn.status is not TurnStatus.IN_PROGRESS]
        await fleet.decide(asked)
        while session.active_turn:
            await settle()
        return found

    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        posted = await fleet.send("ASK[make] SAY[once]")
        asked = await fleet.question()
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "history", before_it_ends)
            async with asyncio.timeout(PATIENCE):
                await fleet.fleet.reconcile("manager0")
        assert (await fleet.reply_to(posted)).body == "once"
        assert (await told(fleet)).count(posted.input.id) == 1
        assert (await fleet.input(posted)).attempts == 1


async def test_what_a_killed_netsky_wrote_has_its_moment_also_when_history_takes_longer(
    tmp_path, monkeypatch
):
    clock = ManualClock()
    runtime = scripted(tmp_path)
    runtime.capabilities = replace(ScriptedRuntime.capabilities, survives_netsky=True)
    real, slow = ScriptedSession.history, asyncio.Event()

    async def takes_long(session):
        found = await real(session)
        await clock.advance(reconcile.GRACE_SECONDS)
        slow.set()
        return found

    async with crew(tmp_path, runtime=runtime, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        await fleet.fleet.close()
        posted = await fleet.send("SAY[once]")

        async def wrote(tx):
            await inputs.attempt(
                tx, {posted.input.id: "e"}, batch_id="b-9", thread_id=thread.thread_id
            )

        await fleet.database.write(wrote)
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "history", takes_long)
            patch.setattr(dispatch.Dispatcher, "dispatch", _rest)
            await fleet.fleet.start()
            await fleet.fleet.settled(seconds=5)
            assert slow.is_set()
            assert (await fleet.input(posted)).batch_id == "b-9"


async def _rest(_dispatcher):
    return None


@pytest.mark.parametrize("answers", [True, False])
async def test_a_turn_that_a_killed_netsky_had_wanted_to_stop_is_asked_again(
    tmp_path, monkeypatch, answers
):
    """Else a crash hours later would be taken for that stop."""
    asked = asyncio.Event()

    async def killed(_session, _turn_id):
        asked.set()
        await asyncio.Event().wait()

    async def refused(_session, _turn_id):
        msg = "The screen shows something else."
        raise ThreadBlocked(msg)

    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        with monkeypatch.context() as patch:
            patch.setattr(ScriptedSession, "interrupt", killed)
            stopping = asyncio.ensure_future(fleet.fleet.interrupt("manager0"))
            await asked.wait()
            stopping.cancel()
            await fleet.fleet.close()
        with monkeypatch.context() as patch:
            if not answers:
                patch.setattr(ScriptedSession, "interrupt", refused)
            await fleet.fleet.start()
            await fleet.fleet.settled(seconds=5)
        if answers:
            assert (await fleet.settled(running)).status is InputStatus.INTERRUPTED
        else:
            fleet.runtime.kill()
            await fleet.decide(await fleet.question(after=question))
            assert (await fleet.reply_to(running)).body == "made"
