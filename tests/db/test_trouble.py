"""A database that takes nothing for a while: refused to who asks, kept for what goes on."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing, contextmanager

import pytest

from netsky_runtime.db import faults, migrate, rows, settings, trouble
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError
from tests.support.patience import PATIENCE


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.01)


def put(key: str, value: str = "x"):
    return lambda tx: settings.set_(tx, key, value, now=1)


def patiently(work) -> asyncio.Task:
    """Run ``work`` as what goes on by itself runs."""
    return asyncio.get_running_loop().create_task(work, context=trouble.waiting())


async def stored(database: Database) -> set[str]:
    return set(await database.read(settings.get_all))


def failing(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(f"as if {name}")
    error.sqlite_errorname = name
    return error


@contextmanager
def broken(database: Database, name: str, *, at: str = "COMMIT"):
    """Let the writer fail as SQLite does, at a statement that begins with ``at``."""
    plain = database._writer.execute_fetchall

    async def execute_fetchall(sql, parameters=None):
        if sql.strip().startswith(at):
            raise failing(name)
        return await plain(sql, parameters)

    database._writer.execute_fetchall = execute_fetchall
    try:
        yield
    finally:
        database._writer.execute_fetchall = plain


async def until_waiting(database: Database, count: int = 1) -> None:
    for _ in range(10_000):
        if database.trouble.waiting >= count:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"only {database.trouble.waiting} of {count} wait")


CAUSES = [
    "SQLITE_FULL",
    "SQLITE_IOERR_WRITE",
    "SQLITE_IOERR_FSYNC",
    "SQLITE_BUSY",
    "SQLITE_READONLY",
    "SQLITE_CANTOPEN",
]


@pytest.mark.parametrize("at", ["BEGIN", "INSERT", "COMMIT"])
@pytest.mark.parametrize("name", CAUSES)
async def test_who_asks_is_refused_at_once_and_nothing_is_stored(database, name, at):
    with broken(database, name, at=at):
        for _ in range(2):  # the one who meets it, and everybody after him
            with pytest.raises(DatabaseError, match="Nothing was stored"):
                await database.write(put("asked"))
        assert database.trouble.standing is not None
    assert await stored(database) == set()
    assert not database._writer.in_transaction


@pytest.mark.parametrize("name", CAUSES)
async def test_what_goes_on_waits_and_is_stored_in_order_when_it_is_over(database, name):
    order = []

    async def worker(number: int) -> None:
        for step in range(3):
            await database.write(put(f"{number}.{step}"))
            order.append((number, step))

    async with asyncio.timeout(PATIENCE):
        with broken(database, name):
            waiting = [patiently(worker(number)) for number in range(5)]
            await until_waiting(database, 5)
            assert await stored(database) == set()
        await asyncio.gather(*waiting)
    assert database.trouble.standing is None
    assert database.trouble.waiting == 0
    assert len(await stored(database)) == 15
    for number in range(5):
        assert [step for who, step in order if who == number] == [0, 1, 2]


async def test_a_write_that_waited_is_stored_once(database):
    async def count(tx):
        before = await rows.value(tx, "SELECT value FROM settings WHERE key = 'n'")
        await settings.set_(tx, "n", str(int(before or 0) + 1), now=1)

    async with asyncio.timeout(PATIENCE):
        with broken(database, "SQLITE_FULL"):
            waiting = patiently(database.write(count))
            await until_waiting(database)
        await waiting
    assert (await database.read(settings.get_all))["n"] == "1"


async def test_what_the_database_itself_has_no_room_for_waits_until_there_is_some(database):
    """SQLITE_FULL as SQLite raises it, not a stand-in."""
    pages = next(iter(await database._writer.execute_fetchall("PRAGMA page_count")))[0]
    await database._writer.execute_fetchall(f"PRAGMA max_page_count = {pages}")
    large = "x" * 200_000
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(DatabaseError, match="is full"):
            await database.write(put("asked", large))
        waiting = patiently(database.write(put("goes on", large)))
        await until_waiting(database)
        with pytest.raises(DatabaseError, match="is full"):
            await database.write(put("asked", "small"))
        await database._writer.execute_fetchall("PRAGMA max_page_count = 1000000")
        await waiting
    assert await stored(database) == {"goes on"}


async def test_a_database_that_another_program_locks_is_told_and_waited_for(
    path, clock, monkeypatch
):
    monkeypatch.setattr(migrate, "BUSY_MS", 20)
    database = await Database.open(path, backups=path.parent, clock=clock)
    try:
        async with asyncio.timeout(PATIENCE):
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(DatabaseError, match="locked by another process"):
                    await database.write(put("asked"))
                waiting = patiently(database.write(put("goes on")))
                await until_waiting(database)
                assert await stored(database) == set()  # and reading goes on
                other.execute("ROLLBACK")
            await waiting
            await database.write(put("asked again"))
        assert await stored(database) == {"goes on", "asked again"}
    finally:
        await database.close()


async def test_a_damaged_database_is_not_tried_again(database):
    with broken(database, "SQLITE_CORRUPT"), pytest.raises(DatabaseError, match="is damaged"):
        await database.write(put("asked"))
    waiting = patiently(database.write(put("goes on")))
    await until_waiting(database)
    await asyncio.sleep(5 * trouble.RETRY_SECONDS)
    assert not waiting.done()
    await database.close()
    with pytest.raises(DatabaseError, match="is damaged"):
        await waiting


async def test_whoever_waits_is_let_go_when_nobody_has_time_any_more(database):
    async with asyncio.timeout(PATIENCE):
        with broken(database, "SQLITE_FULL"):
            waiting = [patiently(database.write(put(str(n)))) for n in range(3)]
            await until_waiting(database, 3)
            database.trouble.hurry()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(error) for error in ended] == [DatabaseError] * 3


async def test_an_error_of_the_statement_is_no_trouble(database):
    async def body(tx):
        await tx.execute_fetchall("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(sqlite3.OperationalError, match="nowhere"):
        await patiently(database.write(body))
    assert database.trouble.standing is None


async def test_trouble_is_told_when_it_begins_and_when_it_is_over(database):
    told = []
    database.trouble.on_change(lambda: told.append(database.trouble.standing is not None))
    async with asyncio.timeout(PATIENCE):
        with broken(database, "SQLITE_FULL"):
            waiting = [patiently(database.write(put(str(n)))) for n in range(3)]
            await until_waiting(database, 3)
        await asyncio.gather(*waiting)
    assert told == [True, False]


async def test_who_refuses_inside_what_waits_is_refused(database):
    async def ask():
        with trouble.refusing():
            await database.write(put("asked"))

    with broken(database, "SQLITE_FULL"), pytest.raises(DatabaseError):
        await patiently(ask())


@pytest.mark.parametrize("name", ["SQLITE_IOERR_READ", "SQLITE_CORRUPT"])
async def test_a_reading_that_the_disk_refuses_is_a_sentence(database, name):
    async def body(_tx):
        raise failing(name)

    with pytest.raises(DatabaseError, match=str(database.path)):
        await database.read(body)
    assert (database.trouble.standing is not None) == (name == "SQLITE_CORRUPT")


def test_every_trouble_has_a_sentence_and_a_way_out(tmp_path):
    for name in [*CAUSES, "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_NOMEM"]:
        assert faults.is_trouble(failing(name))
        told = faults.explain(tmp_path / "meta.db", failing(name))
        assert str(tmp_path) in told.message
        assert told.hint
    for name in ("SQLITE_CONSTRAINT_UNIQUE", "SQLITE_ERROR", "SQLITE_INTERRUPT"):
        assert not faults.is_trouble(failing(name))
