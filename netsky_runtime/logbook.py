"""Structured logs: rows in the database, and JSON lines beside it that survive the database."""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.db import logs
from netsky_runtime.db.trouble import refusing
from netsky_runtime.errors import NetskyError
from netsky_runtime.records import LogRow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database

QUEUE_LIMIT = 10_000
"""Lines waiting for the file, and rows for the database; past it the oldest are dropped and
counted."""
FILE_LIMIT = 16 * 1024 * 1024
"""Bytes of one log file; then it becomes ``.1`` and a new one starts."""
RETRY_SECONDS = 1.0
"""How long a file or a database that took nothing is left alone."""


class Logbook:
    """Takes lines at once and writes them in batches.

    A folder that is gone is made again. What neither the file nor the database takes just now
    is kept for it, within ``QUEUE_LIMIT``, and costs nobody else anything.
    """

    def __init__(self, *, file: Path, clock: Clock, component: str = "daemon") -> None:
        self._file = file
        self._clock = clock
        self._component = component
        self._lines: deque[LogRow] = deque(maxlen=QUEUE_LIMIT)
        self._rows: deque[LogRow] = deque(maxlen=QUEUE_LIMIT)
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
            message=_text(message),
            fields=_plain(fields),
        )
        self._dropped += QUEUE_LIMIT in {len(self._lines), len(self._rows)}
        self._lines.append(row)
        self._rows.append(row)
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
            if self._lines or self._rows:
                await self._clock.sleep(RETRY_SECONDS)
                self._filled.set()

    async def flush(self, database: Database) -> None:
        """Write what waits; what the file or the database does not take stays for the next time."""
        self._filled.clear()
        await self._to_file()
        await self._to_database(database)
        if self._dropped and not self._rows:
            fields = {"lines": self._dropped}
            self._dropped = 0
            self("warning", "log lines were dropped", fields)

    async def _to_file(self) -> None:
        lines = list(self._lines)
        if lines:
            try:
                await asyncio.to_thread(self._append, lines)
            except OSError:
                return
            _forget(self._lines, lines)

    async def _to_database(self, database: Database) -> None:
        rows = list(self._rows)
        if rows:
            try:
                with refusing():  # the file is the other copy: it must not wait for this one
                    await database.write(lambda tx: logs.insert_many(tx, rows))
            except (sqlite3.Error, NetskyError):
                return
            _forget(self._rows, rows)

    def _append(self, rows: list[LogRow]) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._file.exists() and self._file.stat().st_size > FILE_LIMIT:
            self._file.replace(self._file.with_name(self._file.name + ".1"))
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with os.fdopen(os.open(self._file, flags, 0o600), "ab", buffering=0) as file:
            before = file.seek(0, os.SEEK_END)
            whole = b"".join(_line(row) for row in rows)
            try:
                written = file.write(whole)
                if written != len(whole):
                    raise OSError(errno.ENOSPC, "only a part was written")
            except OSError:
                file.truncate(before)  # the lines are kept, and written whole another time
                raise


def _forget(kept: deque[LogRow], written: list[LogRow]) -> None:
    """Take out what was written; what came meanwhile may have pushed some of it out already."""
    done = {id(row) for row in written}
    while kept and id(kept[0]) in done:
        kept.popleft()


def _line(row: LogRow) -> bytes:
    line = {
        "at": row.at,
        "level": row.level,
        "component": row.component,
        "message": row.message,
        **row.fields,
    }
    return orjson.dumps(line, default=str) + b"\n"


def _text(text: str) -> str:
    """Return ``text`` as UTF-8 can hold it: names of files may be anything."""
    return text.encode("utf-8", "backslashreplace").decode()


def _plain(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    try:
        orjson.dumps(fields, default=str)
    except TypeError:  # a text that is not Unicode, a number that is too long
        return {_text(str(key)): _text(repr(value)) for key, value in fields.items()}
    return fields
