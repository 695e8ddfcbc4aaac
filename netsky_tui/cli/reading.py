"""Reading verbs: meta.db read-only, with or without a daemon."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from netsky_runtime.errors import DatabaseError, Unhealthy

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.db.connection import ReadDatabase, Tx
    from netsky_runtime.paths import Home

T = TypeVar("T")
E = TypeVar("E")


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one verb's coroutine to its end."""
    return asyncio.run(work)


def present(path: Path) -> bool:
    """Whether there is such a file. Raises ``Unhealthy`` when nobody can tell."""
    try:
        return path.exists()
    except OSError as error:  # no right to look, a name too long, a disk that fails
        msg = f"{path} cannot be looked at: {error.strerror}."
        raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.") from error


@asynccontextmanager
async def reader(home: Home) -> AsyncIterator[ReadDatabase]:
    """Open the home's database for reading; the file must exist.

    Raises ``DatabaseError`` when it cannot be read.
    """
    from netsky_runtime.db.connection import ReadDatabase

    database = await ReadDatabase.open(home.database)
    try:
        yield database
    except sqlite3.Error as error:
        msg = f"The database {home.database} cannot be read: {error}."
        raise DatabaseError(msg, hint="Run `netsky doctor`.") from error
    finally:
        await database.close()


async def read(home: Home, body: Callable[[Tx], Awaitable[T]], *, empty: E) -> T | E:
    """Return what ``body`` reads, or ``empty`` in a home that has no database yet."""
    if not present(home.database):
        return empty
    async with reader(home) as database:
        return await database.read(body)
