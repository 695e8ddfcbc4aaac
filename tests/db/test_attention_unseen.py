"""What hangs where nobody looks waits for the owner: turns after a stop, tasks at rest."""

from __future__ import annotations

import pytest

from netsky_runtime.attention.items import Urgency
from netsky_runtime.db import actors, sessions, tasks, turns
from netsky_runtime.records import MANAGER0, OWNER, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    AttentionKind,
    InputStatus,
    MessageKind,
    TaskStatus,
    TurnStatus,
)
from tests.db.making import actor, session
from tests.db.test_attention import keys, settle, waits
from tests.support.unseen import run_on, stall

STALLED = ["stalled:t1"]


async def turn(making, turn_id: str, status: TurnStatus, *, started_at: int, ended_at: int) -> None:
    async def body(tx) -> None:
        row = Turn(
            thread_id="th",
            id=turn_id,
            actor_id="worker9",
            status=TurnStatus.IN_PROGRESS,
            started_at=started_at,
        )
        await turns.start(tx, row)
        if status is not TurnStatus.IN_PROGRESS:
            await turns.complete(tx, "th", turn_id, status=status, completed_at=ended_at)

    await making.write(body)


async def test_a_task_that_nobody_is_at_waits_until_its_worker_is_told_to_go_on(making):
    await making.write(lambda tx: stall(tx, now=5))
    (item,) = await waits(making)
    assert (item.key, item.kind, item.ref) == ("stalled:t1", AttentionKind.STALLED, "t1")
    assert (item.actor, item.since, item.urgency) == ("worker9", 5, Urgency.SOON)
    assert item.about.text == "t1 Count"
    assert item.about.detail.startswith("worker9 has it in progress, but no turn of it runs")
    go_on, cancel = item.about.actions
    assert (go_on.method, go_on.types, go_on.sure) == ("send", "", "")
    assert (cancel.method, dict(cancel.params)) == ("tasks.cancel", {"id": "t1"})
    assert cancel.sure
    await making.post(**go_on.params)
    assert await keys(making) == []


async def test_it_waits_since_its_workers_last_turn(making):
    await making.write(lambda tx: stall(tx, now=5))
    await turn(making, "t-1", TurnStatus.COMPLETED, started_at=10, ended_at=20)
    await turn(making, "t-2", TurnStatus.INTERRUPTED, started_at=30, ended_at=40)
    (item,) = await waits(making)
    assert item.since == 40
    await turn(making, "t-3", TurnStatus.IN_PROGRESS, started_at=50, ended_at=0)
    assert await keys(making) == []


async def test_a_task_waits_no_more_once_it_is_over(making):
    await making.write(lambda tx: stall(tx, now=5))
    assert await keys(making) == STALLED
    await making.write(lambda tx: tasks.set_status(tx, "t1", TaskStatus.CANCELLED, now=6))
    assert await keys(making) == []


@pytest.mark.parametrize("status", [InputStatus.QUEUED, InputStatus.HANDED, InputStatus.SEEN])
async def test_a_task_whose_worker_has_something_to_read_does_not_wait(making, status):
    await making.write(lambda tx: stall(tx, now=5))
    found = await making.input(target="worker9")
    way = {
        InputStatus.QUEUED: (),
        InputStatus.HANDED: (InputStatus.HANDED,),
        InputStatus.SEEN: (InputStatus.HANDED, InputStatus.SEEN),
    }[status]
    await settle(making, found, *way)
    assert await keys(making) == []
    await settle(making, found, InputStatus.INTERRUPTED if way else InputStatus.CANCELLED)
    assert await keys(making) == STALLED


async def test_what_is_uncertain_is_what_the_owner_has_to_decide_first(making):
    await making.write(lambda tx: stall(tx, now=5))
    found = await making.input(target="worker9")
    await settle(making, found, InputStatus.UNCERTAIN, reason="no history")
    assert await keys(making) == [f"uncertain:{found}"]
    await settle(making, found, InputStatus.CANCELLED)
    assert await keys(making) == STALLED


@pytest.mark.parametrize("status", [ActorStatus.PARKED, ActorStatus.STOPPED])
async def test_the_task_of_a_worker_that_is_not_at_work_is_no_second_item(making, status):
    await making.write(lambda tx: stall(tx, now=5))
    await making.write(lambda tx: actors.set_status(tx, "worker9", status, reason="x", now=6))
    assert STALLED[0] not in await keys(making)


