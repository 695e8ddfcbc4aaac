"""Sessions that change doors, are blocked, or learn their thread's name late."""

from __future__ import annotations

import pytest

from netsky_runtime.db import approval_ends, approvals, inputs, sessions, turns
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import Turn
from netsky_runtime.states import (
    ApprovalKind,
    ApprovalStatus,
    InputStatus,
    RuntimeName,
    SessionState,
    ToolsDoor,
    TurnStatus,
)
from tests.db.making import actor, session


async def current(making):
    return await making.read(lambda tx: sessions.current(tx, "worker1"))


async def bound(making):
    await making.session(session("s-1", "worker1", token="secret"))
    await making.write(
        lambda tx: sessions.bind_thread(
            tx, "s-1", thread_id="th", engine_id="e", tools_door=ToolsDoor.DYNAMIC, now=3
        )
    )
    await making.write(lambda tx: sessions.set_state(tx, "s-1", SessionState.LIVE))


async def test_a_session_at_another_door_keeps_its_thread_tools_and_token(making):
    await bound(making)
    await making.write(lambda tx: sessions.set_differences(tx, "s-1", "another model"))
    await making.write(lambda tx: sessions.set_blocked(tx, "s-1", "a dialog", now=5))
    await making.write(lambda tx: sessions.set_runtime(tx, "s-1", RuntimeName.RESIDENT))
    row = await current(making)
    assert (row.runtime, row.state) == (RuntimeName.RESIDENT, SessionState.STARTING)
    assert (row.thread_id, row.tools_door, row.token) == ("th", ToolsDoor.DYNAMIC, "secret")
    assert (row.engine_id, row.differences, row.blocked, row.blocked_at) == ("", "", "", None)
    await making.write(
        lambda tx: sessions.set_runtime(tx, "s-1", RuntimeName.SCRIPTED, engine_id="e-7")
    )
    assert (await current(making)).engine_id == "e-7"


@pytest.mark.parametrize("over", [False, True])
async def test_a_thread_of_another_actor_is_given_to_no_session(making, over):
    await bound(making)
    if over:
        await making.write(lambda tx: sessions.end(tx, "s-1", reason="stopped", now=4))
    await making.actor(actor("worker2"))
    await making.session(session("s-2", "worker2"))

    def bind(thread_id):
        return making.write(
            lambda tx: sessions.bind_thread(
                tx, "s-2", thread_id=thread_id, engine_id="e", tools_door=ToolsDoor.MCP, now=5
            )
        )

    with pytest.raises(Conflict, match="The thread th is worker1's"):
        await bind("th")
    row = await making.read(lambda tx: sessions.require(tx, "s-2"))
    assert row.thread_id == ""
    await bind("th-2")
    await bind("th-2")
    assert (await making.read(lambda tx: sessions.require(tx, "s-2"))).thread_id == "th-2"


async def test_an_actor_goes_on_with_its_own_thread_in_another_session(making):
    await bound(making)
    await making.write(lambda tx: sessions.end(tx, "s-1", reason="stopped", now=4))
    await making.session(session("s-2", "worker1"))
    await making.write(
        lambda tx: sessions.bind_thread(
            tx, "s-2", thread_id="th", engine_id="e", tools_door=ToolsDoor.MCP, now=5
        )
    )
    assert (await current(making)).thread_id == "th"


async def test_a_session_is_blocked_since_it_first_was(making):
    await bound(making)
    for now, reason, since in ((5, "a dialog", 5), (7, "another", 5), (8, "", None), (9, "x", 9)):
        await making.write(
            lambda tx, reason=reason, now=now: sessions.set_blocked(tx, "s-1", reason, now=now)
        )
        row = await current(making)
        assert (row.blocked, row.blocked_at) == (reason, since)


async def test_a_session_that_forgets_its_thread_forgets_how_it_had_its_tools(making):
    await bound(making)
    await making.write(lambda tx: sessions.unbind_thread(tx, "s-1"))
    row = await current(making)
    assert (row.thread_id, row.tools_door) == ("", ToolsDoor.NONE)


