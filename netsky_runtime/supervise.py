"""Tasks with an owner: none is forgotten, and one that fails takes no sibling with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from contextvars import Context

T = TypeVar("T")

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
