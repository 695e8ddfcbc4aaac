"""Pictures of the room. Look at them before you accept a change: `pytest --snapshot-update`."""

from __future__ import annotations

import asyncio

import pytest

from netsky_tui.source import Snapshot
from netsky_tui.store import LinkState
from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, Room, make
from tests.tui.test_attention import full


def picture(snap_compare, size, *keys, snapshot=None, live=True, theme="netsky-dark", screen=""):
    app, connector, clock = make(snapshot)
    connector.reader.screen = screen
    app.theme = theme

    async def prepare(pilot) -> None:
        room = Room(app, pilot, connector, clock)
        await room.until(lambda: app.store.loaded and app.store.daemon.pid)
        if live:
            connector.handle.push("live", **story.LIVE)
            await room.until(lambda: any(row.time.strip() == "live" for row in app.store.events))
        await room.settle()
        for key in keys:
            await room.press(key)
        await room.until(lambda: app.store.daemon.link is LinkState.HOSTING)

    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["80x24", "160x45"])
class TestRoom:
    def test_the_room_on_a_working_day(self, snap_compare, size):
        picture(snap_compare, size)

    def test_the_actors(self, snap_compare, size):
        picture(snap_compare, size, "escape", "1", "down")

    def test_the_tasks(self, snap_compare, size):
        picture(snap_compare, size, "escape", "2", "down")

    def test_the_events(self, snap_compare, size):
        picture(snap_compare, size, "escape", "4")

    def test_a_patch_that_waits(self, snap_compare, size):
        picture(snap_compare, size, "f5", "down")

    def test_a_patch_on_a_page_of_its_own(self, snap_compare, size):
        picture(snap_compare, size, "f5", "down", "enter")

    def test_a_full_queue(self, snap_compare, size):
        picture(snap_compare, size, "f5", "down", "down", snapshot=full())

    def test_a_paused_fleet_and_its_budgets(self, snap_compare, size):
        picture(snap_compare, size, snapshot=story.paused())

    def test_a_home_with_nothing_in_it(self, snap_compare, size):
        picture(snap_compare, size, snapshot=Snapshot(), live=False)

    def test_a_screen_that_nobody_may_type_into(self, snap_compare, size):
        blocked = Snapshot(actors=(story.blocked_resident(),))
        keys = ("escape", "1", "enter")
        picture(snap_compare, size, *keys, snapshot=blocked, live=False, screen=story.DIALOG)

    def test_the_keys(self, snap_compare, size):
        picture(snap_compare, size, "f1")

    def test_the_light_room(self, snap_compare, size):
        picture(snap_compare, size, theme="netsky-light")


def test_the_start(snap_compare):
    app, connector, clock = make()
    connector.gate, connector.database = asyncio.Event(), False

    async def prepare(pilot) -> None:
        room = Room(app, pilot, connector, clock)
        await room.until(lambda: "starting app_server" in room.text())

    assert snap_compare(app, terminal_size=NARROW, run_before=prepare)
