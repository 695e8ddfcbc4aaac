"""What an operator can ask of a daemon. The command line and the room use the same verbs.

``RecordVerbs`` need only the database: they also work, under the home's lock, when no daemon
runs. ``LiveVerbs`` need threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from netsky_runtime import settings as settings_file
from netsky_runtime.agents import dependencies
from netsky_runtime.budgets import PARKED, Hold
from netsky_runtime.control import protocol
from netsky_runtime.db import actors, holds, inputs, messages, notes, posting, readiness, tasks
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.errors import (
    Conflict,
    DatabaseError,
    NoDaemon,
    NotFound,
    Refused,
    UsageError,
)
from netsky_runtime.records import OWNER, Actor, ActorInput, Task
from netsky_runtime.states import ActorStatus, InputMode, InputStatus, MessageKind, TaskStatus

if TYPE_CHECKING:
    from netsky_runtime.agents.budgets import BudgetKeeper
    from netsky_runtime.agents.delegation import Delegation
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.base import Capabilities
    from netsky_runtime.comms.receiving import Inbox
    from netsky_runtime.db.connection import Database, Tx

Verb = Callable[[Any], Awaitable[dict[str, Any]]]
Wake = Callable[[str], None]


class RecordVerbs:
    """Verbs that read and write rows and wake whoever they concern."""

    def __init__(
        self,
        *,
        database: Database,
        inbox: Inbox,
        delegation: Delegation,
        clock: Clock,
        ids: Ids,
        wake: Wake,
        budgets: BudgetKeeper,
        look_again: Callable[[str], Awaitable[None]] | None = None,
        capabilities_of: Callable[[str], Awaitable[Capabilities | None]] | None = None,
    ) -> None:
        self._look_again = look_again
        self._capabilities_of = capabilities_of
        self._database = database
        self._inbox = inbox
        self._delegation = delegation
        self._clock = clock
        self._ids = ids
        self._wake = wake
        self._budgets = budgets

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {
            "send": self.send,
            "inputs.cancel": self.cancel_input,
            "inputs.resolve": self.resolve_input,
            "tasks.add": self.add_task,
            "tasks.set": self.set_task,
            "tasks.depend": self.depend_task,
            "tasks.done": self.done_task,
            "tasks.cancel": self.cancel_task,
            "messages.read": self.read_messages,
            "notes.add": self.add_note,
            "settings.set": self.set_setting,
        }

    async def send(self, request: protocol.Send) -> dict[str, Any]:
        """Store a message of the owner's and queue it for its actor.

        ``held`` says why it is not sent for now, ``remedy`` which command ends that.
        """
        if request.target == OWNER:
            msg = "The owner is you."
            raise UsageError(msg, hint="Send to an actor: `netsky actors list` names them.")
        if request.mode is InputMode.STEER:
            await self._check_steer(request.target)
        posted = await self._inbox.receive(
            source=request.source,
            kind=MessageKind.TEXT,
            sender=OWNER,
            target=request.target,
            body=request.body,
            mode=request.mode,
            in_reply_to=request.in_reply_to,
            resume=request.resume,
        )
        if posted.input is None:
            msg = f"{request.target} takes no input."
            raise Conflict(msg)
        now = self._clock.now()

        async def held(tx: Tx) -> Hold | None:
            actor = await actors.require(tx, request.target)
            hold = await holds.of_actor(tx, actor.id, now=now)
            if hold is not None and actor.park_reason.startswith(PARKED):
                return hold  # to resume it alone would send nothing: more tokens do
            return _parked(actor) or hold

        hold = await self._database.read(held)
        return {
            "message_id": posted.message.id,
            "input_id": posted.input.id,
            "status": posted.input.status.value,
            "held": hold.reason if hold is not None else None,
            "remedy": hold.remedy if hold is not None else None,
        }

    async def _check_steer(self, actor_id: str) -> None:
        """Refuse what would wait like a queued message though it was meant for this very turn."""
        can = await self._capabilities_of(actor_id) if self._capabilities_of else None
        if can is not None and not can.steer:
            msg = f"The door to {actor_id} cannot add to a running turn."
            hint = "Queue it, and it goes in when the turn ends; or interrupt the turn with it."
            raise Refused(msg, hint=hint)

    async def cancel_input(self, request: protocol.InputId) -> dict[str, Any]:
        """Take back an input that was not sent yet."""

        async def body(tx: Tx) -> None:
            row = await inputs.require(tx, request.input_id)
            if row.status is not InputStatus.QUEUED or row.batch_id:
                msg = f"Input {row.id} is {row.status.value} and cannot be taken back."
                raise Conflict(msg, hint="`netsky actors interrupt` stops a running turn.")
            await inputs.settle(
                tx,
                [row.id],
                InputStatus.CANCELLED,
                reason="taken back by the owner",
                now=self._clock.now(),
            )

        await self._database.write(body)
        return {"status": InputStatus.CANCELLED.value}

    async def resolve_input(self, request: protocol.ResolveInput) -> dict[str, Any]:
        """Let the owner decide what becomes of an uncertain input.

        History is read once more before: what it shows by now was consumed and is not sent again.
        """
        before = await self._database.read(lambda tx: inputs.require(tx, request.input_id))
        if self._look_again is not None:
            await self._look_again(before.actor_id)

        async def body(tx: Tx) -> ActorInput:
            row = await inputs.require(tx, request.input_id)
            if row.status is not InputStatus.UNCERTAIN:
                msg = f"Input {row.id} is {row.status.value}, not uncertain: nothing to resolve."
                raise Conflict(msg)
            if request.action == "resend":
                await posting.check_target(tx, row.actor_id)
                await inputs.requeue(tx, [row.id], reason=inputs.RESENT)
            else:
                await inputs.settle(
                    tx,
                    [row.id],
                    InputStatus.CANCELLED,
                    reason="dropped by the owner's decision",
                    now=self._clock.now(),
                )
            return await inputs.require(tx, row.id)

        row = await self._database.write(body)
        self._wake(row.actor_id)
        return {"status": row.status.value}

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

    async def read_messages(self, request: protocol.ReadMessages) -> dict[str, Any]:
        """Record that the owner's eyes were on these messages."""
        now = self._clock.now()
        await self._database.write(lambda tx: messages.mark_read(tx, request.ids, now))
        return {}

    async def add_note(self, request: protocol.AddNote) -> dict[str, Any]:
        """Keep an explanation."""
        now = self._clock.now()

        async def body(tx: Tx) -> str:
            if request.task_id is not None:
                await tasks.require(tx, request.task_id)
            note = await notes.insert(
                tx, author=OWNER, task_id=request.task_id, body=request.body, now=now
            )
            return note.id

        return {"note_id": await self._database.write(body)}

    async def set_setting(self, request: protocol.SetSetting) -> dict[str, Any]:
        """Store a setting, or take its default again when the value is empty.

        It holds for what starts from now on.
        """
        settings_file.check(request.key, request.value)
        now = self._clock.now()

        async def body(tx: Tx) -> None:
            if request.value:
                await setting_rows.set_(tx, request.key, request.value, now=now)
            else:
                await setting_rows.clear(tx, request.key)

        await self._database.write(body)
        if request.key in settings_file.BUDGETS:
            await self._budgets.look_again()
        return {}

    def _wake_all(self, actor_ids: frozenset[str]) -> None:
        for actor_id in actor_ids:
            self._wake(actor_id)


