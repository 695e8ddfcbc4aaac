"""Who has lost the home writes nothing more, whatever it still believes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from netsky_runtime.db import daemon_row, settings
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import Fenced
from tests.support.patience import PATIENCE


@asynccontextmanager
async def another(database: Database, clock):
    """Open the same home a second time, as a daemon does that found the lock free."""
    opened = await Database.open(database.path, backups=database.path.parent, clock=clock)
    try:
        yield opened
    finally:
        await opened.close()


async def stored(database: Database) -> dict[str, str]:
    return await database.read(settings.get_all)


async def test_an_owner_writes_under_its_epoch(database):
    assert await database.own(pid=1, now=1) == 1
    await database.write(lambda tx: settings.set_(tx, "key", "value", now=1))
    assert await stored(database) == {"key": "value"}


async def test_an_owner_that_lost_the_home_writes_nothing_more(database, clock):
    told = []
    await database.own(pid=1, now=1, lost=lambda: told.append("lost"))
    async with another(database, clock) as later:
        await later.own(pid=2, now=2)
        for _ in range(2):
            with pytest.raises(Fenced, match="Another netsky has taken over this home"):
                await database.write(lambda tx: settings.set_(tx, "key", "old", now=3))
        await later.write(lambda tx: settings.set_(tx, "key", "new", now=4))
        assert await stored(later) == {"key": "new"}
        assert await stored(database) == {"key": "new"}
    await asyncio.sleep(0)
    assert told == ["lost"]
    assert not database._writer.in_transaction


async def test_a_writer_that_waited_while_the_home_was_taken_is_refused(database, clock):
    """The epoch is looked at under the write lock, not when the write was asked for."""
    await database.own(pid=1, now=1)
    async with another(database, clock) as later:
        entered, gate = asyncio.Event(), asyncio.Event()

        async def take(tx):
            entered.set()
            await gate.wait()
            return await daemon_row.take_epoch(tx, 2, 2)

        async with asyncio.timeout(PATIENCE):
            taking = asyncio.ensure_future(later.write(take))
            await entered.wait()
            late = asyncio.ensure_future(
                database.write(lambda tx: settings.set_(tx, "key", "old", now=3))
            )
            await asyncio.sleep(0)
            gate.set()
            assert await taking == 2
            with pytest.raises(Fenced):
                await late
    assert await stored(database) == {}


async def test_who_took_no_epoch_is_not_fenced(database):
    await database.write(lambda tx: daemon_row.take_epoch(tx, 1, 1))
    await database.write(lambda tx: settings.set_(tx, "key", "value", now=1))
    assert await stored(database) == {"key": "value"}
