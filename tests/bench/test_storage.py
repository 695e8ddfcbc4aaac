"""What a message costs the disk, and how many facts a second it takes."""

from __future__ import annotations

import sqlite3
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import events, notes
from netsky_runtime.db.connection import Database

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.db.events import Fact

WRITES = 500
FACTS = 100_000
BATCH = 1_000
INSERT = "INSERT INTO note (body) VALUES (?)"


@pytest.fixture
async def database(tmp_path: Path):
    clock = SystemClock()
    opened = await Database.open(tmp_path / "meta.db", backups=tmp_path, clock=clock)
    yield opened
    await opened.close()


def _told(taken: list[float]) -> str:
    cuts = statistics.quantiles(taken, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1000:.2f} ms, p99 {cuts[98] * 1000:.2f} ms"


def _bare(path: Path) -> list[float]:
    taken = []
    with closing(sqlite3.connect(path, isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE note (number INTEGER PRIMARY KEY, body TEXT)")
        for _ in range(WRITES):
            before = time.perf_counter()
            bare.execute(INSERT, ("words",))
            taken.append(time.perf_counter() - before)
    return taken


@pytest.mark.bench
async def test_a_small_write_is_on_the_disk_at_once(database: Database, tmp_path: Path) -> None:
    taken = []
    for number in range(WRITES):

        async def body(tx: Tx, number: int = number) -> None:
            await notes.insert(tx, author="owner", body=f"words {number}", now=number)

        before = time.perf_counter()
        await database.write(body)
        taken.append(time.perf_counter() - before)
    bare = _bare(tmp_path / "bare.db")
    times = statistics.median(taken) / statistics.median(bare)
    print(
        f"\none small durable write: {_told(taken)}; {times:.1f} times a bare sqlite3 commit "
        f"({_told(bare)})"
    )


@pytest.mark.bench
async def test_facts_are_stored_by_the_thousand(database: Database, tmp_path: Path) -> None:
    data = '{"type":"command","command":"pytest -q","status":"completed","output":"ok"}' * 3
    facts: list[Fact] = [
        ("thread", f"turn{n // 20}", f"item{n}", "item.completed", "worker1", n, data)
        for n in range(FACTS)
    ]
    batches = [facts[start : start + BATCH] for start in range(0, FACTS, BATCH)]
    before = time.perf_counter()
    for batch in batches:
        await database.write(lambda tx, batch=batch: events.upsert_many(tx, batch))
    first = time.perf_counter() - before
    before = time.perf_counter()
    for batch in batches:
        await database.write(lambda tx, batch=batch: events.upsert_many(tx, batch))
    again = time.perf_counter() - before
    with closing(sqlite3.connect(tmp_path / "bare.db", isolation_level=None)) as bare:
        bare.execute("PRAGMA journal_mode = WAL")
        bare.execute("PRAGMA synchronous = FULL")
        bare.execute("CREATE TABLE fact (seq INTEGER PRIMARY KEY, a, b, c, d, e, f, g)")
        insert = "INSERT INTO fact (a, b, c, d, e, f, g) VALUES (?, ?, ?, ?, ?, ?, ?)"
        before = time.perf_counter()
        for batch in batches:
            bare.execute("BEGIN IMMEDIATE")
            bare.executemany(insert, batch)
            bare.execute("COMMIT")
        floor = time.perf_counter() - before
    print(
        f"\nfacts stored: {FACTS / first:,.0f} rows/s new, {FACTS / again:,.0f} rows/s told "
        f"again, a thousand a commit; {first / floor:.1f} times a bare table without indexes "
        f"({FACTS / floor:,.0f} rows/s)"
    )
