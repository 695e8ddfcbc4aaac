"""Ringing for the owner: once for each thing, over bursts, restarts and quiet hours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.attention import herald
from netsky_runtime.attention.desktop import REST_SECONDS
from netsky_runtime.attention.herald import GONE_SECONDS, PACE_SECONDS, Herald
from netsky_runtime.attention.ringing import GAP_SECONDS, SETTLE_SECONDS
from netsky_runtime.db import actors
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.db.connection import Database
from netsky_runtime.states import ActorStatus
from tests.db.making import Making, actor
from tests.support.fakes import CountingIds, ManualClock, settle
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

NOON = 1_795_262_400_000
"""21 November 2026, 12:00 UTC."""


@dataclass
class Stage:
    """A herald, and everything it is given."""

    making: Making
    clock: ManualClock
    rooms: int = 1
    bells: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    works: bool = True
    lines: list[str] = field(default_factory=list)

    async def tell(self, text: str) -> bool:
        self.shown.append(text)
        return self.works

    def herald(self) -> Herald:
        return Herald(
            database=self.making.database,
            clock=self.clock,
            log=lambda _level, what, _fields: self.lines.append(what),
            rooms=lambda: self.rooms,
            ring=self.bells.append,
            desktop=self,
            local=lambda ms: datetime.fromtimestamp(ms / 1000, UTC),
        )

    async def park(self, *names: str) -> None:
        await self._set(ActorStatus.PARKED, names)

    async def resume(self, *names: str) -> None:
        await self._set(ActorStatus.ACTIVE, names)

    async def _set(self, status: ActorStatus, names: tuple[str, ...]) -> None:
        for name in names:
            await self.making.write(
                lambda tx, name=name: actors.set_status(
                    tx, name, status, reason="x", now=self.clock.now()
                )
            )

    async def set(self, key: str, value: str) -> None:
        await self.making.write(lambda tx: setting_rows.set_(tx, key, value, now=1))

    async def look(self, herald: Herald, *, after: float = 0.0) -> float | None:
        """Look once, ``after`` seconds."""
        await self.clock.advance(after)
        return await herald.look()

    async def rung(self, herald: Herald) -> None:
        """Look as often as it takes for a burst to ring."""
        await self.look(herald)
        await self.look(herald, after=SETTLE_SECONDS)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = ManualClock(NOON)
    database = await Database.open(tmp_path / "meta.db", backups=tmp_path / "b", clock=clock)
    making = Making(database, CountingIds(), clock)
    await making.first_actors()
    for number in range(2, 6):
        await making.actor(actor(f"worker{number}", manager_id="manager0"))
    yield Stage(making, clock)
    await database.close()


async def test_one_thing_rings_once_in_the_rooms_and_on_the_desktop(stage):
    told = stage.herald()
    await stage.park("worker1")
    await stage.rung(told)
    assert stage.bells == stage.shown == ["worker1 is parked."]
    for _ in range(3):
        await stage.look(told, after=60)
    assert len(stage.bells) == 1


async def test_a_burst_rings_once_and_what_follows_rings_together_after_the_gap(stage):
    told = stage.herald()
    await stage.park("worker1", "worker2")
    await stage.look(told)
    await stage.park("worker3")
    await stage.look(told, after=SETTLE_SECONDS)
    assert stage.bells == ["3 things wait for you: 3 parked actors."]
    await stage.park("worker4")
    assert await stage.look(told, after=2) == pytest.approx(GAP_SECONDS - 2)
    await stage.park("worker5")
    await stage.look(told, after=GAP_SECONDS - 2)
    assert stage.bells[1:] == ["2 things wait for you: 2 parked actors."]


async def test_after_a_restart_nothing_is_told_again(stage):
    await stage.park("worker1")
    await stage.rung(stage.herald())
    stage.clock = ManualClock(NOON + 10_000)
    again = stage.herald()
    for _ in range(3):
        await stage.look(again, after=30)
    assert len(stage.bells) == 1


async def test_what_comes_back_soon_is_no_news_and_what_comes_back_late_is(stage):
    told = stage.herald()
    await stage.park("worker1")
    await stage.rung(told)
    await stage.resume("worker1")
    assert await stage.look(told, after=1) == GONE_SECONDS
    await stage.park("worker1")
    await stage.look(told, after=GAP_SECONDS)
    await stage.look(told, after=GAP_SECONDS)
    assert len(stage.bells) == 1
    await stage.resume("worker1")
    await stage.look(told, after=1)
    await stage.look(told, after=GONE_SECONDS)
    await stage.park("worker1")
    await stage.rung(told)
    assert len(stage.bells) == 2


async def test_what_came_in_quiet_hours_rings_as_one_summary_when_they_end(stage):
    await stage.set("quiet_hours", "11:00-12:30")
    told = stage.herald()
    await stage.park("worker1")
    assert await stage.look(told) == 1800
    await stage.park("worker2")
    await stage.look(told, after=1799)
    assert stage.bells == stage.shown == []
    await stage.look(told, after=1)
    summary = "While it was quiet: 2 things wait for you: 2 parked actors."
    assert stage.bells == stage.shown == [summary]


async def test_quiet_hours_reach_over_midnight_and_a_restart(stage):
    await stage.set("quiet_hours", "22:00-07:00")
    stage.clock = ManualClock(NOON + 11 * 3_600_000)
    await stage.park("worker1")
    await stage.look(stage.herald(), after=60)
    again = stage.herald()
    assert await stage.look(again, after=3600) == pytest.approx(7 * 3600 - 60)
    assert stage.bells == []
    await stage.look(again, after=7 * 3600)
    assert stage.bells == ["While it was quiet: worker1 is parked."]


async def test_what_has_gone_by_the_end_of_quiet_hours_rings_nobody(stage):
    await stage.set("quiet_hours", "11:00-12:30")
    told = stage.herald()
    await stage.park("worker1")
    await stage.look(told)
    await stage.resume("worker1")
    await stage.look(told, after=3600)
    assert stage.bells == []


@pytest.mark.parametrize(
    ("ring", "bells", "shown"), [("bell", 1, 0), ("desktop", 0, 1), ("both", 1, 1), ("none", 0, 0)]
)
async def test_the_setting_chooses_and_holds_at_once(stage, ring, bells, shown):
    told = stage.herald()
    await stage.set("ring", ring)
    await stage.park("worker1")
    await stage.rung(told)
    assert (len(stage.bells), len(stage.shown)) == (bells, shown)


async def test_without_a_room_only_the_desktop_is_told(stage):
    stage.rooms = 0
    told = stage.herald()
    await stage.park("worker1")
    await stage.rung(told)
    assert (stage.bells, stage.shown) == ([], ["worker1 is parked."])


async def test_what_nobody_could_be_told_of_rings_in_the_first_room(stage):
    stage.rooms, stage.works = 0, False
    told = stage.herald()
    await stage.park("worker1")
    await stage.rung(told)
    assert (stage.bells, len(stage.shown)) == ([], 1)
    stage.rooms = 1
    await stage.look(told, after=5)
    assert stage.bells == ["worker1 is parked."]


async def test_a_desktop_that_took_nothing_is_left_alone_for_a_while(stage):
    stage.rooms, stage.works = 0, False
    told = stage.herald()
    await stage.park("worker1")
    await stage.rung(told)
    for _ in range(5):
        await stage.look(told, after=30)
    assert len(stage.shown) == 1
    stage.works = True
    await stage.look(told, after=REST_SECONDS)
    assert len(stage.shown) == 2
    await stage.look(told, after=REST_SECONDS)
    assert len(stage.shown) == 2


@asynccontextmanager
async def serving(told: Herald) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(told.run())
        try:
            yield
        finally:
            task.cancel()


async def test_it_looks_when_something_was_written_and_not_else(stage, monkeypatch):
    looks: list[float] = []
    whole = Herald.look

    async def counted(self: Herald) -> float | None:
        looks.append(stage.clock.monotonic())
        return await whole(self)

    monkeypatch.setattr(Herald, "look", counted)
    async with serving(stage.herald()), asyncio.timeout(PATIENCE):
        while not looks:
            await settle()
        await stage.clock.advance(3600)
        assert len(looks) == 1
        await stage.park("worker1")
        while not stage.bells:
            await stage.clock.advance(PACE_SECONDS)
            await asyncio.sleep(0)
    assert stage.bells == ["worker1 is parked."]


async def test_nothing_new_waits_long_for_the_next_look_though_something_else_does(stage):
    """A thing that has gone is looked at again in a minute; what is new must not wait for that."""
    await stage.park("worker1")
    async with serving(stage.herald()), asyncio.timeout(PATIENCE):
        while not stage.bells:
            await stage.clock.advance(PACE_SECONDS)
            await asyncio.sleep(0)
        await stage.resume("worker1")
        assert {await stage.clock.pass_next() for _ in range(8)} == {PACE_SECONDS}
        await stage.park("worker2")
        while len(stage.bells) < 2:
            await stage.clock.pass_next()
    assert stage.bells == ["worker1 is parked.", "worker2 is parked."]


async def test_a_database_that_fails_is_told_once_and_looked_at_again(stage, monkeypatch):
    failing = True
    whole = herald._state

    async def state(tx, *, now):
        if failing:
            raise herald.sqlite3.OperationalError("disk I/O error")
        return await whole(tx, now=now)

    monkeypatch.setattr(herald, "_state", state)
    await stage.park("worker1")
    async with serving(stage.herald()), asyncio.timeout(PATIENCE):
        for _ in range(3):
            await stage.clock.pass_next()
            await settle()
        await stage.clock.until_sleeping()
        assert stage.lines == ["nobody can be rung for"]
        failing = False
        while not stage.bells:
            await stage.clock.advance(PACE_SECONDS)
            await asyncio.sleep(0)


async def test_what_rang_and_could_not_be_noted_rings_no_more_and_is_noted_when_it_can_be(
    stage, monkeypatch
):
    full = True
    whole = Database.write

    async def write(self, body):
        if full:
            raise herald.sqlite3.OperationalError("database or disk is full")
        return await whole(self, body)

    await stage.park("worker1")
    monkeypatch.setattr(Database, "write", write)
    told = stage.herald()
    await stage.look(told)
    for _ in range(10):
        with pytest.raises(herald.sqlite3.OperationalError):
            await stage.look(told, after=30)
    assert stage.bells == stage.shown == ["worker1 is parked."]
    full = False
    await stage.look(told, after=30)
    again = stage.herald()
    await stage.rung(again)
    await stage.park("worker2")
    await stage.rung(again)
    assert stage.bells == ["worker1 is parked.", "worker2 is parked."]
