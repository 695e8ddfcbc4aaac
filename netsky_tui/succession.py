"""What becomes of an attached room whose daemon is gone: it finds the next one, or is it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from netsky_runtime.errors import DaemonRunning, NetskyError, NoDaemon
from netsky_tui.store import LinkState

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock
    from netsky_tui.link import Connector, Handle

GRACE_SECONDS: Final = 1.0
"""How long a daemon that is started anew at once, by whoever looks after it, has to come back."""
LOOK_SECONDS: Final = 0.25
"""Between two looks for a daemon while a room is about to take over."""
IDLE_SECONDS: Final = 1.0
"""Between two looks for one that somebody else may start."""


class Succession:
    """One for each room.

    Of several rooms that want to host, the home's lock lets one; the others attach to it.
    """

    def __init__(
        self,
        *,
        connector: Connector,
        clock: Clock,
        shown: Callable[[LinkState, str], None],
        tell: Callable[[str], None],
    ) -> None:
        self._connector = connector
        self._clock = clock
        self._shown = shown
        self._tell = tell
        self._asked = asyncio.Event()

    def host(self) -> None:
        """Host the home after all: the operator wants it."""
        self._asked.set()

    async def next_handle(self, reason: str, *, stopped: bool) -> Handle:
        """Return the handle of the next daemon, for ``reason`` the last one is gone.

        With ``stopped`` somebody wanted none: then this room hosts only when it is told to, as it
        does after it could not for another reason than that somebody else was quicker.
        """
        self._asked.clear()
        if not stopped:
            self._shown(LinkState.RECONNECTING, reason)
            handle = await self._came_back()
            if handle is not None:
                return handle
            handle, reason = await self._take_over(reason)
            if handle is not None:
                return handle
        while True:
            self._shown(LinkState.STOPPED, reason)
            handle = await self._wait()
            if handle is None:
                self._asked.clear()
                handle, reason = await self._take_over(reason)
            if handle is not None:
                return handle

    async def _came_back(self) -> Handle | None:
        end = self._clock.monotonic() + GRACE_SECONDS
        while self._clock.monotonic() < end:
            await self._clock.sleep(LOOK_SECONDS)
            with suppress(NetskyError):
                return await self._connector.attach()
        return None

    async def _take_over(self, reason: str) -> tuple[Handle | None, str]:
        """Attach or host; without a handle, say why this room cannot."""
        while True:
            try:
                handle = await self._connector.connect(self._progress)
            except (DaemonRunning, NoDaemon):
                # Another is about to listen, or the last one still holds the lock on its way out.
                self._shown(LinkState.RECONNECTING, reason)
                await self._clock.sleep(LOOK_SECONDS)
            except NetskyError as error:
                return None, str(error)
            else:
                if handle.hosting:
                    self._tell(f"This room hosts netsky now: {reason}.")
                return handle, ""

    async def _wait(self) -> Handle | None:
        """Wait for a daemon that somebody else starts; ``None``: this room shall."""
        while not self._asked.is_set():
            with suppress(NetskyError):
                return await self._connector.attach()
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._asked.wait()
        return None

    def _progress(self, line: str) -> None:
        self._shown(LinkState.RECONNECTING, line)
