"""What each tool does, inside the transaction that records the call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.agents import authority, tools
from netsky_runtime.agents.authority import Role, role_of
from netsky_runtime.db import actors, lineage, notes, posting, readiness, tasks
from netsky_runtime.errors import Conflict, UsageError
from netsky_runtime.states import ActorKind, MessageKind, Source, TaskStatus

if TYPE_CHECKING:
    from netsky_runtime.agents.delegation import Delegation
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, Task

OPEN_SHOWN = 100
"""How many tasks that are not closed ``list_tasks`` shows, the most urgent."""
CLOSED_SHOWN = 20
"""How many closed tasks it shows, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, and from where."""

    actor: Actor
    thread_id: str
    turn_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model is told, and who is to be woken after the commit."""

    text: str
    wake: frozenset[str] = frozenset()


class Effects:
    """The tools' effects. Each refusal is raised as an error whose text the model can act on."""

    def __init__(self, *, delegation: Delegation, clock: Clock, ids: Ids) -> None:
        self._delegation = delegation
        self._clock = clock
        self._ids = ids

    async def apply(self, tx: Tx, call: Call, arguments: tools.Arguments) -> Outcome:
        """Do what the checked ``arguments`` ask for.

        Raises ``UsageError``, ``NotFound``, ``Refused`` or ``Conflict``; the caller rolls back.
        """
        match arguments:
            case tools.StartManager():
                return await self._start_manager(tx, call, arguments)
            case tools.StartWorker():
                return await self._start_worker(tx, call, arguments)
            case tools.UpdateTask():
                return await self._update_task(tx, call, arguments)
            case tools.SendMessage():
                return await self._send_message(tx, call, arguments)
            case tools.AddNote():
                return await self._add_note(tx, call, arguments)
            case tools.AskOwner():
                return await self._ask_owner(tx, call, arguments)
            case _:
                return await _list_tasks(tx, call.actor)

    async def _start_manager(self, tx: Tx, call: Call, wanted: tools.StartManager) -> Outcome:
        started = await self._delegation.start_manager(
            tx, objective=wanted.objective, name=wanted.name, started_by=call.actor.id
        )
        return Outcome(f"{started.actor_id} has its objective and reports to you.", started.wake)

    async def _start_worker(self, tx: Tx, call: Call, wanted: tools.StartWorker) -> Outcome:
        started = await self._delegation.start_worker(
            tx,
            title=wanted.title,
            body=wanted.body,
            manager_id=call.actor.id,
            task_id=wanted.task_id,
            cwd=wanted.cwd,
            model=wanted.model,
            priority=wanted.priority,
            estimate_minutes=wanted.estimate_minutes,
            depends_on=wanted.depends_on or (),
        )
        await _touched(tx, call, started.task_id)
        match started.status:
            case TaskStatus.BLOCKED:
                waits = ", ".join(started.waits_for)
                text = (
                    f"{started.task_id} waits for {waits} and then begins with {started.actor_id}."
                )
            case TaskStatus.OPEN:
                text = (
                    f"{started.task_id} begins with {started.actor_id} as soon as a place is "
                    "free: as many workers as allowed are at work."
                )
            case _:
                text = f"{started.actor_id} works on {started.task_id} and reports to you."
        return Outcome(text, started.wake)

    async def _update_task(self, tx: Tx, call: Call, wanted: tools.UpdateTask) -> Outcome:
        if wanted.status is None and wanted.priority is None and wanted.note is None:
            msg = "update_task was given nothing to change."
            raise UsageError(msg, hint="Give status, priority or note.")
        task = await tasks.require(tx, wanted.id)
        authority.check_task(call.actor, task)
        now = self._clock.now()
        wake: frozenset[str] = frozenset()
        if wanted.note is not None:
            await notes.insert(tx, author=call.actor.id, task_id=task.id, body=wanted.note, now=now)
        if wanted.priority is not None:
            authority.check_priority(call.actor, task)
            await tasks.set_fields(tx, task.id, priority=wanted.priority, now=now)
        if wanted.status is not None:
            authority.check_status(call.actor, task, wanted.status)
            wake = await self._delegation.set_status(tx, task, wanted.status, by=call.actor.id)
        await _touched(tx, call, task.id)
        after = await tasks.require(tx, task.id)
        begun = f" Now begin: {', '.join(sorted(wake))}." if wake else ""
        if after.status in {TaskStatus.FAILED, TaskStatus.CANCELLED}:
            stuck = [each.id for each in await readiness.stuck_behind(tx, task.id)]
            begun = f" Stuck behind it: {', '.join(stuck)}." if stuck else ""
        return Outcome(f"{_line(after)}{begun}", wake)

    async def _send_message(self, tx: Tx, call: Call, wanted: tools.SendMessage) -> Outcome:
        sender = call.actor
        target = await actors.require(tx, wanted.to)
        authority.check_target(sender, target)
        target_id, told = target.id, ""
        task = None
        if target.id == sender.manager_id:
            target_id = await lineage.nearest_active(tx, sender)
            if target_id != target.id:
                told = f" ({target.id} is {target.status})"
            task = await _current_task(tx, sender.id)
        elif target.kind is ActorKind.WORKER:
            task = await _current_task(tx, target.id)
            _check_begun(target, task)
        draft = posting.Draft(
            source=Source.ACTOR,
            kind=MessageKind.TEXT,
            sender=sender.id,
            target=target_id,
            body=wanted.body,
            task_id=task.id if task else None,
            thread_id=call.thread_id,
            turn_id=call.turn_id,
        )
        posted = await posting.post(tx, draft, ids=self._ids, now=self._clock.now())
        if task and task.owner_id == target_id and task.status is TaskStatus.REPORTED:
            # Its manager sends it on: the work is in progress again until the next report.
            await tasks.set_status(tx, task.id, TaskStatus.IN_PROGRESS, now=self._clock.now())
        wake = frozenset({target_id}) if posted.input else frozenset()
        return Outcome(f"Sent to {target_id}{told}.", wake)

    async def _add_note(self, tx: Tx, call: Call, wanted: tools.AddNote) -> Outcome:
        task_id = wanted.task_id
        if task_id is not None:
            authority.check_task(call.actor, await tasks.require(tx, task_id))
        elif role_of(call.actor) is Role.WORKER:
            task = await _current_task(tx, call.actor.id)
            task_id = task.id if task else None
        note = await notes.insert(
            tx, author=call.actor.id, task_id=task_id, body=wanted.body, now=self._clock.now()
        )
        return Outcome(f"Kept as {note.id}{f' with {task_id}' if task_id else ''}.")

    async def _ask_owner(self, tx: Tx, call: Call, wanted: tools.AskOwner) -> Outcome:
        target_id = await lineage.nearest_active(tx, call.actor)
        task = await _current_task(tx, call.actor.id)
        draft = posting.Draft(
            source=Source.ACTOR,
            kind=MessageKind.QUESTION,
            sender=call.actor.id,
            target=target_id,
            body=wanted.question,
            task_id=task.id if task else None,
            thread_id=call.thread_id,
            turn_id=call.turn_id,
        )
        posted = await posting.post(tx, draft, ids=self._ids, now=self._clock.now())
        text = (
            f"Question {posted.message.id} went to {target_id}. The answer comes as an input: "
            "do what does not depend on it, then end your turn."
        )
        return Outcome(text, frozenset({target_id}) if posted.input else frozenset())


