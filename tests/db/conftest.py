"""A database of its own for every test, with time and ids that do not move by themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from netsky_runtime.db.connection import Database
from tests.db.making import Making
from tests.support.fakes import CountingIds, ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    return home / "meta.db"


@pytest.fixture
async def database(path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    opened = await Database.open(path, backups=path.parent / "backups", clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
async def making(database: Database, clock: ManualClock) -> Making:
    """The database with the owner, manager0 and worker1, and short ways to make more."""
    made = Making(database, CountingIds(), clock)
    await made.first_actors()
    return made
