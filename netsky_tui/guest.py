"""A program that has the room's terminal for a while, with whatever it starts."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.wire.birth import process_started
from netsky_runtime.wire.groups import end_group

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_tui.terminal import Screen

END_SECONDS: Final = 2.0
"""How long a program may take to end when it is asked to."""
_LOOK_SECONDS: Final = 0.05
"""Between two looks whether it has ended; nothing tells of one that was only stopped."""


class Guest:
    """Runs in a process group of its own, which the terminal takes for its foreground.

    So keys like Ctrl+C and Ctrl+Z reach nobody else, and what a launcher has started (npm's
    ``codex`` is a script that starts the real one) ends with it.
    """

    def __init__(self, child: subprocess.Popen[bytes], *, terminal: int, clock: Clock) -> None:
        self._child = child
        self._started = process_started(child.pid)
        self._terminal = terminal
        self._clock = clock

    @classmethod
    def start(cls, screen: Screen, *, terminal: int, clock: Clock) -> Guest:
        """Start it and give it the terminal of that file descriptor. Raises ``OSError``."""
        child = subprocess.Popen(
            screen.command, env=screen.environment, cwd=screen.cwd or None, process_group=0
        )
        guest = cls(child, terminal=terminal, clock=clock)
        guest._wake()
        return guest

    async def wait(self) -> int:
        """Wait until the program has ended; return its status, negative for a signal.

        One that is stopped, by itself or by Ctrl+Z, goes on at once: no shell is there to do it.
        """
        while (status := self._child.poll()) is None:
            if psutil.Process(self._child.pid).status() == psutil.STATUS_STOPPED:
                self._wake()
            await self._clock.sleep(_LOOK_SECONDS)
        return status

    async def end(self) -> None:
        """End it and all of its group, and take the terminal back, within bounded time.

        Idempotent; for several tasks at once.
        """
        try:
            await end_group(self._child.pid, self._started, grace=END_SECONDS, clock=self._clock)
        finally:
            self._child.poll()
            self._show(os.getpgrp())

    def _wake(self) -> None:
        """Put it in front; it may have been stopped for using the terminal from behind."""
        self._show(self._child.pid)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGCONT)

    def _show(self, group: int) -> None:
        """Put a process group in front, unless there is no terminal, or no more."""
        # Whoever does that from behind is stopped, unless it does not hear of it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with suppress(OSError):
                os.tcsetpgrp(self._terminal, group)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
