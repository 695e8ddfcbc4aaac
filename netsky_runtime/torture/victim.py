"""The daemon that is killed: ``python -m netsky_runtime.torture.victim``.

It is the daemon of ``netsky --no-tui``, and strikes itself (or its engine) at a named place that
it is told of on standard input, a JSON object a line: ``{"point", "occurrence", "target"}``. When
standard input ends it dies, so that nothing outlives a runner that was killed.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from netsky_runtime.clock import SystemClock
from netsky_runtime.daemon import Daemon
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_runtime.torture.plan import Target
from netsky_runtime.torture.points import BY_NAME, Point, When
from netsky_runtime.torture.slaying import kill_engine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.db.connection import Database


class Trap:
    """Watches the writer's statements, on its thread, and its commits, on the loop."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._point: Point | None = None
        self._target = Target.DAEMON
        self._left = 0
        self._matched = False

    def arm(self, told: Mapping[str, Any]) -> None:
        """Strike at a point, or with an empty one nowhere."""
        self._left = int(told.get("occurrence", 1))
        self._target = Target(told.get("target", Target.DAEMON))
        self._matched = False
        self._point = BY_NAME.get(told.get("point", ""))

    async def watch(self, database: Database) -> None:
        """See everything that the writer does from now on."""
        await database.write(lambda tx: tx.set_trace_callback(self._traced))
        database.on_commit(self._committed)

    def _traced(self, sql: str) -> None:
        point = self._point
        if point is None:
            return
        if sql.startswith("ROLLBACK"):
            self._matched = False
        elif not self._matched and point.matches(sql):
            self._matched = point.when is When.AFTER
            if point.when is When.BEFORE:
                self._come_by()

    def _committed(self) -> None:
        if self._matched:
            self._matched = False
            self._come_by()

    def _come_by(self) -> None:
        self._left -= 1
        if self._left > 0:
            return
        self._point = None
        target = self._target  # the next order may come while this is carried out
        say("struck")
        if target is not Target.DAEMON:
            kill_engine(self._database)
        if target is not Target.ENGINE:
            os.kill(os.getpid(), signal.SIGKILL)


class Victim(Daemon):
    """A daemon with a trap in it."""

    trap: Trap

    async def _listen(self) -> None:
        """Set the trap before anybody can ask for anything and any thread comes back."""
        await self.trap.watch(self.database)
        await super()._listen()


def say(word: str, **fields: Any) -> None:
    """Tell the runner."""
    os.write(sys.stdout.fileno(), json.dumps({"said": word, **fields}).encode() + b"\n")


async def _obey(trap: Trap) -> None:
    """Take orders until there is nobody to give them."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        trap.arm(json.loads(line))
    os.kill(os.getpid(), signal.SIGKILL)


async def live(home: Home, first: Mapping[str, Any]) -> None:
    """Be a daemon until it is told to stop; ``first`` is the first order."""
    clock = SystemClock()
    trap = Trap(home.database)
    trap.arm(first)

    def made(daemon: Daemon) -> None:
        if isinstance(daemon, Victim):
            daemon.trap = trap

    began = clock.monotonic()
    options = Options(home=home, environ=dict(os.environ))
    async with asyncio.TaskGroup() as group:
        obeying = group.create_task(_obey(trap))
        daemon = await Victim.host(options, clock=clock, made=made)
        say("ready", seconds=clock.monotonic() - began)
        try:
            await daemon.asked_to_stop.wait()
        finally:
            await daemon.stop(keep_engine=daemon.keep_engine)
            obeying.cancel()


if __name__ == "__main__":
    with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as orders:
        line = orders.readline()  # and nothing of what comes after it
    asyncio.run(live(Home.locate(), json.loads(line)))
