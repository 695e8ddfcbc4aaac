"""All actors at work, as the rest of netsky sees them: who has a thread, and what to do with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from netsky_runtime.agents import interrupts, parking, ways
from netsky_runtime.agents.audience import Audience
from netsky_runtime.agents.move import move
from netsky_runtime.agents.reconcile import reconcile
from netsky_runtime.agents.restart_policy import Duty, decide
from netsky_runtime.agents.runners import Runners
from netsky_runtime.agents.stopping import Stopping
from netsky_runtime.agents.stragglers import Stragglers
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.db import actors, sessions, standings
from netsky_runtime.errors import Conflict
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.runner import ActorRunner
    from netsky_runtime.codex.base import Capabilities, ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, Session
    from netsky_runtime.states import RuntimeName
    from netsky_runtime.supervise import Supervisor

REATTACH_SECONDS = 30.0
"""How long whoever asked waits for a thread that is attached anew."""


class Fleet:
    """What can be asked and done about actors that work, each by its name."""

    def __init__(self, *, kit: Kit, supervisor: Supervisor) -> None:
        self._kit = kit
        self._audience = Audience(session_of=self.session_of, log=kit.log)
        self._runners = Runners(kit=kit, supervisor=supervisor, on_thread=self._audience.on_thread)
        self._stragglers = Stragglers(kit=kit, supervisor=supervisor)
        self._stopping = Stopping(
            kit=kit, runners=self._runners, stragglers=self._stragglers, supervisor=supervisor
        )

    async def start(self, only: frozenset[str] | None = None) -> None:
        """Bring back whom ``restart_policy`` names, some at a time; of ``only`` these, when given.

        The others' messages then wait in the database for a netsky that serves them.
        """
        self._runners.only = only
        for standing in await self._kit.database.read(standings.all_):
            if decide(standing) is not Duty.REST:
                self.wake(standing.actor.id)
        await self._stragglers.look(self.serves)

    async def settled(self, *, seconds: float) -> None:
        """Wait until every runner has tried to attach once, at most ``seconds``."""
        waits = [runner.attached.wait() for runner in self._runners.values()]
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*waits)
        except TimeoutError:
            return

    def session_of(self, actor_id: str) -> ThreadSession | None:
        """Return the actor's live thread."""
        seat = self._runners.seat_of(actor_id)
        return seat.thread if seat is not None else None

    def serves(self, actor_id: str) -> bool:
        """Whether this fleet was started for the actor, too."""
        return self._runners.serves(actor_id)

    def wake(self, actor_id: str) -> None:
        """Let an actor look at its queue; one that has no runner yet gets it."""
        self._runners.wake(actor_id)

    def wake_all(self) -> None:
        """Let everybody that is at work look at its queue."""
        self._runners.wake_all(frozenset(self._runners))

    def running(self) -> dict[str, str]:
        """Return actor to turn id for every turn that runs."""
        return {
            actor_id: runner.seat.thread.active_turn
            for actor_id, runner in self._runners.items()
            if runner.seat.thread is not None and runner.seat.thread.active_turn
        }

    async def interrupt(self, actor_id: str, *, turn_id: str = "", because: str = "") -> str:
        """Stop the actor's turn, with a ``turn_id`` only that one, and return its id.

        It does not go on by itself, unless ``because`` says what stops it for a while.
        Raises ``NotFound`` for an unknown actor, ``Conflict`` when it does not run.
        """
        await self._kit.database.read(lambda tx: actors.require(tx, actor_id))
        runner = self._runners.get(actor_id)
        if runner is None:
            raise interrupts.idle(actor_id)
        return await interrupts.interrupt_running(runner.seat, only=turn_id, because=because)

    async def capabilities_of(self, actor_id: str) -> Capabilities | None:
        """Return what the actor's door can do; ``None`` when it has no session yet.

        Raises ``NotFound`` for an unknown actor.
        """
        row = await self._current(actor_id)
        return None if row is None else self._kit.runtime(row.runtime).capabilities

    async def ways(self, actor_id: str) -> Mapping[RuntimeName, str]:
        """Return all doors to Codex, each with why the actor's thread cannot go there, if so.

        Raises ``NotFound``, ``Conflict`` when it has no session.
        """
        row = await self._current(actor_id)
        if row is None:
            msg = f"{actor_id} has no session."
            raise Conflict(msg, hint="It gets one when it is active.")
        return {to: ways.closed(row, to, self._kit.runtime) for to in ORDER}

    async def _current(self, actor_id: str) -> Session | None:
        async def body(tx: Tx) -> Session | None:
            await actors.require(tx, actor_id)
            return await sessions.current(tx, actor_id)

        return await self._kit.database.read(body)

    async def terminal(self, actor_id: str) -> Sequence[str]:
        """Return the command that shows Codex's own screen of the actor's thread.

        Raises ``NotFound``, ``Conflict`` when it has no live thread, ``Unsupported`` when its
        door has no screen.
        """
        await self._bring(actor_id)
        thread = self.session_of(actor_id)
        if thread is None:
            msg = f"{actor_id} has no live thread to show."
            raise Conflict(msg, hint="Its thread starts with its first message.")
        return thread.terminal()

    async def move(self, actor_id: str, runtime: RuntimeName, *, interrupt: bool) -> Session:
        """Take the actor's thread to another door and return its session as it is then.

        Raises ``NotFound``, and what ``move.move`` does.
        """
        runner = await self._bring(actor_id)
        if runner is None:
            actor = await self._kit.database.read(lambda tx: actors.require(tx, actor_id))
            msg = f"{actor_id} is {actor.status}, and only who is at work can be moved."
            raise Conflict(msg, hint=f"`netsky actors resume {actor_id}` brings it back.")
        return await move(runner.seat, runtime, interrupt=interrupt)

    async def reattach(self, actor_id: str, reason: str) -> bool:
        """Let go of the actor's thread, attach to it anew and read its history again.

        Its door ends or unloads what carries the thread, where it can and no turn runs there, and
        loads it afresh; tells whether it did. Returns after the attempt, or after
        ``REATTACH_SECONDS``, when it goes on by itself. Raises ``NotFound``, and ``Conflict`` for
        an actor that is stopped, is being moved, or when netsky stops.
        """
        actor = await self._kit.database.read(lambda tx: actors.require(tx, actor_id))
        runner = self._runners.get(actor_id)
        if actor.status is ActorStatus.STOPPED or self._runners.draining:
            msg = f"{actor_id} cannot be attached anew: it was stopped, or netsky stops."
            raise Conflict(msg, hint=f"`netsky actors resume {actor_id}` brings it back.")
        if runner is not None and runner.seat.move is not None:
            msg = f"{actor_id} is being moved to another door already."
            raise Conflict(msg, hint="Try again when it is there.")
        self._kit.log("warning", "thread is attached anew", {"actor": actor_id, "reason": reason})
        if runner is not None:
            runner.renew = reason
        ending = self._runners.cancel([actor_id])
        self.wake(actor_id)  # before anything is waited for: whoever asks may give up
        if ending:
            await asyncio.wait(ending, timeout=REATTACH_SECONDS)
        await self._bring(actor_id)
        return runner is not None and runner.renewed

    async def _bring(self, actor_id: str) -> ActorRunner | None:
        """Wake an active actor that rests; return its runner after its first try, if it has one."""
        actor = await self._kit.database.read(lambda tx: actors.require(tx, actor_id))
        if actor.status is ActorStatus.ACTIVE and actor_id not in self._runners:
            self.wake(actor_id)
        runner = self._runners.get(actor_id)
        if runner is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(REATTACH_SECONDS):
                    await runner.attached.wait()
        return runner

    async def park(self, actor_id: str, reason: str) -> None:
        """Give the actor no more work until the owner resumes it; ``reason`` tells him why.

        Its thread stays attached, so a turn that runs is heard to its end. Raises ``NotFound``,
        ``Refused`` for the owner and ``Conflict`` for an actor that is stopped.
        """
        await parking.park(self._kit, actor_id, reason)

    async def stop_actor(self, actor_id: str, *, unheard: bool = False) -> str:
        """End an actor, with ``unheard`` also where its turn cannot be reached.

        Returns and raises what ``Stopping.stop`` does.
        """
        return await self._stopping.stop(actor_id, unheard=unheard)

    async def resume_actor(self, actor_id: str) -> Actor:
        """Bring a parked or stopped actor back to work, whatever it has lost before.

        Raises ``NotFound``.
        """
        actor = await parking.resume(self._kit, actor_id)
        self.leave_to(actor_id)
        self.wake(actor_id)
        return actor

    def leave_to(self, actor_id: str) -> None:
        """Keep off what runs on of a stopped actor that was brought back."""
        self._stragglers.leave(actor_id)

    def turns(self) -> Mapping[str, str]:
        """Return actor to turn id for every turn that runs, or whose end was not recorded yet."""
        seats = {name: runner.seat for name, runner in self._runners.items()}
        known = {
            name: seat.thread.active_turn or seat.open_turn
            for name, seat in seats.items()
            if seat.thread is not None
        }
        return {name: turn_id for name, turn_id in known.items() if turn_id}

    def attached(self) -> Sequence[str]:
        """Return the actors that have a live thread."""
        return [name for name, runner in self._runners.items() if runner.seat.thread is not None]

    def tells_text(self, actor_id: str) -> bool:
        """Whether live text of the actor's turns can be heard."""
        runner = self._runners.get(actor_id)
        return runner is None or runner.seat.row is None or runner.seat.capabilities.live_text

    async def listen(self, actor_id: str, on: bool) -> None:
        """Ask for live text of an actor's thread also while no room shows it, or no longer."""
        await self._audience.listen(actor_id, on)

    async def watch(self, actor_ids: frozenset[str]) -> None:
        """Ask for live text of exactly these actors' threads, for those who look."""
        await self._audience.watch(actor_ids)

    async def reconcile(self, actor_id: str) -> None:
        """Compare the actor's inputs with its thread's history now, if it has a thread.

        Raises ``NotFound``, ``HistoryUnavailable``.
        """
        runner = await self._bring(actor_id)
        if runner is None or runner.seat.thread is None:
            return
        async with runner.seat.lock:
            if runner.seat.thread is not None:
                await reconcile(runner.seat, runner.seat.thread)

    async def drain(self) -> None:
        """Interrupt every running turn and wait, within bounds, until the ends are recorded.

        From here on nothing more is handed to any thread.
        """
        await self._stopping.drain()

    async def close(self) -> None:
        """Let go of every thread. Turns go on where the runtime survives netsky."""
        await self._stopping.close()
