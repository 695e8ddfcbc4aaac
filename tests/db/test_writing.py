"""The one writer: whole transactions, whoever is cancelled when."""

from __future__ import annotations

import asyncio
import gc
import sqlite3

import pytest

from netsky_runtime.db import connection, rows, settings
from netsky_runtime.db.connection import Database, Tx
from netsky_runtime.errors import Conflict, DatabaseError
from tests.support.patience import PATIENCE

STATEMENTS = 4  # BEGIN, the two of the body, COMMIT


async def two_keys(tx: Tx) -> str:
    await settings.set_(tx, "first", "1", now=1)
    await settings.set_(tx, "second", "2", now=1)
    return "written"


async def keys(database: Database) -> set[str]:
    return set(await database.read(settings.get_all))


async def assert_usable(database: Database) -> None:
    assert not database._writer.in_transaction
    await database.write(lambda tx: settings.set_(tx, "after", "x", now=2))
    assert "after" in await keys(database)


def at_statement(database: Database, number: int, *, before: bool, act):
    """Call ``act`` around the writer's n-th statement."""
    plain = database._writer.execute_fetchall
    count = 0

    async def execute_fetchall(sql, parameters=None):
        nonlocal count
        count += 1
        if count == number and before:
            act()
        found = await plain(sql, parameters)
        if count == number and not before:
            act()
        return found

    database._writer.execute_fetchall = execute_fetchall


async def test_nobody_is_told_of_what_is_not_committed(database):
    told = []

    def fail():
        raise sqlite3.OperationalError("disk I/O error")

    at_statement(database, STATEMENTS, before=True, act=fail)
    with pytest.raises(sqlite3.OperationalError):
        await database.write(two_keys, then=told.append)
    assert (told, await keys(database)) == ([], set())
    assert await database.write(two_keys, then=told.append) == "written"
    assert told == ["written"]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("number", range(1, STATEMENTS + 1))
async def test_a_cancelled_writer_leaves_no_transaction_open(database, number, before):
    async with asyncio.timeout(PATIENCE):
        caller = asyncio.ensure_future(database.write(two_keys))
        at_statement(database, number, before=before, act=lambda: caller.cancel())
        await asyncio.wait([caller])
        assert caller.cancelled()
        await asyncio.wait(list(database._writes) or [caller])
        assert await keys(database) == {"first", "second"}
        await assert_usable(database)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("number", range(1, STATEMENTS + 1))
async def test_a_loop_that_cancels_everything_leaves_all_or_nothing(database, number, before):
    async with asyncio.timeout(PATIENCE):

        def cancel_the_transaction():
            asyncio.current_task().cancel()

        at_statement(database, number, before=before, act=cancel_the_transaction)
        (ended,) = await asyncio.gather(database.write(two_keys), return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError)
        found = await keys(database)
        assert found in (set(), {"first", "second"})
        if (number, before) < (STATEMENTS - 1, False) or (number, before) == (STATEMENTS - 1, True):
            assert found == set()  # COMMIT had not been asked for
        if (number, before) == (STATEMENTS, False):
            assert found == {"first", "second"}  # COMMIT had been answered
        await assert_usable(database)


async def test_a_writer_cancelled_in_the_queue_still_writes(database):
    async with asyncio.timeout(PATIENCE):
        entered, gate = asyncio.Event(), asyncio.Event()

        async def slow(tx: Tx) -> None:
            entered.set()
            await gate.wait()

        first = asyncio.ensure_future(database.write(slow))
        await entered.wait()
        second = asyncio.ensure_future(database.write(two_keys))
        await asyncio.sleep(0)
        second.cancel()
        gate.set()
        await first
        await asyncio.wait(list(database._writes) or [second])
        assert await keys(database) == {"first", "second"}


async def test_the_error_of_a_write_that_nobody_waits_for_any_more_is_nobody_s(database):
    heard = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, told: heard.append(told))
    async with asyncio.timeout(PATIENCE):
        entered, gate = asyncio.Event(), asyncio.Event()

        async def fail(tx: Tx) -> None:
            entered.set()
            await gate.wait()
            raise Conflict("It is over.")

        caller = asyncio.ensure_future(database.write(fail))
        await entered.wait()
        caller.cancel()
        await asyncio.wait([caller])
        gate.set()
        await asyncio.wait(list(database._writes))
    del caller
    gc.collect()
    assert heard == []
    await assert_usable(database)


