"""The accounts find what was lost and what is there twice."""

from __future__ import annotations

from collections import Counter

import pytest

from netsky_runtime.db import approvals, inputs, tasks, turns
from netsky_runtime.invariants.histories import Heard
from netsky_runtime.records import OWNER, Turn
from netsky_runtime.states import (
    ApprovalKind,
    ApprovalStatus,
    InputStatus,
    MessageKind,
    TaskStatus,
    TurnStatus,
)
from netsky_runtime.torture.accounts import Accounts


@pytest.fixture
async def accounts(making):
    """One accepted input that was answered."""
    accounts = Accounts()
    accounts.sent[await settled(making, "SAY[n1]")] = "n1"
    return accounts


def heard(*stand, ran=None, unread=()):
    """What threads have heard: these inputs, once each."""
    return Heard(inputs={"th": Counter(stand)}, ran=ran or {}, unread=dict.fromkeys(unread, "gone"))


async def settled_up(making, accounts, *, of=None, deeds=None):
    """Compare with rows and histories; without ``of`` all that was sent was heard."""
    histories = heard(*accounts.sent) if of is None else of
    return await making.read(lambda tx: accounts.balance(tx, histories, deeds=deeds))


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
            command="bash -lc 'mktemp n7.XXXXXX'",
            now=1,
        )
        if word is not None:
            await approvals.decide(tx, row.id, status=word, decided_by=OWNER, now=1)
        return row.id

    return await making.write(body)


async def test_what_was_accepted_and_answered_balances(making, accounts):
    balance = await settled_up(making, accounts)
    assert (balance.lost, balance.doubled, balance.uncertain) == ([], [], 0)


async def test_an_accepted_input_without_a_row_is_lost(making, accounts):
    accounts.sent["i-gone"] = "n2"
    assert len((await settled_up(making, accounts)).lost) == 1


async def test_an_input_that_is_open_in_the_end_is_lost(making, accounts):
    accounts.sent[await making.input(body="SAY[n2]")] = "n2"
    assert len((await settled_up(making, accounts)).lost) == 1


async def test_an_input_with_other_words_is_lost(making, accounts):
    accounts.sent[await settled(making, "SAY[else]")] = "n2"
    assert len((await settled_up(making, accounts)).lost) == 1


@pytest.mark.parametrize(("words", "lost"), [("heard n1", 0), ("heard n2", 1)])
async def test_an_answer_to_something_else_is_a_lost_answer(making, accounts, words, lost):
    (input_id,) = accounts.sent
    await reply(making, input_id, words)
    assert len((await settled_up(making, accounts)).lost) == lost


async def test_an_answered_input_that_stands_in_no_history_is_lost(making, accounts):
    assert len((await settled_up(making, accounts, of=heard())).lost) == 1


async def test_one_that_a_recovery_told_of_stands_where_that_does(making, accounts):
    (input_id,) = accounts.sent
    told = await making.post(kind=MessageKind.RECOVERY, body="go on", recovers=(input_id,))
    await making.write(lambda tx: inputs.settle(tx, [told.input.id], InputStatus.CANCELLED, now=1))
    assert (await settled_up(making, accounts, of=heard(told.input.id))).lost == []


async def test_a_cancelled_input_that_a_thread_has_heard_is_called_so_wrongly(making, accounts):
    input_id = await making.input(body="SAY[n2]")
    accounts.sent[input_id] = "n2"
    await making.write(
        lambda tx: inputs.settle(tx, [input_id], InputStatus.CANCELLED, reason="late", now=1)
    )
    assert len((await settled_up(making, accounts)).lost) == 1
    (answered, _) = accounts.sent
    assert (await settled_up(making, accounts, of=heard(answered))).lost == []


async def test_what_became_of_accepted_inputs_is_counted(making, accounts):
    assert (await settled_up(making, accounts)).ends == {"answered": 1}


async def test_a_task_that_was_handed_over_twice_is_doubled(making, accounts):
    task = await making.write(lambda tx: tasks.insert(tx, title="one", now=1))
    for _ in range(2):
        await making.post(
            sender="manager0", target=OWNER, kind=MessageKind.TASK, task_id=task.id, body="go"
        )
    assert len((await settled_up(making, accounts)).doubled) == 1


async def test_an_uncertain_input_is_told(making, accounts):
    input_id = await making.input(body="SAY[n2]")
    accounts.sent[input_id] = "n2"
    await making.write(lambda tx: inputs.settle(tx, [input_id], InputStatus.UNCERTAIN, now=1))
    balance = await settled_up(making, accounts)
    assert (balance.lost, balance.uncertain) == ([], 1)


async def test_words_that_are_stored_twice_are_doubled(making, accounts):
    await settled(making, "SAY[n1]")
    assert len((await settled_up(making, accounts)).doubled) == 1


async def test_words_that_nobody_answered_for_may_be_stored_once(making, accounts):
    accounts.unanswered |= {"n2", "n3"}
    await settled(making, "SAY[n2]")
    assert (await settled_up(making, accounts)).doubled == []


