"""Who works on what: objectives and tasks find somebody, and tasks begin when they may.

Every method works inside the caller's transaction and returns the actors to wake after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.agents import dependencies
from netsky_runtime.agents.authority import check_take
from netsky_runtime.agents.budgets import release
from netsky_runtime.agents.hiring import Hiring, employer
from netsky_runtime.db import actors, inputs, lineage, notes, posting, readiness, tasks
from netsky_runtime.errors import Conflict, UsageError
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import InputStatus, MessageKind, Priority, Source, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.hiring import Limits, NewSession
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.errors import NetskyError
    from netsky_runtime.records import Actor, Task
    from netsky_runtime.states import RuntimeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """What became of a request to start an actor."""

    actor_id: str
    task_id: str = ""
    status: TaskStatus = TaskStatus.IN_PROGRESS
    """Of the task: in progress, blocked by dependencies, or open while no place is free."""
    waits_for: tuple[str, ...] = ()
    """Dependencies that are not done."""
    wake: frozenset[str] = frozenset()


class Delegation:
    """Hands work to managers and workers, and takes it back."""

    def __init__(self, *, clock: Clock, ids: Ids, limits: Limits, new_session: NewSession) -> None:
        self._clock = clock
        self._ids = ids
        self._max_live_workers = limits.max_live_workers
        self._hiring = Hiring(clock=clock, limits=limits, new_session=new_session)

    async def start_manager(
        self,
        tx: Tx,
        *,
        objective: str,
        name: str | None = None,
        runtime: RuntimeName | None = None,
        started_by: str = MANAGER0,
    ) -> Started:
        """Make a manager under manager0 and hand it its objective.

        ``runtime`` is the door of its thread, where it is not to be that of new actors.
        Raises ``UsageError`` for a bad name or an empty objective, ``Conflict`` when the name is
        taken.
        """
        manager = await self._hiring.manager(tx, objective=objective, name=name, runtime=runtime)
        draft = posting.Draft(
            source=Source.ROOM if started_by == OWNER else Source.ACTOR,
            kind=MessageKind.TEXT,
            sender=started_by,
            target=manager.id,
            body=objective,
        )
        await posting.post(tx, draft, ids=self._ids, now=self._clock.now())
        return Started(actor_id=manager.id, wake=frozenset({manager.id}))

    async def start_worker(
        self,
        tx: Tx,
        *,
        title: str,
        body: str = "",
        manager_id: str | None = None,
        task_id: str | None = None,
        cwd: str | None = None,
        model: str | None = None,
        runtime: RuntimeName | None = None,
        priority: Priority | None = None,
        estimate_minutes: int | None = None,
        depends_on: Sequence[str] = (),
    ) -> Started:
        """Give a new task, or the open one named, to a new worker or to the one it has already.

        ``manager_id`` defaults to manager0, ``runtime`` to the door of new actors. The task
        begins at once when its dependencies are done and a place is free, else ``start_ready``
        begins it. Raises ``UsageError`` for a bad cwd or a dependency cycle, ``NotFound`` for
        unknown ids, ``Refused`` for a task of another manager, ``Conflict`` for a task that is
        not open.
        """
        manager = await employer(tx, manager_id or MANAGER0)
        now = self._clock.now()
        if task_id is None:
            task = await tasks.insert(
                tx,
                title=title,
                body=body,
                priority=priority or Priority.P2,
                status=TaskStatus.OPEN,
                owner_id=None,
                manager_id=manager.id,
                estimate_minutes=estimate_minutes,
                now=now,
            )
        else:
            task = await self._take(tx, task_id, manager)
            await tasks.set_fields(
                tx,
                task.id,
                title=title,
                body=body or None,
                priority=priority,
                estimate_minutes=estimate_minutes,
                now=now,
            )
        for on_id in depends_on:
            await tasks.add_dependency(tx, task.id, on_id, now=now)
        worker_id = await self._hiring.worker_for(
            tx, task, manager, cwd=cwd, model=model, runtime=runtime
        )
        await tasks.assign(tx, task.id, owner_id=worker_id, manager_id=manager.id, now=now)
        wake = await self._begin(tx, await tasks.require(tx, task.id), free=await self._free(tx))
        task = await tasks.require(tx, task.id)
        return Started(
            actor_id=worker_id,
            task_id=task.id,
            status=task.status,
            waits_for=await tasks.unmet(tx, task.id),
            wake=wake,
        )

    async def set_status(
        self, tx: Tx, task: Task, status: TaskStatus, *, by: str = OWNER
    ) -> frozenset[str]:
        """Change a task's status and begin whatever may begin after it; ``by`` is whoever does.

        A closed task's text is taken back when it was not sent yet; a task that is opened again
        leaves its worker. The budget of neither holds the worker any more. Of what waits for it in
        vain now, those who decide are told.
        Raises ``Conflict`` for a change that the present state forbids.
        """
        if task.status is status:
            return frozenset()
        waits_for = await tasks.unmet(tx, task.id)
        _check_change(task, status, waits_for)
        now = self._clock.now()
        await tasks.set_status(tx, task.id, status, now=now)
        if status.closed or status is TaskStatus.OPEN:
            reason = f"{task.id} was closed before it was sent"
            await dependencies.take_back(tx, task, reason, now=now)
        if status is TaskStatus.OPEN:
            await tasks.assign(tx, task.id, owner_id=None, manager_id=None, now=now)
        woken: frozenset[str] = frozenset()
        if task.owner_id and await release(tx, task.owner_id, now=now):
            woken = frozenset({task.owner_id})
        woken |= await self.start_ready(tx)
        if status in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
            closed = await tasks.require(tx, task.id)
            woken |= await dependencies.tell_stuck(tx, closed, by=by, ids=self._ids, now=now)
        return woken

    async def start_ready(self, tx: Tx) -> frozenset[str]:
        """Begin every task that waited for dependencies or for a free place and may go now.

        Most urgent first, the oldest of these first. Returns the workers to wake.
        """
        woken: set[str] = set()
        free = await self._free(tx)
        for task in await readiness.waiting(tx):
            try:
                begun = await self._begin(tx, task, free=free)
            except (UsageError, Conflict) as error:
                await self._give_back(tx, task, error)
            else:
                woken |= begun
                free -= len(begun)
        return frozenset(woken)

    async def give_back(self, tx: Tx, actor_id: str) -> frozenset[str]:
        """Take everything off an actor that was stopped, and tell its manager what is open again.

        What it was not told yet is cancelled. Returns the actors to wake.
        """
        now = self._clock.now()
        queued = [
            item.id
            for item in await inputs.open_for(tx, actor_id)
            if item.status is InputStatus.QUEUED
        ]
        reason = "its actor was stopped before it was sent"
        await inputs.settle(tx, queued, InputStatus.CANCELLED, reason=reason, now=now)
        actor = await actors.require(tx, actor_id)
        woken: set[str] = set()
        for task in await tasks.of_owner(tx, actor_id):
            if task.status is not TaskStatus.IN_PROGRESS:
                continue
            await tasks.assign(tx, task.id, owner_id=None, manager_id=task.manager_id, now=now)
            await tasks.set_status(tx, task.id, TaskStatus.OPEN, now=now)
            draft = posting.Draft(
                source=Source.DAEMON,
                kind=MessageKind.REPORT,
                sender=actor_id,
                target=await lineage.nearest_active(tx, actor),
                body=f"{actor_id} was stopped by the owner; {task.id} is open again: {task.title}",
                task_id=task.id,
            )
            posted = await posting.post(tx, draft, ids=self._ids, now=now)
            woken |= {posted.input.actor_id} if posted.input else set()
        return frozenset(woken)

    async def _begin(self, tx: Tx, task: Task, *, free: int) -> frozenset[str]:
        """Put a task that has not begun into the state that fits, and hand it over if it may go."""
        now = self._clock.now()
        if await tasks.unmet(tx, task.id):
            status = TaskStatus.BLOCKED
        elif task.manager_id is None or free <= 0:
            status = TaskStatus.OPEN
        else:
            status = TaskStatus.IN_PROGRESS
        worker_id = task.owner_id
        if status is TaskStatus.IN_PROGRESS and task.manager_id is not None:
            manager = await actors.require(tx, task.manager_id)
            worker_id = await self._hiring.worker_for(tx, task, manager)
            await tasks.assign(tx, task.id, owner_id=worker_id, manager_id=manager.id, now=now)
        if status is not task.status:
            await tasks.set_status(tx, task.id, status, now=now)
        if status is not TaskStatus.IN_PROGRESS or worker_id is None:
            return frozenset()
        draft = posting.Draft(
            source=Source.ACTOR,
            kind=MessageKind.TASK,
            sender=task.manager_id or MANAGER0,
            target=worker_id,
            body=f"{task.title}\n\n{task.body}".strip(),
            task_id=task.id,
        )
        await posting.post(tx, draft, ids=self._ids, now=now)
        return frozenset({worker_id})

    async def _give_back(self, tx: Tx, task: Task, error: NetskyError) -> None:
        """Leave a task that cannot begin by itself to whoever starts a worker on it."""
        now = self._clock.now()
        await tasks.assign(tx, task.id, owner_id=None, manager_id=None, now=now)
        await tasks.set_status(tx, task.id, TaskStatus.OPEN, now=now)
        body = f"{task.id} could not begin: {error}"
        await notes.insert(tx, author="netsky", task_id=task.id, body=body, now=now)

    async def _free(self, tx: Tx) -> int:
        """Return how many more workers may be live."""
        return self._max_live_workers - await readiness.live_workers(tx)

    async def _take(self, tx: Tx, task_id: str, manager: Actor) -> Task:
        task = await tasks.require(tx, task_id)
        check_take(manager, task)
        waits = task.status is TaskStatus.BLOCKED and task.owner_id is None
        if task.status is not TaskStatus.OPEN and not waits:
            msg = f"{task.id} is {task.status}, not open."
            hint = "Start a new task."
            if task.owner_id and not task.status.closed:
                hint = f"{task.owner_id} has it: write to it instead."
            raise Conflict(msg, hint=hint)
        return task


def _check_change(task: Task, status: TaskStatus, waits_for: Sequence[str]) -> None:
    """Raise ``Conflict`` unless a task may go to ``status``; a task closed stays or opens again."""
    if status is TaskStatus.BLOCKED:
        msg = f"{task.id} cannot be set to blocked: only what it depends on blocks a task."
        raise Conflict(msg, hint="Add a dependency, or say in a note what is in the way.")
    if waits_for and not status.closed:
        msg = f"{task.id} waits for {', '.join(waits_for)} and cannot be {status} before."
        raise Conflict(msg)
    if task.status.closed and status is not TaskStatus.OPEN:
        msg = f"{task.id} is {task.status} already."
        raise Conflict(msg, hint="Start a new task for what is left to do.")
    if task.status is TaskStatus.OPEN and task.owner_id and not status.closed:
        msg = f"{task.id} waits for a free place with {task.owner_id} and begins by itself."
        raise Conflict(msg)
