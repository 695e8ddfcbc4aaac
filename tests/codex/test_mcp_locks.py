"""Codex's locks on threads: taken away only from the thread that is let go of."""

import asyncio
import fcntl
from contextlib import contextmanager

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.codex.mcp_server import locks
from tests.support.fakes import ManualClock

THREAD = "01a1fee3-3681-70d2-bd5a-30088bde116a"
OTHER = "01a1fee3-d68e-7112-acb1-0f638eeb586f"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / locks.FOLDER
    made.mkdir()
    (made / locks.COORDINATION).touch()
    return made


@contextmanager
def held(path):
    """Lock a file as another Codex does."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def give_up(codex_home):
    await locks.give_up(codex_home, THREAD, clock=SystemClock())


async def test_the_lock_of_one_thread_is_taken_away_and_the_others_stay(tmp_path, folder):
    with held(folder / f"{THREAD}.lock"), held(folder / f"{OTHER}.lock"):
        await give_up(tmp_path)
        assert sorted(path.name for path in folder.iterdir()) == [
            locks.COORDINATION,
            f"{OTHER}.lock",
        ]
        with held(folder / f"{THREAD}.lock"):  # who comes next is not in anybody's way
            assert (folder / f"{THREAD}.lock").exists()


async def test_a_lock_that_nobody_holds_is_left_to_codex(tmp_path, folder):
    (folder / f"{THREAD}.lock").touch()
    await give_up(tmp_path)
    assert (folder / f"{THREAD}.lock").exists()


async def test_a_codex_without_locks_needs_nothing_and_gets_no_folder(tmp_path):
    await give_up(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_thread_without_a_lock_needs_nothing(tmp_path, folder):
    await give_up(tmp_path)
    assert [path.name for path in folder.iterdir()] == [locks.COORDINATION]


async def test_while_another_codex_is_at_the_locks_none_is_taken_away(
    tmp_path, folder, monkeypatch
):
    monkeypatch.setattr(locks, "LOOKS", 3)
    lock = folder / f"{THREAD}.lock"
    with held(folder / locks.COORDINATION), held(lock):
        with pytest.raises(ThreadUnavailable, match="busy with the locks"):
            await give_up(tmp_path)
        assert lock.exists()


async def test_other_codexes_are_waited_for(tmp_path, folder):
    lock = folder / f"{THREAD}.lock"
    clock = ManualClock()
    with held(lock):
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            with held(folder / locks.COORDINATION):
                group.create_task(locks.give_up(tmp_path, THREAD, clock=clock))
                await clock.until_sleeping()
                assert lock.exists()
            await clock.advance(locks.LOOK_SECONDS)
        assert not lock.exists()


async def test_a_lock_that_cannot_be_read_is_told_with_the_reason(tmp_path, folder):
    (folder / f"{THREAD}.lock").mkdir()
    with pytest.raises(ThreadUnavailable, match="cannot be taken away"):
        await give_up(tmp_path)
