"""Process groups: whether one lives, and the end of those that are led by no child of ours."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.wire.birth import is_same_process, since_this_boot, started_then

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock

KILL_SECONDS: Final = 2.0
"""How long a killed group may take to vanish; longer only when a process hangs in the kernel."""
POLL_SECONDS: Final = 0.02
"""Rest between two looks at whether a group lives: nothing tells when a grandchild ends."""


def group_alive(pid: int) -> bool:
    """Whether a process of the group that ``pid`` leads, or led, is alive; zombies are not."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return any(_lives_in(member, pid) for member in psutil.pids())


def signal_group(pid: int, number: signal.Signals) -> bool:
    """Signal the group that ``pid`` leads, or led; False when nobody is left who takes it."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


async def end_group(
    pid: int, pid_started: float, *, terms: int = 1, grace: float, clock: Clock
) -> bool:
    """End a process that is no child of ours, and its group; return whether nothing is left.

    Sends SIGTERM ``terms`` times with ``grace`` seconds after each, then SIGKILL. What it had
    started in groups of their own, as Codex does its commands, is killed after it. A process that
    started at another time than ``pid_started`` is never signalled: then ours is gone. When only
    the followers of a leader that died are left, the kernel keeps its number from being given
    again, so they are ended too, unless the machine was started anew since.
    """
    if not _is_ours(pid, pid_started):
        return True
    family: dict[int, float] = {}
    gone = False
    for number in (*(signal.SIGTERM,) * terms, signal.SIGKILL):
        family.update(await asyncio.to_thread(_descendants, pid))
        if not signal_group(pid, number):
            gone = True
            break
        seconds = KILL_SECONDS if number == signal.SIGKILL else grace
        gone = await _gone_within(seconds, lambda: group_alive(pid), clock)
        if gone:
            break
    for member, started in family.items():
        if is_same_process(member, started):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
    left = partial(_any_lives, family)
    return await _gone_within(KILL_SECONDS, left, clock) and gone


async def _gone_within(seconds: float, alive: Callable[[], bool], clock: Clock) -> bool:
    deadline = clock.monotonic() + seconds
    while alive():
        if clock.monotonic() >= deadline:
            return False
        await clock.sleep(POLL_SECONDS)
    return True


def _descendants(pid: int) -> dict[int, float]:
    """Return who descends from a process, and since when; those whose parent died do not."""
    try:
        family = psutil.Process(pid).children(recursive=True)
        return {member.pid: member.create_time() for member in family}
    except psutil.NoSuchProcess:
        return {}


def _any_lives(family: Mapping[int, float]) -> bool:
    return any(is_same_process(pid, started) for pid, started in family.items())


def _is_ours(pid: int, pid_started: float) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if not started_then(psutil.Process(pid), pid_started):
            return False
        if is_same_process(pid, pid_started):
            return True
    return since_this_boot(pid_started) and group_alive(pid)


def _lives_in(member: int, group: int) -> bool:
    try:
        return (
            os.getpgid(member) == group and psutil.Process(member).status() != psutil.STATUS_ZOMBIE
        )
    except (ProcessLookupError, PermissionError, psutil.NoSuchProcess, psutil.AccessDenied):
        return False
