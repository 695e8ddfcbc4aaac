"""Garbage is looked for when nobody waits."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from netsky_tui.tidying import LATEST, PACE, REST, Tidying
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator


class Loop:
    """A cycle that only a search finds."""

    made = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Loop.made -= 1


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def tidying(clock: ManualClock) -> Iterator[Tidying]:
    tidying = Tidying(clock=clock)
    tidying.start()
    yield tidying
    tidying.stop()


def drop_an_old_cycle() -> None:
    Loop.made += 1
    cycle = Loop()
    gc.collect(1)  # it survives into the oldest generation, which young searches leave alone
    assert cycle.me is cycle


async def test_a_resting_room_is_searched(tidying: Tidying, clock: ManualClock) -> None:
    drop_an_old_cycle()
    await clock.advance(PACE)

    tidying.beat(last_key=clock.monotonic() - REST)

    assert Loop.made == 0


async def test_nobody_who_types_waits_for_a_search(tidying: Tidying, clock: ManualClock) -> None:
    drop_an_old_cycle()
    await clock.advance(PACE)

    tidying.beat(last_key=clock.monotonic())

    assert Loop.made == 1
    await clock.advance(LATEST - PACE)
    tidying.beat(last_key=clock.monotonic())
    assert Loop.made == 0


def test_python_looks_by_itself_again_when_the_room_is_left(clock: ManualClock) -> None:
    before = gc.get_threshold()
    tidying = Tidying(clock=clock)

    tidying.start()
    assert gc.get_threshold()[2] > before[2]
    tidying.stop()

    assert gc.get_threshold() == before
