"""Readers see whole commits; closing finishes what is under way and never hangs."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys

import pytest

from netsky_runtime.db import connection, pool, rows, settings
from netsky_runtime.db.connection import Database, ReadDatabase, Tx
from netsky_runtime.errors import DatabaseError
from tests.support.patience import PATIENCE


async def put(tx: Tx, key: str = "key", value: str = "1") -> None:
    await settings.set_(tx, key, value, now=1)


async def test_a_reader_sees_only_what_is_committed(database):
    async with asyncio.timeout(PATIENCE):
        written, seen = asyncio.Event(), asyncio.Event()

        async def body(tx: Tx) -> None:
            await put(tx)
            written.set()
            await seen.wait()

        writing = asyncio.ensure_future(database.write(body))
        await written.wait()
        assert await database.read(settings.get_all) == {}
        seen.set()
        await writing
        assert await database.read(settings.get_all) == {"key": "1"}


async def test_a_reading_is_one_snapshot_from_its_first_statement_to_its_last(database):
    async with asyncio.timeout(PATIENCE):

        async def body(tx: Tx) -> tuple[dict[str, str], dict[str, str]]:
            first = await settings.get_all(tx)
            await database.write(put)
            return first, await settings.get_all(tx)

        assert await database.read(body) == ({}, {})
        assert await database.read(settings.get_all) == {"key": "1"}


async def test_a_reader_cannot_write(database):
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        await database.read(put)
    await database.write(put)


async def test_a_cancelled_reader_gives_its_connection_back_without_a_snapshot(database):
    async with asyncio.timeout(PATIENCE):
        for _ in range(connection.READERS + 1):
            entered = asyncio.Event()

            async def body(tx: Tx, entered: asyncio.Event = entered) -> None:
                await settings.get_all(tx)
                entered.set()
                await asyncio.Event().wait()

            reading = asyncio.ensure_future(database.read(body))
            await entered.wait()
            reading.cancel()
            await asyncio.wait([reading])
        await database.write(put)
        assert await database.read(settings.get_all) == {"key": "1"}


async def test_more_readers_than_connections_take_turns(database):
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        found = [group.create_task(database.read(settings.get_all)) for _ in range(50)]
    assert [task.result() for task in found] == [{}] * 50


async def test_a_read_inside_a_read_is_an_error_not_a_deadlock(database):
    async def outer(tx: Tx) -> None:
        await database.read(settings.get_all)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="inside a read"):
            await database.read(outer)


async def test_a_reading_that_takes_for_ever_is_given_up(database, monkeypatch):
    monkeypatch.setattr(pool, "READ_SECONDS", 0.05)
    endless = (
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    )
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(DatabaseError, match="longer than"):
            await database.read(lambda tx: rows.many(tx, endless))
        assert await database.read(settings.get_all) == {}


async def test_closing_finishes_the_writes_that_wait(path, clock):
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(path, backups=path.parent, clock=clock)
        writes = [
            asyncio.ensure_future(database.write(lambda tx, n=n: put(tx, str(n))))
            for n in range(20)
        ]
        await asyncio.sleep(0)
        await database.close()
        assert all(write.done() and write.exception() is None for write in writes)
        again = await ReadDatabase.open(path)
        assert len(await again.read(settings.get_all)) == 20
        await again.close()


async def test_closing_ends_a_write_that_never_ends(path, clock, monkeypatch):
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.05)
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(path, backups=path.parent, clock=clock)
        entered = asyncio.Event()

        async def body(tx: Tx) -> None:
            await put(tx)
            entered.set()
            await asyncio.Event().wait()

        stuck = asyncio.ensure_future(database.write(body))
        await entered.wait()
        await database.close()
        await asyncio.wait([stuck])
        assert stuck.cancelled()
        again = await ReadDatabase.open(path)
        assert await again.read(settings.get_all) == {}
        await again.close()


async def test_closing_ends_a_reading_that_never_ends(path, clock, monkeypatch):
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.05)
    endless = (
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    )
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(path, backups=path.parent, clock=clock)
        entered = asyncio.Event()

        async def body(tx: Tx) -> None:
            entered.set()
            await rows.many(tx, endless)

        reading = asyncio.ensure_future(database.read(body))
        await entered.wait()
        await database.close()
        with pytest.raises(sqlite3.OperationalError, match="interrupted"):
            await reading


async def test_a_reading_that_closing_has_stopped_still_has_its_connection(
    path, clock, monkeypatch
):
    monkeypatch.setattr(connection, "CLOSE_SECONDS", 0.05)
    endless = (
        "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i FROM n) SELECT count(*) FROM n"
    )
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(path, backups=path.parent, clock=clock)
        entered = asyncio.Event()

        async def body(tx: Tx) -> dict[str, str]:
            entered.set()
            with pytest.raises(sqlite3.OperationalError, match="interrupted"):
                await rows.many(tx, endless)
            for _ in range(20):
                await asyncio.sleep(0)
            return await settings.get_all(tx)

        reading = asyncio.ensure_future(database.read(body))
        await entered.wait()
        await database.close()
        assert await reading == {}


async def test_closing_twice_or_from_a_cancelled_task_closes_once(path, clock):
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(path, backups=path.parent, clock=clock)
        closing = asyncio.ensure_future(database.close())
        await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await database.close()
        await database.close()


async def test_a_closed_database_says_so(path, clock):
    database = await Database.open(path, backups=path.parent, clock=clock)
    await database.close()
    with pytest.raises(DatabaseError, match="closed"):
        await database.write(put)
    with pytest.raises(DatabaseError, match="closed"):
        await database.read(settings.get_all)


async def test_after_closing_the_file_stands_alone(path, clock):
    database = await Database.open(path, backups=path.parent, clock=clock)
    await database.write(put)
    await database.close()
    assert [file.name for file in path.parent.iterdir()] == ["meta.db"]


async def test_another_process_notices_every_commit(database, path):
    other = await ReadDatabase.open(path)
    before = await other.data_version()
    assert await other.data_version() == before
    await database.write(put)
    after = await other.data_version()
    assert after != before
    assert await other.read(settings.get_all) == {"key": "1"}
    assert await other.data_version() == after
    await other.close()


async def test_another_process_reads_while_the_daemon_writes(database, path):
    async with asyncio.timeout(PATIENCE):
        other = await ReadDatabase.open(path)

        async def body(tx: Tx) -> None:
            await put(tx)
            assert await other.read(settings.get_all) == {}

        await database.write(body)
        await other.close()


def test_an_interpreter_that_forgot_nothing_exits(path):
    code = f"""
import asyncio
from pathlib import Path
from netsky_runtime.clock import SystemClock
from netsky_runtime.db.connection import Database
async def main():
    path = Path({str(path)!r})
    database = await Database.open(path, backups=path.parent, clock=SystemClock())
    try:
        raise KeyboardInterrupt
    finally:
        await database.close()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("ended")
"""
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (ended.stdout, ended.stderr) == ("ended\n", "")
