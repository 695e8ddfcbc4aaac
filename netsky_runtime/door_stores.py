"""What doors to Codex have netsky's database keep for them."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import TYPE_CHECKING

from netsky_runtime.db import doors, engines
from netsky_runtime.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.probe import Fingerprint
    from netsky_runtime.db.connection import Database
    from netsky_runtime.records import DoorResult, Engine
    from netsky_runtime.states import EngineState, RuntimeName


class EngineRows:
    """Keeps the identity of a runtime's engine in the database, for the next start to find it."""

    def __init__(self, *, database: Database, clock: Clock, runtime: RuntimeName) -> None:
        self._database = database
        self._clock = clock
        self._runtime = runtime

    async def load(self) -> Engine | None:
        """Return the runtime's engine that should be running."""
        return await self._database.read(lambda tx: engines.running(tx, self._runtime))

    async def save(self, engine: Engine) -> None:
        """Remember an engine that was just started."""
        await self._database.write(lambda tx: engines.insert(tx, engine))

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        """Record the end of an engine."""
        now = self._clock.now()
        await self._database.write(
            lambda tx: engines.end(tx, engine_id, state=state, reason=reason, now=now)
        )


class DoorRows:
    """Keeps in the database what handshakes with doors have shown."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def load(self, binary: Fingerprint) -> Mapping[RuntimeName, DoorResult]:
        """Return what is known of this binary."""
        return await self._database.read(
            lambda tx: doors.of_binary(tx, binary.path, size=binary.size, mtime_ns=binary.mtime_ns)
        )

    async def save(self, binary: Fingerprint, result: DoorResult) -> None:
        """Remember a result in place of the door's last one.

        While nothing can be stored it is forgotten: then the door is tried again.
        """
        with suppress(sqlite3.Error, DatabaseError):
            await self._database.write(
                lambda tx: doors.keep(
                    tx, binary.path, result, size=binary.size, mtime_ns=binary.mtime_ns
                )
            )
