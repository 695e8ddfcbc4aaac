"""An engine that works on without netsky: seen, and ended, while no daemon runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import engines
from netsky_runtime.records import Engine, RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home


async def working(tx: Tx) -> Engine | None:
    """Return the engine whose process is alive, and is the one that its row names."""
    engine = await engines.running(tx, RuntimeName.APP_SERVER)
    if engine is None:
        return None
    from netsky_runtime.wire.process import is_same_process  # 20 ms, and seldom needed

    return engine if is_same_process(engine.pid, engine.pid_started) else None


async def end(home: Home, environ: Mapping[str, str]) -> Engine | None:
    """End such an engine under the home's lock, as a daemon's stop does; return it.

    Raises ``DaemonRunning`` when a daemon has just started, ``Unhealthy`` when it does not end.
    """
    from netsky_runtime.clock import SortableIds, SystemClock
    from netsky_runtime.codex.app_server.engine import EngineHost
    from netsky_runtime.db.connection import Database
    from netsky_runtime.lock import HomeLock
    from netsky_runtime.logbook import Logbook
    from netsky_runtime.wiring import EngineRows

    clock = SystemClock()
    with HomeLock(home.lock):
        database = await Database.open(home.database, backups=home.backups, clock=clock)
        log = Logbook(file=home.logs / "netsky.jsonl", clock=clock, component="cli")
        try:
            host = EngineHost(
                home=home,
                store=EngineRows(database=database, clock=clock, runtime=RuntimeName.APP_SERVER),
                clock=clock,
                ids=SortableIds(clock),
                environ=environ,
                log=log,
            )
            return await host.end_left("it was stopped while no netsky ran")
        finally:
            await log.flush(database)
            await database.close()
