"""A process is known by its start, also when somebody sets the clock."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.wire import birth
from netsky_runtime.wire.birth import is_same_process, process_started, since_this_boot
from netsky_runtime.wire.groups import end_group, group_alive

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3600.0


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        yield process
        process.kill()


def test_a_process_is_itself_and_no_earlier_one(other: subprocess.Popen[bytes]) -> None:
    started = process_started(other.pid)
    assert is_same_process(other.pid, started)
    assert not is_same_process(other.pid, started - 0.02)
    assert not is_same_process(os.getpid(), started)


@pytest.mark.parametrize("step", [HOUR, -HOUR])
async def test_a_clock_that_is_set_makes_no_other_process_of_it(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    started = process_started(other.pid)
    before = psutil.Process(other.pid).create_time()
    moved = psutil.boot_time() + step
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: moved)
    assert abs(psutil.Process(other.pid).create_time() - before) > HOUR / 2
    assert is_same_process(other.pid, started)
    assert process_started(other.pid) == started
    assert await end_group(other.pid, started, grace=5, clock=SystemClock())
    other.wait()
    assert not group_alive(other.pid)


def test_a_row_of_an_older_netsky_told_it_by_the_clock(other: subprocess.Popen[bytes]) -> None:
    assert is_same_process(other.pid, psutil.Process(other.pid).create_time())


def test_what_started_before_the_machine_did_is_known_from_both_ways_of_telling(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = process_started(other.pid)
    assert since_this_boot(told)
    assert since_this_boot(psutil.Process(other.pid).create_time())
    assert not since_this_boot(psutil.boot_time() - 1)
    axis = birth._axis()
    assert axis is not None
    monkeypatch.setattr(birth, "_axis", lambda: axis + 7e6)  # the machine was started anew
    assert not since_this_boot(told)


def test_where_the_kernel_names_no_boot_the_clock_tells(
    other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birth, "_axis", lambda: None)
    assert process_started(other.pid) == psutil.Process(other.pid).create_time()
    assert is_same_process(other.pid, process_started(other.pid))
