"""Every named place is one that a daemon comes to: its pattern matches what is really run."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.daemon import Daemon
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_runtime.torture.points import POINTS
from tests.torture.test_invariants import PATIENCE, START, send, until

if TYPE_CHECKING:
    from pathlib import Path


class Watched(Daemon):
    """A daemon whose writer's statements are looked at, from before anybody can ask anything."""

    came_by: set[str]

    async def _listen(self) -> None:
        def look(sql: str) -> None:
            self.came_by.update(point.name for point in POINTS if point.matches(sql))

        await self.database.write(lambda tx: tx.set_trace_callback(look))
        await super()._listen()


async def hosted(home: Home, work: Path, came_by: set[str]) -> Watched:
    def made(daemon: Daemon) -> None:
        assert isinstance(daemon, Watched)
        daemon.came_by = came_by

    environ = {"PATH": os.environ["PATH"], "HOME": str(work)}
    options = Options(home=home, cwd=work, environ=environ, flags={"runtime": "scripted"})
    clock = SystemClock()
    daemon = await Watched.host(options, clock=clock, ids=SortableIds(clock), made=made)
    assert isinstance(daemon, Watched)
    return daemon


def copy(home: Home, to: Home) -> None:
    """Copy what a kill at this moment would leave."""
    left_out = shutil.ignore_patterns("*.sock", f"{home.database.name}*")
    shutil.copytree(home.root, to.root, ignore=left_out)
    with (
        closing(sqlite3.connect(home.database)) as source,
        closing(sqlite3.connect(to.database)) as target,
    ):
        source.backup(target)


async def test_a_daemon_that_works_and_one_that_comes_back_after_a_crash_come_to_every_place(
    tmp_path,
):
    """As a crash leaves it: a copy of the home from the middle of a turn that asks."""
    work = tmp_path / "work"
    await asyncio.to_thread(work.mkdir)
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    crashed = Home.locate({"NETSKY_HOME": str(tmp_path / "crashed")})
    came_by: set[str] = set()
    daemon = await hosted(home, work, came_by)
    try:
        await daemon.dispatch("wait", {"input_id": await send(daemon, START), "timeout": PATIENCE})
        asked = await send(daemon, "ASK[touch here] SAY[asked]")
        await until(daemon, "SELECT 1 FROM approvals WHERE status = 'pending'")
        await daemon.dispatch("approvals.decide", {"id": "a1", "decision": "accept"})
        await daemon.dispatch("wait", {"input_id": asked, "timeout": PATIENCE})
        await send(daemon, "ASK[touch there] SAY[done]")
        await until(daemon, "SELECT 1 FROM approvals WHERE status = 'pending'")
        await asyncio.to_thread(copy, home, crashed)
    finally:
        await daemon.stop(keep_engine=False)
    back = await hosted(crashed, work, came_by)
    try:
        await until(back, "SELECT 1 FROM messages WHERE kind = 'recovery'")
        await until(back, "SELECT 1 FROM approvals WHERE status = 'lost'")
    finally:
        await back.stop(keep_engine=False)
    assert {point.name for point in POINTS} - came_by == set()
