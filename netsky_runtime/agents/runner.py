"""One actor at work: attach, listen and dispatch, and do it again when the thread is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from netsky_runtime.agents import parking
from netsky_runtime.agents.abandon import abandon
from netsky_runtime.agents.attach import attach
from netsky_runtime.agents.dispatch import Dispatcher
from netsky_runtime.agents.interrupts import ask_again
from netsky_runtime.agents.listener import Listener
from netsky_runtime.agents.move import carry_out
from netsky_runtime.agents.reconcile import doubt, reconcile
from netsky_runtime.agents.restart_policy import Duty, decide
from netsky_runtime.agents.seat import Seat
from netsky_runtime.codex.base import (
    HistoryUnavailable,
    RuntimeFailure,
    ThreadGone,
    ThreadSession,
    ThreadUnavailable,
)
from netsky_runtime.db import actors, sessions, standings
from netsky_runtime.errors import Conflict, NetskyError, Unhealthy
from netsky_runtime.states import ActorStatus, SessionState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.supervise import Supervisor

BACKOFF = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the nth attempt to get a lost thread back."""
STEADY_SECONDS = 30.0
"""A thread that was served this long makes the next attempt a first one again."""
DOUBTS_AFTER = 5
AWAY_SECONDS = 120.0
"""After so long without a thread that is to be there, a human is told; it is tried again still."""
CLOSE_SECONDS = 2.0
RENEW_SECONDS = 8.0
"""How long a door may take to end or unload what carries a thread."""
LAST_WORDS_SECONDS = 2.0
"""How long the events of a thread that was left for another door may take to be stored."""


