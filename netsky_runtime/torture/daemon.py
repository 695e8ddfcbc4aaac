"""A daemon as the runner holds it: a process, its orders, what it says, a connection."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_runtime.torture.slaying import kill_tree

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.paths import Home
    from netsky_runtime.torture.plan import Kill

START_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
ANSWER_SECONDS: Final = 10.0
_VICTIM: Final = (sys.executable, "-P", "-m", "netsky_runtime.torture.victim")


class Daemon:
    """One life of a victim. Made by ``start``."""

    def __init__(self, process: asyncio.subprocess.Process, home: Home) -> None:
        self._process = process
        self._home = home
        self.ready: float | None = None
        """Seconds that its start took, once it has."""
        self.struck = False
        """Whether it has come to the place it was told of."""
        self.over = asyncio.Event()
        """It has come there, or is dead."""
        self.settled = asyncio.Event()
        """It is ready, or dead."""
        self._listening = asyncio.get_running_loop().create_task(self._listen())

    @classmethod
    async def start(cls, home: Home, *, environ: Mapping[str, str], cwd: Path, log: Path) -> Daemon:
        """Start a process. Raises ``OSError``."""
        with log.open("ab") as errors:
            process = await asyncio.create_subprocess_exec(
                *_VICTIM,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=dict(environ),
                cwd=cwd,
                start_new_session=True,
            )
        return cls(process, home)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self._process.returncode is not None

    @property
    def status(self) -> int | None:
        """With what it has ended; negative: by that signal."""
        return self._process.returncode

    async def arm(self, kill: Kill | None) -> None:
        """Tell it where to strike; ``None``: nowhere."""
        told: dict[str, Any] = {}
        if kill is not None and kill.point:
            told = {
                "point": kill.point,
                "occurrence": kill.occurrence,
                "target": kill.target.value,
            }
        self.struck = False
        if not self.dead:
            self.over.clear()
        orders = self._process.stdin
        if orders is not None:
            with suppress(ConnectionError):
                orders.write(json.dumps(told).encode() + b"\n")
                await orders.drain()

    async def connect(self) -> RemoteHandle | None:
        """Return a connection, ``None`` when there is none to be had."""
        try:
            return await RemoteHandle.connect(self._home.control_socket, client="torture")
        except NetskyError:
            return None

    async def answers(self) -> bool:
        """Whether it answers a question, within ``ANSWER_SECONDS``."""
        handle = await self.connect()
        if handle is None:
            return False
        try:
            await handle.call("status", deadline=ANSWER_SECONDS)
        except NetskyError:
            return False
        finally:
            await handle.close()
        return True

    async def died(self) -> None:
        """Wait for its end, however it comes about."""
        await self._process.wait()
        await self._listening

    async def kill(self, *, tree: bool) -> None:
        """End it with SIGKILL, ``tree`` with everything below it."""
        if tree:
            await asyncio.to_thread(kill_tree, self.pid)
        if not self.dead:
            with suppress(ProcessLookupError):
                # Not by its transport, which takes its exit status from whoever waits for it.
                os.kill(self.pid, signal.SIGKILL)
        await self.died()

    async def stop(self) -> None:
        """End it as ``netsky stop`` does. Raises ``Unhealthy`` when it does not end."""
        handle = await self.connect()
        if handle is not None:
            try:
                await handle.call("stop", {"keep_engine": False})
            finally:
                await handle.close()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.died()
        except TimeoutError as error:
            msg = f"A daemon that was told to stop still runs after {STOP_SECONDS:g} s."
            raise Unhealthy(msg) from error
        if self._process.returncode:
            msg = f"A daemon that was told to stop ended with {self._process.returncode}."
            raise Unhealthy(msg)

    async def _listen(self) -> None:
        words = self._process.stdout
        try:
            while words is not None and (line := await words.readline()):
                told = json.loads(line)
                if told["said"] == "ready":
                    self.ready = told["seconds"]
                    self.settled.set()
                elif told["said"] == "struck":
                    self.struck = True
                    self.over.set()
        finally:
            self.settled.set()
            self.over.set()
