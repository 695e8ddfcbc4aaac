"""Tasks with an owner: none is forgotten, and one that fails takes no sibling with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from contextvars import Context

    from netsky_runtime.clock import Clock

T = TypeVar("T")

FIRST_REST_SECONDS: Final = 1.0
"""How long a kept task rests that ended by an error; twice as long each time it does so again."""
LONGEST_REST_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 900.0
"""After which a kept task that still runs is well again: longer than any of them sleeps."""
SEVERAL: Final = 2
"""How many ends by an error in a row are told of for as long as they go on."""
TOLD_CHARACTERS: Final = 200
"""Of an error, to an operator; the log has it whole."""

Report = Callable[[str, BaseException], None]
"""Told the name of a task and the error that ended it."""


class Supervisor:
    """Keeps tasks until they end or ``close`` ends them.

    Unlike a ``TaskGroup`` an error in one task is reported and leaves the others alone.
    """

    def __init__(self, *, report: Report, context: Context | None = None) -> None:
        """Make one whose tasks run in copies of ``context``, or in that of whoever spawns them."""
        self._report = report
        self._context = context
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._kept: list[_Life] = []

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run ``work`` until it ends by itself or ``close`` cancels it."""
        if self._closed:
            work.close()
            msg = f"task {name!r} was started after its supervisor had closed"
            raise RuntimeError(msg)
        context = None if self._context is None else self._context.copy()
        task = asyncio.get_running_loop().create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def keep(
        self, name: str, make: Callable[[], Coroutine[Any, Any, None]], *, clock: Clock
    ) -> asyncio.Task[None]:
        """Run what ``make`` makes again and again, until it returns or ``close`` cancels it.

        Each time an error ends it, that is reported, and ``make`` is asked again after a rest
        that grows to ``LONGEST_REST_SECONDS``. So what it must not lose lies in an object that
        outlives it, or on the disk. Whoever waits for the task waits for all its lives.
        """
        life = _Life(name, clock)
        task = self.spawn(name, self._keep(life, make))
        self._kept.append(life)
        task.add_done_callback(lambda _: self._kept.remove(life))
        return task

    def troubles(self) -> list[str]:
        """Return a sentence on each kept task that ends by errors again and again."""
        return [sentence for life in self._kept if (sentence := life.trouble())]

    async def _keep(self, life: _Life, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.current_task()
        while True:
            life.begins()
            try:
                return await make()
            except Exception as error:
                # Whatever it is: a task that is to live for ever would be missing, unseen.
                if task is not None and task.cancelling():
                    raise  # it failed while it was being ended: a group forgets the cancellation
                self._report(life.name, error)
                rest = life.ends(error)
            await life.clock.sleep(rest)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(task.get_name(), error)

    async def close(self) -> None:
        """Cancel every task and wait until each has ended. Idempotent."""
        self._closed = True
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


class _Life:
    """How it went with a kept task."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.clock = clock
        self._began: float | None = None
        """When it was last begun, while it runs."""
        self._ends = 0
        """How often in a row it ended by an error."""
        self._since = 0
        self._rest = 0.0
        self._error = ""

    def begins(self) -> None:
        """Note that it runs."""
        self._began = self.clock.monotonic()

    def ends(self, error: Exception) -> float:
        """Note what ended it, and return for how many seconds it is to rest."""
        if self._ends == 0 or self._steady():
            self._ends, self._rest, self._since = 0, FIRST_REST_SECONDS / 2, self.clock.now()
        self._ends += 1
        self._rest = min(2 * self._rest, LONGEST_REST_SECONDS)
        self._error = _words(error)
        self._began = None
        return self._rest

    def trouble(self) -> str:
        """Say what is wrong with it, the same as long as the same is; empty when nothing is."""
        if self._ends < SEVERAL or self._steady():
            return ""
        since = datetime.fromtimestamp(self._since / 1000, UTC).astimezone()
        return (
            f"netsky's own {self.name} ends again and again by an error, since {since:%H:%M:%S}, "
            f"and is started again each time. The last error: {self._error}"
        )

    def _steady(self) -> bool:
        return self._began is not None and self.clock.monotonic() - self._began >= STEADY_SECONDS


def _words(error: BaseException) -> str:
    """Return an error as a line that can be stored and shown; of a group the first in it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text.encode("utf-8", "backslashreplace").decode()[:TOLD_CHARACTERS]
