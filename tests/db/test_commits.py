"""Who waits for something in the database sees it after the commit that made it so."""

from __future__ import annotations

import asyncio

import pytest

from netsky_runtime.db import settings
from netsky_runtime.db.commits import Commits
from netsky_runtime.db.connection import Database, Tx
from tests.support.patience import PATIENCE


async def put(database: Database, key: str, value: str) -> None:
    await database.write(lambda tx: settings.set_(tx, key, value, now=1))


class Looking:
    """Looks for one key, and says when it has been looked for in vain."""

    def __init__(self, key: str) -> None:
        self._key = key
        self.in_vain: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, tx: Tx) -> str | None:
        found = (await settings.get_all(tx)).get(self._key)
        if found is None:
            self.in_vain.put_nowait(None)
        return found


async def test_what_is_so_already_is_seen_at_once(database):
    await put(database, "one", "")
    async with asyncio.timeout(PATIENCE):
        assert await Commits(database).until(Looking("one")) == ""


async def test_each_commit_is_looked_at_until_it_is_the_one(database):
    commits, looking = Commits(database), Looking("two")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        waiting = group.create_task(commits.until(looking))
        await looking.in_vain.get()
        await put(database, "one", "1")
        await looking.in_vain.get()
        await put(database, "two", "2")
    assert waiting.result() == "2"


async def test_a_commit_while_somebody_looks_is_not_missed(database):
    commits = Commits(database)
    looks = 0

    async def look(tx: Tx) -> str | None:
        nonlocal looks
        looks += 1
        found = (await settings.get_all(tx)).get("key")
        if looks == 1:  # what is committed now this snapshot does not show
            await put(database, "key", "1")
        return found

    async with asyncio.timeout(PATIENCE):
        assert await commits.until(look) == "1"
    assert looks == 2


async def test_one_who_does_not_wait_any_more_ends_no_other_waiting(database):
    commits, tired, patient = Commits(database), Looking("key"), Looking("key")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first = group.create_task(commits.until(tired))
        second = group.create_task(commits.until(patient))
        await tired.in_vain.get()
        await patient.in_vain.get()
        first.cancel()
        await asyncio.wait([first])
        await put(database, "key", "1")
    assert second.result() == "1"
    assert tired.in_vain.empty()


async def test_what_looking_raises_is_raised(database):
    async def look(_tx: Tx) -> str | None:
        raise LookupError

    with pytest.raises(LookupError):
        await Commits(database).until(look)
