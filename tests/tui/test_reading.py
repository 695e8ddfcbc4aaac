"""The room on a real database."""

from __future__ import annotations

import pytest

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.db import actors, approvals, events, inputs, posting, tasks, turns
from netsky_runtime.db.connection import Database, ReadDatabase
from netsky_runtime.errors import NotFound
from netsky_runtime.records import MANAGER0, OWNER, Actor, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    ApprovalKind,
    ApprovalStatus,
    HealthState,
    InputStatus,
    MessageKind,
    Priority,
    Source,
    TaskStatus,
    TurnStatus,
)
from netsky_tui import tracing
from netsky_tui.drawing import events as drawing
from netsky_tui.reading import DatabaseSource
from netsky_tui.source import Ask
from tests.tui import story
from tests.tui.fakes import NOW, SteadyClock
from tests.tui.rooms import Room, make


async def seed(database: Database, ids: SortableIds) -> str:
    async def body(tx):
        for name, kind, manager in (
            (OWNER, ActorKind.OWNER, None),
            (MANAGER0, ActorKind.MANAGER, OWNER),
            ("worker1", ActorKind.WORKER, MANAGER0),
        ):
            await actors.insert(
                tx,
                Actor(
                    id=name,
                    kind=kind,
                    status=ActorStatus.ACTIVE,
                    manager_id=manager,
                    created_at=NOW,
                    updated_at=NOW,
                ),
            )
        common = {"body": "", "owner_id": None, "manager_id": MANAGER0, "estimate_minutes": None}
        first = await tasks.insert(
            tx, title="First", priority=Priority.P1, status=TaskStatus.OPEN, now=NOW, **common
        )
        second = await tasks.insert(
            tx, title="Second", priority=Priority.P0, status=TaskStatus.BLOCKED, now=NOW, **common
        )
        await tasks.add_dependency(tx, second.id, first.id, now=NOW)
        draft = posting.Draft(
            source=Source.ROOM, kind=MessageKind.TEXT, sender=OWNER, target=MANAGER0, body="Begin."
        )
        posted = await posting.post(tx, draft, ids=ids, now=NOW)
        await approvals.store(
            tx,
            engine_id="e-1",
            request_id="0",
            thread_id="th-1",
            turn_id="tu-1",
            item_id="it-1",
            actor_id="worker1",
            kind=ApprovalKind.COMMAND,
            command="make",
            cwd="/",
            reason="",
            patch="",
            questions=(),
            available_decisions=("accept", "decline"),
            raw={},
            now=NOW,
        )
        fact = ("th-1", "tu-1", "", "turn.started", MANAGER0, NOW, "{}")
        await events.upsert_many(tx, [fact])
        return posted.input.id

    return await database.write(body)


@pytest.fixture
async def spine(tmp_path):
    clock = SteadyClock()
    database = await Database.open(tmp_path / "meta.db", backups=tmp_path, clock=clock)
    input_id = await seed(database, SortableIds(clock))
    source = DatabaseSource(await ReadDatabase.open(tmp_path / "meta.db"), clock=SystemClock())
    yield database, source, input_id
    await source.close()
    await database.close()


async def test_a_snapshot_has_everything_the_room_shows(spine):
    _, source, _ = spine
    snapshot = await source.snapshot(Ask())
    assert {fact.actor.id for fact in snapshot.actors} == {OWNER, MANAGER0, "worker1"}
    assert {f.actor.id: f.approvals for f in snapshot.actors}["worker1"] == 1
    assert {fact.task.title: fact.unmet for fact in snapshot.tasks} == {
        "First": (),
        "Second": ("t1",),
    }
    assert [fact.input_status for fact in snapshot.messages] == [InputStatus.QUEUED]
    assert [event.kind for event in snapshot.events] == ["turn.started"]
    assert [approval.command for approval in snapshot.approvals] == ["make"]
    assert snapshot.totals.approvals_pending == 1
    assert snapshot.totals.tasks_open == 2


async def test_a_decided_approval_is_reported_while_it_is_known(spine):
    database, source, _ = spine
    known = (await source.snapshot(Ask())).approvals[0].id
    before = await source.version()
    await database.write(
        lambda tx: approvals.decide(
            tx, known, status=ApprovalStatus.ACCEPTED, answer=None, decided_by="cli", now=NOW
        )
    )
    assert await source.version() != before
    assert (await source.snapshot(Ask())).approvals == ()
    (approval,) = (await source.snapshot(Ask(approvals_known=(known,)))).approvals
    assert approval.status is ApprovalStatus.ACCEPTED


