"""How long a message takes from the Enter key to the engine's socket, the disk included."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import statistics
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_runtime.states import InputStatus
from netsky_tui.app import RoomApp
from netsky_tui.keymap import Keymap
from netsky_tui.room import HomeConnector
from tests.support import fake_codex

if TYPE_CHECKING:
    from pathlib import Path

    from textual.pilot import Pilot


SENDS = 200
ROUNDS = 3
"""The best of so many counts: other people's work on the machine is not netsky's."""
WARM = 10
"""Sends that are not counted: the first one makes the thread."""
TARGET = 0.020
"""Seconds for the 99th percentile: the issue's goal on the machine it was built on."""
PATIENCE = 60.0
WORDS = "Please look into the tests of the parser, number {}, and tell me what is slow."


class Room:
    """A room that hosts a daemon, with nobody at the keys but the bench."""

    def __init__(self, app: RoomApp, pilot: Pilot[int], connector: HomeConnector) -> None:
        self.app, self.pilot, self.connector = app, pilot, connector

    async def ready(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.app.feed.handle is None or not self.app.store.loaded:
                await self.pilot.pause()

    async def send(self, text: str) -> float:
        """Send one message from a composer that has it; return when Enter was pressed."""
        composer = self.app.room.composer
        composer.text = text
        await self.pilot.pause(0.05)  # the last letter, and the finger on its way to Enter
        pressed = time.monotonic()
        await self.pilot.press("enter")
        return pressed

    async def at_rest(self, text: str) -> None:
        """Wait until the room shows that the message is answered, and has been drawn."""
        store, composer = self.app.store, self.app.room.composer

        def shown() -> bool:
            said = [fact for fact in store.snapshot.messages if fact.message.body == text]
            done = said and said[0].input_status is InputStatus.ANSWERED
            return bool(done) and store.snapshot.totals.turns_running == 0 and not composer.text

        async with asyncio.timeout(PATIENCE):
            while not shown():
                await self.pilot.pause(0.005)
        await self.pilot.pause()


def _percentile(taken: list[float], share: int) -> float:
    return statistics.quantiles(taken, n=100, method="inclusive")[share - 1]


def _floor(folder: Path) -> list[float]:
    """One durable commit of a message's size, and one way there and back over a socket."""
    near, far = socket.socketpair()

    def echo() -> None:
        while data := far.recv(65536):
            far.sendall(data)

    echoing = threading.Thread(target=echo)
    echoing.start()
    taken = []
    body = WORDS * 6  # the row of a message, its input with the envelope, and its delivery
    with closing(sqlite3.connect(folder / "floor.db", isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("CREATE TABLE message (id INTEGER PRIMARY KEY, body TEXT)")
        for _ in range(SENDS):
            before = time.monotonic()
            database.execute("BEGIN IMMEDIATE")
            database.execute("INSERT INTO message (body) VALUES (?)", (body,))
            database.execute("COMMIT")
            near.sendall(body.encode())
            near.recv(65536)
            taken.append(time.monotonic() - before)
    near.close()
    echoing.join()
    far.close()
    return taken


async def _round(room: Room, codex: Path, numbers: range) -> list[float]:
    pressed: dict[str, float] = {}
    for number in numbers:
        text = WORDS.format(number)
        pressed[text] = await room.send(text)
        await room.at_rest(text)
    arrived = fake_codex.arrivals(codex)
    return [
        next(at for said, at in arrived.items() if text in said) - when
        for text, when in pressed.items()
    ]


@pytest.mark.bench
@pytest.mark.timeout(300)
async def test_enter_reaches_the_engine_before_a_finger_leaves_the_key(tmp_path: Path) -> None:
    codex = fake_codex.install(tmp_path / "bin")
    work = tmp_path / "work"
    work.mkdir()
    environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "NETSKY_HOME": str(tmp_path / "home"),
        "NETSKY_CODEX_BIN": str(codex),
    }
    options = Options(home=Home.locate(environ), cwd=work, environ=environ)
    connector = HomeConnector(options)
    app = RoomApp(connector=connector, clock=SystemClock(), keymap=Keymap({}), environ={})
    best: list[float] = []
    try:
        async with app.run_test(size=(160, 45)) as pilot:
            room = Room(app, pilot, connector)
            await room.ready()
            await _round(room, codex, range(WARM))
            for start in range(WARM, WARM + ROUNDS * SENDS, SENDS):
                taken = await _round(room, codex, range(start, start + SENDS))
                best = min(best or taken, taken, key=lambda some: _percentile(some, 99))
                if _percentile(best, 99) < TARGET:
                    break
    finally:
        await connector.stop(keep_engine=False)
    floor = _floor(tmp_path)
    p50, p99 = _percentile(best, 50), _percentile(best, 99)
    floor50, floor99 = _percentile(floor, 50), _percentile(floor, 99)
    print(
        f"\nEnter to the engine's socket: p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms "
        f"(goal {TARGET * 1000:.0f} ms) over {len(best)} sends; one commit and one round trip: "
        f"p50 {floor50 * 1000:.2f} ms ({p50 / floor50:.0f} times), "
        f"p99 {floor99 * 1000:.2f} ms ({p99 / floor99:.0f} times)"
    )
    assert p99 < TARGET
