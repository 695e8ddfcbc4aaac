"""A daemon whose home another one took ends by itself, and leaves to it what works on."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.daemon import Daemon
from netsky_runtime.errors import DaemonRunning, Fenced
from netsky_runtime.headless import run_headless
from netsky_runtime.offline import offline
from tests.support.patience import PATIENCE
from tests.test_daemon import options


async def take(home) -> None:
    """Take the home's next epoch, as a daemon does that found the lock free."""

    def write() -> None:
        with closing(sqlite3.connect(home.database, timeout=30)) as database, database:
            database.execute("UPDATE daemon SET epoch = epoch + 1, pid = 1")

    # In a thread: the daemon that has to end its own transaction first runs on this loop.
    await asyncio.to_thread(write)


async def send(handle, text: str):
    return await handle.call("send", {"target": "manager0", "body": text})


async def test_a_daemon_that_lost_its_home_refuses_and_ends_with_its_engine_alone(tmp_path):
    given = options(tmp_path)
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        daemon = await Daemon.host(given)
        try:
            room = await RemoteHandle.connect(given.home.control_socket, client="room")
            telling = group.create_task(_reason(room))
            await send(room, "SAY[before]")
            await take(given.home)
            with pytest.raises(Fenced):
                await send(room, "SAY[after]")
            await daemon.asked_to_stop.wait()
            assert daemon.taken_over
            assert daemon.keep_engine
        finally:
            await daemon.stop(keep_engine=False)
        assert await telling == "another netsky has taken over this home"
        await room.close()
    with closing(sqlite3.connect(given.home.database)) as database:
        bodies = [body for (body,) in database.execute("SELECT body FROM messages")]
    assert "SAY[after]" not in bodies


async def _reason(room: RemoteHandle) -> str:
    pushes = [push async for push in room.pushes()]
    return str(pushes[-1].data["reason"])


async def test_a_stop_that_finds_its_home_taken_leaves_the_engine_to_the_other(tmp_path):
    given = options(tmp_path)
    async with asyncio.timeout(PATIENCE):
        daemon = await Daemon.host(given)
        await take(given.home)
        await daemon.stop(keep_engine=False)
    assert daemon.keep_engine


async def test_without_a_room_it_says_why_it_ended(tmp_path):
    given = options(tmp_path)
    said, ready = [], asyncio.Event()

    def narrate(line: str) -> None:
        said.append(line)
        ready.set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        running = group.create_task(_ended(given, narrate))
        await ready.wait()
        room = await RemoteHandle.connect(given.home.control_socket, client="test")
        await take(given.home)
        with pytest.raises(Fenced):
            await send(room, "SAY[after]")
        error = await running
        await room.close()
    assert "Another netsky has taken over this home." in str(error)
    assert said[-1] == "stopped"


async def _ended(given, narrate) -> Fenced:
    with pytest.raises(Fenced) as caught:
        await run_headless(given, narrate=narrate)
    return caught.value


async def test_a_verb_under_the_lock_fences_whoever_had_the_home_before(tmp_path):
    given = options(tmp_path)
    daemon = await Daemon.host(given)
    await daemon.stop(keep_engine=False)
    async with offline(given.home, cwd=given.cwd) as verbs:
        await verbs("send", {"target": "manager0", "body": "words"})
        await take(given.home)
        with pytest.raises(Fenced):
            await verbs("send", {"target": "manager0", "body": "more words"})


async def test_a_daemon_without_its_lock_is_not_taken_over_while_it_answers(tmp_path):
    given = options(tmp_path)
    daemon = await Daemon.host(given)
    try:
        given.home.lock.unlink()
        with pytest.raises(DaemonRunning, match="already listens"):
            await Daemon.host(given)
        room = await RemoteHandle.connect(given.home.control_socket, client="room")
        assert (await send(room, "SAY[still here]"))["input_id"]
        await room.close()
    finally:
        await daemon.stop(keep_engine=False)


async def test_a_daemon_that_answers_no_more_is_taken_over_and_ends_with_its_first_write(tmp_path):
    given = options(tmp_path)
    async with asyncio.timeout(PATIENCE):
        first = await Daemon.host(given)
        given.home.lock.unlink()
        given.home.control_socket.unlink()
        second = await Daemon.host(given)
        try:
            with pytest.raises(Fenced):
                await first.handle().call("notes.add", {"body": "words"})
            await first.stop(keep_engine=False)
            assert second.epoch > first.epoch
            room = await RemoteHandle.connect(given.home.control_socket, client="room")
            assert (await send(room, "SAY[here]"))["input_id"]
            await room.close()
        finally:
            await first.stop(keep_engine=True)
            await second.stop(keep_engine=False)
