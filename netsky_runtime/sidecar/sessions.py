"""A sidecar's session: made for each call, on the thread of the one before."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.agents.launch import new_session
from netsky_runtime.db import actors, sessions
from netsky_runtime.errors import Conflict
from netsky_runtime.records import MANAGER0, Actor, Session
from netsky_runtime.states import ActorKind, ActorStatus, RuntimeName, SessionState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from netsky_runtime.agents.fleet import Fleet
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.settings import Settings

OBJECTIVE = "one turn at a time, by netsky codex"


class SidecarSessions:
    """Brings sidecars to life; ``door`` says through which one a new thread starts."""

    def __init__(
        self,
        *,
        database: Database,
        fleet: Fleet,
        settings: Settings,
        door: Callable[[], Awaitable[RuntimeName]],
        cwd: Path,
        clock: Clock,
        ids: Ids,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._settings = settings
        self._door = door
        self._cwd = cwd
        self._clock = clock
        self._ids = ids

    async def check_free(self, tx: Tx, actor_id: str) -> None:
        """Raise ``Conflict`` unless the actor is a sidecar at rest, or nobody at all."""
        actor = await actors.get(tx, actor_id)
        if actor is None:
            return
        if actor_id in self._fleet.running():
            msg = f"A turn of {actor_id} is running."
            raise Conflict(msg, hint="Call again when it has ended.")
        if actor.kind is ActorKind.SIDECAR:
            if actor.status is not ActorStatus.STOPPED:
                msg = f"{actor_id} was just brought back to work."
                raise Conflict(msg, hint="Call again: it is stopped first.")
            return
        current = await sessions.current(tx, actor_id)
        if current is not None or actor.status is not ActorStatus.STOPPED:
            msg = f"{actor_id} is at work in a session of its own."
            hint = f"Write to it with `netsky send {actor_id}`, or choose another number."
            raise Conflict(msg, hint=hint)

    async def begin(self, actor_id: str, *, model: str, fresh: bool) -> str:
        """Bring the sidecar to life on its last thread; return that thread's id, if any.

        Raises ``Conflict`` as ``check_free`` does.
        """
        door = await self._door()
        now = self._clock.now()

        async def body(tx: Tx) -> str:
            await self.check_free(tx, actor_id)
            known = await actors.get(tx, actor_id)
            before = None
            if known is None:
                await actors.insert(tx, self._newcomer(actor_id))
            elif known.kind is ActorKind.SIDECAR:
                before = await sessions.last_with_thread(tx, actor_id)
            await actors.set_kind(tx, actor_id, ActorKind.SIDECAR, now=now)
            await actors.set_status(tx, actor_id, ActorStatus.ACTIVE, now=now)
            actor = await actors.require(tx, actor_id)
            row = new_session(
                actor, self._settings, runtime=door, ids=self._ids, now=now, model=model
            )
            if before is not None and not fresh:
                row = _continued(row, before)
            await sessions.insert(tx, row)
            return row.thread_id

        return await self._database.write(body, then=lambda _: self._fleet.leave_to(actor_id))

    async def begin_anew(self, actor: Actor) -> bool:
        """Give a parked sidecar a session without its lost thread; tell whether that helps."""
        now = self._clock.now()

        async def body(tx: Tx) -> bool:
            lost = await sessions.last(tx, actor.id)
            if lost is None or not lost.thread_id or lost.ended_at is None:
                return False
            if actor.status is not ActorStatus.PARKED or lost.previous_thread_id:
                return False
            row = replace(
                _continued(lost, lost),
                id=self._ids.new("s"),
                token=self._ids.token(),
                tag=self._ids.tag(),
                thread_id="",
                previous_thread_id=lost.thread_id,
                started_at=now,
            )
            await sessions.insert(tx, row)
            await actors.set_status(tx, actor.id, ActorStatus.ACTIVE, now=now)
            return True

        if not await self._database.write(body):
            return False
        self._fleet.wake(actor.id)
        return True

    def _newcomer(self, actor_id: str) -> Actor:
        now = self._clock.now()
        return Actor(
            id=actor_id,
            kind=ActorKind.SIDECAR,
            status=ActorStatus.ACTIVE,
            manager_id=MANAGER0,
            objective=OBJECTIVE,
            cwd=str(self._cwd),
            created_at=now,
            updated_at=now,
        )


def _continued(row: Session, before: Session) -> Session:
    """Let a session go on with the thread of an earlier one, as that was told it would."""
    return replace(
        row,
        runtime=before.runtime,
        state=SessionState.STARTING,
        thread_id=before.thread_id,
        engine_id="",
        tag=before.tag,
        tools_door=before.tools_door,
        differences="",
        blocked="",
        blocked_at=None,
        ended_at=None,
        end_reason="",
    )
