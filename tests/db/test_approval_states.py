"""Every way an approval can go, row by row of the table in ``approval_ends`` and at random."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import actors, approval_ends, approvals, ledger
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import Conflict
from netsky_runtime.records import OWNER, Actor
from netsky_runtime.states import ActorKind, ActorStatus, ApprovalKind, ApprovalStatus

SEEN = {
    "asked": lambda tx, e: approvals.store(tx, **asked(e)),
    "answered elsewhere": lambda tx, e: approval_ends.resolved(tx, e, "1", now=3),
    "turn ended": lambda tx, e: over(tx, e, ApprovalStatus.RESOLVED_ELSEWHERE),
    "turn interrupted": lambda tx, e: over(tx, e, ApprovalStatus.CANCELLED),
    "turn cut": lambda tx, e: over(tx, e, ApprovalStatus.LOST),
    "process gone": lambda tx, e: approval_ends.lose_engine(tx, e, reason="gone", now=3),
    "process left": lambda tx, e: approval_ends.lose_place(tx, e, "worker1", reason="left", now=3),
    "thread gone": lambda tx, e: approval_ends.lose_thread(tx, f"th-{e}", reason="gone", now=3),
}
"""What can be seen of Codex, and what is recorded then."""
LOSSES = ("turn cut", "process gone", "process left", "thread gone")


def asked(engine_id: str) -> dict:
    return {
        "engine_id": engine_id,
        "request_id": "1",
        "thread_id": f"th-{engine_id}",
        "turn_id": "t",
        "item_id": "i",
        "actor_id": "worker1",
        "kind": ApprovalKind.COMMAND,
        "command": engine_id,
        "now": 1,
    }


def over(tx, engine_id: str, status: ApprovalStatus):
    return approval_ends.turn_over(
        tx, thread_id=f"th-{engine_id}", turn_id="t", status=status, now=3
    )


def model(state: str, event: str) -> str:
    """Return what an approval is after something was seen; the table in words of a test."""
    if event in {"decided", "decided twice"}:
        return "decided" if state == "waits" else state
    if event == "sent":
        return "sent" if state in {"decided", "unconfirmed"} else state
    if event == "came too late":
        return "resolved_elsewhere" if state in {"decided", "unconfirmed"} else state
    if state not in {"waits", "decided"}:
        return state
    if event in LOSSES:
        return "lost"
    if event == "turn ended":
        return "resolved_elsewhere" if state == "waits" else "unconfirmed"
    if event == "turn interrupted":
        return "cancelled" if state == "waits" else "unconfirmed"
    if event == "answered elsewhere":
        return "resolved_elsewhere" if state == "waits" else state
    return state


def state_of(row) -> str:
    if row.status is ApprovalStatus.PENDING:
        return "waits"
    if row.status is ApprovalStatus.ACCEPTED:
        return "sent" if row.sent_at else ("unconfirmed" if row.lost_reason else "decided")
    return row.status.value


async def apply(tx, event: str, engine_id: str, approval_id: str) -> None:
    match event:
        case "decided" | "decided twice":
            for _ in range(2 if event == "decided twice" else 1):
                with suppress(Conflict):
                    await approvals.decide(
                        tx, approval_id, status=ApprovalStatus.ACCEPTED, decided_by=OWNER, now=2
                    )
        case "sent":  # only what is decided is ever sent
            row = await approvals.require(tx, approval_id)
            if state_of(row) in {"decided", "unconfirmed"}:
                await approvals.sent(tx, approval_id, now=3)
        case "came too late":
            await approval_ends.taken_elsewhere(tx, approval_id, now=3)
        case _:
            await SEEN[event](tx, engine_id)


@pytest.mark.parametrize("event", [*SEEN, "decided", "sent", "came too late"])
@pytest.mark.parametrize("before", [[], ["decided"], ["decided", "sent"]])
async def test_every_row_of_the_table_holds(making, before, event):
    async def body(tx):
        await approvals.store(tx, **asked("e"))
        state = "waits"
        for each in (*before, event):
            await apply(tx, each, "e", "a1")
            state = model(state, each)
        return state

    expected = await making.write(body)
    row = await making.read(lambda tx: approvals.require(tx, "a1"))
    assert state_of(row) == expected
    assert bool(row.lost_reason) == (expected in {"lost", "unconfirmed"})


@pytest.mark.parametrize("event", [each for each in SEEN if each != "asked"])
@pytest.mark.parametrize("decided", [False, True])
async def test_what_becomes_of_a_question_leaves_its_like_elsewhere_alone(making, event, decided):
    """Of another process, of another thread and of another actor, under the same ids."""

    async def body(tx):
        for engine_id, actor_id in (("e", "worker1"), ("f", "manager0")):
            one, _ = await approvals.store(tx, **{**asked(engine_id), "actor_id": actor_id})
            if decided:
                await apply(tx, "decided", engine_id, one.id)
        before = await approvals.require(tx, "a2")
        await apply(tx, event, "e", "a1")
        return before, await approvals.require(tx, "a2")

    before, after = await making.write(body)
    assert after == before


EVENTS = st.lists(
    st.sampled_from([*SEEN, "decided", "decided twice", "sent", "came too late"]), max_size=8
)


def test_no_order_of_events_leaves_the_table_or_the_ledger_behind(tmp_path):
    """Each change has one entry, the chain stays whole, and what Codex has heard is never lost."""
    numbers = count(1)
    with asyncio.Runner() as runner:
        database = runner.run(
            Database.open(tmp_path / "m.db", backups=tmp_path / "b", clock=SystemClock())
        )
        runner.run(database.write(lambda tx: actors.insert(tx, worker())))

        async def play(events: list[str]) -> None:
            engine_id = f"e{next(numbers)}"

            async def body(tx):
                approval, _ = await approvals.store(tx, **asked(engine_id))
                state, changes = "waits", 0
                for event in events:
                    await apply(tx, event, engine_id, approval.id)
                    after = model(state, event)
                    changes += after not in {state, "sent"}
                    state = after
                    row = await approvals.require(tx, approval.id)
                    assert state_of(row) == state, (events, event)
                    assert row.sent_at is None or state == "sent"
                assert len(await ledger.of(tx, approval.id)) == changes

            await database.write(body)

        @given(EVENTS)
        @settings(max_examples=150, deadline=None)
        def at_random(events: list[str]) -> None:
            runner.run(play(events))

        try:
            at_random()
            assert runner.run(database.read(ledger.verify)) is None
        finally:
            runner.run(database.close())


def worker() -> Actor:
    return Actor(
        id="worker1",
        kind=ActorKind.WORKER,
        status=ActorStatus.ACTIVE,
        created_at=1,
        updated_at=1,
    )


@pytest.mark.parametrize("event", ["turn ended", "turn interrupted", "turn cut", "process left"])
async def test_what_codex_asks_again_after_it_was_given_up_waits_again(making, event):
    async def body(tx):
        await approvals.store(tx, **asked("e"))
        await apply(tx, event, "e", "a1")
        await approvals.reopen(tx, "a1", why="Codex asks it again", now=4)
        return await approvals.require(tx, "a1")

    row = await making.write(body)
    assert (row.status, row.lost_reason, row.decided_at) == (ApprovalStatus.PENDING, "", None)


async def test_what_codex_has_heard_cannot_be_made_to_wait_again(making):
    async def body(tx):
        await approvals.store(tx, **asked("e"))
        for event in ("decided", "sent"):
            await apply(tx, event, "e", "a1")
        await approvals.reopen(tx, "a1", why="no", now=4)
        return await approvals.require(tx, "a1")

    assert (await making.write(body)).status is ApprovalStatus.ACCEPTED


async def test_a_decision_that_was_on_its_way_when_its_process_went_stays_lost(making):
    async def body(tx):
        await approvals.store(tx, **asked("e"))
        for event in ("decided", "process gone"):
            await apply(tx, event, "e", "a1")
        await approvals.sent(tx, "a1", now=4)  # whoever sent it notes so only now
        row = await approvals.require(tx, "a1")
        await approvals.reopen(tx, "a1", why="Codex asks it again", now=5)
        return row, await approvals.require(tx, "a1")

    row, reopened = await making.write(body)
    assert (row.status, row.sent_at, row.lost_reason) == (ApprovalStatus.LOST, None, "gone")
    assert reopened.status is ApprovalStatus.PENDING


async def lose(making, engine_id: str, **fields) -> str:
    async def body(tx):
        approval, _ = await approvals.store(tx, **{**asked(engine_id), "command": "make", **fields})
        await approval_ends.lose_engine(tx, engine_id, reason="its process is gone", now=2)
        return approval.id

    return await making.write(body)


async def again(making, engine_id: str, **fields):
    known = {**asked(engine_id), "command": "make", **fields}
    approval, _ = await making.write(lambda tx: approvals.store(tx, **known))
    return approval


async def test_the_same_question_from_the_same_actor_is_the_successor_of_a_lost_one(making):
    lost = await lose(making, "e1")
    assert [a.id for a in await making.read(lambda tx: approvals.lost(tx, limit=9))] == [lost]
    assert (await again(making, "e2", command="make install")).repeats_id == ""
    assert (await again(making, "e3", actor_id="manager0")).repeats_id == ""
    first = await again(making, "e4")
    assert first.repeats_id == lost
    assert (await again(making, "e5")).repeats_id == ""  # one successor
    row = await making.read(lambda tx: approvals.require(tx, lost))
    assert row.successor_id == first.id
    assert await making.read(lambda tx: approvals.lost(tx, limit=9)) == ()


async def test_a_question_that_was_asked_for_needs_only_the_kind_and_the_command(making):
    lost = await lose(making, "e1", kind=ApprovalKind.FILE_CHANGE, command="", patch="+a")
    row = await making.read(lambda tx: approvals.require(tx, lost))
    other = {"kind": ApprovalKind.FILE_CHANGE, "command": "", "patch": "+b"}
    assert (await again(making, "e2", **other)).repeats_id == ""
    await making.write(lambda tx: approvals.asked_again(tx, row, "i-1", by=OWNER, now=3))
    assert await making.read(lambda tx: approvals.lost(tx, limit=9)) == ()
    assert (await again(making, "e3", **other)).repeats_id == lost


async def test_the_lost_ones_of_a_stopped_actor_are_out_of_view(making):
    await lose(making, "e1")
    await making.write(
        lambda tx: actors.set_status(tx, "worker1", ActorStatus.STOPPED, reason="", now=3)
    )
    assert await making.read(lambda tx: approvals.lost(tx, limit=9)) == ()


async def test_a_decision_says_what_was_seen_and_never_the_words_of_an_answer(making):
    shown = {
        "command": "make",
        "cwd": "/w",
        "reason": "why",
        "patch": "+a",
        "questions": ({"id": "q", "question": "pw?", "isSecret": True},),
        "available_decisions": ("accept", "decline"),
    }
    await making.write(lambda tx: approvals.store(tx, **{**asked("e"), **shown}))
    await making.write(
        lambda tx: approvals.decide(
            tx,
            "a1",
            status=ApprovalStatus.ANSWERED,
            answer={"q": "hunter2"},
            decided_by=OWNER,
            now=7,
        )
    )
    (entry,) = await making.read(lambda tx: ledger.of(tx, "a1"))
    seen = entry.entry["seen"]
    assert (entry.at, entry.entry["by"], entry.entry["decision"]) == (7, OWNER, "answered")
    assert entry.entry["answered"] == ["q"]
    assert "hunter2" not in str(entry.entry)
    assert (seen["command"], seen["cwd"], seen["reason"]) == ("make", "/w", "why")
    assert seen["offered"] == ["accept", "decline"]
    assert len(seen["patch_sha256"]) == 64
