"""What housekeeping does when one of its jobs cannot be done, and what the doctor says then."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.checks import checks
from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.base import RuntimeInfo
from netsky_runtime.db import backup
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError
from netsky_runtime.housekeeping import BACK_UP, EVERY_SECONDS, FIRST_SECONDS, PRUNE, Housekeeping
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings
from netsky_runtime.states import RuntimeName
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

NO_TIME = "meta-99999999T999999Z.db"
STORAGE = {"problem": "", "hint": "", "since": None}


class House:
    """A home whose house is kept by a clock that is moved by hand."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self.clock = ManualClock()
        self.lines: list[Mapping[str, Any]] = []
        self.keeping = Housekeeping(
            database=database,
            backups=home.backups,
            settings=self.settings,
            clock=self.clock,
            log=lambda level, _message, fields: self.lines.append({"level": level, **fields}),
        )
        self.pruned = 0

        async def prune(_settings: Settings) -> int:
            self.pruned += 1
            return 0

        self.prune: Any = prune
        self.keeping.prune = lambda settings: self.prune(settings)  # type: ignore[method-assign]

    async def settings(self) -> Settings:
        return Settings()

    async def passes(self, seconds: float) -> None:
        """Wait until it has rested for so long, and then for its next rest."""
        async with asyncio.timeout(PATIENCE):
            assert await self.clock.pass_next() == seconds
            await self.clock.until_sleeping()

    def failures(self) -> list[str]:
        return [line["jobs"] for line in self.lines if line["level"] == "error"]

    def copies(self) -> int:
        return len(backup.kept(self.home.backups))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    home.prepare()
    async with opened(home) as database:
        made = House(home, database)
        running = asyncio.ensure_future(made.keeping.run())
        yield made
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()


@asynccontextmanager
async def opened(home: Home) -> AsyncIterator[Database]:
    database = await Database.open(home.database, backups=home.backups, clock=SystemClock())
    try:
        yield database
    finally:
        await database.close()


async def test_a_file_whose_name_is_no_time_is_no_backup_and_hinders_none(house: House) -> None:
    strange = house.home.backups / NO_TIME
    strange.write_text("mine")
    await house.passes(FIRST_SECONDS)
    assert (house.copies(), house.failures(), house.keeping.failing) == (1, [], {})
    assert strange.read_text() == "mine"


async def test_a_backup_that_cannot_be_taken_is_told_once_and_pruning_goes_on(house: House) -> None:
    house.home.backups.rmdir()
    house.home.backups.write_text("no folder")
    await house.passes(FIRST_SECONDS)
    await house.passes(EVERY_SECONDS)
    assert (house.pruned, house.failures()) == (2, [BACK_UP])
    assert "Not a directory" in house.keeping.failing[BACK_UP]
    house.home.backups.unlink()
    await house.passes(EVERY_SECONDS)
    assert (house.copies(), house.keeping.failing) == (1, {})


async def test_what_cannot_be_pruned_keeps_nobody_from_the_backup(house: House) -> None:
    async def broken(_settings: Settings) -> int:
        raise DatabaseError("It took too long.")

    house.prune = broken
    await house.passes(FIRST_SECONDS)
    assert (house.copies(), house.failures()) == (1, [PRUNE])
    assert house.keeping.failing == {PRUNE: "It took too long."}


def doctor(home: Home, failing: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    home.database.touch()
    info = RuntimeInfo(name=RuntimeName.SCRIPTED, version="1")
    found = checks(home, info, Settings(runtime="scripted"), (), STORAGE, failing)
    return {check["name"]: (check["state"], check["detail"]) for check in found}


def test_the_doctor_tells_what_could_not_be_done(tmp_path: Path) -> None:
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    home.prepare()
    assert doctor(home, {})["backups"] == ("ok", "none yet")
    told = doctor(home, {BACK_UP: "the disk is full", PRUNE: "it took too long"})
    assert told["backups"] == ("fail", "none yet; the last could not be taken: the disk is full")
    assert told["database"][0] == "warn"
    assert told["database"][1].endswith("; old rows were not pruned: it took too long")


def test_the_doctor_tells_of_a_backups_folder_that_is_none(tmp_path: Path) -> None:
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    home.prepare()
    home.backups.rmdir()
    home.backups.write_text("no folder")
    state, detail = doctor(home, {})["backups"]
    assert state == "fail"
    assert detail == f"{home.backups} cannot be read: Not a directory"
