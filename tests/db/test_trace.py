"""The way of a message can be followed from any id that lies on it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import (
    actors,
    approvals,
    inputs,
    migrate,
    notes,
    posting,
    sessions,
    tasks,
    tool_calls,
    trace,
    turns,
)
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import NotFound
from netsky_runtime.fact_records import ToolCall
from netsky_runtime.records import MANAGER0, OWNER, Thread, Turn
from netsky_runtime.states import (
    ActorKind,
    ApprovalKind,
    InputStatus,
    MessageKind,
    Priority,
    RuntimeName,
    Source,
    TaskStatus,
    TurnStatus,
)
from netsky_tui import tracing
from tests.db.making import actor, draft, session
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.db.trace import Trace

NOW = 1_000_000
THREAD, TURN = "th-1", "tu-1"


@dataclass
class Story:
    """The owner asks, manager0 starts a worker and answers."""

    ask: str = ""
    input: str = ""
    delivery: str = ""
    reply: str = ""
    task: str = ""
    task_message: str = ""
    note: str = ""
    approval: str = ""
    ids: CountingIds = field(default_factory=CountingIds)


@pytest.fixture
async def story(database: Database) -> Story:
    told = Story()
    ids = told.ids

    async def body(tx: Tx) -> None:
        await actors.insert(tx, actor(OWNER, ActorKind.OWNER))
        await actors.insert(tx, actor(MANAGER0, ActorKind.MANAGER))
        await actors.insert(tx, actor("worker1", manager_id=MANAGER0))
        await sessions.insert(tx, session("s-1", MANAGER0))
        thread = Thread(
            id=THREAD,
            actor_id=MANAGER0,
            session_id="s-1",
            runtime=RuntimeName.SCRIPTED,
            created_at=NOW,
        )
        await sessions.insert_thread(tx, thread)
        posted = await posting.post(tx, draft(body="tidy up"), ids=ids, now=NOW)
        assert posted.input is not None
        told.ask, told.input, told.delivery = (
            posted.message.id,
            posted.input.id,
            posted.delivery.id,
        )
        await inputs.attempt(tx, {told.input: "env"}, batch_id="b-1", thread_id=THREAD)
        await inputs.requeue(tx, [told.input], reason="the engine was away", now=NOW)
        await inputs.attempt(tx, {told.input: "env"}, batch_id="b-2", thread_id=THREAD)
        await inputs.hand(tx, [told.input], now=NOW + 10)
        await inputs.see(tx, [told.input], thread_id=THREAD, turn_id=TURN, now=NOW + 20)
        await turns.start(
            tx,
            Turn(
                thread_id=THREAD,
                id=TURN,
                actor_id=MANAGER0,
                status=TurnStatus.IN_PROGRESS,
                started_at=NOW + 15,
            ),
        )
        approval, _ = await approvals.store(
            tx,
            engine_id="e-1",
            request_id="1",
            thread_id=THREAD,
            turn_id=TURN,
            item_id="it-1",
            actor_id=MANAGER0,
            kind=ApprovalKind.COMMAND,
            command="make tidy",
            now=NOW + 25,
        )
        told.approval = approval.id
        task = await tasks.insert(
            tx,
            title="Tidy",
            body="all of it",
            priority=Priority.P2,
            status=TaskStatus.IN_PROGRESS,
            owner_id="worker1",
            manager_id=MANAGER0,
            estimate_minutes=None,
            now=NOW + 30,
        )
        told.task = task.id
        await tasks.touched(tx, task.id, thread_id=THREAD, turn_id=TURN)
        handed = await posting.post(
            tx,
            draft(
                source=Source.ACTOR,
                kind=MessageKind.TASK,
                sender=MANAGER0,
                target="worker1",
                body="all of it",
                task_id=task.id,
                thread_id=THREAD,
                turn_id=TURN,
            ),
            ids=ids,
            now=NOW + 30,
        )
        told.task_message = handed.message.id
        call = ToolCall(
            thread_id=THREAD,
            turn_id=TURN,
            call_id="c-1",
            actor_id=MANAGER0,
            tool="start_worker",
            arguments={},
            success=True,
            text="worker1 has t1",
            created_at=NOW + 30,
        )
        await tool_calls.insert(tx, call)
        note = await notes.insert(tx, author="worker1", task_id=task.id, body="began", now=NOW + 35)
        told.note = note.id
        answered = await posting.post(
            tx,
            draft(
                source=Source.ACTOR,
                kind=MessageKind.REPLY,
                sender=MANAGER0,
                target=OWNER,
                body="worker1 does it",
                thread_id=THREAD,
                turn_id=TURN,
                in_reply_to=told.ask,
            ),
            ids=ids,
            now=NOW + 40,
        )
        told.reply = answered.message.id
        await inputs.settle(
            tx, [told.input], InputStatus.ANSWERED, reply_id=told.reply, now=NOW + 40
        )

    await database.write(body)
    return told


async def follow(database: Database, asked: str) -> Trace:
    return await database.read(lambda tx: trace.trace(tx, asked, now=NOW))


@pytest.mark.parametrize("name", ["ask", "input", "delivery"])
async def test_a_message_its_input_and_its_delivery_tell_the_same_way(
    database: Database, story: Story, name: str
) -> None:
    found = await follow(database, getattr(story, name))

    (chain,) = found.chains
    (traced,) = chain.inputs
    assert (chain.message.id, traced.input.id) == (story.ask, story.input)
    assert [delivery.id for delivery in chain.deliveries] == [story.delivery]
    assert traced.turn is not None
    assert [approval.id for approval in traced.turn.approvals] == [story.approval]
    assert [call.tool for call in traced.turn.calls] == ["start_worker"]
    assert [task.id for task in traced.turn.tasks] == [story.task]
    assert [answer.id for answer in chain.answers] == [story.task_message, story.reply]


async def test_every_step_of_an_input_has_its_time_and_how_it_is_known(
    database: Database, story: Story
) -> None:
    (chain,) = (await follow(database, story.input)).chains
    steps = chain.inputs[0].steps

    assert [(step.status.value, tracing.known_by(step)) for step in steps] == [
        ("queued", "netsky stored it"),
        ("queued", "about to be sent, in batch b-1"),
        ("queued", "queued again: the engine was away"),
        ("queued", "about to be sent, in batch b-2"),
        ("handed", "Codex accepted it"),
        ("seen", "its thread shows it"),
        ("answered", "its turn completed"),
    ]
    known = {step.status: step.at for step in steps if step.status is not InputStatus.QUEUED}
    assert known == {
        InputStatus.HANDED: NOW + 10,
        InputStatus.SEEN: NOW + 20,
        InputStatus.ANSWERED: NOW + 40,
    }


@pytest.mark.parametrize("name", ["task", "note"])
async def test_a_task_and_its_note_lead_to_the_message_that_handed_it_over(
    database: Database, story: Story, name: str
) -> None:
    found = await follow(database, getattr(story, name))

    assert found.task is not None
    assert [note.id for note in found.task.notes] == [story.note]
    assert [turn.id for turn in found.task.turns] == [TURN]
    (chain,) = found.chains
    assert chain.message.id == story.task_message
    assert [cause.id for cause in chain.causes] == [story.ask]


@pytest.mark.parametrize("name", ["approval", TURN, THREAD])
async def test_an_approval_its_turn_and_its_thread_lead_to_the_message_they_are_about(
    database: Database, story: Story, name: str
) -> None:
    found = await follow(database, getattr(story, name, name))

    assert [chain.message.id for chain in found.chains] == [story.ask]


async def test_a_reply_leads_to_what_it_answers(database: Database, story: Story) -> None:
    (chain,) = (await follow(database, story.reply)).chains

    assert [cause.id for cause in chain.causes] == [story.ask]


async def test_an_approval_of_a_turn_without_messages_is_shown_with_its_turn(
    database: Database, story: Story
) -> None:
    async def ask(tx: Tx) -> str:
        approval, _ = await approvals.store(
            tx,
            engine_id="e-1",
            request_id="2",
            thread_id="th-child",
            turn_id="tu-9",
            item_id="it-1",
            actor_id=MANAGER0,
            kind=ApprovalKind.COMMAND,
            command="ls",
            now=NOW,
        )
        return approval.id

    found = await follow(database, await database.write(ask))

    assert found.chains == ()
    assert found.turn is not None
    assert [approval.command for approval in found.turn.approvals] == ["ls"]


async def test_only_the_latest_messages_of_a_task_are_shown_and_that_is_said(
    database: Database, story: Story
) -> None:
    async def many(tx: Tx) -> list[str]:
        said = draft(kind=MessageKind.TEXT, task_id=story.task)
        return [
            (await posting.post(tx, said, ids=story.ids, now=NOW + at)).message.id
            for at in range(trace.LIMIT)
        ]

    last = (await database.write(many))[-1]
    found = await follow(database, story.task)

    assert found.more
    assert len(found.chains) == trace.LIMIT
    assert found.chains[-1].message.id == last


async def test_an_id_of_nothing_is_said_to_be_none(database: Database, story: Story) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await follow(database, "nobody")


async def test_inputs_of_an_older_netsky_keep_the_steps_that_are_known_of_them(
    tmp_path: Path,
) -> None:
    path = tmp_path / "meta.db"
    before = [step for step in migrate.shipped() if step.number < 8]
    migrate.prepare(path, backups=tmp_path, now=1, migrations=before)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute(
            "INSERT INTO actors (id, kind, status, created_at, updated_at)"
            " VALUES ('manager0', 'manager', 'active', 1, 1)"
        )
        raw.execute(
            "INSERT INTO messages (id, source, direction, kind, sender, target, body, status,"
            " created_at) VALUES ('m', 'cli', 'inbound', 'text', 'owner', 'manager0', 'x',"
            " 'routed', 1)"
        )
        raw.execute(
            "INSERT INTO actor_inputs (id, actor_id, message_id, mode, status, created_at,"
            " handed_at, seen_at, settled_at, reason)"
            " VALUES ('i', 'manager0', 'm', 'queue', 'failed', 1, 2, 3, 4, 'boom')"
        )
    migrate.prepare(path, backups=tmp_path, now=1)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        told = raw.execute("SELECT status, reason, at FROM input_steps ORDER BY seq").fetchall()

    assert [tuple(row) for row in told] == [
        ("queued", "", 1),
        ("handed", "", 2),
        ("seen", "", 3),
        ("failed", "boom", 4),
    ]


async def test_a_recovered_input_names_the_one_that_goes_on_with_it(
    database: Database, story: Story
) -> None:
    async def recover(tx: Tx) -> str:
        said = draft(kind=MessageKind.RECOVERY, recovers=(story.input,))
        posted = await posting.post(tx, said, ids=story.ids, now=NOW)
        assert posted.input is not None
        return posted.input.id

    recovery = await database.write(recover)
    (chain,) = (await follow(database, story.input)).chains

    assert chain.inputs[0].recovered_by == (recovery,)
    (chain,) = (await follow(database, recovery)).chains
    assert chain.inputs[0].input.recovers == (story.input,)
