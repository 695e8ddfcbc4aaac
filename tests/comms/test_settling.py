"""Turns that end: inputs settled, replies and reports written, and no turn more than expected."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.comms.replies import NO_WORDS
from netsky_runtime.db import inputs
from netsky_runtime.errors import Conflict
from netsky_runtime.records import MANAGER0, MAX_BODY_BYTES, OWNER
from netsky_runtime.states import (
    ActorStatus,
    InputStatus,
    MessageKind,
    MessageStatus,
    TaskStatus,
    TurnStatus,
)
from tests.support.society import Society, Turning, society

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[Society]:
    async with society(tmp_path) as made:
        await made.hire("manager1", MANAGER0)
        await made.hire("worker1", "manager1")
        await made.hire("worker2", MANAGER0)
        yield made


async def begun(people: Society, actor_id: str) -> Turning:
    turning = await people.take(actor_id)
    assert turning is not None
    return turning


async def test_the_owner_gets_a_reply_to_what_the_owner_wrote(people: Society) -> None:
    posted = await people.post(OWNER, "worker1")
    woken = await people.end(await begun(people, "worker1"), "here you are")
    [reply] = await people.to(OWNER)
    row = await people.input(posted)
    assert woken == frozenset()
    assert (reply.kind, reply.body, reply.sender) == (MessageKind.REPLY, "here you are", "worker1")
    assert reply.in_reply_to == posted.message.id
    assert reply.metadata["source"] == "cli"
    assert (row.status, row.reply_id) == (InputStatus.ANSWERED, reply.id)


async def test_a_workers_report_goes_to_its_manager_and_its_task_waits_for_a_verdict(
    people: Society,
) -> None:
    task = await people.give("worker1", "manager1")
    woken = await people.end(await begun(people, "worker1"), "painted")
    [report] = await people.to("manager1")
    assert woken == {"manager1"}
    assert (report.kind, report.body, report.task_id) == (MessageKind.REPORT, "painted", task.id)
    assert report.metadata["status"] == "completed"
    assert (await people.task(task.id)).status is TaskStatus.REPORTED


async def test_a_reply_to_the_owner_leaves_the_workers_task_in_progress(people: Society) -> None:
    task = await people.give("worker1", "manager1")
    first = await begun(people, "worker1")
    await people.post(OWNER, "worker1", "how far?")
    await people.end(first, "painted")
    assert (await people.task(task.id)).status is TaskStatus.REPORTED
    again = await people.give("worker2", MANAGER0)
    await people.end(await begun(people, "worker1"), "all done")
    assert [message.body for message in await people.to(OWNER)] == ["all done"]
    assert (await people.task(again.id)).status is TaskStatus.IN_PROGRESS


async def test_a_managers_words_climb_to_its_parent_and_end_at_the_owner(people: Society) -> None:
    await people.post("worker1", "manager1", kind=MessageKind.REPORT)
    assert await people.end(await begun(people, "manager1"), "lane half done") == {MANAGER0}
    assert await people.end(await begun(people, MANAGER0), "half done") == frozenset()
    [told] = await people.to(OWNER)
    assert (told.kind, told.body) == (MessageKind.REPLY, "half done")
    assert await people.open_inputs() == 0


async def test_inputs_of_one_turn_share_one_reply(people: Society) -> None:
    posted = [await people.post(f"worker{n}", MANAGER0, kind=MessageKind.REPORT) for n in (1, 2, 2)]
    await people.end(await begun(people, MANAGER0), "all three read")
    [reply] = await people.to(OWNER)
    rows = [await people.input(each) for each in posted]
    assert {row.reply_id for row in rows} == {reply.id}
    assert {row.status for row in rows} == {InputStatus.ANSWERED}
    assert reply.metadata["answers"] == [row.id for row in rows]


async def test_a_steered_question_of_the_owner_gets_its_own_words(people: Society) -> None:
    await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    turning.say("painted the front")
    asked = await people.post(OWNER, "worker1", "which colour?")
    await people.steer(turning)
    await people.end(turning, "green")
    [reply] = await people.to(OWNER)
    [report] = await people.to("manager1")
    assert (reply.body, report.body) == ("green", "painted the front")
    assert (await people.input(asked)).reply_id == reply.id


async def test_a_turn_makes_one_report_however_many_inputs_its_manager_steered_in(
    people: Society,
) -> None:
    await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    turning.say("painted the front")
    await people.post("manager1", "worker1", "and the back")
    await people.steer(turning)
    await people.end(turning, "painted the back")
    [report] = await people.to("manager1")
    assert report.body == "painted the front\n\npainted the back"


async def test_a_turn_without_words_says_so(people: Society) -> None:
    await people.post(OWNER, MANAGER0)
    await people.end(await begun(people, MANAGER0))
    assert [message.body for message in await people.to(OWNER)] == [NO_WORDS]


async def test_words_longer_than_a_message_are_cut_with_a_note(people: Society) -> None:
    await people.post(OWNER, MANAGER0)
    await people.end(await begun(people, MANAGER0), "ü" * MAX_BODY_BYTES)
    [reply] = await people.to(OWNER)
    assert MAX_BODY_BYTES - 3 <= len(reply.body.encode()) <= MAX_BODY_BYTES
    assert reply.body.endswith("in the events of this turn]")


async def test_a_failed_turn_is_told_to_whoever_waited_for_its_words(people: Society) -> None:
    task = await people.give("worker1", "manager1")
    asked = await people.post(OWNER, MANAGER0)
    for actor_id in ("worker1", MANAGER0):
        turning = await begun(people, actor_id)
        await people.end(turning, "half a", status=TurnStatus.FAILED, error="model overloaded")
    [report] = await people.to("manager1")
    [reply] = await people.to(OWNER)
    assert report.body == reply.body == "The turn failed: model overloaded"
    assert report.metadata["status"] == reply.metadata["status"] == "failed"
    row = await people.input(asked)
    assert (row.status, row.reason, row.reply_id) == (
        InputStatus.FAILED,
        "model overloaded",
        reply.id,
    )
    assert (await people.task(task.id)).status is TaskStatus.REPORTED


async def test_a_turn_stopped_on_purpose_tells_nobody_anything(people: Society) -> None:
    task = await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    before = len(await people.all_messages())
    woken = await people.end(turning, "half", status=TurnStatus.INTERRUPTED)
    assert woken == frozenset()
    assert len(await people.all_messages()) == before
    assert (await people.task(task.id)).status is TaskStatus.IN_PROGRESS
    assert await people.open_inputs() == 0


async def test_a_turn_that_has_not_ended_cannot_be_settled(people: Society) -> None:
    await people.post(OWNER, MANAGER0)
    turning = await begun(people, MANAGER0)
    with pytest.raises(Conflict):
        await people.end(turning, "words", status=TurnStatus.IN_PROGRESS)
    assert await people.to(OWNER) == []


async def test_a_worker_that_was_taken_over_reports_only_when_nothing_more_waits_for_it(
    people: Society,
) -> None:
    task = await people.give("worker1", "manager1")
    await people.end(await begun(people, "worker1"), status=TurnStatus.INTERRUPTED)
    await people.post(OWNER, "worker1", "blue")
    await people.post("manager1", "worker1", "go on")
    assert await people.end(await begun(people, "worker1"), "blue it is") == frozenset()
    assert (await people.task(task.id)).status is TaskStatus.IN_PROGRESS
    assert await people.end(await begun(people, "worker1"), "painted") == {"manager1"}
    assert [message.body for message in await people.to("manager1")] == ["painted"]


async def test_what_a_crash_has_cut_is_not_settled_as_stopped_on_purpose(people: Society) -> None:
    posted = await people.post(OWNER, MANAGER0)
    turning = await begun(people, MANAGER0)
    cut = replace(turning.turn, status=TurnStatus.INTERRUPTED, completed_at=None)
    with pytest.raises(Conflict):
        await people.settle(turning, cut)
    assert (await people.input(posted)).status is InputStatus.SEEN


async def test_a_turn_that_netsky_did_not_cause_is_only_recorded(people: Society) -> None:
    await people.post(OWNER, MANAGER0)
    turning = await begun(people, MANAGER0)
    turning.inputs.clear()
    assert await people.end(turning, "typed by a human in Codex") == frozenset()
    assert await people.to(OWNER) == []


@pytest.mark.parametrize("status", [ActorStatus.PARKED, ActorStatus.STOPPED])
async def test_a_report_climbs_past_managers_that_do_not_work(
    people: Society, status: ActorStatus
) -> None:
    await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    await people.set_status("manager1", status)
    assert await people.end(turning, "painted") == {MANAGER0}
    [report] = await people.to(MANAGER0)
    assert (report.kind, report.metadata["instead_of"]) == (MessageKind.REPORT, "manager1")


async def test_a_report_reaches_the_owner_when_nobody_above_works(people: Society) -> None:
    await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    await people.set_status("manager1", ActorStatus.STOPPED)
    await people.set_status(MANAGER0, ActorStatus.PARKED)
    assert await people.end(turning, "painted") == frozenset()
    [report] = await people.to(OWNER)
    assert (report.kind, report.body, report.read_at) == (MessageKind.REPORT, "painted", None)


async def test_the_end_of_a_turn_that_asked_is_no_report(people: Society) -> None:
    task = await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    asked = await people.post(
        "worker1", "manager1", "red or green?", kind=MessageKind.QUESTION, turn=turning.turn
    )
    assert await people.end(turning, "I have asked") == frozenset()
    assert [m.kind for m in await people.to("manager1")] == [MessageKind.QUESTION]
    assert (await people.task(task.id)).status is TaskStatus.IN_PROGRESS
    [row] = turning.inputs
    settled = await people.database.read(lambda tx: inputs.require(tx, row.id))
    assert (settled.status, settled.reply_id) == (InputStatus.ANSWERED, asked.message.id)


async def test_a_turn_that_failed_after_it_had_asked_is_told_all_the_same(people: Society) -> None:
    task = await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    await people.post(
        "worker1", "manager1", "red or green?", kind=MessageKind.QUESTION, turn=turning.turn
    )
    woken = await people.end(turning, "half a", status=TurnStatus.FAILED, error="overloaded")
    assert woken == {"manager1"}
    [_, report] = await people.to("manager1")
    assert (report.kind, report.body) == (MessageKind.REPORT, "The turn failed: overloaded")
    assert (await people.task(task.id)).status is TaskStatus.REPORTED


async def test_a_question_whose_answer_was_read_early_still_keeps_its_turn_from_reporting(
    people: Society,
) -> None:
    await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    asked = await people.post(
        "worker1", "manager1", "red or green?", kind=MessageKind.QUESTION, turn=turning.turn
    )
    await people.end(await begun(people, "manager1"), "told it green")  # settles the question
    [message] = [m for m in await people.to("manager1") if m.id == asked.message.id]
    assert message.status is MessageStatus.ANSWERED
    assert await people.end(turning, "I have asked") == frozenset()


async def test_a_question_answered_within_its_turn_lets_the_turn_report(people: Society) -> None:
    await people.give("worker1", "manager1")
    turning = await begun(people, "worker1")
    await people.post(
        "worker1", "manager1", "red or green?", kind=MessageKind.QUESTION, turn=turning.turn
    )
    await people.post("manager1", "worker1", "green")
    await people.steer(turning)
    assert await people.end(turning, "painted it green") == {"manager1"}


async def test_a_question_of_another_turn_silences_nothing(people: Society) -> None:
    await people.give("worker1", "manager1")
    first = await begun(people, "worker1")
    await people.post("worker1", "manager1", "?", kind=MessageKind.QUESTION, turn=first.turn)
    await people.end(first, "I have asked")
    await people.post(MANAGER0, "worker1", "never mind the colour")  # answers nobody's question
    assert await people.end(await begun(people, "worker1"), "painted") == {"manager1"}


async def test_manager0_that_asks_answers_the_owner_with_its_words_or_with_the_question(
    people: Society,
) -> None:
    for words in ("I started two and need your word", None):
        posted = await people.post(OWNER, MANAGER0)
        turning = await begun(people, MANAGER0)
        asked = await people.post(
            MANAGER0, OWNER, "go on?", kind=MessageKind.QUESTION, turn=turning.turn
        )
        await people.end(turning, words)
        row = await people.input(posted)
        assert row.status is InputStatus.ANSWERED
        last = (await people.to(OWNER))[-1]
        assert row.reply_id == last.id
        assert last.body == (words or "go on?")
        assert (last.id == asked.message.id) is (words is None)


@pytest.mark.parametrize("busy", [False, True], ids=["one by one", "while manager0 is busy"])
async def test_ten_reports_cause_exactly_as_many_turns_as_expected(
    people: Society, busy: bool
) -> None:
    workers = ["worker2", "worker3", "worker4"]
    for worker_id in workers[1:]:
        await people.hire(worker_id, MANAGER0)
    for worker_id in workers:
        await people.give(worker_id, MANAGER0)
    held = None
    if busy:
        await people.post(OWNER, MANAGER0, "something long")
        held = await begun(people, MANAGER0)
    for number in range(10):
        worker_id = workers[number % 3]
        if number >= 3:  # its manager sends it on: only such a message talks downward
            await people.post(MANAGER0, worker_id, "go on")
        assert await people.end(await begun(people, worker_id), f"report {number}") == {MANAGER0}
        if not busy:
            await people.end(await begun(people, MANAGER0), f"read {number}")
    if held is not None:
        await people.end(held, "the long thing")
        merged = await begun(people, MANAGER0)
        assert len(merged.inputs) == 10
        await people.end(merged, "read all ten")
    everyone = [MANAGER0, "manager1", "worker1", *workers]
    assert [await people.take(actor_id) for actor_id in everyone] == [None] * len(everyone)
    assert people.turns == (10 + 2 if busy else 10 + 10)
    assert len(await people.to(OWNER)) == (2 if busy else 10)
    assert await people.open_inputs() == 0
