"""Ending actors' work: of one for good, of all of them until netsky starts again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from netsky_runtime.agents import interrupts
from netsky_runtime.agents.abandon import abandon
from netsky_runtime.codex.base import RuntimeFailure
from netsky_runtime.db import actors, sessions, turns
from netsky_runtime.errors import Conflict, Refused, Unhealthy
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.runners import Runners
    from netsky_runtime.agents.stragglers import Stragglers
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Session
    from netsky_runtime.supervise import Supervisor

VACATE_SECONDS: Final = 10.0
"""How long what a thread lived in may take to end."""


class Stopping:
    """Interrupts turns, lets go of threads and records who works no more."""

    def __init__(
        self, *, kit: Kit, runners: Runners, stragglers: Stragglers, supervisor: Supervisor
    ) -> None:
        self._kit = kit
        self._runners = runners
        self._stragglers = stragglers
        self._supervisor = supervisor

    async def stop(self, actor_id: str, *, unheard: bool) -> str:
        """End an actor: its turn is interrupted, its session over, its row kept.

        Returns why the Codex that its thread lives in was left, where it has one of its own and
        that could not be ended; else nothing.

        A turn that runs as far as recorded is attached to first. Raises ``NotFound``, ``Refused``
        for manager0 and the owner, and ``Conflict`` when that cannot be done now: the turn would
        work on with nobody to see it. With ``unheard`` the actor is stopped all the same. One that
        could not be stopped works on.
        """
        if actor_id in {OWNER, MANAGER0}:
            msg = f"{actor_id} cannot be stopped."
            raise Refused(msg, hint="`netsky stop` ends everything.")
        runners = self._runners
        await self._kit.database.read(lambda tx: actors.require(tx, actor_id))
        if not await interrupts.reach(actor_id, kit=self._kit, seat_of=runners.seat_of):
            fields = {"actor": actor_id}
            self._kit.log("warning", "a turn may run where nobody hears it", fields)
            if not unheard:
                raise self._unreached(actor_id)
        stopped = False
        runners.stopping.add(actor_id)
        try:
            await self._interrupt_and_wait([actor_id])
            await runners.end([actor_id])
            await self._store_stop(actor_id)
            stopped = True
        finally:
            runners.stopping.discard(actor_id)
            if not stopped:  # its seat gives nothing more to its thread: the next one does
                runners.cancel([actor_id])
                runners.wake(actor_id)
        await runners.end([actor_id])  # one that a late message woke before this was stored
        try:
            return await self._vacate(actor_id)
        finally:
            await self._stragglers.look(runners.serves)

    async def drain(self) -> None:
        """Interrupt every running turn and wait, within bounds, until the ends are recorded.

        From here on nothing more is handed to any thread.
        """
        self._runners.draining = True
        await self._interrupt_and_wait(list(self._runners))

    async def close(self) -> None:
        """Let go of every thread. Turns go on where the runtime survives netsky."""
        self._runners.closing = True
        await self._stragglers.close()
        await self._runners.end(list(self._runners))
        self._runners.closing = False

    async def _interrupt_and_wait(self, actor_ids: Sequence[str]) -> None:
        seats = [self._runners[name].seat for name in actor_ids if name in self._runners]
        await interrupts.interrupt_and_wait(seats, kit=self._kit, supervisor=self._supervisor)

    async def _vacate(self, actor_id: str) -> str:
        async def where(tx: Tx) -> Session | None:
            # What runs yet is a straggler, and has its place until it has ended.
            running = await turns.running(tx, actor_id)
            return None if running else await sessions.last(tx, actor_id)

        row = await self._kit.database.read(where)
        if row is None:
            return ""
        try:
            async with asyncio.timeout(VACATE_SECONDS):
                left = await self._kit.runtime(row.runtime).vacate(actor_id)
        except (RuntimeFailure, Unhealthy, TimeoutError) as error:
            left = str(error) or f"it does not end within {VACATE_SECONDS:g} s"
        if left:
            fields = {"actor": actor_id, "reason": left}
            self._kit.log("warning", "the Codex of a stopped actor is left", fields)
        return left

    async def _store_stop(self, actor_id: str) -> None:
        now = self._kit.clock.now()

        async def body(tx: Tx) -> frozenset[str]:
            await actors.set_status(tx, actor_id, ActorStatus.STOPPED, reason="", now=now)
            for turn in await turns.running(tx, actor_id):  # whatever becomes of it is no crash
                await turns.ask_stop(tx, turn.thread_id, turn.id)
            await abandon(tx, actor_id, reason=sessions.STOPPED, recovers=False, now=now)
            return await self._kit.give_back(tx, actor_id) | await self._kit.start_ready(tx)

        await self._kit.database.write(body, then=self._runners.wake_all)

    def _unreached(self, actor_id: str) -> Conflict:
        seat = self._runners.seat_of(actor_id)
        why = seat.problem.rstrip(".") if seat is not None else ""
        msg = f"{actor_id} was not stopped: a turn of it runs, and its thread cannot be attached"
        hint = "It is tried again and again: stop it when it has its thread back."
        return Conflict(f"{msg}: {why}." if why else f"{msg} now.", hint=hint)
