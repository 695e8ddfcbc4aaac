"""Actors at work on the scripted runtime: what an operator relies on, end to end below the door."""

import asyncio

import pytest

from netsky_runtime.db import actors, approvals, inputs, messages, sessions, tasks, turns
from netsky_runtime.errors import Conflict
from netsky_runtime.records import OWNER
from netsky_runtime.states import (
    ActorStatus,
    ApprovalStatus,
    DecisionWord,
    DeliveryStatus,
    InputMode,
    InputStatus,
    MessageKind,
    Source,
    TaskStatus,
    TurnStatus,
)
from tests.support.crew import crew
from tests.support.patience import PATIENCE


async def consumed_ids(crew_, actor_id="manager0"):
    """Every input id in the thread's history, in order, as often as it stands there."""
    session = await crew_.database.read(lambda tx: sessions.current(tx, actor_id))
    history = await crew_.fleet.session_of(actor_id).history()
    return [
        input_id
        for turn in history
        for item in turn.items
        if item.type == "user_message"
        for input_id in crew_.kit.envelopes.input_ids_in(item.text, tag=session.tag)
    ]


async def test_a_message_is_answered_and_its_receipt_is_confirmed(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("SAY[ready]")
        reply = await fleet.reply_to(posted)
        assert (reply.sender, reply.target, reply.body) == ("manager0", "owner", "ready")
        assert reply.in_reply_to == posted.message.id
        (delivery,) = await fleet.database.read(
            lambda tx: messages.deliveries_of(tx, posted.message.id)
        )
        assert delivery.status is DeliveryStatus.CONFIRMED


async def test_messages_sent_at_once_are_answered_one_turn_each_in_order(tmp_path):
    async with crew(tmp_path) as fleet:
        sent = [await fleet.send(f"SAY[answer {n}]") for n in range(5)]
        replies = [await fleet.reply_to(posted) for posted in sent]
        assert [reply.body for reply in replies] == [f"answer {n}" for n in range(5)]
        assert await consumed_ids(fleet) == [posted.input.id for posted in sent]


async def test_the_thread_is_the_same_after_a_restart_and_queued_messages_are_sent(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[first]"))
        thread_id = fleet.fleet.session_of("manager0").thread_id
        await fleet.fleet.close()
        queued = await fleet.inbox.receive(
            source=Source.CLI, sender="owner", target="manager0", body="SAY[second]"
        )
    async with crew(tmp_path) as fleet:
        reply = await fleet.reply_to(queued)
        assert reply.body == "second"
        assert fleet.fleet.session_of("manager0").thread_id == thread_id


async def test_a_steering_message_joins_the_running_turn(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("ASK[make] SAY[built]")
        await fleet.reached(running, InputStatus.SEEN)
        steered = await fleet.send("SAY[and polished]", mode=InputMode.STEER)
        await fleet.reached(steered, InputStatus.HANDED)
        (question,) = await fleet.until(
            lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
        )
        await fleet.desk.decide(question.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
        await fleet.reply_to(running)
        first, second = await fleet.settled(running), await fleet.settled(steered)
        assert first.turn_id == second.turn_id


async def test_a_steering_message_to_an_idle_actor_is_a_turn_of_its_own(tmp_path):
    async with crew(tmp_path) as fleet:
        reply = await fleet.reply_to(await fleet.send("SAY[hello]", mode=InputMode.STEER))
        assert reply.body == "hello"


async def test_a_steered_message_that_vanished_with_its_turn_is_sent_again(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("ASK[hold]")
        await fleet.until(lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING]))
        steered = await fleet.send("SAY[after all]", mode=InputMode.STEER)
        await fleet.reached(steered, InputStatus.HANDED)
        await fleet.fleet.interrupt("manager0")
        assert (await fleet.reply_to(steered)).body == "after all"
        assert (await fleet.settled(running)).status is InputStatus.INTERRUPTED
        assert (await consumed_ids(fleet)).count(steered.input.id) == 1


async def test_interrupt_and_send_stops_the_turn_and_goes_before_what_waits(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("HANG")
        await fleet.reached(running, InputStatus.SEEN)
        waiting = await fleet.send("SAY[patient]")
        urgent = await fleet.send("SAY[urgent]", mode=InputMode.INTERRUPT)
        assert (await fleet.reply_to(urgent)).body == "urgent"
        assert (await fleet.reply_to(waiting)).body == "patient"
        assert (await fleet.settled(running)).status is InputStatus.INTERRUPTED
        order = await consumed_ids(fleet)
        assert order.index(urgent.input.id) < order.index(waiting.input.id)


async def test_nothing_continues_by_itself_after_a_turn_was_stopped_on_purpose(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("HANG")
        await fleet.reached(running, InputStatus.SEEN)
        await fleet.fleet.interrupt("manager0")
        await fleet.settled(running)
    async with crew(tmp_path) as fleet:
        reply = await fleet.reply_to(await fleet.send("SAY[fresh]"))
        assert reply.body == "fresh"
        history = await fleet.fleet.session_of("manager0").history()
        assert len(history) == 2


async def test_interrupting_an_idle_actor_is_refused(tmp_path):
    async with crew(tmp_path) as fleet:
        with pytest.raises(Conflict, match="no running turn"):
            await fleet.fleet.interrupt("manager0")


async def test_a_failed_turn_fails_its_input_and_tells_the_sender(tmp_path):
    async with crew(tmp_path) as fleet:
        row = await fleet.settled(await fleet.send("FAIL"))
        assert row.status is InputStatus.FAILED
        told = await fleet.database.read(lambda tx: messages.require(tx, row.reply_id))
        assert told.target == "owner"
        assert "failed" in told.body


async def test_an_input_that_codex_rejects_is_cancelled_with_the_reason(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        row = await fleet.settled(await fleet.send("ERR[reject]"))
        assert row.status is InputStatus.CANCELLED
        assert "refused" in row.reason
        told = await fleet.database.read(lambda tx: messages.require(tx, row.reply_id))
        assert (told.target, told.metadata["answers"]) == (OWNER, [row.id])
        assert (await fleet.reply_to(await fleet.send("SAY[next]"))).body == "next"


async def test_an_input_that_codex_cannot_take_now_stays_queued_and_is_sent_once(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        posted = await fleet.send("ERR[unavailable] SAY[in the end]")
        assert (await fleet.reply_to(posted)).body == "in the end"
        assert (await consumed_ids(fleet)).count(posted.input.id) == 1


@pytest.mark.parametrize("how", ["lost", "lost-consumed"])
async def test_a_lost_answer_is_looked_up_in_history_and_nothing_is_sent_twice(tmp_path, how):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        posted = await fleet.send(f"ERR[{how}] SAY[once]")
        assert (await fleet.reply_to(posted)).body == "once"
        assert (await consumed_ids(fleet)).count(posted.input.id) == 1


async def test_a_turn_that_a_crash_cut_gets_one_recovery_that_answers_its_input(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("DIE")
        row = await fleet.settled(posted)
        assert row.status is InputStatus.ANSWERED
        told = await fleet.database.read(lambda tx: inputs.recoveries_of(tx, [row.id]))
        assert told == 1
        history = await fleet.fleet.session_of("manager0").history()
        assert [turn.status for turn in history] == [
            TurnStatus.INTERRUPTED,
            TurnStatus.COMPLETED,
        ]


async def test_a_worker_started_by_a_tool_reports_and_its_manager_answers_the_owner(tmp_path):
    start = 'TOOL[start_worker {"title": "Greet", "body": "SAY[hello from the worker]"}]ENDTOOL'
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send(start))
        (task,) = await fleet.until(lambda tx: tasks.list_(tx, statuses=[TaskStatus.REPORTED]))
        assert task.owner_id == "worker1"

        async def answered(tx):
            found = [m for _, m in await messages.recent(tx, limit=50)]
            reports = [m for m in found if m.kind is MessageKind.REPORT]
            to_owner = [m for m in found if m.kind is MessageKind.REPLY]
            return (reports, to_owner) if len(to_owner) == 2 else None

        reports, _ = await fleet.until(answered)
        assert [(m.sender, m.target, m.body) for m in reports] == [
            ("worker1", "manager0", "hello from the worker")
        ]


async def test_ten_reports_cause_no_turn_more_than_expected(tmp_path):
    """Ten workers report while manager0 is held: one turn for all ten, and then silence."""
    tools = " ".join(
        f'TOOL[start_worker {{"title": "T{n}", "body": "SAY[done {n}]"}}]ENDTOOL' for n in range(4)
    )
    async with crew(tmp_path) as fleet:
        busy = await fleet.send(f"{tools} ASK[hold]")
        await fleet.until(
            lambda tx: _all_reported(tx, 4),
        )
        (question,) = await fleet.database.read(
            lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
        )
        await fleet.desk.decide(question.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
        await fleet.reply_to(busy)
        await fleet.until(lambda tx: _nothing_open(tx, ["manager0", "worker1"]))
        known = await fleet.database.read(lambda tx: turns.list_for_actor(tx, "manager0", limit=50))
        assert len(known) == 2
        for n in range(1, 5):
            own = await fleet.database.read(
                lambda tx, n=n: turns.list_for_actor(tx, f"worker{n}", limit=50)
            )
            assert len(own) == 1


async def _all_reported(tx, count):
    found = await tasks.list_(tx, statuses=[TaskStatus.REPORTED])
    return len(found) == count


async def _nothing_open(tx, actor_ids):
    for actor_id in actor_ids:
        if await inputs.open_for(tx, actor_id):
            return False
    return True


async def test_an_approval_is_stored_before_it_can_be_seen_and_decided_once(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("ASK[rm -rf build] SAY[gone]")
        (question,) = await fleet.until(
            lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
        )
        assert "rm -rf build" in question.command
        await fleet.desk.decide(question.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
        with pytest.raises(Conflict):
            await fleet.desk.decide(
                question.id, DecisionWord.DECLINE, answer=None, decided_by="owner"
            )
        assert "gone" in (await fleet.reply_to(posted)).body


async def test_a_pending_approval_of_a_dead_engine_is_lost_and_its_turn_recovers(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("ASK[make]")
        await fleet.until(lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING]))
    async with crew(tmp_path) as fleet:
        (lost,) = await fleet.until(lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.LOST]))
        assert lost.turn_id
        # The recovery quotes the order, so the question comes again, from the new engine.
        (again,) = await fleet.until(
            lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
        )
        await fleet.desk.decide(again.id, DecisionWord.ACCEPT, answer=None, decided_by="owner")
        assert (await fleet.settled(posted)).status is InputStatus.ANSWERED


async def test_a_stopped_actor_gets_nothing_and_a_resumed_one_goes_on(tmp_path):
    async with crew(tmp_path) as fleet:
        start = 'TOOL[start_worker {"title": "T", "body": "SAY[one]"}]ENDTOOL'
        await fleet.reply_to(await fleet.send(start))
        await fleet.until(lambda tx: _all_reported(tx, 1))
        await fleet.fleet.stop_actor("worker1")
        stopped = await fleet.database.read(lambda tx: actors.require(tx, "worker1"))
        assert stopped.status is ActorStatus.STOPPED
        with pytest.raises(Conflict):
            await fleet.send("SAY[x]", to="worker1")
        await fleet.fleet.resume_actor("worker1")
        assert (await fleet.reply_to(await fleet.send("SAY[back]", to="worker1"))).body == "back"


async def test_live_text_comes_only_for_the_actor_that_is_watched(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        await fleet.fleet.watch(frozenset({"manager0"}))
        seen = asyncio.Event()
        fleet.live.on_change(lambda _actor: seen.set())
        await fleet.reply_to(await fleet.send("FLOOD50"))
        async with asyncio.timeout(PATIENCE):
            await seen.wait()
        assert fleet.live.snapshot("manager0")["items"] == []


async def test_a_task_past_the_limit_begins_when_a_worker_has_reported(tmp_path):
    """Four places (see crew), five workers: the fifth starts by itself after a report."""
    tools = " ".join(
        f'TOOL[start_worker {{"title": "T{n}", "body": "SAY[done {n}]"}}]ENDTOOL' for n in range(5)
    )
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send(tools))
        await fleet.until(lambda tx: _all_reported(tx, 5))