async def test_nothing_changes_in_a_session_that_is_over(making):
    await bound(making)
    await making.write(lambda tx: sessions.end(tx, "s-1", reason="over", now=4))
    for change in (
        lambda tx: sessions.set_runtime(tx, "s-1", RuntimeName.RESIDENT),
        lambda tx: sessions.set_blocked(tx, "s-1", "a dialog", now=5),
        lambda tx: sessions.set_differences(tx, "s-1", "another model"),
        lambda tx: sessions.set_token(tx, "s-1", "new"),
    ):
        with pytest.raises(NotFound, match="or it is over"):
            await making.write(change)
    ended = await making.read(lambda tx: sessions.require(tx, "s-1"))
    assert (ended.runtime, ended.token) == (RuntimeName.SCRIPTED, "secret")
    with pytest.raises(NotFound):
        await making.read(lambda tx: sessions.require(tx, "s-9"))


async def test_a_name_goes_to_what_was_sent_before_it_was_known_and_to_nothing_else(making):
    sent, waits, other, settled = [await making.input(target="worker1") for _ in range(4)]
    await making.write(lambda tx: inputs.attempt(tx, {sent: "x"}, batch_id="b-1", thread_id=""))
    await making.write(lambda tx: inputs.attempt(tx, {other: "x"}, batch_id="b-2", thread_id="o"))
    await making.write(lambda tx: inputs.attempt(tx, {settled: "x"}, batch_id="b-3", thread_id=""))
    await making.write(
        lambda tx: inputs.settle(tx, [settled], InputStatus.UNCERTAIN, reason="lost", now=4)
    )
    await making.write(lambda tx: inputs.name_thread(tx, "worker1", "th"))
    found = await making.read(lambda tx: inputs.by_ids(tx, [sent, waits, other, settled]))
    assert [item.thread_id for item in found] == ["th", "", "o", ""]


async def test_what_rests_may_go_at_once_when_it_is_roused(making):
    resting = await making.input(target="worker1")
    others = await making.input(target="manager0")
    for input_id in (resting, others):
        await making.write(
            lambda tx, input_id=input_id: inputs.requeue(
                tx, [input_id], reason="blocked", not_before=900
            )
        )
    await making.write(lambda tx: inputs.rouse(tx, "worker1"))
    ready = await making.read(lambda tx: inputs.waiting(tx, "worker1", 1))
    assert [item.id for item in ready] == [resting]
    assert not await making.read(lambda tx: inputs.waiting(tx, "manager0", 1))


async def test_running_turns_that_nobody_knows_any_more_are_cut(making):
    for turn_id, status in (
        ("known", TurnStatus.IN_PROGRESS),
        ("unknown", TurnStatus.IN_PROGRESS),
        ("over", TurnStatus.COMPLETED),
    ):
        turn = Turn(thread_id="th", id=turn_id, actor_id="worker1", status=status, started_at=1)
        await making.write(lambda tx, turn=turn: turns.start(tx, turn))
    cut = await making.write(lambda tx: turns.cut(tx, "th", known={"known"}, reason="gone"))
    assert cut == ("unknown",)
    row = await making.read(lambda tx: turns.get(tx, "th", "unknown"))
    assert (row.status, row.completed_at, row.error) == (TurnStatus.INTERRUPTED, None, "gone")
    assert [t.id for t in await making.read(turns.running)] == ["known"]


async def test_only_the_questions_of_who_has_left_an_engine_are_lost(making):
    for number, actor_id in enumerate(("worker1", "manager0")):
        await making.write(
            lambda tx, number=number, actor_id=actor_id: approvals.store(
                tx,
                engine_id="e",
                request_id=str(number),
                thread_id=f"th-{actor_id}",
                turn_id="t",
                item_id="i",
                actor_id=actor_id,
                kind=ApprovalKind.COMMAND,
                now=1,
            )
        )
    await making.write(
        lambda tx: approval_ends.lose_place(tx, "e", "worker1", reason="it left", now=2)
    )
    found = await making.read(approvals.list_)
    assert [(a.actor_id, a.status) for a in found] == [
        ("worker1", ApprovalStatus.LOST),
        ("manager0", ApprovalStatus.PENDING),
    ]