async def test_words_that_were_refused_and_are_stored_are_doubled(making, accounts):
    accounts.refused.add("n2")
    await settled(making, "SAY[n2]")
    assert len((await settled_up(making, accounts)).doubled) == 1


async def test_a_task_that_was_accepted_and_is_not_there_is_lost(making, accounts):
    accounts.tasks.add("t9")
    assert len((await settled_up(making, accounts)).lost) == 1


async def test_a_decision_that_became_another_is_lost_silently(making, accounts):
    accounts.decided[await ask(making, ApprovalStatus.DECLINED)] = ApprovalStatus.ACCEPTED
    assert len((await settled_up(making, accounts)).approvals_lost) == 1


async def test_an_approval_that_is_pending_in_the_end_is_lost_silently(making, accounts):
    await ask(making)
    assert len((await settled_up(making, accounts)).approvals_lost) == 1


async def test_a_decision_that_somebody_else_is_said_to_have_made_is_lost(making, accounts):
    accounts.decided[await ask(making, ApprovalStatus.ACCEPTED)] = ApprovalStatus.ACCEPTED
    await making.write(
        lambda tx: tx.execute("UPDATE approvals SET status = 'resolved_elsewhere', decided_by = ''")
    )
    assert len((await settled_up(making, accounts)).approvals_lost) == 1


async def end_turn(making, status):
    async def body(tx):
        turn = Turn(
            thread_id="th", id="t", actor_id="worker1", status=TurnStatus.IN_PROGRESS, started_at=1
        )
        await turns.start(tx, turn)
        await turns.complete(tx, "th", "t", status=status, completed_at=2, error="", final_text="")

    await making.write(body)


@pytest.mark.parametrize(
    ("word", "ran", "status", "lost"),
    [
        (ApprovalStatus.ACCEPTED, True, TurnStatus.COMPLETED, 0),
        (ApprovalStatus.DECLINED, False, TurnStatus.COMPLETED, 0),
        (ApprovalStatus.ACCEPTED, False, TurnStatus.COMPLETED, 1),
        (ApprovalStatus.DECLINED, True, TurnStatus.COMPLETED, 1),
        (ApprovalStatus.ACCEPTED, None, TurnStatus.COMPLETED, 1),
        (ApprovalStatus.ACCEPTED, None, TurnStatus.INTERRUPTED, 0),
    ],
)
async def test_a_decision_that_its_thread_did_not_follow_is_lost(
    making, accounts, word, ran, status, lost
):
    accounts.decided[await ask(making, word)] = word
    await end_turn(making, status)
    of = heard(*accounts.sent, ran={} if ran is None else {("th", "i"): ran})
    assert len((await settled_up(making, accounts, of=of)).approvals_lost) == lost


@pytest.mark.parametrize(
    ("word", "status", "deeds", "wrong"),
    [
        (ApprovalStatus.ACCEPTED, TurnStatus.COMPLETED, ["n7.a"], 0),
        (ApprovalStatus.ACCEPTED, TurnStatus.COMPLETED, [], 1),
        (ApprovalStatus.ACCEPTED, TurnStatus.COMPLETED, ["n7.a", "n7.b"], 1),
        (ApprovalStatus.ACCEPTED, TurnStatus.INTERRUPTED, [], 0),
        (ApprovalStatus.ACCEPTED, TurnStatus.INTERRUPTED, ["n7.a", "n7.b"], 1),
        (ApprovalStatus.DECLINED, TurnStatus.COMPLETED, ["n7.a"], 1),
        (ApprovalStatus.DECLINED, TurnStatus.COMPLETED, ["n9.a"], 1),
    ],
)
async def test_a_command_runs_as_often_as_it_was_accepted(
    making, accounts, word, status, deeds, wrong
):
    await ask(making, word)
    await end_turn(making, status)
    assert len((await settled_up(making, accounts, deeds=deeds)).approvals_lost) == wrong


async def test_one_that_is_visibly_lost_is_not(making, accounts):
    approval_id = await ask(making, ApprovalStatus.ACCEPTED)
    accounts.decided[approval_id] = ApprovalStatus.ACCEPTED
    await making.write(lambda tx: tx.execute("UPDATE approvals SET status = 'lost'"))
    assert (await settled_up(making, accounts)).approvals_lost == []


async def test_a_task_that_began_before_what_it_needs_was_done_is_told(making, accounts):
    async def body(tx):
        first = await tasks.insert(tx, title="first", now=1)
        second = await tasks.insert(tx, title="second", now=1)
        await tasks.add_dependency(tx, second.id, first.id, now=1)
        return first, second

    first, second = await making.write(body)
    await settled(making, "work")
    await making.post(target="worker1", kind=MessageKind.TASK, task_id=second.id, body="begin")

    async def done(tx):
        await tasks.set_status(tx, first.id, TaskStatus.DONE, now=making.clock.now() + 1)

    await making.write(done)
    assert (await settled_up(making, accounts)).early == [f"{second.id} before {first.id}"]