class ActorRunner:
    """Runs one actor for as long as the daemon does."""

    def __init__(
        self,
        actor_id: str,
        *,
        kit: Kit,
        supervisor: Supervisor,
        on_thread: Callable[[str, ThreadSession], Awaitable[None]],
        turnstile: asyncio.Semaphore,
    ) -> None:
        self.seat = Seat(actor_id, kit=kit)
        self._on_thread = on_thread
        self._turnstile = turnstile
        """Bounds how many threads are attached at the same time."""
        self.attached = asyncio.Event()
        """Set once the first attempt to attach is over, whichever way it went."""
        self.renew = ""
        """Why what carries the thread is ended with this runner, where the door can do that."""
        self.renewed = False
        """Whether it was."""
        self._supervisor = supervisor
        self._unreadable = 0
        self._away: float | None = None
        """Monotonic time since when there is no thread though there is to be one."""
        self._dispatcher = Dispatcher(self.seat)

    def wake(self) -> None:
        """Look at the queue again."""
        self.seat.wake.set()

    async def run(self) -> None:
        """Serve until cancelled, or until the thread is lost and let be."""
        failures = 0
        while True:
            let_be, began = False, self.seat.kit.clock.monotonic()
            try:
                async with self._turnstile:
                    await self._attach()
                await self._serve()
            except ThreadGone as error:
                await self._park(error)
                let_be = True
            except (RuntimeFailure, Unhealthy) as error:
                let_be = await self._lost(error)
            finally:
                self.attached.set()
                self._refuse_move()
                await self._let_go()
            if let_be:
                return
            if self.seat.kit.clock.monotonic() - began > STEADY_SECONDS:
                failures = 0
            await self._rest(BACKOFF[min(failures, len(BACKOFF) - 1)])
            failures += 1

    async def _attach(self) -> None:
        seat = self.seat
        async with seat.lock, self._doubting():
            await attach(seat)
            seat.problem = ""
            if seat.thread is not None:
                await self._take_up(seat.thread)
        self.attached.set()

    async def _take_up(self, thread: ThreadSession) -> None:
        """Compare a thread that has just been attached with what is known of it."""
        self.seat.attached_at = self.seat.kit.clock.monotonic()
        # Its start was heard by an earlier netsky; its end is awaited by this one.
        self.seat.open_turn = thread.active_turn
        await reconcile(self.seat, thread)
        await ask_again(self.seat, thread)

    @asynccontextmanager
    async def _doubting(self) -> AsyncIterator[None]:
        """Look into history. While it cannot be read, nothing is sent: attach again later.

        After ``DOUBTS_AFTER`` failures in a row what may have been sent is uncertain.
        """
        try:
            yield
        except HistoryUnavailable as error:
            self._unreadable += 1
            if self._unreadable == DOUBTS_AFTER:
                await doubt(self.seat, f"history cannot be read: {error.message}")
            raise
        self._unreadable = 0

    async def _serve(self) -> None:
        """Dispatch and listen until the thread is lost or the dispatcher asks for a new one."""
        listening: asyncio.Task[str] | None = None
        try:
            while True:
                self.seat.wake.clear()
                if await self._moved() and listening is not None:
                    await asyncio.wait([listening], timeout=LAST_WORDS_SECONDS)
                    listening.cancel()
                    listening = None
                if listening is None and self.seat.thread is not None:
                    await self._on_thread(self.seat.actor_id, self.seat.thread)
                    listening = self._listen(self.seat.thread)
                again = await self._dispatcher.dispatch()
                await self._here_again()
                if listening is None and self.seat.thread is not None:
                    continue  # the first input has just made the thread
                await self._wait(listening, again)
                if listening is not None and listening.done():
                    reason = listening.result().rstrip(".") or "closed"
                    msg = f"The thread of {self.seat.actor_id} was lost: {reason}."
                    raise Unhealthy(msg)
        finally:
            if listening is not None:
                listening.cancel()
                await asyncio.wait([listening])

    async def _here_again(self) -> None:
        """Note that the thread is there, or that none is needed."""
        seat, self._away = self.seat, None
        row = seat.row
        if row is not None and row.unattached_at is not None:
            await seat.kit.database.write(lambda tx: sessions.set_unattached(tx, row.id, None))
            seat.changed(unattached_at=None)

    def _away_since(self) -> int | None:
        """Return since when (ms) there is no thread, once that is long."""
        clock = self.seat.kit.clock
        if self._away is None:
            self._away = clock.monotonic()
        away = clock.monotonic() - self._away
        return clock.now() - round(away * 1000) if away >= AWAY_SECONDS else None

    async def _moved(self) -> bool:
        """Carry out the move that was asked for, if one was; say whether the thread is another.

        Raises ``ThreadUnavailable`` when no door has it now, and what reading history raises.
        """
        seat, before = self.seat, self.seat.thread
        move = seat.move
        if move is None or seat.busy:
            return False
        if seat.closing:
            self._refuse_move()
            return False
        move.begun.set()
        try:
            await carry_out(seat, move.to)
        except NetskyError as error:
            move.end(error)
            if seat.session.state is not SessionState.LIVE:
                raise ThreadUnavailable(error.message, hint=error.hint) from error
        else:
            move.end(None)
        finally:
            seat.move = None
            move.end(Conflict(f"{seat.actor_id} was stopped while it was moved."))
        if seat.thread is not None and seat.thread is not before:
            async with seat.lock, self._doubting():
                await self._take_up(seat.thread)
        return seat.thread is not before

    def _refuse_move(self) -> None:
        """Tell whoever asked for a move that nothing comes of it now."""
        move, self.seat.move = self.seat.move, None
        if move is not None:
            why = f": {self.seat.problem}" if self.seat.problem else "."
            msg = f"{self.seat.actor_id} was not moved, its thread is not attached just now{why}"
            move.end(Conflict(msg, hint="Try again when it is."))

    def _listen(self, thread: ThreadSession) -> asyncio.Task[str]:
        listener = Listener(self.seat, thread, supervisor=self._supervisor)
        return self._supervisor.spawn(f"listener of {self.seat.actor_id}", listener.run())

    async def _wait(self, listening: asyncio.Task[str] | None, again: float | None) -> None:
        """Wait for a wake-up, the end of the listener, or the time of a resting input."""
        waits: list[asyncio.Task[object]] = [
            self._supervisor.spawn(f"wake of {self.seat.actor_id}", self.seat.wake.wait())
        ]
        if again is not None:
            sleep = self.seat.kit.clock.sleep(again)
            waits.append(self._supervisor.spawn(f"rest of {self.seat.actor_id}", sleep))
        try:
            everything = [*waits, *([listening] if listening else [])]
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _rest(self, seconds: float) -> None:
        self.seat.wake.clear()
        await self._wait(None, seconds)

    async def _let_go(self) -> None:
        thread, self.seat.thread = self.seat.thread, None
        self.seat.turn_over()
        if thread is None:
            return
        if self.renew and await self._release(thread):
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await thread.close()
        except TimeoutError:
            self.seat.kit.log("warning", "thread was not let go", {"actor": self.seat.actor_id})

    async def _release(self, thread: ThreadSession) -> bool:
        """Record why the session is not live; let the door unload the thread, if it does that."""
        seat, row = self.seat, self.seat.row
        if row is not None:
            await seat.kit.database.write(
                lambda tx: sessions.set_state(tx, row.id, SessionState.LOST, reason=self.renew)
            )
        if not seat.capabilities.resume:
            return False  # a door that forgets what it lets go of would lose the conversation
        try:
            async with asyncio.timeout(RENEW_SECONDS):
                await thread.release()
        except (RuntimeFailure, TimeoutError) as error:
            fields = {"actor": seat.actor_id, "error": str(error) or "no answer"}
            seat.kit.log("warning", "thread is not loaded afresh", fields)
        else:
            self.renewed = True
        return self.renewed

    async def _lost(self, error: NetskyError) -> bool:
        """Record why there is no thread just now; tell whether it is let be.

        It is when the budget of losses is spent, which parks the actor, or when the actor was
        parked before and nothing is left to be heard of it.
        """
        seat, kit = self.seat, self.seat.kit
        seat.problem = error.message
        now, counts, away = kit.clock.now(), self._counts, self._away_since()

        async def body(tx: Tx) -> tuple[bool, str]:
            if seat.row is not None:
                await sessions.set_state(tx, seat.row.id, SessionState.LOST, reason=error.message)
                if away is not None and seat.row.unattached_at is None:
                    await sessions.set_unattached(tx, seat.row.id, away)
            why = ""
            if counts:
                why = await parking.charge(kit, tx, seat.actor_id, reason=error.message, now=now)
            actor = await actors.require(tx, seat.actor_id)
            if actor.status is not ActorStatus.ACTIVE:
                listens = decide(await standings.of(tx, actor.id)) is Duty.LISTEN
                return bool(why) or not listens, ""
            if why:
                await actors.set_status(tx, actor.id, ActorStatus.PARKED, reason=why, now=now)
            return bool(why), why

        let_be, why = await kit.database.write(body)
        kit.log("warning", "thread lost", {"actor": seat.actor_id, "error": str(error)})
        if why:
            kit.log("error", "actor parked", {"actor": seat.actor_id, "reason": why})
        return let_be

    @property
    def _counts(self) -> bool:
        """Whether the loss of the thread is on the actor's account; see ``Budget``."""
        seat = self.seat
        if seat.thread is None:
            return False  # it has not come back yet
        return seat.capabilities.environment or seat.busy

    async def _park(self, error: ThreadGone) -> None:
        """End the session of a conversation nobody can find, and leave the rest to the owner."""
        seat, kit = self.seat, self.seat.kit
        seat.problem = error.message
        now = kit.clock.now()

        async def body(tx: Tx) -> None:
            reason = f"its thread is gone: {error.message}"
            await abandon(tx, seat.actor_id, reason=reason, recovers=True, now=now)
            await actors.set_status(
                tx, seat.actor_id, ActorStatus.PARKED, reason=error.message, now=now
            )

        await kit.database.write(body)
        kit.log("error", "actor parked", {"actor": seat.actor_id, "reason": error.message})
