"""Take the pictures in this folder: the real app, on the working day of the tests.

Run from the root of the repository: ``python -m screenshots.make``.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

from netsky_tui.store import LinkState
from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, Room, make
from tests.tui.test_attention import full

FOLDER = Path(__file__).parent
BLOCKED = ("escape", "1", "enter")
QUEUE = ("f5", "down", "down")
PICTURES = {
    "room": (WIDE, "netsky-dark", ()),
    "approval": (WIDE, "netsky-dark", ("f5", "down", "enter")),
    "light": (WIDE, "netsky-light", ("f5", "down")),
    "queue": (WIDE, "netsky-dark", QUEUE),
    "blocked": (WIDE, "netsky-dark", BLOCKED),
    "small": (NARROW, "netsky-dark", ()),
    "small-actors": (NARROW, "netsky-dark", ("escape", "1", "down")),
    "small-approval": (NARROW, "netsky-dark", ("f5", "down")),
    "keys": (WIDE, "netsky-dark", ("f1",)),
}


async def take(name: str, size: tuple[int, int], theme: str, keys: tuple[str, ...]) -> Path:
    """Open the room, press the keys, and keep what is on the screen."""
    day = story.day()
    if keys is BLOCKED:
        day = replace(day, actors=(story.blocked_resident(), *day.actors[1:]))
    if keys is QUEUE:
        day = full()
    app, connector, clock = make(day)
    connector.reader.screen = story.DIALOG
    app.theme = theme
    async with app.run_test(size=size) as pilot:
        room = Room(app, pilot, connector, clock)
        await room.until(lambda: app.store.loaded and app.store.daemon.link is LinkState.HOSTING)
        await room.until(lambda: app.store.daemon.pid)
        connector.handle.push("live", **story.LIVE)
        await room.until(lambda: "writes" in room.text() or size == NARROW)
        await room.settle()
        await room.press(*keys)
        picture = FOLDER / f"{name}.svg"
        picture.write_text(app.export_screenshot(title="netsky"), encoding="utf-8")
    return picture


async def main() -> None:
    """Take all of them."""
    for name, (size, theme, keys) in PICTURES.items():
        print((await take(name, size, theme, keys)).relative_to(Path.cwd()))  # noqa: T201 - it is a script


if __name__ == "__main__":
    # Times in the pictures are the same everywhere.
    os.environ["TZ"] = "UTC"
    time.tzset()
    asyncio.run(main())
