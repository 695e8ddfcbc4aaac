"""Waiting for the end of a sidecar's turn, and bringing it about when it takes too long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from netsky_runtime.db import actors, bus_envelopes, inputs, sessions
from netsky_runtime.db.commits import Commits
from netsky_runtime.errors import NetskyError
from netsky_runtime.states import ActorStatus, InputStatus, SessionState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from netsky_runtime.agents.fleet import Fleet
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.records import Actor, ActorInput

GRACE_SECONDS = 10.0
"""How long a turn that was stopped for its deadline may take to end."""


class Endings:
    """Sees inputs of sidecars to their end; ``begin_anew`` helps one whose thread is lost."""

    def __init__(
        self,
        *,
        database: Database,
        fleet: Fleet,
        begin_anew: Callable[[Actor], Awaitable[bool]],
        clock: Clock,
    ) -> None:
        self._database = database
        self._fleet = fleet
        self._begin_anew = begin_anew
        self._clock = clock
        self._commits = Commits(database)

    async def of(self, row: ActorInput, *, seconds: float) -> ActorInput:
        """Wait for the end of an input, at most ``seconds``; stop its turn then.

        Returns the input as it has ended; late, its sender is told that it took too long.
        Raises ``NetskyError`` for a sidecar that was stopped before it could answer.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._settled(row.actor_id, row.id)
        except TimeoutError:
            pass
        reason = await self._too_long(row.actor_id, seconds)
        await self._database.write(lambda tx: bus_envelopes.set_overdue(tx, row.message_id, reason))
        try:
            async with asyncio.timeout(GRACE_SECONDS):
                await self._fleet.interrupt(row.actor_id)
                return await self._settled(row.actor_id, row.id)
        except (NetskyError, TimeoutError):
            return await self.give_up(row, reason)

    async def give_up(self, row: ActorInput, reason: str) -> ActorInput:
        """Settle an input whose turn never began, or cannot be stopped."""
        await self._fleet.stop_actor(row.actor_id, unheard=True)

        async def body(tx: Tx) -> ActorInput:
            now = await inputs.require(tx, row.id)
            if now.status.open:
                await inputs.settle(
                    tx, [row.id], InputStatus.CANCELLED, reason=reason, now=self._clock.now()
                )
            return await inputs.require(tx, row.id)

        return await self._database.write(body)

    async def _too_long(self, actor_id: str, seconds: float) -> str:
        session = await self._database.read(lambda tx: sessions.last(tx, actor_id))
        lost = session is not None and session.state is SessionState.LOST
        why = session.end_reason if session and lost else "the turn was stopped."
        return f"No answer within {round(seconds, 2):g} s: {why}"

    async def _settled(self, actor_id: str, input_id: str) -> ActorInput:
        """Wait until the input has ended; a thread that no door finds is given up for a new one."""

        async def look(tx: Tx) -> tuple[ActorInput, Actor] | None:
            row, actor = await inputs.require(tx, input_id), await actors.require(tx, actor_id)
            over = not row.status.open or actor.status is not ActorStatus.ACTIVE
            return (row, actor) if over else None

        while True:
            row, actor = await self._commits.until(look)
            if not row.status.open:
                return row
            if not await self._begin_anew(actor):
                msg = f"{actor_id} was {actor.status} before it could answer."
                raise NetskyError(msg, hint=actor.park_reason)
