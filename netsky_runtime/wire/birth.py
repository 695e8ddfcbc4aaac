"""When a process started: what tells it from a later one that bears its number.

Linux counts that in ticks since the machine was started, which no setting of the clock changes.
What is told here is that, on an axis of its own for each start of the machine.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Final

import psutil

SAME_TICK: Final = 0.005
"""Seconds; the kernel counts in hundredths."""
SAME_START_SECONDS: Final = 1.0
"""The same by the clock, which is read anew each time; so do rows of an older netsky tell it."""
_APART: Final = 1e6
"""Seconds between two axes; floats of the size they come to still tell ticks apart."""
_AXES: Final = 1_000_000
_FIRST: Final = 1e10
"""Where the axes begin: no clock shows so many seconds before the year 2286."""


def process_started(pid: int) -> float:
    """Return what ``is_same_process`` knows a process by, in seconds.

    Raises ``ProcessLookupError`` when there is none.
    """
    try:
        return _started(psutil.Process(pid))
    except (psutil.NoSuchProcess, FileNotFoundError) as error:
        msg = f"there is no process {pid}"
        raise ProcessLookupError(msg) from error


def started_then(process: psutil.Process, started: float) -> bool:
    """Whether a process that lives is the one that started then. Raises ``psutil.Error``."""
    if abs(process.create_time() - started) < SAME_START_SECONDS:
        return True
    try:
        return abs(_started(process) - started) < SAME_TICK
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_same_process(pid: int, started: float) -> bool:
    """Whether ``pid`` is alive and is the process that started then, not a later one."""
    try:
        process = psutil.Process(pid)
        return started_then(process, started) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def since_this_boot(started: float) -> bool:
    """Whether a process that started then did so since the machine was started."""
    if started < _FIRST:
        return started >= psutil.boot_time()
    return 0 <= started - (_axis() or 0) < _APART


def _started(process: psutil.Process) -> float:
    axis = _axis()
    if axis is None:
        return process.create_time()
    stat = Path(f"/proc/{process.pid}/stat").read_bytes()
    ticks = int(stat[stat.rindex(b")") + 2 :].split()[19])
    return axis + ticks / os.sysconf("SC_CLK_TCK")


@functools.cache
def _axis() -> float | None:
    """Return where this start's axis begins, ``None`` where starts are told by the clock."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return None
    return _FIRST + int(boot.read_text()[:8], 16) % _AXES * _APART
