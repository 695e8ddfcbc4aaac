"""Waiting for what a commit brings."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from netsky_runtime.db.connection import Database, Tx

T = TypeVar("T")


class Commits:
    """Looks again whenever somebody in this process has committed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: set[asyncio.Event] = set()
        database.on_commit(self._committed)

    async def until(self, look: Callable[[Tx], Awaitable[T | None]]) -> T:
        """Return what ``look`` sees as soon as that is something; the caller bounds the wait.

        Raises what reading and ``look`` raise.
        """
        changed = asyncio.Event()
        self._waiting.add(changed)
        try:
            while True:
                changed.clear()
                if (seen := await self._database.read(look)) is not None:
                    return seen
                await changed.wait()
        finally:
            self._waiting.discard(changed)

    def _committed(self) -> None:
        for event in self._waiting:
            event.set()
