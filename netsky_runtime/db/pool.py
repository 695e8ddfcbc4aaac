"""A few read-only connections, lent out one at a time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from netsky_runtime.db.rows import Tx

T = TypeVar("T")

READ_SECONDS = 30.0
"""Past it a reading is given up: an open snapshot keeps the write-ahead log growing."""
STOP_SECONDS = 5.0
"""How long a reading that was stopped may take to give its connection back."""
_INTERRUPT_SECONDS = 0.05


class ReadPool:
    """Lends connections to readings, each inside a snapshot of its own."""

    def __init__(self, connections: Sequence[Tx]) -> None:
        self._connections = tuple(connections)
        self._free: asyncio.Queue[Tx] = asyncio.Queue(maxsize=len(connections))
        for connection in connections:
            self._free.put_nowait(connection)
        self._holders: set[asyncio.Task[object] | None] = set()
        self._closed = False
        self._drained = False

    async def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        """Run ``body`` in a read transaction.

        Raises what ``body`` raises, or ``DatabaseError`` when closed or stuck.
        """
        task = asyncio.current_task()
        if task in self._holders:
            msg = "a read inside a read may wait for itself: use the transaction at hand"
            raise RuntimeError(msg)
        try:
            async with asyncio.timeout(READ_SECONDS) as deadline:
                connection = await self._take()
                self._holders.add(task)
                try:
                    return await _snapshot(connection, body)
                finally:
                    self._holders.discard(task)
                    self._free.put_nowait(connection)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            msg = f"Reading the database took longer than {READ_SECONDS:g} s."
            raise DatabaseError(msg, hint="Ask for less at a time.") from error

    async def _take(self) -> Tx:
        if not self._closed:
            connection = await self._free.get()
            if not self._drained:
                return connection
            self._free.put_nowait(connection)  # for the next one that waits, to be told the same
        msg = "The database is closed."
        raise DatabaseError(msg)

    async def drain(self, seconds: float) -> None:
        """Accept no more readings and wait for those under way; past ``seconds`` stop them.

        Those are waited for too: what is still to be rolled back must not find its connection
        closed.
        """
        self._closed = True
        taken: list[Tx] = []
        try:
            if not await self._take_back(taken, seconds):
                # Again and again: an interruption between two statements stops neither.
                for _ in range(round(STOP_SECONDS / _INTERRUPT_SECONDS)):
                    for connection in self._connections:
                        await connection.interrupt()
                    if await self._take_back(taken, _INTERRUPT_SECONDS):
                        break
        finally:
            self._drained = True
            for connection in taken:
                self._free.put_nowait(connection)

    async def _take_back(self, taken: list[Tx], seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(taken) < len(self._connections):
                    taken.append(await self._free.get())
        return len(taken) == len(self._connections)


async def _snapshot(connection: Tx, body: Callable[[Tx], Awaitable[T]]) -> T:
    try:
        await connection.execute_fetchall("BEGIN")
        return await body(connection)
    except asyncio.CancelledError:
        await connection.interrupt()
        raise
    finally:
        # Queued on the connection's thread at once: a second cancellation cannot prevent it.
        await connection.rollback()
