"""Rooms whose daemon is gone: who hosts next, and who does not."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import DaemonRunning, NetskyError, NoDaemon, Unhealthy
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_tui.room import HomeConnector
from netsky_tui.store import LinkState
from netsky_tui.succession import GRACE_SECONDS, LOOK_SECONDS, Succession
from tests.support.fakes import ManualClock
from tests.tui.fakes import FakeHandle, FakeSource
from tests.tui.rooms import open_room
from tests.tui.story import day

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netsky_runtime.clock import Clock
    from netsky_tui.link import Connector, Handle, Say

PATIENCE = 30


class Scripted:
    """A connector that plays one answer after the other, the last one for ever."""

    def __init__(self, *, attach: list[NetskyError | None], connect: list[object]) -> None:
        self._attach, self._connect = attach, connect
        self.attached = self.connected = 0

    def _handle(self, *, hosting: bool) -> Handle:
        return FakeHandle(FakeSource(day()), hosting=hosting)

    async def attach(self) -> Handle:
        answer = self._attach[min(self.attached, len(self._attach) - 1)]
        self.attached += 1
        if answer is not None:
            raise answer
        return self._handle(hosting=False)

    async def connect(self, say: Say) -> Handle:
        answer = self._connect[min(self.connected, len(self._connect) - 1)]
        self.connected += 1
        say("opening the database")
        if isinstance(answer, NetskyError):
            raise answer
        return self._handle(hosting=answer == "host")


class Line:
    """A succession, with what it shows."""

    def __init__(self, connector: Connector, clock: Clock) -> None:
        self.shown: list[tuple[LinkState, str]] = []
        self.told: list[str] = []
        self.succession = Succession(
            connector=connector,
            clock=clock,
            shown=lambda link, detail: self.shown.append((link, detail)),
            tell=self.told.append,
        )


async def follow(
    line: Line, clock: ManualClock, *, seconds: float, stopped: bool = False
) -> Handle:
    """Let a succession run its course while time passes."""
    next_handle = line.succession.next_handle("it was killed", stopped=stopped)
    waiting = asyncio.get_running_loop().create_task(next_handle)
    await clock.advance(seconds)
    async with asyncio.timeout(PATIENCE):
        return await waiting


async def test_a_daemon_that_comes_back_at_once_is_attached_to() -> None:
    clock = ManualClock()
    connector = Scripted(attach=[NoDaemon("none"), None], connect=[])
    line = Line(connector, clock)
    handle = await follow(line, clock, seconds=2 * LOOK_SECONDS)
    assert (handle.hosting, connector.connected, line.told) == (False, 0, [])


async def test_a_room_hosts_when_none_comes_back_and_says_so() -> None:
    clock = ManualClock()
    connector = Scripted(attach=[NoDaemon("none")], connect=["host"])
    line = Line(connector, clock)
    handle = await follow(line, clock, seconds=GRACE_SECONDS + LOOK_SECONDS)
    assert handle.hosting
    assert line.told == ["This room hosts netsky now: it was killed."]
    assert {link for link, _ in line.shown} == {LinkState.RECONNECTING}


@pytest.mark.parametrize("lost", [DaemonRunning("quicker"), NoDaemon("not yet")], ids=repr)
async def test_who_loses_the_race_attaches_to_the_winner(lost: NetskyError) -> None:
    clock = ManualClock()
    connector = Scripted(attach=[NoDaemon("none")], connect=[lost, lost, "attach"])
    line = Line(connector, clock)
    handle = await follow(line, clock, seconds=GRACE_SECONDS + 4 * LOOK_SECONDS)
    assert (handle.hosting, line.told) == (False, [])


async def test_after_a_stop_no_room_hosts_before_it_is_told_to() -> None:
    clock = ManualClock()
    connector = Scripted(attach=[NoDaemon("none")], connect=["host"])
    line = Line(connector, clock)
    waiting = asyncio.get_running_loop().create_task(
        line.succession.next_handle("netsky was stopped", stopped=True)
    )
    await clock.advance(10 * GRACE_SECONDS)
    assert (connector.connected, line.shown) == (0, [(LinkState.STOPPED, "netsky was stopped")])
    line.succession.host()
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).hosting


async def test_after_a_stop_the_daemon_that_somebody_starts_is_attached_to() -> None:
    clock = ManualClock()
    connector = Scripted(attach=[None], connect=[])
    handle = await follow(Line(connector, clock), clock, seconds=0, stopped=True)
    assert (handle.hosting, connector.connected) == (False, 0)


async def test_a_room_that_cannot_host_says_why_and_does_not_try_for_ever() -> None:
    clock = ManualClock()
    connector = Scripted(
        attach=[NoDaemon("none")], connect=[Unhealthy("The disk is full."), "host"]
    )
    line = Line(connector, clock)
    waiting = asyncio.get_running_loop().create_task(
        line.succession.next_handle("it was killed", stopped=False)
    )
    await clock.advance(20 * GRACE_SECONDS)
    assert connector.connected == 1
    assert line.shown[-1] == (LinkState.STOPPED, "The disk is full.")
    line.succession.host()
    async with asyncio.timeout(PATIENCE):
        assert (await waiting).hosting


async def test_a_key_hosts_the_home_that_somebody_has_stopped_and_what_was_typed_stays() -> None:
    async with open_room(hosting=False) as room:
        room.connector.trouble = NoDaemon("none")
        await room.pilot.press(*"half")
        room.connector.handle.push("closing", reason="netsky was stopped", stopped=True)
        room.connector.handle.vanish()
        await room.until(lambda: "F8 hosts one here" in room.text())
        assert "netsky was stopped" in room.text()
        room.connector.trouble = None
        room.connector.handle = FakeHandle(room.connector.reader, hosting=True)
        await room.press("f8")
        await room.until(lambda: "● hosting" in room.text())
        assert room.app.room.composer.text == "half"


@asynccontextmanager
async def killed_daemon(root: Path) -> AsyncIterator[Options]:
    """Let a home's daemon be killed as soon as it is ready; give what it was started with."""
    work = root / "work"
    work.mkdir()
    own = {"PATH": os.environ["PATH"], "HOME": str(root), "NETSKY_HOME": str(root / "home")}
    own |= {"AGENT_RUNTIME": "scripted", "PYTHONPATH": str(Path(__file__).parents[2])}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "netsky_tui", "--no-tui"),
        env=own,
        cwd=work,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert process.stderr is not None
    async with asyncio.timeout(PATIENCE):
        while b"ready" not in await process.stderr.readline():
            pass
    try:
        yield Options(home=Home.locate(own), cwd=root, environ=own)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
        await process.communicate()


async def test_of_three_rooms_exactly_one_hosts_after_a_kill_under_the_next_epoch(
    tmp_path: Path,
) -> None:
    async with killed_daemon(tmp_path) as options:
        rooms = [HomeConnector(options) for _ in range(3)]
        before = [await room.attach() for room in rooms]
        epoch = (await before[0].call("status"))["daemon"]["epoch"]
        pid = (await before[0].call("status"))["daemon"]["pid"]
        os.kill(pid, signal.SIGKILL)
        lines = [Line(room, SystemClock()) for room in rooms]
        async with asyncio.timeout(PATIENCE):
            handles = await asyncio.gather(
                *(line.succession.next_handle("it was killed", stopped=False) for line in lines)
            )
        try:
            assert sorted(handle.hosting for handle in handles) == [False, False, True]
            said = [(await handle.call("status"))["daemon"] for handle in handles]
            assert {(told["epoch"], told["pid"]) for told in said} == {(epoch + 1, os.getpid())}
            (host,) = [room for room, each in zip(rooms, handles, strict=True) if each.hosting]
            assert host.options.cwd == tmp_path / "work"  # as the one before it
        finally:
            for handle in [*before, *handles]:
                await handle.close()
            for room in rooms:
                await room.stop(keep_engine=False)
