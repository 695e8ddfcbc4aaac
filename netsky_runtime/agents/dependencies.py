"""What a task waits for: edges that come late, edges that go, and tasks that wait in vain.

A task whose dependency failed or was cancelled stays blocked: whether it is still wanted is
nobody's to guess. Its manager, else the owner, is told at once, and the lists show it as stuck
until somebody removes the dependency (``netsky tasks depend --remove``), opens the other task
again, or cancels it.

Every function works inside the caller's transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import actors, inputs, lineage, messages, notes, posting, readiness, tasks
from netsky_runtime.errors import Conflict
from netsky_runtime.records import OWNER
from netsky_runtime.states import ActorStatus, InputStatus, MessageKind, Source, TaskStatus

if TYPE_CHECKING:
    from netsky_runtime.clock import Ids
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Task


async def depend(tx: Tx, task_id: str, on_id: str, *, now: int) -> None:
    """Let a task wait for another, also one that was given to a worker who has not heard of it.

    Raises ``NotFound``, ``UsageError`` for a cycle, ``Conflict`` when the task has begun.
    """
    task = await tasks.require(tx, task_id)
    await tasks.add_dependency(tx, task_id, on_id, now=now)
    if not await tasks.unmet(tx, task_id):
        return
    if task.status in {TaskStatus.IN_PROGRESS, TaskStatus.REPORTED}:
        reason = f"{task.id} waits for {on_id} now"
        if task.status is TaskStatus.REPORTED or not await take_back(tx, task, reason, now=now):
            msg = f"{task.id} has begun already and cannot wait for {on_id} any more."
            hint = f"`netsky tasks set {task.id} --status open` takes it off its worker first."
            raise Conflict(msg, hint=hint)
    if not task.status.closed:
        await tasks.set_status(tx, task.id, TaskStatus.BLOCKED, now=now)


async def take_back(tx: Tx, task: Task, reason: str, *, now: int) -> bool:
    """Cancel the task's text where it still waits for its worker; tell whether it did."""
    if task.owner_id is None:
        return False
    for item in await inputs.open_for(tx, task.owner_id):
        if item.status is not InputStatus.QUEUED or item.batch_id:
            continue
        message = await messages.require(tx, item.message_id)
        if message.kind is MessageKind.TASK and message.task_id == task.id:
            await inputs.settle(tx, [item.id], InputStatus.CANCELLED, reason=reason, now=now)
            return True
    return False


async def tell_stuck(tx: Tx, task: Task, *, by: str, ids: Ids, now: int) -> frozenset[str]:
    """Say of every task that waits for this one, which will not be done, that it is stuck.

    ``by`` has closed it and knows. Returns the actors to wake.
    """
    woken: set[str] = set()
    for stuck in await readiness.stuck_behind(tx, task.id):
        text = (
            f"{stuck.id} “{stuck.title}” cannot begin: it waits for {task.id}, which was "
            f"{task.status}. Cancel it, have it done in another way, or ask the owner to take "
            f"the dependency out: netsky tasks depend {stuck.id} {task.id} --remove"
        )
        await notes.insert(tx, author="netsky", task_id=stuck.id, body=text, now=now)
        target = await _who_decides(tx, stuck)
        if target == by:
            continue
        draft = posting.Draft(
            source=Source.DAEMON,
            kind=MessageKind.REPORT,
            sender="netsky",
            target=target,
            body=text,
            task_id=stuck.id,
        )
        posted = await posting.post(tx, draft, ids=ids, now=now)
        woken |= {posted.input.actor_id} if posted.input else set()
    return frozenset(woken)


async def _who_decides(tx: Tx, task: Task) -> str:
    if task.manager_id is None:
        return OWNER
    manager = await actors.require(tx, task.manager_id)
    if manager.status is ActorStatus.ACTIVE:
        return manager.id
    return await lineage.nearest_active(tx, manager)
