"""Turns that run on though their actor was stopped: found in the engine, ended and settled.

A stop waits for a turn's end only so long, and netsky may be killed meanwhile; a sidecar is put
to rest also when its thread cannot be reached. Then a turn may work on in an engine that outlives
netsky, where nobody hears it or sees what it asks. So at every start, and after every stop, each
thread of a session that is over, on which a turn may run as far as recorded, is attached to once
more. What runs there is interrupted and its end settled from history as after any stop; then the
thread is unloaded (on resident its tmux session is ended). Where that does not succeed it is told,
waits in the owner's queue, and is tried again, beside everybody else's work, until it has.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Final

from netsky_runtime.agents.interrupts import note
from netsky_runtime.agents.reconcile import reconcile
from netsky_runtime.agents.seat import Seat
from netsky_runtime.codex.base import NoActiveTurn, NoSuchDoor, RuntimeFailure, ThreadGone
from netsky_runtime.db import actors, sessions, turns
from netsky_runtime.errors import Unhealthy
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Session
    from netsky_runtime.supervise import Supervisor

ATTEMPT_SECONDS: Final = 30.0
"""How long an attempt may take: to attach, and until the turn has ended."""
RETRY_SECONDS: Final = (2.0, 10.0, 30.0, 60.0)
"""Rest before the next attempt."""
CLOSE_SECONDS: Final = 2.0
AT_ONCE: Final = 2
"""How many threads are attached for this at the same time."""
LOOK_SECONDS: Final = 0.05
END_SECONDS: Final = 5.0


class Stragglers:
    """Sees threads to their rest that nobody comes back for."""

    def __init__(self, *, kit: Kit, supervisor: Supervisor) -> None:
        self._kit = kit
        self._supervisor = supervisor
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """By thread."""
        self._rows: dict[str, Session] = {}
        self._turnstile = asyncio.Semaphore(AT_ONCE)

    async def look(self, serves: Callable[[str], bool]) -> None:
        """Begin to end what runs on such threads of the actors that are served, if anything does.

        Returns at once.
        """
        for row in await self._kit.database.read(sessions.left):
            if serves(row.actor_id) and row.thread_id not in self._tasks:
                work = self._see_to(row)
                task = self._supervisor.spawn(f"straggler of {row.actor_id}", work)
                self._tasks[row.thread_id], self._rows[row.thread_id] = task, row
                task.add_done_callback(partial(self._forget, row.thread_id))

    async def close(self) -> None:
        """Leave what runs yet to the next start."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)

    def leave(self, actor_id: str) -> None:
        """Keep off an actor that begins anew, where only one thread of it can live in its place.

        Its door ends what was there before.
        """
        for thread_id, row in self._rows.items():
            if row.actor_id == actor_id and self._kit.runtime(row.runtime).capabilities.environment:
                self._tasks[thread_id].cancel()

    def _forget(self, thread_id: str, _task: asyncio.Task[None]) -> None:
        del self._tasks[thread_id], self._rows[thread_id]

    async def _see_to(self, row: Session) -> None:
        for attempt in count():
            why = ""
            try:
                async with self._turnstile, asyncio.timeout(ATTEMPT_SECONDS):
                    if await self._is_left(row):
                        await self._attempt(row)
            except ThreadGone as error:
                await self._gone(row, error.message)
            except TimeoutError:
                why = f"not done within {ATTEMPT_SECONDS:g} s"
            except (RuntimeFailure, Unhealthy) as error:
                why = error.message
            if not why:
                return
            if attempt == 0:
                await self._unreached(row, why)
            await self._kit.clock.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])

    async def _unreached(self, row: Session, why: str) -> None:
        fields = {"actor": row.actor_id, "thread": row.thread_id, "reason": why}
        self._kit.log("error", "a turn of a stopped actor may run on", fields)
        now = self._kit.clock.now()
        await self._kit.database.write(lambda tx: sessions.unreached(tx, row.id, now=now))

    async def _is_left(self, row: Session) -> bool:
        """Whether nobody else has settled the turn or needs its thread or place meanwhile.

        Raises ``ThreadGone`` when another thread has taken its place.
        """
        alone = self._kit.runtime(row.runtime).capabilities.environment

        async def body(tx: Tx) -> bool:
            actor = await actors.require(tx, row.actor_id)
            if alone and actor.status is not ActorStatus.STOPPED:
                present = await sessions.current(tx, row.actor_id)
                if present is not None and present.thread_id not in {"", row.thread_id}:
                    msg = f"Thread {present.thread_id} has taken its place."
                    raise ThreadGone(msg)
                return False
            return any(other.id == row.id for other in await sessions.left(tx))

        return await self._kit.database.read(body)

    async def _attempt(self, row: Session) -> None:
        thread = await self._attach(row)
        seat = Seat(row.actor_id, kit=self._kit)
        seat.row, seat.thread, seat.closing = row, thread, True
        released = False
        try:
            if not await self._is_left(row):
                return  # attaching took its time, and somebody goes on with the thread
            ended = await self._end(seat, thread)
            async with seat.lock:
                await reconcile(seat, thread)
            fields = {"actor": row.actor_id, "thread": row.thread_id, "turn": ended}
            how = (
                "a turn of a stopped actor was ended" if ended else "a stopped actor's thread rests"
            )
            self._kit.log("warning" if ended else "info", how, fields)
            with suppress(RuntimeFailure):  # then it stays loaded, and nothing runs on it
                await thread.release()
                released = True
        finally:
            if not released:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CLOSE_SECONDS):
                        await thread.close()

    async def _attach(self, row: Session) -> ThreadSession:
        kit = self._kit
        actor = await kit.database.read(lambda tx: actors.require(tx, row.actor_id))
        runtime = kit.runtime(row.runtime)
        try:
            await runtime.open()
        except NoSuchDoor as error:
            if runtime.capabilities.survives_netsky:
                raise
            raise ThreadGone(error.message) from error
        await asyncio.to_thread(kit.launcher.make_folders, actor.id)
        return await runtime.resume(
            row.thread_id, kit.launcher.spec(actor, row, runtime.capabilities)
        )

    async def _end(self, seat: Seat, thread: ThreadSession) -> str:
        """Interrupt what runs until nothing does; return the turn, empty when none ran."""
        asked = ""
        while turn_id := thread.active_turn:
            if turn_id != asked:
                await note(seat, thread, turn_id)
                with suppress(NoActiveTurn):  # it has just ended by itself
                    await thread.interrupt(turn_id)
                asked = turn_id
            await self._kit.clock.sleep(LOOK_SECONDS)
        return asked

    async def _gone(self, row: Session, reason: str) -> None:
        """Record that nothing carries the thread any more, so nothing runs on it."""

        async def body(tx: Tx) -> None:
            await turns.cut(tx, row.thread_id, known=(), reason=reason)

        await self._kit.database.write(body)
        fields = {"actor": row.actor_id, "thread": row.thread_id, "reason": reason}
        self._kit.log("info", "a stopped actor's thread is gone", fields)