async def test_three_hundred_writers_at_once_all_write(database):
    async def count_up(tx: Tx) -> None:
        present = await rows.value(tx, "SELECT value FROM settings WHERE key = 'n'")
        await settings.set_(tx, "n", str(int(present or 0) + 1), now=1)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for _ in range(300):
            group.create_task(database.write(count_up))
    assert (await database.read(settings.get_all))["n"] == "300"
    assert database.revision == 300


async def test_a_body_that_raises_rolls_back(database):
    async def body(tx: Tx) -> None:
        await two_keys(tx)
        msg = "no"
        raise ValueError(msg)

    with pytest.raises(ValueError, match="no"):
        await database.write(body)
    assert await keys(database) == set()
    assert database.revision == 0
    await assert_usable(database)


async def test_a_statement_that_fails_rolls_back(database):
    async def body(tx: Tx) -> None:
        await two_keys(tx)
        await rows.many(tx, "INSERT INTO settings VALUES ('first', 'again', 1)")

    with pytest.raises(sqlite3.IntegrityError):
        await database.write(body)
    assert await keys(database) == set()
    await assert_usable(database)


async def test_a_row_that_points_nowhere_is_refused(database):
    orphan = (
        "INSERT INTO threads (id, actor_id, session_id, runtime, created_at) VALUES (?,?,?,?,?)"
    )
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(lambda tx: rows.many(tx, orphan, "th", "nobody", "none", "x", 1))


async def test_a_write_inside_a_write_is_an_error_not_a_deadlock(database):
    async def outer(tx: Tx) -> None:
        await settings.set_(tx, "outer", "1", now=1)
        await database.write(two_keys)

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="inside a write"):
            await database.write(outer)
    assert await keys(database) == set()
    await assert_usable(database)


async def test_a_write_after_a_write_in_one_task_is_none_inside_it(database):
    await database.write(two_keys)
    await database.write(two_keys)
    assert await keys(database) == {"first", "second"}


async def test_a_task_that_a_body_leaves_behind_may_write_later(database):
    async with asyncio.timeout(PATIENCE):
        left: list[asyncio.Future[str]] = []

        async def body(tx: Tx) -> None:
            left.append(asyncio.ensure_future(database.write(two_keys)))
            await asyncio.sleep(0)

        await database.write(body)
        assert await left[0] == "written"


async def test_a_body_that_waits_for_ever_is_rolled_back(database, monkeypatch):
    monkeypatch.setattr(connection, "TRANSACTION_SECONDS", 0.05)

    async def body(tx: Tx) -> None:
        await two_keys(tx)
        await asyncio.Event().wait()

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(DatabaseError, match="longer than"):
            await database.write(body)
    assert await keys(database) == set()
    await assert_usable(database)


async def test_a_timeout_of_the_body_itself_stays_one(database):
    async def body(tx: Tx) -> None:
        await two_keys(tx)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await database.write(body)
    assert await keys(database) == set()


async def test_a_commit_is_announced_once_and_before_the_writer_goes_on(database):
    heard: list[int] = []
    database.on_commit(lambda: heard.append(database.revision))
    await database.write(two_keys)
    assert heard == [1]


async def test_a_transaction_that_changes_nothing_is_not_announced(database):
    heard: list[int] = []
    database.on_commit(lambda: heard.append(database.revision))
    await database.write(settings.get_all)
    assert heard == []
    assert database.revision == 0


async def test_a_callback_that_fails_costs_neither_the_write_nor_the_next_callback(database):
    heard: list[str] = []
    failures: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))

    def broken() -> None:
        msg = "broken"
        raise ValueError(msg)

    database.on_commit(broken)
    database.on_commit(lambda: heard.append("second"))
    assert await database.write(two_keys) == "written"
    assert heard == ["second"]
    assert isinstance(failures[0], ValueError)


async def test_every_commit_reaches_the_disk_before_it_is_answered(database):
    async def pragmas(tx: Tx) -> tuple[object, ...]:
        return tuple(
            [
                await rows.value(tx, f"PRAGMA {name}")
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]
        )

    assert await database.write(pragmas) == ("wal", 2, 1)