async def _touched(tx: Tx, call: Call, task_id: str) -> None:
    await tasks.touched(tx, task_id, thread_id=call.thread_id, turn_id=call.turn_id)


async def _list_tasks(tx: Tx, actor: Actor) -> Outcome:
    # In the writer's transaction: one more than is shown tells that there are others.
    lane = None if role_of(actor) is Role.MANAGER0 else actor.id
    going = await tasks.open_in(tx, lane, limit=OPEN_SHOWN + 1)
    closed = await tasks.closed_in(tx, lane, limit=CLOSED_SHOWN + 1)
    lines = [_line(task) for task in (*going[:OPEN_SHOWN], *closed[:CLOSED_SHOWN])]
    if len(going) > OPEN_SHOWN:
        lines.append(f"Left out: open tasks less urgent than these {OPEN_SHOWN}.")
    if len(closed) > CLOSED_SHOWN:
        lines.append(f"Left out: tasks closed before the last {CLOSED_SHOWN}.")
    return Outcome("\n".join(lines) or "There are no tasks.")


def _line(task: Task) -> str:
    parts = [task.id, task.priority.value, task.status.value, f'"{task.title}"']
    if task.owner_id:
        parts.append(f"worker={task.owner_id}")
    if task.manager_id:
        parts.append(f"manager={task.manager_id}")
    if task.depends_on:
        parts.append(f"depends_on={','.join(task.depends_on)}")
    if task.estimate_minutes:
        parts.append(f"estimate={task.estimate_minutes}min")
    return " ".join(parts)


async def _current_task(tx: Tx, worker_id: str) -> Task | None:
    """Return the task an actor works on, else the latest it had that is not closed."""
    held = [task for task in await tasks.of_owner(tx, worker_id) if not task.status.closed]
    at_work = [task for task in held if task.status is TaskStatus.IN_PROGRESS]
    return next(reversed(at_work or held), None)


def _check_begun(worker: Actor, task: Task | None) -> None:
    """Raise ``Conflict`` when a message would make a worker begin before its task may."""
    if task is not None and task.status in {TaskStatus.OPEN, TaskStatus.BLOCKED}:
        waits = f" for {', '.join(task.depends_on)}" if task.status is TaskStatus.BLOCKED else ""
        msg = f"{worker.id} has not begun: {task.id} waits{waits}."
        raise Conflict(msg, hint="Write to it once it works.")
