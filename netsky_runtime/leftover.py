"""What works on without netsky: seen, and ended, while no daemon runs or none has taken it up."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import engines, sessions, turns
from netsky_runtime.door_stores import EngineRows
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home
    from netsky_runtime.records import Engine

_CONNECT_SECONDS = 1.0
_REASON = turns.STOPPED


@dataclass(frozen=True, slots=True)
class Ended:
    """What was found working, and is not any more."""

    engine: Engine | None
    residents: bool
    """Whether Codexes lived in netsky's tmux."""
    server: Engine | None = None
    """The mcp-server of a netsky that was killed while a turn ran there."""


async def working(tx: Tx) -> Engine | None:
    """Return the engine whose process is alive, and is the one that its row names."""
    return await _alive(tx, RuntimeName.APP_SERVER)


async def server(tx: Tx) -> Engine | None:
    """Return the mcp-server that is alive without a netsky: it goes on with the turn it was in."""
    return await _alive(tx, RuntimeName.MCP_SERVER)


async def _alive(tx: Tx, runtime: RuntimeName) -> Engine | None:
    engine = await engines.running(tx, runtime)
    if engine is None:
        return None
    from netsky_runtime.wire.birth import is_same_process  # 20 ms, and seldom needed

    return engine if is_same_process(engine.pid, engine.pid_started) else None


def residents(home: Home) -> bool:
    """Whether the tmux server of this home's resident Codexes listens. Blocks for a moment."""
    return listens(home.tmux_socket)


def listens(path: Path) -> bool:
    """Whether somebody listens on a Unix socket. Blocks for a moment."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_CONNECT_SECONDS)
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True


async def end(home: Home, environ: Mapping[str, str]) -> Ended:
    """End all of it under the home's lock, as a daemon's stop does.

    Raises ``DaemonRunning`` when a daemon has just started, ``Refused`` for an agent,
    ``Unhealthy`` when it does not end.
    """
    from netsky_runtime.clock import SystemClock
    from netsky_runtime.db.connection import Database
    from netsky_runtime.gate import check_self
    from netsky_runtime.lock import held
    from netsky_runtime.logbook import Logbook

    clock = SystemClock()
    async with held(home.lock, clock=clock, brief=True):
        database = await Database.open(home.database, backups=home.backups, clock=clock)
        log = Logbook(file=home.logs / "netsky.jsonl", clock=clock, component="cli")
        try:
            await check_self("to stop it", home=home, database=database)
            await database.own(pid=os.getpid(), now=clock.now())
            return await end_all(home, environ, database=database, clock=clock, log=log)
        finally:
            await log.flush(database)
            await database.close()


async def end_all(
    home: Home, environ: Mapping[str, str], *, database: Database, clock: Clock, log: Log
) -> Ended:
    """End what nobody has taken up of all that works behind the doors. Raises ``Unhealthy``."""
    from netsky_runtime.clock import SortableIds

    engine, left, ids = None, None, SortableIds(clock)
    if await database.read(working) is not None:
        from netsky_runtime.codex.app_server.engine import EngineHost

        host = EngineHost(
            home=home,
            store=EngineRows(database=database, clock=clock, runtime=RuntimeName.APP_SERVER),
            clock=clock,
            ids=ids,
            environ=environ,
            log=log,
        )
        engine = await host.end_left(_REASON)
    if await database.read(server) is not None:
        from netsky_runtime.codex.mcp_server.process import Host

        store = EngineRows(database=database, clock=clock, runtime=RuntimeName.MCP_SERVER)
        mcp = Host(home=home, store=store, clock=clock, environ=environ, log=log)
        left = await mcp.end_left(_REASON)
    living = await asyncio.to_thread(residents, home)
    if living:
        from netsky_runtime.codex.resident.runtime import ResidentRuntime
        from netsky_runtime.settings import Settings

        door = ResidentRuntime(
            settings=Settings(), home=home, clock=clock, ids=ids, environ=environ, log=log
        )
        await door.close(keep_engine=False)
    found = {RuntimeName.APP_SERVER: engine, RuntimeName.MCP_SERVER: left}
    ended = {name for name, there in found.items() if there}
    ended |= {RuntimeName.RESIDENT} if living else set()
    await database.write(lambda tx: _stop_turns(tx, ended))
    return Ended(engine, living, left)


async def _stop_turns(tx: Tx, ended: Container[RuntimeName]) -> None:
    """Note for the next start that what it finds unfinished was no crash."""
    for session in await sessions.list_current(tx):
        if session.runtime in ended:
            await turns.stop(tx, session.thread_id)
