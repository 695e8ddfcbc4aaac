"""What an operator can ask of a daemon about tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.agents import dependencies
from netsky_runtime.control import protocol
from netsky_runtime.db import notes, readiness, tasks
from netsky_runtime.records import OWNER, Task
from netsky_runtime.states import TaskStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.agents.delegation import Delegation
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.verbs import Verb, Wake


class TaskVerbs:
    """Verbs that write tasks down, change them, and wake whoever that concerns."""

    def __init__(
        self, *, database: Database, delegation: Delegation, clock: Clock, wake: Wake
    ) -> None:
        self._database = database
        self._delegation = delegation
        self._clock = clock
        self._wake = wake

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {
            "tasks.add": self.add_task,
            "tasks.set": self.set_task,
            "tasks.depend": self.depend_task,
            "tasks.done": self.done_task,
            "tasks.cancel": self.cancel_task,
        }

    async def add_task(self, request: protocol.AddTask) -> dict[str, Any]:
        """Write down a task; nobody works on it until somebody starts a worker."""
        now = self._clock.now()

        async def body(tx: Tx) -> Task:
            task = await tasks.insert(
                tx,
                title=request.title,
                body=request.body,
                priority=request.priority,
                status=TaskStatus.OPEN,
                owner_id=None,
                manager_id=None,
                estimate_minutes=request.estimate_minutes,
                now=now,
            )
            for on_id in request.depends_on:
                await tasks.add_dependency(tx, task.id, on_id, now=now)
            if await tasks.unmet(tx, task.id):
                await tasks.set_status(tx, task.id, TaskStatus.BLOCKED, now=now)
            return task

        task = await self._database.write(body)
        return {"task_id": task.id}

    async def set_task(self, request: protocol.SetTask) -> dict[str, Any]:
        """Change a task; closing one starts what waited for it.

        ``stuck`` names what waits for it in vain now.
        """
        now = self._clock.now()

        async def body(tx: Tx) -> tuple[frozenset[str], list[str]]:
            task = await tasks.require(tx, request.id)
            if request.title is not None or request.priority is not None:
                await tasks.set_fields(
                    tx, task.id, title=request.title, priority=request.priority, now=now
                )
            if request.note:
                await notes.insert(tx, author=OWNER, task_id=task.id, body=request.note, now=now)
            if request.status is None:
                return frozenset(), []
            wake = await self._delegation.set_status(tx, task, request.status)
            if request.status not in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
                return wake, []
            return wake, [stuck.id for stuck in await readiness.stuck_behind(tx, task.id)]

        wake, stuck = await self._database.write(body)
        self._wake_all(wake)
        return {"stuck": stuck}

    async def depend_task(self, request: protocol.DependTask) -> dict[str, Any]:
        """Let a task wait for another, or no longer: then it may begin."""
        now = self._clock.now()

        async def body(tx: Tx) -> frozenset[str]:
            if not request.remove:
                await dependencies.depend(tx, request.id, request.on, now=now)
                return frozenset()
            await tasks.remove_dependency(tx, request.id, request.on)
            return await self._delegation.start_ready(tx)

        self._wake_all(await self._database.write(body))
        return {}

    async def done_task(self, request: protocol.TaskId) -> dict[str, Any]:
        """Close a task as done."""
        return await self.set_task(protocol.SetTask(id=request.id, status=TaskStatus.DONE))

    async def cancel_task(self, request: protocol.TaskId) -> dict[str, Any]:
        """Close a task that nobody needs any more."""
        return await self.set_task(protocol.SetTask(id=request.id, status=TaskStatus.CANCELLED))

    def _wake_all(self, actor_ids: frozenset[str]) -> None:
        for actor_id in actor_ids:
            self._wake(actor_id)