def _parked(actor: Actor) -> Hold | None:
    """Say of a parked actor's messages why they wait and how they go."""
    if actor.status is not ActorStatus.PARKED:
        return None
    why = f"{actor.id} is parked: {actor.park_reason or 'its owner decides'}"
    return Hold(reason=why, until=None, remedy=f"netsky actors resume {actor.id}")


class VerbTable:
    """Checks a request's shape and runs its verb."""

    def __init__(self, *tables: Mapping[str, Verb], offline: bool = False) -> None:
        self._verbs = {name: verb for table in tables for name, verb in table.items()}
        self._offline = offline

    async def __call__(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Run ``method``.

        Raises ``UsageError`` for parameters of the wrong shape, ``NotFound`` for an unknown
        method, ``NoDaemon`` for one that needs a running daemon, ``DatabaseError`` when the
        database fails, and what the verb raises.
        """
        verb = self._verbs.get(method)
        if verb is None and self._offline and method in protocol.REQUESTS:
            msg = "No daemon runs on this home."
            raise NoDaemon(msg, hint="Start one with `netsky`, or `netsky --no-tui`.")
        if verb is None:
            msg = f"There is no request {method!r}."
            raise NotFound(msg)
        try:
            return await verb(protocol.parse(method, params))
        except sqlite3.Error as error:
            msg = f"The database could not do it: {error}."
            raise DatabaseError(
                msg, hint="Nothing was stored. `netsky doctor` says more."
            ) from error
