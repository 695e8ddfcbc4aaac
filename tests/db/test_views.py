"""What the room draws, and that drawing it does not read whole tables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from netsky_runtime.db import (
    approvals,
    attention,
    counts,
    events,
    inputs,
    messages,
    rows,
    sessions,
    tasks,
    turns,
    usage,
    views,
)
from netsky_runtime.db.connection import Tx
from netsky_runtime.records import MANAGER0, OWNER, Turn
from netsky_runtime.states import (
    ApprovalKind,
    ApprovalStatus,
    AttentionKind,
    InputStatus,
    MessageKind,
    Priority,
    TaskStatus,
    ToolsDoor,
    TurnStatus,
)
from tests.db.making import actor, session


async def ask(making, request_id: str, now: int) -> None:
    await making.write(
        lambda tx: approvals.store(
            tx,
            engine_id="e",
            request_id=request_id,
            thread_id="th",
            turn_id="t",
            item_id="i",
            actor_id="worker1",
            kind=ApprovalKind.COMMAND,
            now=now,
        )
    )


async def busy_worker(making) -> None:
    await making.session(session("s-1", "worker1"))
    await making.write(
        lambda tx: sessions.bind_thread(
            tx, "s-1", thread_id="th", engine_id="e", tools_door=ToolsDoor.DYNAMIC, now=2
        )
    )
    for thread_id, started in (("th", 5), ("foreign", 9)):
        running = Turn(
            thread_id=thread_id,
            id="t",
            actor_id="worker1",
            status=TurnStatus.IN_PROGRESS,
            started_at=started,
        )
        await making.write(lambda tx, running=running: turns.start(tx, running))
    for request_id, now in (("1", 30), ("2", 20)):
        await ask(making, request_id, now)
    await making.post(target="worker1")
    doubtful = await making.input(target="worker1")
    await making.write(lambda tx: inputs.settle(tx, [doubtful], InputStatus.UNCERTAIN, now=1))
    await making.post(sender="worker1", target=MANAGER0, kind=MessageKind.QUESTION)
    facts = [("th", "t", str(n), "usage", "worker1", 40 + n, "{}") for n in range(3)]
    await making.write(lambda tx: events.upsert_many(tx, facts))


async def test_an_actor_is_shown_with_all_its_health_is_derived_from(making):
    await busy_worker(making)
    found = {view.actor.id: view for view in await making.read(views.actor_views)}
    assert list(found) == sorted(found)
    busy = found["worker1"]
    assert (busy.session.id, busy.turn.thread_id) == ("s-1", "th")
    assert (busy.open_inputs, busy.uncertain) == (1, 1)
    assert (busy.pending_approvals, busy.pending_since) == (2, 20)
    assert (busy.question_since, busy.last_event_at) == (making.clock.now(), 42)
    assert busy.last_turn is TurnStatus.IN_PROGRESS
    idle = found[OWNER]
    assert (idle.session, idle.turn, idle.open_inputs, idle.uncertain) == (None, None, 0, 0)
    assert (idle.pending_approvals, idle.pending_since) == (0, None)
    assert (idle.question_since, idle.last_event_at) == (None, None)
    assert idle.last_turn is None
    assert await making.read(lambda tx: views.actor_view(tx, "worker1")) == busy
    assert await making.read(lambda tx: views.actor_view(tx, "ghost")) is None


async def test_actors_are_paged(making):
    for number in range(2, 6):
        await making.actor(actor(f"worker{number}", created_at=number // 2))
    everyone = [view.actor.id for view in await making.read(views.actor_views)]
    paged, last = [], None
    while page := await making.read(
        lambda tx, last=last: views.actor_views(tx, limit=2, after=last)
    ):
        paged += [view.actor.id for view in page]
        last = page[-1].actor
    assert paged == everyone


async def test_open_tasks_are_paged_urgent_first_and_closed_ones_last_closed_first(making):
    for number in range(12):
        priority = Priority.P0 if number % 3 == 0 else Priority.P2
        await making.write(lambda tx, p=priority: tasks.insert(tx, title="x", priority=p, now=1))
    for number, closed in ((2, 50), (11, 40), (3, 50)):
        await making.write(
            lambda tx, n=number, c=closed: tasks.set_status(tx, f"t{n}", TaskStatus.DONE, now=c)
        )
    await making.write(lambda tx: tasks.add_dependency(tx, "t12", "t9", now=1))
    await making.write(lambda tx: tasks.add_dependency(tx, "t12", "t2", now=1))

    async def pages(view) -> list[views.TaskView]:
        found, last = [], None
        while page := await making.read(lambda tx, last=last: view(tx, limit=2, after=last)):
            found += page
            last = page[-1].task
        return found

    waiting = await pages(views.open_tasks)
    shown = [view.task.id for view in waiting]
    assert shown == ["t1", "t4", "t7", "t10", "t5", "t6", "t8", "t9", "t12"]
    assert waiting[-1].task.depends_on == ("t2", "t9")
    assert waiting[-1].unmet == ("t9",)
    assert [view.task.id for view in await pages(views.closed_tasks)] == ["t3", "t2", "t11"]


async def test_counts_are_right(making):
    await busy_worker(making)
    await making.write(lambda tx: tasks.insert(tx, title="x", now=1))
    assert await making.read(lambda tx: counts.status_counts(tx, now=9)) == counts.Counts(
        actors=2,
        tasks=1,
        messages=3,
        inputs_pending=2,
        approvals_pending=2,
        screens_blocked=0,
        waiting={AttentionKind.APPROVAL: 2, AttentionKind.UNCERTAIN: 1},
        turns_running=2,
    )
    await making.write(
        lambda tx: approvals.decide(
            tx, "a1", status=ApprovalStatus.DECLINED, decided_by=OWNER, now=1
        )
    )
    session = await making.read(lambda tx: sessions.current(tx, "worker1"))
    await making.write(lambda tx: sessions.set_blocked(tx, session.id, "A dialog.", now=1))
    after = await making.read(lambda tx: counts.status_counts(tx, now=9))
    assert (after.approvals_pending, after.screens_blocked) == (1, 1)
    await making.write(lambda tx: sessions.end(tx, session.id, reason="over", now=1))
    assert (await making.read(lambda tx: counts.status_counts(tx, now=9))).screens_blocked == 0


SMALL = (
    # Partial indexes that hold only what is open; walking one costs what there is to show.
    "messages_questions",
    "messages_unread",
    "approvals_pending",
    "turns_running",
    "sessions_current",
    "actor_inputs_open",
    "actor_inputs_uncertain",
    "actor_inputs_not_taken",
    "actors_live",
    "actors_parked",
    "approvals_lost_open",
    "sessions_blocked",
    "sessions_unattached",
)
DRAWN: dict[str, Callable[[Tx], Awaitable[Any]]] = {
    "counts": lambda tx: counts.status_counts(tx, now=9),
    "what is behind each door": counts.by_door,
    "all actors": views.actor_views,
    "a page of actors": lambda tx: views.actor_views(tx, limit=5, after=actor("worker1")),
    "one actor": lambda tx: views.actor_view(tx, "worker1"),
    "open tasks": views.open_tasks,
    "closed tasks": views.closed_tasks,
    "failed reports": views.failed_reports,
    "attention": lambda tx: attention.list_(tx, now=9),
    "what of it was told": lambda tx: attention.waiting(tx, now=9, limit=10),
    "messages": lambda tx: messages.recent(tx, before_seq=50),
    "an actor's messages": lambda tx: messages.recent(tx, actor_id="worker1"),
    "events after": lambda tx: events.after(tx, 5, limit=10),
    "an actor's events after": lambda tx: events.after(tx, 5, limit=10, actor_id="worker1"),
    "an actor's events": lambda tx: events.recent(tx, "worker1", limit=10),
    "the last event": events.last_seq,
    "open inputs": lambda tx: inputs.open_for(tx, "worker1"),
    "waiting inputs": lambda tx: inputs.waiting(tx, "worker1", 5),
    "inputs by id": lambda tx: inputs.by_ids(tx, ["i-1"]),
    "uncertain inputs": inputs.uncertain,
    "recovered inputs": lambda tx: inputs.recovered_by(tx, ["i-1"]),
    "recoveries": lambda tx: inputs.recoveries_of(tx, ["i-1"]),
    "questions": lambda tx: messages.open_questions(tx, "worker1"),
    "deliveries": lambda tx: messages.deliveries_of(tx, "m-1"),
    "running turns": turns.running,
    "an actor's turns": lambda tx: turns.list_for_actor(tx, "worker1", 5),
    "usage": lambda tx: usage.of_actor(tx, "worker1"),
}
PAGED = ("messages", "an actor's events", "open tasks", "closed tasks", "a page of actors")


class Recorder:
    """Stands in for a connection and keeps what is asked of it."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.asked: list[tuple[str, Any]] = []

    async def execute_fetchall(self, sql: str, params: Any = ()) -> Any:
        self.asked.append((sql, params))
        return await self._tx.execute_fetchall(sql, params)


