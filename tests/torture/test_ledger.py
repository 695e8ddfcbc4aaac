"""The ledger finds what was lost and what is there twice."""

from __future__ import annotations

import pytest

from netsky_runtime.db import approvals, inputs, tasks
from netsky_runtime.records import OWNER
from netsky_runtime.states import (
    ApprovalKind,
    ApprovalStatus,
    InputStatus,
    MessageKind,
    TaskStatus,
)
from netsky_runtime.torture.ledger import Ledger


@pytest.fixture
async def ledger(making):
    """One accepted input that was answered."""
    ledger = Ledger()
    ledger.sent[await settled(making, "SAY[n1]")] = "n1"
    return ledger


async def settled(making, body):
    input_id = await making.input(body=body)

    async def answer(tx):
        await inputs.attempt(tx, {input_id: body}, batch_id="b", thread_id="th")
        await inputs.see(tx, [input_id], thread_id="th", turn_id="t", now=1)
        await inputs.settle(tx, [input_id], InputStatus.ANSWERED, now=1)

    await making.write(answer)
    return input_id


async def reply(making, input_id, words):
    posted = await making.post(sender="manager0", target=OWNER, kind=MessageKind.REPLY, body=words)

    async def body(tx):
        await tx.execute(
            "UPDATE actor_inputs SET reply_id = ? WHERE id = ?", (posted.message.id, input_id)
        )

    await making.write(body)


async def ask(making, word=None):
    async def body(tx):
        row, _ = await approvals.store(
            tx,
            engine_id="e",
            request_id="r",
            thread_id="th",
            turn_id="t",
            item_id="i",
            actor_id="worker1",
            kind=ApprovalKind.COMMAND,
            now=1,
        )
        if word is not None:
            await approvals.decide(tx, row.id, status=word, decided_by=OWNER, now=1)
        return row.id

    return await making.write(body)


async def test_what_was_accepted_and_answered_balances(making, ledger):
    balance = await making.read(ledger.balance)
    assert (balance.lost, balance.doubled, balance.uncertain) == ([], [], 0)


async def test_an_accepted_input_without_a_row_is_lost(making, ledger):
    ledger.sent["i-gone"] = "n2"
    assert len((await making.read(ledger.balance)).lost) == 1


async def test_an_input_that_is_open_in_the_end_is_lost(making, ledger):
    ledger.sent[await making.input(body="SAY[n2]")] = "n2"
    assert len((await making.read(ledger.balance)).lost) == 1


async def test_an_input_with_other_words_is_lost(making, ledger):
    ledger.sent[await settled(making, "SAY[else]")] = "n2"
    assert len((await making.read(ledger.balance)).lost) == 1


@pytest.mark.parametrize(("words", "lost"), [("heard n1", 0), ("heard n2", 1)])
async def test_an_answer_to_something_else_is_a_lost_answer(making, ledger, words, lost):
    (input_id,) = ledger.sent
    await reply(making, input_id, words)
    assert len((await making.read(ledger.balance)).lost) == lost


async def test_a_task_that_was_handed_over_twice_is_doubled(making, ledger):
    task = await making.write(lambda tx: tasks.insert(tx, title="one", now=1))
    for _ in range(2):
        await making.post(
            sender="manager0", target=OWNER, kind=MessageKind.TASK, task_id=task.id, body="go"
        )
    assert len((await making.read(ledger.balance)).doubled) == 1


async def test_an_uncertain_input_is_told(making, ledger):
    input_id = await making.input(body="SAY[n2]")
    ledger.sent[input_id] = "n2"
    await making.write(lambda tx: inputs.settle(tx, [input_id], InputStatus.UNCERTAIN, now=1))
    balance = await making.read(ledger.balance)
    assert (balance.lost, balance.uncertain) == ([], 1)


async def test_words_that_are_stored_twice_are_doubled(making, ledger):
    await settled(making, "SAY[n1]")
    assert len((await making.read(ledger.balance)).doubled) == 1


async def test_words_that_nobody_answered_for_may_be_stored_once(making, ledger):
    ledger.unanswered |= {"n2", "n3"}
    await settled(making, "SAY[n2]")
    assert (await making.read(ledger.balance)).doubled == []


async def test_words_that_were_refused_and_are_stored_are_doubled(making, ledger):
    ledger.refused.add("n2")
    await settled(making, "SAY[n2]")
    assert len((await making.read(ledger.balance)).doubled) == 1


async def test_a_task_that_was_accepted_and_is_not_there_is_lost(making, ledger):
    ledger.tasks.add("t9")
    assert len((await making.read(ledger.balance)).lost) == 1


async def test_a_decision_that_became_another_is_lost_silently(making, ledger):
    ledger.decided[await ask(making, ApprovalStatus.DECLINED)] = ApprovalStatus.ACCEPTED
    assert len((await making.read(ledger.balance)).approvals_lost) == 1


async def test_an_approval_that_is_pending_in_the_end_is_lost_silently(making, ledger):
    await ask(making)
    assert len((await making.read(ledger.balance)).approvals_lost) == 1


async def test_one_that_is_visibly_lost_is_not(making, ledger):
    approval_id = await ask(making, ApprovalStatus.ACCEPTED)
    ledger.decided[approval_id] = ApprovalStatus.ACCEPTED
    await making.write(lambda tx: tx.execute("UPDATE approvals SET status = 'lost'"))
    assert (await making.read(ledger.balance)).approvals_lost == []


async def test_a_task_that_began_before_what_it_needs_was_done_is_told(making, ledger):
    async def body(tx):
        first = await tasks.insert(tx, title="first", now=1)
        second = await tasks.insert(tx, title="second", now=1)
        await tasks.add_dependency(tx, second.id, first.id)
        return first, second

    first, second = await making.write(body)
    await settled(making, "work")
    await making.post(target="worker1", kind=MessageKind.TASK, task_id=second.id, body="begin")

    async def done(tx):
        await tasks.set_status(tx, first.id, TaskStatus.DONE, now=making.clock.now() + 1)

    await making.write(done)
    assert (await making.read(ledger.balance)).early == [f"{second.id} before {first.id}"]
