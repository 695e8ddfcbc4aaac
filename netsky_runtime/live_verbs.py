"""What an operator can ask of a daemon that needs threads; see ``verbs`` for what does not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from netsky_runtime.db import holds, inputs, messages, sessions
from netsky_runtime.db.commits import Commits
from netsky_runtime.errors import Conflict
from netsky_runtime.records import OWNER
from netsky_runtime.states import InputStatus, RuntimeName

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from netsky_runtime.agents.delegation import Delegation
    from netsky_runtime.agents.fleet import Fleet
    from netsky_runtime.clock import Clock
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.verbs import Verb, Wake


class LiveVerbs:
    """Verbs that need the fleet."""

    def __init__(
        self,
        *,
        database: Database,
        fleet: Fleet,
        delegation: Delegation,
        check_door: Callable[[RuntimeName], Awaitable[None]],
        codex_home: str,
        clock: Clock,
        wake: Wake,
    ) -> None:
        self._check_door = check_door
        self._codex_home = codex_home
        self._clock = clock
        self._database = database
        self._fleet = fleet
        self._delegation = delegation
        self._wake = wake
        self._commits = Commits(database)

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {
            "wait": self.wait,
            "actors.start_manager": self.start_manager,
            "actors.start_worker": self.start_worker,
            "actors.stop": self.stop_actor,
            "actors.interrupt": self.interrupt_actor,
            "actors.resume": self.resume_actor,
            "actors.ways": self.ways,
            "actors.move": self.move_actor,
            "actors.terminal": self.terminal,
        }

    async def wait(self, request: protocol.Wait) -> dict[str, Any]:
        """Return the state of an input once it is settled, or after ``timeout`` seconds."""

        async def settled(tx: Tx) -> dict[str, Any] | None:
            state = await _state(tx, request.input_id)
            return None if InputStatus(state["status"]).open else state

        try:
            async with asyncio.timeout(request.timeout):
                return await self._commits.until(settled)
        except TimeoutError:
            return await self._database.read(lambda tx: _state(tx, request.input_id))

    async def start_manager(self, request: protocol.StartManager) -> dict[str, Any]:
        """Start a manager for one lane."""
        if request.runtime is not None:
            await self._check_door(request.runtime)
        started = await self._database.write(
            lambda tx: self._delegation.start_manager(
                tx,
                objective=request.objective,
                name=request.name,
                runtime=request.runtime,
                started_by=OWNER,
            )
        )
        self._wake_all(started.wake)
        return {"actor_id": started.actor_id}

    async def start_worker(self, request: protocol.StartWorker) -> dict[str, Any]:
        """Start a worker for one task."""
        if request.runtime is not None:
            await self._check_door(request.runtime)
        started = await self._database.write(
            lambda tx: self._delegation.start_worker(
                tx,
                title=request.title,
                body=request.body,
                manager_id=request.manager,
                task_id=request.task_id,
                cwd=request.cwd,
                model=request.model,
                runtime=request.runtime,
                priority=request.priority,
                estimate_minutes=request.estimate_minutes,
                depends_on=request.depends_on,
            )
        )
        self._wake_all(started.wake)
        return {
            "actor_id": started.actor_id,
            "task_id": started.task_id,
            "status": started.status.value,
        }

    async def stop_actor(self, request: protocol.ActorId) -> dict[str, Any]:
        """End an actor; its rows stay.

        ``left`` says why a Codex of its own was left, if it was.
        """
        return {"left": await self._fleet.stop_actor(request.actor_id)}

    async def interrupt_actor(self, request: protocol.ActorId) -> dict[str, Any]:
        """Stop an actor's running turn."""
        return {"turn_id": await self._fleet.interrupt(request.actor_id)}

    async def resume_actor(self, request: protocol.ActorId) -> dict[str, Any]:
        """Bring a parked or stopped actor back.

        ``held`` says what its work still waits for, ``remedy`` which command ends that.
        """
        await self._fleet.resume_actor(request.actor_id)
        now = self._clock.now()
        hold = await self._database.read(lambda tx: holds.of_actor(tx, request.actor_id, now=now))
        return {
            "held": hold.reason if hold is not None else None,
            "remedy": hold.remedy if hold is not None else None,
        }

    async def ways(self, request: protocol.ActorId) -> dict[str, Any]:
        """Tell where an actor's thread can move: all doors, in the order they are preferred.

        ``closed`` says why one is no way for it, empty where it is.
        """
        found = await self._fleet.ways(request.actor_id)
        return {"ways": [{"runtime": to.value, "closed": why} for to, why in found.items()]}

    async def move_actor(self, request: protocol.MoveActor) -> dict[str, Any]:
        """Take an actor's thread through another door."""
        await self._check_door(request.runtime)
        session = await self._fleet.move(
            request.actor_id, request.runtime, interrupt=request.interrupt
        )
        return {
            "actor_id": session.actor_id,
            "runtime": session.runtime.value,
            "thread_id": session.thread_id,
        }

    async def terminal(self, request: protocol.ActorId) -> dict[str, Any]:
        """Tell which command shows Codex's own screen of an actor's thread, and where it runs.

        ``environment`` is what it needs beside the environment of whoever runs it.
        """
        command = await self._fleet.terminal(request.actor_id)
        session = await self._database.read(lambda tx: sessions.current(tx, request.actor_id))
        if session is None:
            msg = f"The session of {request.actor_id} has just ended."
            raise Conflict(msg)
        return {
            "command": list(command),
            "environment": {"CODEX_HOME": self._codex_home},
            "cwd": session.cwd,
            "runtime": session.runtime.value,
        }

    def _wake_all(self, actor_ids: frozenset[str]) -> None:
        for actor_id in actor_ids:
            self._wake(actor_id)


async def _state(tx: Tx, input_id: str) -> dict[str, Any]:
    row = await inputs.require(tx, input_id)
    reply = await messages.get(tx, row.reply_id) if row.reply_id else None
    return {
        "message_id": row.message_id,
        "input_id": row.id,
        "status": row.status.value,
        "reason": row.reason,
        "reply": {"id": reply.id, "body": reply.body} if reply else None,
    }
