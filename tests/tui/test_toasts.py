"""What is told for a moment: it never hides what is being written, nor the lines below that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from textual.widgets._toast import Toast

from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, open_room

if TYPE_CHECKING:
    from tests.tui.rooms import Room

LONG = "netsky cannot do that just now, and this is the whole reason why it cannot. " * 2


def under(room: Room) -> int:
    """Return the first row under all toasts; 0 while there is none."""
    return max((toast.region.bottom for toast in room.app.screen.query(Toast)), default=0)


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("text", ["Stopped.", LONG])
async def test_a_toast_stands_above_the_strip_and_the_composer(
    size: tuple[int, int], text: str
) -> None:
    async with open_room(size=size) as room:
        strip = room.app.room.strip
        await room.until(lambda: strip.display and strip.region)
        room.app.say(text, bad=True)
        await room.until(lambda: under(room) == strip.region.y)
        assert "Write what you want done." in room.text()


async def test_a_toast_gives_way_to_a_composer_that_grows() -> None:
    async with open_room(story.day(approvals=(), attention=()), size=NARROW) as room:
        composer = room.app.room.composer
        room.app.say(LONG, bad=True)
        await room.until(lambda: under(room) == composer.region.y)
        before = composer.region.y
        composer.insert("one\ntwo\nthree\nfour\nfive")
        await room.until(lambda: composer.region.y < before)
        await room.until(lambda: under(room) == composer.region.y)


async def test_a_short_toast_takes_one_row() -> None:
    async with open_room(size=NARROW) as room:
        room.app.say("Stopped.")
        await room.until(lambda: under(room))
        (toast,) = room.app.screen.query(Toast)
        assert toast.region.height == 1


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_a_toast_leaves_the_keys_of_a_page_in_view(size: tuple[int, int]) -> None:
    async with open_room(size=size) as room:
        await room.press("f1")
        room.app.say(LONG, bad=True)
        await room.until(lambda: under(room))
        assert under(room) < room.app.screen.query_one("#page").region.bottom
        assert "Esc closes" in room.text()


async def test_a_room_that_is_too_small_still_tells() -> None:
    async with open_room(size=(50, 12)) as room:
        room.app.say("Stopped.")
        await room.until(lambda: under(room) == 12)