async def plan(
    tx: Tx, read: Callable[[Tx], Awaitable[Any]], *, statements: int | None = None
) -> list[str]:
    recorder = Recorder(tx)
    await read(recorder)
    return [
        row["detail"]
        for sql, params in recorder.asked[:statements]
        for row in await rows.many(tx, f"EXPLAIN QUERY PLAN {sql}", *params)
    ]


@pytest.mark.parametrize("what", DRAWN)
async def test_what_is_drawn_reads_no_table_from_end_to_end(making, what):
    await busy_worker(making)
    steps = await making.read(lambda tx: plan(tx, DRAWN[what]))
    scans = [step for step in steps if step.startswith("SCAN")]
    # Actors are what is drawn; the rest are lists that the statement itself has made.
    small = (
        *("SCAN actors", "SCAN named", "SCAN near", "SCAN json_each", "SCAN CONSTANT", "SCAN ("),
        *("SCAN source", "SCAN lost", "SCAN left_over", "SCAN i", "SCAN p"),
    )
    wide = [
        step
        for step in scans
        if not step.startswith(small) and not any(f"INDEX {index}" in step for index in SMALL)
    ]
    assert wide == []
    # One that SQLite makes for itself stands for a join that begins at the wrong end.
    assert [step for step in steps if "AUTOMATIC" in step] == []
    assert steps


@pytest.mark.parametrize("what", PAGED)
async def test_a_page_is_read_in_its_order_and_sorted_nowhere(making, what):
    steps = await making.read(lambda tx: plan(tx, DRAWN[what], statements=1))
    assert [step for step in steps if "TEMP B-TREE" in step] == []
