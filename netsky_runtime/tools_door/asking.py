"""The daemon, as a thread's tools see it: it may be away for a while, and comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.counting import count
from netsky_runtime.errors import DeadlineExceeded, NetskyError, NoDaemon, Unhealthy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock

FIRST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 2.0
"""Seconds between two tries; each pause is twice the one before."""
CLIENT: Final = "tools"


class Daemon:
    """Asks the daemon on one socket, connecting when something is asked and again when it broke.

    Whatever is asked must bear being asked twice: a request whose connection broke is sent again.
    """

    def __init__(self, socket: Path, *, clock: Clock) -> None:
        self._socket = socket
        self._clock = clock
        self._handle: RemoteHandle | None = None
        self._connecting = asyncio.Lock()

    async def ask(
        self, method: str, params: Mapping[str, Any], *, seconds: float
    ) -> dict[str, Any]:
        """Return the daemon's answer, trying for at most ``seconds``.

        Raises what the daemon answers with, but tries again while that is ``Unhealthy``;
        ``NoDaemon`` when it could not be asked all the time, so that nothing was done;
        ``DeadlineExceeded`` when it was asked and may have done it.
        """
        asked = False
        why = ""
        pause = FIRST_PAUSE
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        handle = await self._connected(seconds)
                        asked = True
                        return await handle.call(method, params, deadline=seconds)
                    except (NoDaemon, Unhealthy, DeadlineExceeded) as error:
                        why = error.message
                        await self._clock.sleep(pause)
                        pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError:
            raise _gave_up(seconds, why, asked=asked) from None

    async def _connected(self, seconds: float) -> RemoteHandle:
        async with self._connecting:
            if self._handle is None or self._handle.closed:
                await self._let_go()
                self._handle = await RemoteHandle.connect(
                    self._socket, client=CLIENT, deadline=seconds
                )
            return self._handle

    async def close(self) -> None:
        """Let go of the connection."""
        async with self._connecting:
            await self._let_go()

    async def _let_go(self) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            await handle.close()


def _gave_up(seconds: float, why: str, *, asked: bool) -> NetskyError:
    if asked:
        return DeadlineExceeded(
            f"netsky gave no answer within {count(seconds, 'second')}. {why}".rstrip()
        )
    return NoDaemon(f"netsky could not be reached for {count(seconds, 'second')}. {why}".rstrip())
