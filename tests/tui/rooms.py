"""Opens rooms for tests, and waits for what they show."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsky_tui.app import RoomApp
from netsky_tui.keymap import Keymap
from tests.support.patience import PATIENCE
from tests.tui import story
from tests.tui.fakes import FakeConnector, SteadyClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from textual.pilot import Pilot

    from netsky_tui.source import Snapshot

NARROW, WIDE = (80, 24), (160, 45)


def make(
    snapshot: Snapshot | None = None, *, hosting: bool = True, keymap: Keymap | None = None
) -> tuple[RoomApp, FakeConnector, SteadyClock]:
    connector = FakeConnector(story.day() if snapshot is None else snapshot, hosting=hosting)
    clock = SteadyClock()
    app = RoomApp(connector=connector, clock=clock, keymap=keymap or Keymap({}), environ={})
    app.animation_level = "none"
    return app, connector, clock


@dataclass
class Room:
    app: RoomApp
    pilot: Pilot[Any]
    connector: FakeConnector
    clock: SteadyClock

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await self.pilot.pause()
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        for key in keys:
            self.clock.pass_seconds(0.1)
            await self.pilot.press(key)
        await self.pilot.pause()

    async def settle(self) -> None:
        """Let a question have been in view for long enough."""
        self.clock.pass_seconds(1)

    def text(self) -> str:
        """Everything on the screen, as text."""
        lines = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip) for strip in lines)


@asynccontextmanager
async def open_room(
    snapshot: Snapshot | None = None,
    *,
    size: tuple[int, int] = WIDE,
    hosting: bool = True,
    keymap: Keymap | None = None,
    ready: bool = True,
    prepare: Callable[[FakeConnector], None] = lambda _connector: None,
) -> AsyncIterator[Room]:
    app, connector, clock = make(snapshot, hosting=hosting, keymap=keymap)
    prepare(connector)
    async with app.run_test(size=size, notifications=True) as pilot:
        room = Room(app, pilot, connector, clock)
        if ready:
            await room.until(lambda: app.store.loaded and app.feed.handle is not None)
            await room.until(lambda: app.store.daemon.pid)
            await room.settle()
        yield room
