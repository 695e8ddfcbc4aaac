"""The daemon without a room: in the foreground until a signal or ``netsky stop`` ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.daemon import Daemon
from netsky_runtime.errors import Fenced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.options import Options

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LEAVE_SIGNALS: Final = (signal.SIGHUP, signal.SIGQUIT)
"""A lost terminal, and Ctrl+\\ in one: netsky goes, and Codex works on."""


async def run_headless(options: Options, *, narrate: Callable[[str], None]) -> int:
    """Run a daemon in the foreground until a signal or ``netsky stop``; return the exit status.

    SIGTERM and SIGINT stop everything; SIGHUP (a lost terminal) and SIGQUIT leave the engine
    working, and a room that is attached takes over. Raises ``Fenced`` at the end when another
    netsky has taken the home.
    """
    starting = asyncio.current_task()
    loop = asyncio.get_running_loop()

    def stop(daemon: Daemon, *, lost: bool) -> None:
        early = not daemon.started and not daemon.asked_to_stop.is_set()
        daemon.ask_to_stop(keep_engine=lost, hand_over=lost)
        if early and starting is not None:
            starting.cancel()

    def made(daemon: Daemon) -> None:
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, partial(stop, daemon, lost=False))
        for number in LEAVE_SIGNALS:
            loop.add_signal_handler(number, partial(stop, daemon, lost=True))

    try:
        daemon = await Daemon.host(options, made=made)
    except asyncio.CancelledError:
        narrate("stopped while starting")
        return 0
    try:
        status = await daemon.verbs("status", {})
        runtime = status["runtime"]
        for line in readiness(runtime, os.getpid()):
            narrate(line)
        if exposed := options.home.exposure():
            narrate(f"warning: the home is {options.home.root}. {exposed}")
        await daemon.asked_to_stop.wait()
        narrate("stopping")
    finally:
        await daemon.stop(keep_engine=daemon.keep_engine)
    narrate("stopped")
    if daemon.taken_over:
        raise Fenced
    return 0


def readiness(runtime: Mapping[str, Any], pid: int) -> list[str]:
    """Return what a headless daemon says of its runtime, as ``status`` describes it."""
    notices = list(runtime["notices"])
    if runtime["codex_version"]:
        first = f"ready: {runtime['name']} {runtime['codex_version']}, pid {pid}"
    else:
        why = notices.pop(0) if notices else "it has not been started yet."
        first = f"ready, pid {pid}, but without Codex: {why}"
    return [first, *(f"notice: {notice}" for notice in notices)]