async def test_a_task_is_with_its_manager_while_that_has_something_about_it_to_read(making):
    await making.write(lambda tx: stall(tx, now=5))
    told = {"sender": "worker9", "kind": MessageKind.REPORT, "task_id": "t1"}
    found = await making.input(**told, target=MANAGER0)
    assert await keys(making) == []
    await settle(making, found, InputStatus.HANDED, InputStatus.SEEN, InputStatus.ANSWERED)
    assert await keys(making) == STALLED


async def test_a_task_is_with_whoever_was_asked_until_that_has_come_to_an_end(making):
    await making.write(lambda tx: stall(tx, now=5))
    asked = {"kind": MessageKind.QUESTION, "body": "Which?"}
    found = await making.input(**asked, sender="worker9", target=MANAGER0)
    assert await keys(making) == []
    to_owner = await making.post(**asked, sender=MANAGER0, target=OWNER)
    await settle(making, found, InputStatus.HANDED, InputStatus.SEEN, InputStatus.ANSWERED)
    question = f"question:{to_owner.message.id}"
    assert await keys(making) == [question]
    answer = await making.input(in_reply_to=to_owner.message.id, target=MANAGER0)
    assert await keys(making) == []
    await settle(making, answer, InputStatus.HANDED, InputStatus.SEEN)
    assert await keys(making) == []
    await settle(making, answer, InputStatus.ANSWERED)
    assert await keys(making) == STALLED


async def test_a_task_waits_for_the_owners_answer_to_whom_its_manager_has_asked(making):
    await making.actor(actor("manager3", ActorKind.MANAGER, manager_id=MANAGER0))
    await making.write(lambda tx: stall(tx, now=5, manager="manager3"))
    assert await keys(making) == STALLED
    asked = await making.post(
        kind=MessageKind.QUESTION, body="Which?", sender=MANAGER0, target=OWNER
    )
    assert await keys(making) == [f"question:{asked.message.id}"]


@pytest.mark.parametrize("end", [InputStatus.INTERRUPTED, InputStatus.FAILED])
async def test_a_question_in_a_turn_that_came_to_nothing_is_with_nobody(making, end):
    await making.write(lambda tx: stall(tx, now=5))
    found = await making.input(
        kind=MessageKind.QUESTION, body="Which?", sender="worker9", target=MANAGER0
    )
    await settle(making, found, InputStatus.HANDED, InputStatus.SEEN, end)
    assert await keys(making) == STALLED


async def test_a_turn_after_its_stop_waits_once_it_could_not_be_reached_until_it_is_over(making):
    await making.write(lambda tx: run_on(tx, now=7))
    assert await keys(making) == []  # most end at once
    await making.write(lambda tx: sessions.unreached(tx, "s-8", now=9))
    (item,) = await waits(making)
    assert (item.key, item.kind) == ("runs_on:th-8", AttentionKind.RUNS_ON)
    assert (item.actor, item.since, item.urgency) == ("worker8", 7, Urgency.SOON)
    assert item.about.text.startswith("a turn may work on at app_server")
    assert "worker8 was stopped" in item.about.detail
    (stop,) = item.about.actions
    assert (stop.method, dict(stop.params)) == ("stop", {})
    assert stop.sure
    await making.write(lambda tx: turns.cut(tx, "th-8", known=(), reason="gone"))
    assert await keys(making) == []


async def test_a_turn_that_may_have_begun_when_its_actor_was_stopped_waits_likewise(making):
    await making.write(lambda tx: run_on(tx, now=7))
    await making.write(lambda tx: turns.cut(tx, "th-8", known=(), reason="gone"))
    await making.write(lambda tx: sessions.unreached(tx, "s-8", now=9))
    assert await keys(making) == []
    await making.write(lambda tx: actors.set_status(tx, "worker8", ActorStatus.ACTIVE, now=9))
    found = await making.input(target="worker8")

    async def sent(tx) -> None:
        await actors.set_status(tx, "worker8", ActorStatus.STOPPED, now=10)
        statement = "UPDATE actor_inputs SET thread_id = 'th-8' WHERE id = ?"
        await tx.execute_fetchall(statement, (found,))

    await making.write(sent)
    await settle(making, found, InputStatus.UNCERTAIN, reason=sessions.STOPPED)
    assert set(await keys(making)) == {"runs_on:th-8", f"uncertain:{found}"}


async def test_a_turn_on_a_thread_that_somebody_goes_on_with_does_not_wait(making):
    await making.write(lambda tx: run_on(tx, now=7))
    await making.write(lambda tx: sessions.unreached(tx, "s-8", now=9))
    assert await keys(making) == ["runs_on:th-8"]
    await making.session(session("s-9", "worker8", thread_id="th-8", token="t-9", started_at=8))
    assert await keys(making) == []
