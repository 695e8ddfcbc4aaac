"""A small home as a daemon leaves it: two actors, three tasks, messages, an approval, facts."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from netsky_runtime.db import (
    actors,
    approvals,
    events,
    logs,
    notes,
    posting,
    sessions,
    tasks,
    turns,
)
from netsky_runtime.records import Actor, LogRow, Session, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    ApprovalKind,
    MessageKind,
    Priority,
    RuntimeName,
    SessionState,
    Source,
    TaskStatus,
    ToolsDoor,
    TurnStatus,
)
from tests.support.fakes import START_MS

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx

NOW = START_MS
EVIL = "look:\x1b]0;owned\x07 \u202egnp.exe"
STORED = EVIL.replace("\x1b", "\ufffd").replace("\x07", "\ufffd")
"""How a message's body is kept."""
PATCH = "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-old\n+new\n"


class CountedIds:
    """Ids that a test can name."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self, prefix: str) -> str:
        return f"{prefix}-{next(self._numbers)}"

    def tag(self) -> str:
        return "tag"

    def token(self) -> str:
        return self.new("token")


async def build(tx: Tx) -> None:
    ids = CountedIds()
    for name, kind, manager in (
        ("owner", ActorKind.OWNER, None),
        ("manager0", ActorKind.MANAGER, "owner"),
        ("worker1", ActorKind.WORKER, "manager0"),
    ):
        if await actors.get(tx, name) is None:
            await actors.insert(tx, _actor(name, kind, manager))
    await sessions.insert(
        tx,
        Session(
            id="s-1",
            actor_id="worker1",
            runtime=RuntimeName.SCRIPTED,
            state=SessionState.LIVE,
            cwd="/src",
            sandbox="workspace-write",
            approval_policy="on-request",
            tag="tag",
            started_at=NOW,
        ),
    )
    await sessions.bind_thread(
        tx, "s-1", thread_id="th-1", engine_id="e-1", tools_door=ToolsDoor.DYNAMIC, now=NOW
    )
    await turns.start(
        tx,
        Turn(
            thread_id="th-1",
            id="turn-1",
            actor_id="worker1",
            status=TurnStatus.IN_PROGRESS,
            started_at=NOW,
        ),
    )
    first = await tasks.insert(
        tx,
        title="Read the docs",
        body="All of them",
        priority=Priority.P1,
        status=TaskStatus.IN_PROGRESS,
        owner_id="worker1",
        manager_id="manager0",
        estimate_minutes=5,
        now=NOW,
    )
    second = await tasks.insert(
        tx,
        title=f"Write {EVIL}",
        body="",
        priority=Priority.P2,
        status=TaskStatus.BLOCKED,
        owner_id=None,
        manager_id="manager0",
        estimate_minutes=None,
        now=NOW,
    )
    await tasks.add_dependency(tx, second.id, first.id, now=NOW)
    for body, target, sender in (("hello", "manager0", "owner"), (EVIL, "owner", "manager0")):
        draft = posting.Draft(
            source=Source.CLI, kind=MessageKind.TEXT, sender=sender, target=target, body=body
        )
        await posting.post(tx, draft, ids=ids, now=NOW)
    await approvals.store(
        tx,
        engine_id="e-1",
        request_id="0",
        thread_id="th-1",
        turn_id="turn-1",
        item_id="item-1",
        actor_id="worker1",
        kind=ApprovalKind.FILE_CHANGE,
        patch=PATCH,
        reason=EVIL,
        available_decisions=("accept", "decline"),
        now=NOW,
    )
    facts = [
        (
            "th-1",
            "turn-1",
            f"item-{n}",
            "item.completed",
            "worker1",
            NOW + n,
            f'{{"text": "say {n}"}}',
        )
        for n in range(30)
    ]
    await events.upsert_many(tx, facts)
    await notes.insert(tx, author="owner", task_id=first.id, body="Because", now=NOW)
    await logs.insert_many(
        tx, [LogRow(seq=0, at=NOW, level="info", component="daemon", message=EVIL, fields={"n": 1})]
    )


def _actor(name: str, kind: ActorKind, manager: str | None) -> Actor:
    return Actor(
        id=name,
        kind=kind,
        status=ActorStatus.ACTIVE,
        manager_id=manager,
        objective=f"be {name}",
        cwd="/src",
        created_at=NOW,
        updated_at=NOW,
    )
