"""Every actor's runner: begun when the actor is woken, ended when told to, begun anew if asked."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from netsky_runtime.agents import parking
from netsky_runtime.agents.restart_policy import AT_ONCE, Duty, decide
from netsky_runtime.agents.runner import ActorRunner
from netsky_runtime.codex.base import RuntimeFailure
from netsky_runtime.db import standings
from netsky_runtime.errors import Fenced, Unhealthy
from netsky_runtime.records import OWNER
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.supervise import Supervisor

END_SECONDS = 10.0
"""How long runners get to let go of their threads, all together."""
RESTART_SECONDS = 5.0
"""Rest of a runner after an error nobody foresaw."""
_TROUBLE = (RuntimeFailure, Unhealthy, Fenced, sqlite3.OperationalError)
"""Storage and doors: told where they happen, and no fault of serving this one actor."""


class Runners(Mapping[str, ActorRunner]):
    """The runner of every actor that has one, by actor. Each runs in a task of its own."""

    def __init__(
        self,
        *,
        kit: Kit,
        supervisor: Supervisor,
        on_thread: Callable[[str, ThreadSession], Awaitable[None]],
    ) -> None:
        self._kit = kit
        self._supervisor = supervisor
        self._on_thread = on_thread
        self._runners: dict[str, ActorRunner] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, bool] = {}
        """Whose runners were told to end and have not yet; whether each is wanted again."""
        self._turnstile = asyncio.Semaphore(AT_ONCE)
        self.only: frozenset[str] | None = None
        """Who is served, when not everybody is."""
        self.stopping: set[str] = set()
        """Who is being stopped: a runner that a message begins meanwhile hands over nothing."""
        self.draining = False
        """Nothing more is handed to any thread."""
        self.closing = False
        """Whoever's runner has ended gets no other one."""

    def __getitem__(self, actor_id: str) -> ActorRunner:
        return self._runners[actor_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._runners)

    def __len__(self) -> int:
        return len(self._runners)

    def seat_of(self, actor_id: str) -> Seat | None:
        """Return the place of an actor that has a runner."""
        runner = self._runners.get(actor_id)
        return runner.seat if runner is not None else None

    def serves(self, actor_id: str) -> bool:
        """Whether the actor may have a runner, too."""
        return self.only is None or actor_id in self.only

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

    def wake_all(self, actor_ids: Iterable[str]) -> None:
        """Wake each of these."""
        for actor_id in actor_ids:
            self.wake(actor_id)

    def cancel(self, actor_ids: Iterable[str]) -> Sequence[asyncio.Task[None]]:
        """Tell runners to end. Letting go of a mute thread takes its time: they may outlast it."""
        tasks = []
        for actor_id in actor_ids:
            if actor_id in self._tasks:
                tasks.append(self._tasks[actor_id])
                tasks[-1].cancel()
                self._ending[actor_id] = False
        return tasks

    async def end(self, actor_ids: Iterable[str]) -> None:
        """Tell runners to end, and wait for that at most ``END_SECONDS``."""
        tasks = self.cancel(actor_ids)
        if tasks:
            await asyncio.wait(tasks, timeout=END_SECONDS)

    def _launch(self, actor_id: str) -> None:
        runner = ActorRunner(
            actor_id,
            kit=self._kit,
            supervisor=self._supervisor,
            on_thread=self._on_thread,
            turnstile=self._turnstile,
        )
        runner.seat.closing = self.draining or actor_id in self.stopping
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
            if self._ending.pop(actor_id, False) and not self.closing:
                self.wake(actor_id)

    async def _stumbled(self, runner: ActorRunner, error: Exception) -> None:
        """Tell what went wrong in serving the actor, and rest before the next attempt."""
        fields = {"actor": runner.seat.actor_id, "error": repr(error)}
        self._kit.log("error", "runner failed", fields)
        runner.seat.problem = f"internal error: {error}"
        if not isinstance(error, _TROUBLE):
            await parking.stumbled(self._kit, runner.seat.actor_id, runner.seat.problem)
        await self._kit.clock.sleep(RESTART_SECONDS)
