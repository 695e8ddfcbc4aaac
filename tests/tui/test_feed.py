"""When the room reads the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from netsky_tui.feed import BEAT, IDLE_PACE, TABLE_PACE, RoomFeed
from netsky_tui.store import Store
from tests.support.fakes import ManualClock
from tests.tui.fakes import FakeSource
from tests.tui.story import day

if TYPE_CHECKING:
    from netsky_tui.link import Handle, Say


class NoDaemonYet:
    """A connector whose database can be read and whose daemon takes its time."""

    def __init__(self, source: FakeSource) -> None:
        self._source = source

    async def source(self) -> FakeSource:
        return self._source

    async def connect(self, say: Say) -> Handle:
        say("starting")
        await asyncio.Event().wait()
        raise AssertionError


async def test_nothing_is_read_while_what_was_just_sent_is_on_its_way() -> None:
    clock = ManualClock()
    source = FakeSource(day())
    feed = RoomFeed(
        store=Store(key_problems=(), notices_key="F4"),
        connector=NoDaemonYet(source),
        clock=clock,
        changed=lambda _parts: None,
        progress=lambda _line: None,
        rung=lambda _text: None,
        told_to_stop=lambda _keep: None,
    )
    async with asyncio.TaskGroup() as group:
        running = group.create_task(feed.run())
        await clock.advance(IDLE_PACE + TABLE_PACE)
        read = len(source.asked)
        feed.touch()
        await clock.advance(BEAT - 0.01)  # just before the read that was asked for

        feed.hush()
        await clock.advance(BEAT - 0.01)
        while_quiet = len(source.asked)
        await clock.advance(TABLE_PACE)
        running.cancel()

    assert while_quiet == read
    assert len(source.asked) > read