async def test_tasks_are_read_again_when_one_has_changed(spine):
    database, source, _ = spine
    first = await source.snapshot(Ask())
    again = await source.snapshot(Ask())
    assert again.tasks is first.tasks
    await database.write(lambda tx: tasks.set_status(tx, "t1", TaskStatus.DONE, now=NOW + 1))
    changed = await source.snapshot(Ask())
    assert {fact.task.id: fact.unmet for fact in changed.tasks} == {"t1": (), "t2": ()}


async def test_a_failed_turn_shows_at_its_worker_and_its_task_until_one_succeeds(spine):
    database, source, _ = spine

    async def end(number: int, status: TurnStatus) -> None:
        async def body(tx):
            turn = Turn(
                thread_id="th-1",
                id=f"tu-{number}",
                actor_id="worker1",
                status=TurnStatus.IN_PROGRESS,
                started_at=NOW + number,
            )
            await turns.start(tx, turn)
            await turns.complete(
                tx, "th-1", turn.id, status=status, completed_at=NOW + number, error="401"
            )
            draft = posting.Draft(
                source=Source.ACTOR,
                kind=MessageKind.REPORT,
                sender="worker1",
                target=MANAGER0,
                body="over",
                task_id="t1",
                metadata={"status": status.value},
            )
            await posting.post(tx, draft, ids=SortableIds(SteadyClock()), now=NOW)

        await database.write(body)

    (asked,) = (await source.snapshot(Ask())).approvals
    await database.write(
        lambda tx: approvals.decide(
            tx, asked.id, status=ApprovalStatus.ACCEPTED, answer=None, decided_by="cli", now=NOW
        )
    )
    await database.write(lambda tx: tasks.set_status(tx, "t1", TaskStatus.REPORTED, now=NOW))
    await end(1, TurnStatus.FAILED)
    shown = await source.snapshot(Ask())
    health = {fact.actor.id: fact.health for fact in shown.actors}["worker1"]
    assert (health.state, health.reason) == (HealthState.UNHEALTHY, "last turn failed")
    assert {fact.task.id: fact.failed for fact in shown.tasks} == {"t1": True, "t2": False}
    await end(2, TurnStatus.COMPLETED)
    shown = await source.snapshot(Ask())
    health = {fact.actor.id: fact.health for fact in shown.actors}["worker1"]
    assert health.state is HealthState.IDLE
    assert not any(fact.failed for fact in shown.tasks)


async def test_details_tell_the_path_of_a_message(spine):
    database, source, input_id = spine
    await database.write(lambda tx: inputs.hand(tx, [input_id], now=NOW + 5000))
    snapshot = await source.snapshot(Ask())
    _, way = await source.message(snapshot.messages[0].message.id, now=NOW)
    assert "handed      Codex accepted it" in [line.text for line in tracing.lines(way)]
    assert (await source.trace(input_id, now=NOW)).chains == way.chains
    task, _, _ = await source.task("t2")
    assert task.depends_on == ("t1",)
    fact, past = await source.actor("worker1")
    turns, usage = past.turns, past.usage
    assert (fact.approvals, list(turns), usage) == (1, [], None)
    with pytest.raises(NotFound):
        await source.actor("worker99")


async def test_the_room_shows_what_the_database_has_and_follows_it(spine, monkeypatch):
    database, source, _ = spine
    app, connector, clock = make(story.day())

    async def real():
        return source

    monkeypatch.setattr(connector, "source", real)
    async with app.run_test(size=(160, 45)) as pilot:
        room = Room(app, pilot, connector, clock)
        await room.until(lambda: "Begin." in room.text())
        assert "worker1 wants to run a command" in room.text()
        await database.write(lambda tx: tasks.set_fields(tx, "t1", title="Renamed", now=NOW + 1))
        connector.handle.push("changed", revision=2)
        await room.until(lambda: "Renamed" in room.text())


async def test_the_events_say_which_rule_answered_a_question(spine):
    database, source, _ = spine

    async def body(tx):
        status = ApprovalStatus.ACCEPTED
        by = {"decided_by": "rule r3", "rule_id": "r3"}
        await approvals.decide(tx, "a1", status=status, **by, now=NOW)
        told = ("th-1", "tu-1", "it-1", "approval.resolved", "worker1", NOW, "{}")
        other = ("th-1", "tu-1", "it-2", "approval.resolved", "worker1", NOW, "{}")
        await events.upsert_many(tx, [told, other])

    await database.write(body)
    snapshot = await source.snapshot(Ask(actor_id="worker1"))
    shown = [row.head for row in drawing.rows(snapshot.events, NOW)]
    assert shown == ["approval accepted by rule r3", "approval answered"]
