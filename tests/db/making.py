"""Short ways to fill a database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from netsky_runtime.clock import Clock, Ids
from netsky_runtime.db import actors, posting, sessions
from netsky_runtime.db.connection import Database, Tx
from netsky_runtime.records import MANAGER0, OWNER, Actor, Session
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    MessageKind,
    RuntimeName,
    SessionState,
    Source,
)

T = TypeVar("T")


def actor(actor_id: str, kind: ActorKind = ActorKind.WORKER, **fields: Any) -> Actor:
    known = {"status": ActorStatus.ACTIVE, "created_at": 1, "updated_at": 1}
    return Actor(**{"id": actor_id, "kind": kind, **known, **fields})


def session(session_id: str, actor_id: str, **fields: Any) -> Session:
    known = {
        "runtime": RuntimeName.SCRIPTED,
        "state": SessionState.STARTING,
        "cwd": "/somewhere",
        "sandbox": "workspace-write",
        "approval_policy": "on-request",
        "tag": "tag00001",
        "started_at": 1,
    }
    return Session(**{"id": session_id, "actor_id": actor_id, **known, **fields})


def draft(**fields: Any) -> posting.Draft:
    known = {
        "source": Source.CLI,
        "kind": MessageKind.TEXT,
        "sender": OWNER,
        "target": MANAGER0,
        "body": "hello",
    }
    return posting.Draft(**{**known, **fields})


class Making:
    def __init__(self, database: Database, ids: Ids, clock: Clock) -> None:
        self.database = database
        self.ids = ids
        self.clock = clock

    async def write(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        return await self.database.write(body)

    async def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        return await self.database.read(body)

    async def actor(self, made: Actor) -> Actor:
        await self.write(lambda tx: actors.insert(tx, made))
        return made

    async def first_actors(self) -> None:
        await self.actor(actor(OWNER, ActorKind.OWNER))
        await self.actor(actor(MANAGER0, ActorKind.MANAGER, manager_id=OWNER))
        await self.actor(actor("worker1", manager_id=MANAGER0))

    async def session(self, made: Session) -> Session:
        await self.write(lambda tx: sessions.insert(tx, made))
        return made

    async def post(self, **fields: Any) -> posting.Posted:
        made = draft(**fields)
        return await self.write(
            lambda tx: posting.post(tx, made, ids=self.ids, now=self.clock.now())
        )

    async def input(self, **fields: Any) -> str:
        posted = await self.post(**fields)
        assert posted.input is not None
        return posted.input.id
