"""``netsky stop``: end the daemon, or the engine it left, and wait until that has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import Clock, SystemClock
from netsky_runtime.errors import DeadlineExceeded, NoDaemon
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import daemon
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, narrate
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home
    from netsky_runtime.records import Engine

_PATIENCE = 30.0
"""Seconds; the daemon gives running turns 5 and the engine some more."""
_LOOK = 0.05


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("stop")(stop)


def stop(
    ctx: typer.Context,
    keep_engine: Annotated[
        bool, typer.Option("--keep-engine", help="Let running turns go on without netsky.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Stop the daemon and everything that it has started.

    Turns are interrupted, Codex ends, everything stored stays.

    Without a daemon it ends what was left working: the engine, an mcp-server in a turn, and
    resident Codexes in tmux.
    """
    here = Invocation.of(ctx)
    try:
        stopped = run(end_daemon(here.home, keep_engine=keep_engine, clock=SystemClock()))
        told = "stopped; the engine works on" if keep_engine else "stopped"
    except NoDaemon:
        ended = None if keep_engine else run(_end_left(here))
        if ended is None:
            hint = "" if keep_engine else "Nothing is left to stop: no engine, no resident Codex."
            raise NoDaemon("No daemon runs for this home.", hint=hint) from None
        stopped = {"pid": None, "state": "stopped", **ended}
        told = f"No daemon ran. {_in_words(ended)}"
    if as_json:
        emit(stopped)
    else:
        narrate(told)


async def _end_left(here: Invocation) -> dict[str, Any] | None:
    """End what works on without a daemon; ``None``: nothing does."""
    from netsky_runtime import leftover

    alone = await read(here.home, _left, empty=None) is None
    if alone and not leftover.residents(here.home):
        return None  # and nothing was locked or created
    ended = await leftover.end(here.home, here.environ)
    engine = shapes.engine(ended.engine) if ended.engine else None
    server = shapes.engine(ended.server) if ended.server else None
    return {"engine": engine, "residents": ended.residents, "mcp_server": server}


async def _left(tx: Tx) -> Engine | None:
    from netsky_runtime import leftover

    return await leftover.working(tx) or await leftover.server(tx)


def _in_words(ended: dict[str, Any]) -> str:
    parts = []
    if engine := ended["engine"]:
        parts.append(f"The engine that worked on without one, pid {engine['pid']}, is ended.")
    if server := ended["mcp_server"]:
        parts.append(f"The mcp-server in the middle of a turn, pid {server['pid']}, is ended.")
    if ended["residents"]:
        parts.append("The resident Codexes that worked on without one are ended.")
    return " ".join(parts) or "What worked on without one has just ended by itself."


async def end_daemon(home: Home, *, keep_engine: bool, clock: Clock) -> dict[str, Any]:
    """End the daemon and wait until its process has gone.

    Raises ``NoDaemon``, ``Refused`` and ``DeadlineExceeded``.
    """
    async with daemon(home) as handle:
        pid = (await handle.call("status", deadline=_PATIENCE))["daemon"]["pid"]
        await handle.call("stop", {"keep_engine": keep_engine}, deadline=_PATIENCE)
    end = clock.monotonic() + _PATIENCE
    while _runs(pid):
        if clock.monotonic() > end:
            msg = f"The daemon (pid {pid}) was told to stop and still runs after {_PATIENCE:g} s."
            raise DeadlineExceeded(msg, hint="`netsky logs tail` may tell why.")
        await clock.sleep(_LOOK)
    return {"pid": pid, "state": "stopped"}


def _runs(pid: int) -> bool:
    import psutil  # 20 ms, and only `stop` needs it

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
