"""``netsky stop``: end the daemon, and wait until it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import Clock, SystemClock
from netsky_runtime.errors import DeadlineExceeded
from netsky_tui.cli.calling import daemon
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, narrate
from netsky_tui.cli.reading import run

if TYPE_CHECKING:
    from netsky_runtime.paths import Home

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
    """Stop the daemon: turns are interrupted, Codex ends, everything stored stays."""
    home = Invocation.of(ctx).home
    stopped = run(_stop(home, keep_engine=keep_engine, clock=SystemClock()))
    if as_json:
        emit(stopped)
    else:
        narrate("stopped; the engine works on" if keep_engine else "stopped")


async def _stop(home: Home, *, keep_engine: bool, clock: Clock) -> dict[str, Any]:
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
