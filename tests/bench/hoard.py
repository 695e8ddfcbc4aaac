"""A home as full as the issue wants it, made in seconds straight into the real schema."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from netsky_runtime.db import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TASKS, MESSAGES, EVENTS = 10_000, 100_000, 1_000_000
WORKERS = 50
EVENTS_A_TURN = 20
_STATES = ("done", "done", "done", "open", "in_progress", "blocked", "reported", "cancelled")
_CLOSED = ("done", "cancelled")


def fill(path: Path) -> None:
    """Make a database with that many rows; nothing in it waits or runs."""
    migrate.prepare(path, backups=path.parent / "backups", now=1)
    now = int(time.time() * 1000)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -262144")
        database.execute("BEGIN")
        for table, columns, rows in (
            ("actors", 9, _actors(now)),
            ("tasks", 12, _tasks(now)),
            ("messages", 16, _messages(now)),
            ("events", 8, _events(now)),
        ):
            marks = ", ".join("?" * columns)
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _worker(number: int) -> str:
    return f"worker{number % WORKERS + 1}"


def _actors(now: int) -> Iterator[tuple[Any, ...]]:
    yield ("owner", "owner", "active", None, "", "", "", now, now)
    yield ("manager0", "manager", "active", "owner", "", "/", "", now, now)
    for number in range(WORKERS):
        yield (_worker(number), "worker", "active", "manager0", "", "/", "", now, now)


def _tasks(now: int) -> Iterator[tuple[Any, ...]]:
    for number in range(1, TASKS + 1):
        state = _STATES[number % len(_STATES)]
        at = now - (TASKS - number) * 60_000
        closed = at if state in _CLOSED else None
        title = f"Make part {number} of the parser faster"
        priority = f"P{number % 4}"
        owner = _worker(number)
        body = "Find out what is slow, mend it, prove it with a test." * 3
        yield (
            *(f"t{number}", number, title, body, priority, state, owner, "manager0", 30),
            *(at, at, closed),
        )


def _messages(now: int) -> Iterator[tuple[Any, ...]]:
    body = "Done: the parser reads 40 MB/s. All tests pass. Files: parser.py, lines.py. " * 3
    for number in range(1, MESSAGES + 1):
        sender, target = (_worker(number), "manager0") if number % 3 else ("manager0", "owner")
        direction = "inbound" if number % 3 else "outbound"
        at = now - (MESSAGES - number) * 6_000
        task = f"t{number % TASKS + 1}"
        yield (
            *(number, f"m-{number}", "actor", direction, "report", sender, target, body),
            *("closed", None, task, "", "", "{}", at, at),
        )


def _events(now: int) -> Iterator[tuple[Any, ...]]:
    data = '{"type":"command","command":"pytest -q","cwd":"/","status":"completed","output":"ok"}'
    for number in range(1, EVENTS + 1):
        # Every tenth is manager0's, whose events the room shows first.
        actor = "manager0" if number % 10 == 0 else _worker(number)
        turn = f"turn-{number // EVENTS_A_TURN}"
        at = now - (EVENTS - number) * 600
        yield (number, f"thread-{actor}", turn, f"i{number}", "item.completed", actor, at, data)
