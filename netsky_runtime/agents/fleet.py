"""All actors at work: one runner each, woken, interrupted, stopped and brought back."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from netsky_runtime.agents import interrupts, parking, ways
from netsky_runtime.agents.abandon import abandon
from netsky_runtime.agents.move import move
from netsky_runtime.agents.reconcile import reconcile
from netsky_runtime.agents.restart_policy import AT_ONCE, Duty, decide
from netsky_runtime.agents.runner import ActorRunner
from netsky_runtime.agents.stragglers import Stragglers
from netsky_runtime.codex.base import RuntimeFailure, ThreadSession
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.db import actors, sessions, standings, turns
from netsky_runtime.errors import Conflict, Fenced, Refused, Unhealthy
from netsky_runtime.records import MANAGER0, OWNER, Actor
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import Capabilities
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Session
    from netsky_runtime.states import RuntimeName
    from netsky_runtime.supervise import Supervisor

END_SECONDS = 10.0
"""How long runners get to let go of their threads, all together."""
RESTART_SECONDS = 5.0
"""Rest of a runner after an error nobody foresaw."""
REATTACH_SECONDS = 30.0
"""How long whoever asked waits for a thread that is attached anew."""
_TROUBLE = (RuntimeFailure, Unhealthy, Fenced, sqlite3.OperationalError)
"""Storage and doors: told where they happen, and no fault of serving this one actor."""


class Fleet:
    """Owns every actor's runner."""

    def __init__(self, *, kit: Kit, supervisor: Supervisor) -> None:
        self._kit = kit
        self._supervisor = supervisor
        self._runners: dict[str, ActorRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, bool] = {}
        """Whose runners were told to end and have not yet; whether each is wanted again."""
        self._stopping: set[str] = set()
        """Who is being stopped: a runner that a message begins meanwhile hands over nothing."""
        self._stragglers = Stragglers(kit=kit, supervisor=supervisor)
        self._watched: frozenset[str] = frozenset()
        self._listened: set[str] = set()
        self._draining = self._closing = False
        self._turnstile = asyncio.Semaphore(AT_ONCE)
        self._only: frozenset[str] | None = None

    async def start(self, only: frozenset[str] | None = None) -> None:
        """Bring back whom ``restart_policy`` names, some at a time; of ``only`` these, when given.

        The others' messages then wait in the database for a netsky that serves them.
        """
        self._only = only
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
        runner = self._runners.get(actor_id)
        return runner.seat.thread if runner else None

    def serves(self, actor_id: str) -> bool:
        """Whether this fleet was started for the actor, too."""
        return self._only is None or actor_id in self._only

    def wake(self, actor_id: str) -> None:
        """Let an actor look at its queue; one that has no runner yet gets it.

        One whose runner is being ended gets the next when that has ended, however long it takes.
        """
        if actor_id == OWNER or not self.serves(actor_id):
            return
        if actor_id not in self._runners:
            self._launch(actor_id)
        self._runners[actor_id].wake()
        if actor_id in self._ending:
            self._ending[actor_id] = True

    def wake_all(self) -> None:
        """Let everybody that is at work look at its queue."""
        self._wake_all(frozenset(self._runners))

    def _launch(self, actor_id: str) -> None:
        runner = ActorRunner(
            actor_id,
            kit=self._kit,
            supervisor=self._supervisor,
            on_thread=self._on_thread,
            turnstile=self._turnstile,
        )
        runner.seat.closing = self._draining or actor_id in self._stopping
        self._runners[actor_id] = runner
        task = self._supervisor.spawn(f"runner of {actor_id}", self._run(runner))
        self._tasks[actor_id] = task
        task.add_done_callback(lambda _: self._forget(runner))  # it may end before it begins

    async def _run(self, runner: ActorRunner) -> None:
        """Serve the actor until it is stopped; one that is parked, while a turn may run."""
        actor_id, heard = runner.seat.actor_id, False
        try:
            while True:
                runner.seat.wake.clear()
                try:
                    standing = await self._kit.database.read(lambda tx: standings.of(tx, actor_id))
                    active = standing.actor.status is ActorStatus.ACTIVE
                    if active or (decide(standing) is Duty.LISTEN and not heard):
                        await runner.run()
                        heard = True
                    elif not runner.seat.wake.is_set():
                        return  # nobody woke it since it was looked up: whoever does starts anew
                except Exception as error:  # noqa: BLE001 - the one place where a bug in one
                    # actor's handling is kept from taking the fleet with it; it is logged.
                    heard = False
                    await self._stumbled(runner, error)
        finally:
            self._forget(runner)

    def _forget(self, runner: ActorRunner) -> None:
        """Leave the actor's place to its next runner, and begin that if it was asked for."""
        runner.attached.set()
        actor_id = runner.seat.actor_id
        if self._runners.get(actor_id) is runner:
            del self._runners[actor_id]
            del self._tasks[actor_id]
            if self._ending.pop(actor_id, False) and not self._closing:
                self.wake(actor_id)

    async def _stumbled(self, runner: ActorRunner, error: Exception) -> None:
        """Tell what went wrong in serving the actor, and rest before the next attempt."""
        fields = {"actor": runner.seat.actor_id, "error": repr(error)}
        self._kit.log("error", "runner failed", fields)
        runner.seat.problem = f"internal error: {error}"
        if not isinstance(error, _TROUBLE):
            await parking.stumbled(self._kit, runner.seat.actor_id, runner.seat.problem)
        await self._kit.clock.sleep(RESTART_SECONDS)

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
        if actor.status is ActorStatus.STOPPED or self._draining:
            msg = f"{actor_id} cannot be attached anew: it was stopped, or netsky stops."
            raise Conflict(msg, hint=f"`netsky actors resume {actor_id}` brings it back.")
        if runner is not None and runner.seat.move is not None:
            msg = f"{actor_id} is being moved to another door already."
            raise Conflict(msg, hint="Try again when it is there.")
        self._kit.log("warning", "thread is attached anew", {"actor": actor_id, "reason": reason})
        if runner is not None:
            runner.renew = reason
        ending = self._cancel([actor_id])
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

    async def stop_actor(self, actor_id: str, *, unheard: bool = False) -> None:
        """End an actor: its turn is interrupted, its session over, its row kept.

        A turn that runs as far as recorded is attached to first. Raises ``NotFound``, ``Refused``
        for manager0 and the owner, and ``Conflict`` when that cannot be done now: the turn would
        work on with nobody to see it. With ``unheard`` the actor is stopped all the same. One that
        could not be stopped works on.
        """
        if actor_id in {OWNER, MANAGER0}:
            msg = f"{actor_id} cannot be stopped."
            raise Refused(msg, hint="`netsky stop` ends everything.")
        await self._kit.database.read(lambda tx: actors.require(tx, actor_id))
        if not await interrupts.reach(actor_id, kit=self._kit, seat_of=self._seat_of):
            fields = {"actor": actor_id}
            self._kit.log("warning", "a turn may run where nobody hears it", fields)
            if not unheard:
                raise self._unreached(actor_id)
        stopped = False
        self._stopping.add(actor_id)
        try:
            await self._interrupt_and_wait([actor_id])
            await self._end_runners([actor_id])
            await self._store_stop(actor_id)
            stopped = True
        finally:
            self._stopping.discard(actor_id)
            if not stopped:  # its seat gives nothing more to its thread: the next one does
                self._cancel([actor_id])
                self.wake(actor_id)
        await self._end_runners([actor_id])  # one that a late message woke before this was stored
        await self._stragglers.look(self.serves)

    def _seat_of(self, actor_id: str) -> Seat | None:
        runner = self._runners.get(actor_id)
        return runner.seat if runner is not None else None

    def _unreached(self, actor_id: str) -> Conflict:
        seat = self._seat_of(actor_id)
        why = seat.problem.rstrip(".") if seat is not None else ""
        msg = f"{actor_id} was not stopped: a turn of it runs, and its thread cannot be attached"
        hint = "It is tried again and again: stop it when it has its thread back."
        return Conflict(f"{msg}: {why}." if why else f"{msg} now.", hint=hint)

    async def _store_stop(self, actor_id: str) -> None:
        now = self._kit.clock.now()

        async def body(tx: Tx) -> frozenset[str]:
            await actors.set_status(tx, actor_id, ActorStatus.STOPPED, reason="", now=now)
            for turn in await turns.running(tx, actor_id):  # whatever becomes of it is no crash
                await turns.ask_stop(tx, turn.thread_id, turn.id)
            await abandon(tx, actor_id, reason=sessions.STOPPED, recovers=False, now=now)
            return await self._kit.give_back(tx, actor_id) | await self._kit.start_ready(tx)

        await self._kit.database.write(body, then=self._wake_all)

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
        if on is (actor_id in self._listened):
            return
        (self._listened.add if on else self._listened.discard)(actor_id)
        thread = self.session_of(actor_id)
        if thread is not None:
            await self._watch(thread, actor_id)

    async def watch(self, actor_ids: frozenset[str]) -> None:
        """Ask for live text of exactly these actors' threads, for those who look."""
        changed = self._watched ^ actor_ids
        self._watched = actor_ids
        for actor_id in changed:
            thread = self.session_of(actor_id)
            if thread is not None:
                await self._watch(thread, actor_id)

    async def _on_thread(self, actor_id: str, thread: ThreadSession) -> None:
        if actor_id in self._watched | self._listened:
            await self._watch(thread, actor_id)

    async def _watch(self, thread: ThreadSession, actor_id: str) -> None:
        try:
            await thread.watch(actor_id in self._watched | self._listened)
        except RuntimeFailure as error:
            # Facts go on without it; the room shows whole messages instead of growing ones.
            self._kit.log("warning", "no live text", {"actor": actor_id, "error": str(error)})

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
        self._draining = True
        await self._interrupt_and_wait(list(self._runners))

    async def close(self) -> None:
        """Let go of every thread. Turns go on where the runtime survives netsky."""
        self._closing = True
        await self._stragglers.close()
        await self._end_runners(list(self._runners))
        self._closing = False

    async def _interrupt_and_wait(self, actor_ids: list[str]) -> None:
        seats = [self._runners[name].seat for name in actor_ids if name in self._runners]
        await interrupts.interrupt_and_wait(seats, kit=self._kit, supervisor=self._supervisor)

    async def _end_runners(self, actor_ids: Sequence[str]) -> None:
        tasks = self._cancel(actor_ids)
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)

    def _cancel(self, actor_ids: Sequence[str]) -> Sequence[asyncio.Task[None]]:
        """Tell runners to end. Letting go of a mute thread takes its time: they may outlast it."""
        tasks = []
        for actor_id in actor_ids:
            if actor_id in self._tasks:
                tasks.append(self._tasks[actor_id])
                tasks[-1].cancel()
                self._ending[actor_id] = False
        return tasks

    def _wake_all(self, actor_ids: frozenset[str]) -> None:
        for actor_id in actor_ids:
            self.wake(actor_id)
