"""A few read-only connections, lent out one at a time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from netsky_runtime.db.rows import Tx

T = TypeVar("T")

READ_SECONDS = 30.0
"""Past it a reading is given up: an open snapshot keeps the write-ahead log growing."""


class ReadPool:
    """Lends connections to readings, each inside a snapshot of its own."""

    def __init__(self, connections: Sequence[Tx]) -> None:
        self._connections = tuple(connections)
        self._free: asyncio.Queue[Tx] = asyncio.Queue(maxsize=len(connections))
        for connection in connections:
            self._free.put_nowait(connection)
        self._holders: set[asyncio.Task[object] | None] = set()
        self._closed = False

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
        if self._closed:
            msg = "The database is closed."
            raise DatabaseError(msg)
        return await self._free.get()

    async def drain(self, seconds: float) -> None:
        """Accept no more readings and wait for those under way; past ``seconds`` stop them."""
        self._closed = True
        taken: list[Tx] = []
        try:
            async with asyncio.timeout(seconds):
                while len(taken) < len(self._connections):
                    taken.append(await self._free.get())
        except TimeoutError:
            for connection in self._connections:
                await connection.interrupt()
        finally:
            for connection in taken:
                self._free.put_nowait(connection)


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
