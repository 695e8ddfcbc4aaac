"""A database that takes nothing just now: who waits for it, who is refused, when it is over.

What goes on by itself (a turn that ends, a fact, an approval that Codex asks for) waits and is
written when the cause is gone. What somebody has just asked for is refused at once: he is told,
and nothing of it is stored.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from netsky_runtime.db import faults
from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.rows import Tx

T = TypeVar("T")

PROBE = """
INSERT INTO probes (id, ballast) VALUES (1, randomblob(65536))
ON CONFLICT (id) DO UPDATE SET ballast = excluded.ballast
"""
# A row that stays as it is would not be written at all, and a short one fits into any corner.
RETRY_SECONDS = 1.0
"""Between two attempts of the one write that is tried again; all others wait behind it."""

_WAITS: Final[ContextVar[bool]] = ContextVar("netsky_waits_for_the_database", default=False)


def waiting() -> Context:
    """Return a context in which writes wait for a database in trouble."""
    context = Context()
    context.run(_WAITS.set, True)
    return context


@contextmanager
def refusing() -> Iterator[None]:
    """Let no write inside wait for a database in trouble: it is refused, nothing is stored."""
    token = _WAITS.set(False)
    try:
        yield
    finally:
        _WAITS.reset(token)


async def probe(tx: Tx) -> None:
    """Write as much as a message may need: whether the disk takes it shows only so."""
    await tx.execute_fetchall(PROBE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The trouble that there is now."""

    since: int
    message: str
    hint: str
    lasting: bool
    """Whether trying again is no use: a human has to do something first."""

    def error(self) -> DatabaseError:
        """Return what those are told who are refused."""
        return DatabaseError(self.message, hint=f"Nothing was stored. {self.hint}".rstrip())


class Trouble:
    """Whether the database at ``path`` takes what it is given, and since when it does not."""

    def __init__(self, path: Path, *, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._standing: Standing | None = None
        self._retrying = asyncio.Lock()
        self._changed = asyncio.Event()
        self._hurried = False
        self._listeners: list[Callable[[], None]] = []
        self.waiting = 0
        """How many writes wait until it is over."""

    @property
    def standing(self) -> Standing | None:
        """The trouble that there is now, if any."""
        return self._standing

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call ``listener`` whenever trouble begins or is over."""
        self._listeners.append(listener)

    def begin(self, error: DatabaseError, *, lasting: bool = False) -> Standing:
        """Note why nothing can be stored; of several causes the first that lasts is told."""
        standing = self._standing
        if standing is not None and (standing.lasting or not lasting):
            return standing
        since = self._clock.now() if standing is None else standing.since
        self._standing = new = Standing(
            since=since, message=error.message, hint=error.hint, lasting=lasting
        )
        self._tell()
        return new

    def over(self) -> None:
        """Note that the database takes what it is given, and let everybody try."""
        if self._standing is not None:
            self._standing = None
            self._tell()

    def hurry(self) -> None:
        """From now on nobody waits: whoever is under way is refused as well."""
        self._hurried = True
        self._changed.set()

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Make ``attempt``, a whole transaction: once, or until the database takes it.

        Raises what it raises, and ``DatabaseError`` where the caller does not wait.
        """
        waits = _WAITS.get()
        if self._standing is not None and not waits:
            raise self._standing.error()
        if self._standing is None:
            try:
                return await attempt()
            except sqlite3.Error as error:
                told = self._meet(error)
                if not waits:
                    raise told.error() from error
        self.waiting += 1
        try:
            return await self._outlast(attempt)
        finally:
            self.waiting -= 1

    def _meet(self, error: sqlite3.Error) -> Standing:
        """Return the trouble that ``error`` tells of; raise it again when it is the statement's."""
        if not faults.is_trouble(error):
            raise error
        return self.begin(faults.explain(self._path, error), lasting=faults.is_damage(error))

    async def _outlast(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async with self._retrying:  # the oldest is tried; when it goes through, all do
            while True:
                if self._standing is not None:
                    await self._rest(self._standing)
                if self._standing is None or not self._standing.lasting:
                    try:
                        result = await attempt()
                    except sqlite3.Error as error:
                        self._meet(error)
                    else:
                        self.over()
                        return result

    async def _rest(self, standing: Standing) -> None:
        if not self._hurried:
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_SECONDS):
                    await self._changed.wait()
        if self._hurried:
            raise standing.error()

    def _tell(self) -> None:
        self._changed.set()
        for listener in self._listeners:
            listener()
