from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.wire.birth import is_same_process, process_started
from netsky_runtime.wire.groups import end_group, group_alive
from tests.wire.test_process import LAUNCHER, STUBBORN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

CLOCK = SystemClock()


@pytest.fixture
def stranger() -> AsyncIterator[subprocess.Popen[bytes]]:
    """A process that leads its own group and ignores SIGTERM, with a follower that does too."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", LAUNCHER % (STUBBORN, STUBBORN)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.readline()
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


async def test_a_stranger_and_its_group_are_ended_though_both_ignore_sigterm(
    stranger: subprocess.Popen[bytes],
) -> None:
    started = process_started(stranger.pid)
    assert is_same_process(stranger.pid, started)
    assert await end_group(stranger.pid, started, terms=2, grace=0.05, clock=CLOCK)
    assert not group_alive(stranger.pid)
    assert not is_same_process(stranger.pid, started), "an unreaped zombie is not alive"
    assert await end_group(stranger.pid, started, grace=0.05, clock=CLOCK)


@pytest.fixture
def ancestor() -> Iterator[psutil.Popen]:
    """A process whose child leads a session of its own, with a stubborn grandchild there."""
    script = "import subprocess\nsubprocess.run(%r, stdin=0, start_new_session=%s)"
    child = [sys.executable, "-I", "-c", script % ([sys.executable, "-Ic", STUBBORN], False)]
    process = psutil.Popen(
        [sys.executable, "-I", "-c", script % (child, True)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    process.stdout.readline()
    family = process.children(recursive=True)
    yield process
    for member in (process, *family):
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
    process.stdout.close()


async def test_what_it_started_in_sessions_of_their_own_is_ended_with_it(
    ancestor: psutil.Popen,
) -> None:
    family = [(each.pid, each.create_time()) for each in ancestor.children(recursive=True)]
    assert {os.getsid(pid) for pid, _ in family} == {family[0][0]}
    assert len(family) == 2

    assert await end_group(ancestor.pid, ancestor.create_time(), grace=5, clock=CLOCK)

    assert not any(is_same_process(pid, started) for pid, started in family)


async def test_followers_of_a_leader_that_died_are_ended_too(
    stranger: subprocess.Popen[bytes],
) -> None:
    started = process_started(stranger.pid)
    stranger.kill()
    stranger.wait()
    assert group_alive(stranger.pid)
    assert await end_group(stranger.pid, started, grace=0.05, clock=CLOCK)
    assert not group_alive(stranger.pid)


async def test_a_pid_that_was_given_again_is_never_signalled(
    stranger: subprocess.Popen[bytes],
) -> None:
    started = process_started(stranger.pid)
    assert not is_same_process(stranger.pid, started - 5)
    assert await end_group(stranger.pid, started - 5, grace=0.05, clock=CLOCK)
    assert stranger.poll() is None
    assert is_same_process(stranger.pid, started)


async def test_followers_of_before_the_machine_was_started_are_never_signalled(
    stranger: subprocess.Popen[bytes],
) -> None:
    stranger.kill()
    stranger.wait()
    assert await end_group(stranger.pid, psutil.boot_time() - 100, grace=0.05, clock=CLOCK)
    assert group_alive(stranger.pid)


def test_a_process_that_is_gone_has_no_start_and_no_group() -> None:
    process = subprocess.Popen(["true"], start_new_session=True)
    process.wait()
    with pytest.raises(ProcessLookupError):
        process_started(process.pid)
    assert not is_same_process(process.pid, 0)
    assert not group_alive(process.pid)
