"""Codex's locks on threads: taken away only from the thread that is let go of."""

import asyncio
import fcntl
import os
import subprocess
import sys
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


@contextmanager
def held_elsewhere(path, *, launcher=()):
    """Lock a file in another process, which this one has started; yields its pid."""
    script = "import fcntl, sys; f = open(sys.argv[1], 'ab'); fcntl.flock(f, fcntl.LOCK_EX);"
    script += "print('held', flush=True); sys.stdin.read()"
    command = [*launcher, sys.executable, "-S", "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"held\n"
        yield child.pid
        child.stdin.close()


async def give_up(codex_home, *, holder=None, clock=None):
    holder, clock = holder or os.getpid(), clock or SystemClock()
    await locks.give_up(codex_home, THREAD, holder=holder, clock=clock)


async def test_the_lock_of_one_thread_is_taken_away_and_the_others_stay(tmp_path, folder):
    with held(folder / f"{THREAD}.lock"), held(folder / f"{OTHER}.lock"):
        await give_up(tmp_path)
        assert sorted(path.name for path in folder.iterdir()) == [
            locks.COORDINATION,
            f"{OTHER}.lock",
        ]
        with held(folder / f"{THREAD}.lock"):  # who comes next is not in anybody's way
            assert (folder / f"{THREAD}.lock").exists()


async def test_a_lock_that_another_codex_holds_is_its_own_and_it_is_named(tmp_path, folder):
    lock = folder / f"{THREAD}.lock"
    with held_elsewhere(lock) as stranger, held_elsewhere(folder / f"{OTHER}.lock") as ours:
        with pytest.raises(ThreadUnavailable, match=rf"Another Codex \(process {stranger}\) has"):
            await give_up(tmp_path, holder=ours)
        assert lock.exists()


async def test_a_lock_whose_holder_cannot_be_found_is_left_to_it(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(locks.psutil, "process_iter", lambda: iter(()))
    lock = folder / f"{THREAD}.lock"
    with held_elsewhere(lock):
        with held_elsewhere(folder / f"{OTHER}.lock") as gone:
            pass
        with pytest.raises(ThreadUnavailable, match="Another Codex has the thread open"):
            await give_up(tmp_path, holder=gone)
        assert lock.exists()


async def test_a_lock_is_taken_away_from_a_codex_behind_its_launcher(tmp_path, folder):
    lock = folder / f"{THREAD}.lock"
    with held_elsewhere(lock, launcher=("/bin/sh", "-c", '"$@"; true', "sh")) as launcher:
        await give_up(tmp_path, holder=launcher)
        assert not lock.exists()


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
                group.create_task(give_up(tmp_path, clock=clock))
                await clock.until_sleeping()
                assert lock.exists()
            await clock.advance(locks.LOOK_SECONDS)
        assert not lock.exists()


async def test_a_lock_that_cannot_be_read_is_told_with_the_reason(tmp_path, folder):
    (folder / f"{THREAD}.lock").mkdir()
    with pytest.raises(ThreadUnavailable, match="cannot be taken away"):
        await give_up(tmp_path)
