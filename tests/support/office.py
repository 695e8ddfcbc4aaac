"""Delegation on a database, for tests of who works on what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from netsky_runtime.agents import dependencies
from netsky_runtime.agents.delegation import Delegation, Started
from netsky_runtime.agents.hiring import Limits
from netsky_runtime.agents.launch import new_session
from netsky_runtime.db import inputs, messages, tasks
from netsky_runtime.records import OWNER, Actor, Message, Session, Task
from netsky_runtime.settings import Settings
from netsky_runtime.states import RuntimeName, TaskStatus
from tests.support.society import Society

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from netsky_runtime.db.connection import Tx

PLACES = 2
T = TypeVar("T")


class Office:
    """Delegation on a database, one transaction a call."""

    def __init__(self, people: Society, folder: Path) -> None:
        self.people = people
        self.folder = folder.resolve()
        limits = Limits(max_live_workers=PLACES, work_dir=folder, allowed_roots=(self.folder,))
        self.delegation = Delegation(
            clock=people.clock, ids=people.ids, limits=limits, new_session=self._session
        )

    def _session(
        self, actor: Actor, *, model: str = "", runtime: RuntimeName | None = None
    ) -> Session:
        return new_session(
            actor,
            Settings(),
            runtime=runtime or RuntimeName.SCRIPTED,
            ids=self.people.ids,
            now=self.people.clock.now(),
            model=model,
        )

    async def worker(self, title: str = "paint", **rest: Any) -> Started:
        return await self._do(lambda tx: self.delegation.start_worker(tx, title=title, **rest))

    async def manager(self, objective: str = "docs", **rest: Any) -> Started:
        return await self._do(
            lambda tx: self.delegation.start_manager(tx, objective=objective, **rest)
        )

    async def set(self, task_id: str, status: TaskStatus, *, by: str = OWNER) -> frozenset[str]:
        async def body(tx: Tx) -> frozenset[str]:
            task = await tasks.require(tx, task_id)
            return await self.delegation.set_status(tx, task, status, by=by)

        return await self._do(body)

    async def start_ready(self) -> frozenset[str]:
        return await self._do(self.delegation.start_ready)

    async def depend(self, task_id: str, on_id: str) -> None:
        now = self.people.clock.now()
        await self._do(lambda tx: dependencies.depend(tx, task_id, on_id, now=now))

    async def undepend(self, task_id: str, on_id: str) -> frozenset[str]:
        async def body(tx: Tx) -> frozenset[str]:
            await tasks.remove_dependency(tx, task_id, on_id)
            return await self.delegation.start_ready(tx)

        return await self._do(body)

    async def add(self, title: str = "plain", **rest: Any) -> Task:
        now = self.people.clock.now()
        return await self._do(lambda tx: tasks.insert(tx, title=title, now=now, **rest))

    async def sent_to(self, actor_id: str) -> list[Message]:
        async def body(tx: Tx) -> list[Message]:
            waiting = await inputs.open_for(tx, actor_id)
            return [await messages.require(tx, item.message_id) for item in waiting]

        return await self.people.database.read(body)

    async def _do(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        return await self.people.database.write(body)
