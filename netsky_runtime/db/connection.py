"""The one writer and its readers. A transaction is never left open, whoever is cancelled when."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import aiosqlite

from netsky_runtime.db import daemon_row, faults, migrate
from netsky_runtime.db.pool import ReadPool
from netsky_runtime.db.rows import Tx
from netsky_runtime.db.trouble import Trouble
from netsky_runtime.errors import DatabaseError, Fenced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from netsky_runtime.clock import Clock

__all__ = ["Database", "ReadDatabase", "Reader", "Tx"]

T = TypeVar("T")

READERS = 2
TRANSACTION_SECONDS = 30.0
"""Past it a transaction is rolled back: a body that waits for something else holds everybody."""
CLOSE_SECONDS = 10.0
"""How long ``close`` waits for what is under way before it interrupts it."""

_WRITER = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768; PRAGMA mmap_size = 0
"""


def _nobody() -> None:
    """Tell nobody."""


class Reader(Protocol):
    """Anything that reads the spine: the daemon's own database, or another process's look at it."""

    async def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        """Run ``body`` on one consistent snapshot of what is committed."""
        ...


class Database:
    """The spine, as its one owner sees it: one connection writes, a few read.

    Only this process's writer commits and checkpoints, which keeps clear of the WAL-reset race
    of SQLite before 3.51.3.
    """

    def __init__(
        self, path: Path, writer: Tx, readers: ReadPool, *, trouble: Trouble, stack: AsyncExitStack
    ) -> None:
        self.path = path
        self.trouble = trouble
        self._writer = writer
        self._readers = readers
        self._stack = stack
        self._lock = asyncio.Lock()
        self._writes: set[asyncio.Task[object]] = set()
        self._owner: asyncio.Task[object] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closing: asyncio.Task[None] | None = None
        self._revision = 0
        self._epoch: int | None = None
        self._fenced = False
        self._lost: Callable[[], None] = _nobody

    @classmethod
    async def open(cls, path: Path, *, backups: Path, clock: Clock) -> Self:
        """Open the database, making it (0600) or bringing it up to date after a backup.

        Raises ``DatabaseError`` when it is newer, damaged, empty, locked, not writable or not
        netsky's; the file is then as it was.
        """
        await asyncio.to_thread(migrate.prepare, path, backups=backups, now=clock.now())
        async with AsyncExitStack() as stack:
            try:
                writer = await _connect(stack, path, mode="rw")
                for pragma in _WRITER.split(";"):
                    await writer.execute_fetchall(pragma)
                # A file or a lock that lets nobody write is found now, not with the first message.
                await writer.execute_fetchall("BEGIN IMMEDIATE")
                await writer.rollback()
                readers = ReadPool([await _connect(stack, path, mode="ro") for _ in range(READERS)])
            except sqlite3.Error as error:
                raise faults.explain(path, error) from error
            trouble = Trouble(path, clock=clock)
            return cls(path, writer, readers, trouble=trouble, stack=stack.pop_all())
        raise AssertionError  # mypy: an exit stack may swallow errors; this one does not

    @property
    def revision(self) -> int:
        """How many transactions of this process have changed something."""
        return self._revision

    @property
    def epoch(self) -> int | None:
        """The epoch of the home in which alone this process writes; ``None`` when in any."""
        return self._epoch

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop after every commit that changed rows."""
        self._callbacks.append(callback)

    async def own(self, *, pid: int, now: int, lost: Callable[[], None] = _nobody) -> int:
        """Take the next epoch of the home, whose lock the caller holds, and fence it; return it."""
        epoch = await self.write(lambda tx: daemon_row.take_epoch(tx, pid, now))
        self.fence(epoch, lost=lost)
        return epoch

    def fence(self, epoch: int, *, lost: Callable[[], None] = _nobody) -> None:
        """Write only while ``epoch`` is the home's.

        The first transaction that finds another one raises ``Fenced``, and so does every later
        one; none of them writes. ``lost`` is called once, on the loop.
        """
        self._epoch = epoch
        self._lost = lost

    async def write(
        self, body: Callable[[Tx], Awaitable[T]], *, then: Callable[[T], None] | None = None
    ) -> T:
        """Run ``body`` in a transaction of its own and return its result once it is on the disk.

        All or nothing: an error in ``body`` rolls back. A cancelled caller stops waiting, but
        its transaction is carried through, so what it writes must bear being written; ``then``
        is called with the result after the commit whether or not the caller still waits.

        While the disk is full or the file locked it raises ``DatabaseError``, or, where
        ``trouble.waiting`` holds, runs ``body`` again until it is stored. Raises besides what
        ``body`` raises, ``sqlite3.Error``, ``DatabaseError`` when closed or stuck, or ``Fenced``.
        """
        if self._closing is not None:
            msg = f"The database {self.path} is closed."
            raise DatabaseError(msg)
        if self._owner is not None and self._owner is asyncio.current_task():
            msg = "a write inside a write would wait for itself: use the transaction at hand"
            raise RuntimeError(msg)
        attempt = partial(self._transact, body, then)
        task = asyncio.get_running_loop().create_task(self.trouble.run(attempt), name="write")
        self._writes.add(task)
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    def _written(self, task: asyncio.Task[object]) -> None:
        """Forget a write; the error of one whose caller does not wait any more is nobody's."""
        self._writes.discard(task)
        if not task.cancelled():
            task.exception()

    async def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        """Run ``body`` on one consistent snapshot of what is committed.

        Raises what ``body`` raises, or ``DatabaseError`` when closed, stuck or unreadable.
        """
        try:
            return await self._readers.read(body)
        except sqlite3.Error as error:
            if not faults.stops_reading(error):
                raise
            told = faults.explain(self.path, error)
            if faults.is_damage(error):
                self.trouble.begin(told, lasting=True)  # what is damaged is not written to
            raise told from error

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent and bounded in time."""
        self.trouble.hurry()
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="close")
        await asyncio.shield(self._closing)

    async def _transact(
        self, body: Callable[[Tx], Awaitable[T]], then: Callable[[T], None] | None
    ) -> T:
        async with self._lock:
            if self._fenced:
                raise Fenced
            self._owner = asyncio.current_task()
            changes = self._writer.total_changes
            try:
                async with asyncio.timeout(TRANSACTION_SECONDS) as deadline:
                    await self._writer.execute_fetchall("BEGIN IMMEDIATE")
                    if self._epoch is not None:
                        await self._check_epoch(self._epoch)
                    result = await body(self._writer)
                await self._writer.execute_fetchall("COMMIT")
            except BaseException as error:
                if isinstance(error, (asyncio.CancelledError, TimeoutError)):
                    await self._writer.interrupt()
                # Queued behind whatever still runs on the connection's thread; it does nothing
                # when no transaction is open, so a commit that made it stays.
                await self._writer.rollback()
                if isinstance(error, TimeoutError) and deadline.expired():
                    msg = f"A transaction took longer than {TRANSACTION_SECONDS:g} s."
                    raise DatabaseError(msg, hint="It was rolled back.") from error
                raise
            finally:
                self._owner = None
            if self._writer.total_changes != changes:
                self._committed()
            if then is not None:
                then(result)
            return result

    async def _check_epoch(self, own: int) -> None:
        # Under the write lock: nobody can take the next epoch before this transaction has ended.
        if await daemon_row.epoch(self._writer) != own:
            self._fenced = True
            asyncio.get_running_loop().call_soon(self._lost)
            raise Fenced

    def _committed(self) -> None:
        self._revision += 1
        loop = asyncio.get_running_loop()
        for callback in self._callbacks:
            # Ahead of whoever waits for this write; its errors are the loop's, not the writer's.
            loop.call_soon(callback)

    async def _close(self) -> None:
        try:
            await self._finish_writes()
            await self._readers.drain(CLOSE_SECONDS)
        finally:
            await self._stack.aclose()

    async def _finish_writes(self) -> None:
        if not self._writes:
            return
        _, stuck = await asyncio.wait(self._writes, timeout=CLOSE_SECONDS)
        for task in stuck:
            task.cancel()
        if stuck:
            await asyncio.wait(stuck, timeout=CLOSE_SECONDS)


class ReadDatabase:
    """Another process's look at the spine: it never writes, creates or checkpoints."""

    def __init__(self, connections: list[Tx], stack: AsyncExitStack) -> None:
        self._watch = connections[0]
        self._readers = ReadPool(connections)
        self._stack = stack

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open an existing database for reading.

        Raises ``DatabaseError`` when it is missing, damaged, not netsky's, or of another version.
        """
        await asyncio.to_thread(faults.inspect, path)
        async with AsyncExitStack() as stack:
            try:
                connections = [await _connect(stack, path, mode="ro") for _ in range(READERS)]
                rows = list(await connections[0].execute_fetchall("PRAGMA user_version"))
                # The version is read without the schema; a damaged schema is found now.
                await connections[0].execute_fetchall("SELECT count(*) FROM sqlite_master")
            except sqlite3.Error as error:
                raise faults.explain(path, error) from error
            faults.check_version(path, int(rows[0][0]), len(migrate.shipped()), migrates=False)
            return cls(connections, stack.pop_all())
        raise AssertionError  # mypy: an exit stack may swallow errors; this one does not

    async def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        """Run ``body`` on one consistent snapshot of what is committed."""
        return await self._readers.read(body)

    async def data_version(self) -> int:
        """Return a number that differs from the last one when anybody has committed since."""
        # The number belongs to one connection, so it is always asked on the same one.
        rows = list(await self._watch.execute_fetchall("PRAGMA data_version"))
        return int(rows[0][0])

    async def close(self) -> None:
        """Finish what is under way, then close. Idempotent and bounded in time."""
        try:
            await self._readers.drain(CLOSE_SECONDS)
        finally:
            await self._stack.aclose()


async def _connect(stack: AsyncExitStack, path: Path, *, mode: str) -> Tx:
    connection = await aiosqlite.connect(
        migrate.uri(path, mode=mode),
        uri=True,
        isolation_level=None,
        timeout=migrate.BUSY_MS / 1000,
    )
    stack.push_async_callback(connection.close)
    connection.row_factory = sqlite3.Row
    return connection
