"""Who holds a home, and for how long."""

import asyncio

import pytest

from netsky_runtime import lock
from netsky_runtime.errors import DaemonRunning, HomeBusy
from netsky_runtime.lock import HomeLock, held
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE


def test_a_second_daemon_on_a_home_is_told_who_holds_it(tmp_path):
    first, second = HomeLock(tmp_path / "daemon.lock"), HomeLock(tmp_path / "daemon.lock")
    with first, pytest.raises(DaemonRunning, match=r"pid \d+"), second:
        pass


def test_the_lock_is_free_again_when_its_holder_is_gone(tmp_path):
    with HomeLock(tmp_path / "daemon.lock"):
        pass
    with HomeLock(tmp_path / "daemon.lock"):
        pass


async def test_whoever_can_wait_has_the_home_when_a_command_is_over(tmp_path):
    path, clock, inside = tmp_path / "daemon.lock", ManualClock(), asyncio.Event()

    async def start():
        async with held(path, clock=clock):
            inside.set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        with HomeLock(path, brief=True):
            group.create_task(start())
            await clock.pass_next()
            assert not inside.is_set()
        await clock.pass_next()
        await inside.wait()


async def test_a_command_that_is_not_soon_over_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BRIEF_SECONDS", 0.0)
    path = tmp_path / "daemon.lock"
    with HomeLock(path, brief=True), pytest.raises(HomeBusy, match=r"A command \(pid \d+\)"):
        async with held(path, clock=ManualClock()):
            raise AssertionError


async def test_nobody_waits_for_a_daemon(tmp_path):
    path, clock = tmp_path / "daemon.lock", ManualClock()
    with HomeLock(path), pytest.raises(DaemonRunning, match="Another netsky"):
        async with held(path, clock=clock):
            raise AssertionError
