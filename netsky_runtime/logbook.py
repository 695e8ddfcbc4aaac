"""Structured logs: rows in the database, and JSON lines beside it that survive the database."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.db import logs
from netsky_runtime.errors import NetskyError
from netsky_runtime.records import LogRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database

QUEUE_LIMIT = 10_000
"""Lines waiting to be written; past it the oldest are dropped and counted."""
FILE_LIMIT = 16 * 1024 * 1024
"""Bytes of one log file; then it becomes ``.1`` and a new one starts."""


class Logbook:
    """Takes lines at once and writes them in batches."""

    def __init__(self, *, file: Path, clock: Clock, component: str = "daemon") -> None:
        self._file = file
        self._clock = clock
        self._component = component
        self._queue: deque[LogRow] = deque(maxlen=QUEUE_LIMIT)
        self._dropped = 0
        self._filled = asyncio.Event()
        self._listeners: list[Callable[[LogRow], None]] = []

    def on_line(self, listener: Callable[[LogRow], None]) -> None:
        """Call ``listener`` with every line, at once."""
        self._listeners.append(listener)

    def __call__(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Record one line: a level (debug, info, warning, error), a past-tense sentence, fields."""
        row = LogRow(
            seq=0,
            at=self._clock.now(),
            level=level,
            component=self._component,
            message=message,
            fields=fields,
        )
        self._dropped += len(self._queue) == QUEUE_LIMIT
        self._queue.append(row)
        self._filled.set()
        for listener in self._listeners:
            listener(row)

    def failure(self, name: str, error: BaseException) -> None:
        """Record that a supervised task ended with an error."""
        self("error", "task failed", {"task": name, "error": repr(error)})

    async def run(self, database: Database) -> None:
        """Write until cancelled."""
        while True:
            await self._filled.wait()
            await self.flush(database)

    async def flush(self, database: Database) -> None:
        """Write what waits; a database that fails costs its rows, not the lines in the file."""
        self._filled.clear()
        rows = list(self._queue)
        self._queue.clear()
        if self._dropped:
            fields = {"lines": self._dropped}
            self._dropped = 0
            self("warning", "log lines were dropped", fields)
        if not rows:
            return
        await self._to_file(rows)
        try:
            await database.write(lambda tx: logs.insert_many(tx, rows))
        except (sqlite3.Error, NetskyError) as error:
            line = LogRow(
                seq=0,
                at=self._clock.now(),
                level="error",
                component=self._component,
                message="log rows could not be stored",
                fields={"error": str(error), "rows": len(rows)},
            )
            await self._to_file([line])

    async def _to_file(self, rows: list[LogRow]) -> None:
        try:
            await asyncio.to_thread(self._append, rows)
        except OSError:
            return  # a full disk: the rows in the database are the other copy

    def _append(self, rows: list[LogRow]) -> None:
        if self._file.exists() and self._file.stat().st_size > FILE_LIMIT:
            self._file.replace(self._file.with_name(self._file.name + ".1"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with os.fdopen(os.open(self._file, flags, 0o600), "ab") as file:
            for row in rows:
                line = {
                    "at": row.at,
                    "level": row.level,
                    "component": row.component,
                    "message": row.message,
                    **row.fields,
                }
                file.write(orjson.dumps(line, default=str) + b"\n")
