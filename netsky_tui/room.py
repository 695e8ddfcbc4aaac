"""``run_room``: the room on this home, hosting its daemon or attached to the one that runs."""

from __future__ import annotations

import asyncio
import gc
import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import DaemonRunning, Fenced, HomeBusy, NoDaemon
from netsky_tui import keymap, theme
from netsky_tui.app import RoomApp
from netsky_tui.driver import RoomDriver

if TYPE_CHECKING:
    from netsky_runtime.control.handle import Handle
    from netsky_runtime.daemon import Daemon
    from netsky_runtime.options import Options
    from netsky_tui.link import Say
    from netsky_tui.source import Source


class HomeConnector:
    """Attaches to the daemon of a home, or hosts one. Implements ``link.Connector``."""

    def __init__(self, options: Options) -> None:
        self.options = options
        """What a daemon is hosted with: what the one before it began with, where there was one."""
        self._daemon: Daemon | None = None

    async def source(self) -> Source | None:
        """Open the database for reading; None while there is none."""
        # Opened after the first frame: aiosqlite and the row modules take 60 ms to import.
        from netsky_runtime.clock import SystemClock
        from netsky_runtime.db.connection import ReadDatabase
        from netsky_tui.reading import DatabaseSource

        path = self.options.home.database
        if not path.exists():
            return None
        return DatabaseSource(await ReadDatabase.open(path), clock=SystemClock())

    async def connect(self, say: Say) -> Handle:
        """Attach, or host where nobody listens."""
        if self._daemon is not None and not self._daemon.asked_to_stop.is_set():
            return self._daemon.handle()
        try:
            return await self.attach()
        except NoDaemon:
            say("nobody hosts this home yet: starting a daemon here")
        from netsky_runtime.daemon import Daemon  # after the first frame: 0.2 s of imports

        try:
            self._daemon = await Daemon.host(replace(self.options, progress=say))
        except HomeBusy:
            raise
        except DaemonRunning:
            # Another room was quicker.
            return await self.attach()
        gc.freeze()
        return self._daemon.handle()

    async def attach(self) -> Handle:
        """Attach to a running daemon, and learn what its successor is to be started with."""
        from netsky_runtime.control.client import RemoteHandle

        handle = await RemoteHandle.connect(self.options.home.control_socket, client="room")
        if (launch := handle.daemon.get("launch")) is not None:
            self.options = self.options.after(launch)
        return handle

    async def told_to_stop(self) -> bool:
        """Wait until somebody else stops the daemon that this room hosts."""
        if self._daemon is None:
            await asyncio.Event().wait()
            raise AssertionError
        await self._daemon.asked_to_stop.wait()
        return self._daemon.keep_engine

    async def stop(self, *, keep_engine: bool) -> None:
        """End the daemon that this room hosts."""
        if self._daemon is not None:
            await self._daemon.stop(keep_engine=keep_engine)

    def check_owned(self) -> None:
        """Raise ``Fenced`` when another netsky has taken the home from this room's daemon."""
        if self._daemon is not None and self._daemon.taken_over:
            raise Fenced


def run_room(options: Options) -> int:
    """Open the room and return the exit status.

    SIGTERM and SIGINT stop a hosted daemon; a lost terminal (SIGHUP) and SIGQUIT leave its
    engine working.
    """
    return asyncio.run(_run(options))


async def _run(options: Options) -> int:
    # Modules stay: searched for garbage again and again they cost frames of 0.1 s.
    gc.freeze()
    gc.enable()
    connector = HomeConnector(options)
    app = RoomApp(
        connector=connector,
        clock=SystemClock(),
        keymap=keymap.load(options.home.keymap),
        environ=options.environ,
        driver_class=RoomDriver,
    )
    app.theme = theme.fitting(app.console.color_system).name
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, app.interrupted)
    loop.add_signal_handler(signal.SIGTERM, app.stop_soon, False)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        loop.add_signal_handler(number, app.stop_soon, True)
    try:
        status = await app.run_async()
    finally:
        # However the screen ended: nothing more happens to a daemon that has stopped already.
        await connector.stop(keep_engine=True)
    connector.check_owned()
    return status or app.return_code or 0
