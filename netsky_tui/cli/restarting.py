"""``netsky restart``: another daemon in the place of the one that runs; turns go on meanwhile."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import typer

from netsky_runtime.clock import Clock, SystemClock
from netsky_runtime.errors import Conflict, DeadlineExceeded, NetskyError, Unhealthy
from netsky_tui.cli.calling import daemon
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.opening import options
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, narrate
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.stopping import end_daemon

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.options import Options
    from netsky_runtime.paths import Home

READY_SECONDS: Final = 60.0
"""How long the new daemon may take until it is ready: it waits for its threads to come back."""
_LOOK: Final = 0.1
_QUOTED: Final = 400
# -P: the folder it is started in must not come first where Python looks for modules.
_HEADLESS: Final = (sys.executable, "-P", "-m", "netsky_tui", "--no-tui")


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("restart")(restart)


def restart(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Put another daemon in the place of the one that runs.

    Codex works on. The new daemon has no room, and begins as the one before it did: in the same
    folder, on the same runtime. Rooms that are attached come back by themselves; a room that
    hosted ends, and `netsky` attaches. Actors that were parked for a crash loop get another
    chance.
    """
    here = Invocation.of(ctx)
    told = run(_restart(here, clock=SystemClock()))
    for actor_id in run(_let_go_on(here.home)):
        narrate(f"{actor_id} was parked for a crash loop and goes on")
    if as_json:
        emit(told)
    else:
        narrate(f"restarted: pid {told['pid']}, epoch {told['epoch']}")


async def _restart(here: Invocation, *, clock: Clock) -> dict[str, Any]:
    async with daemon(here.home) as handle:
        launch = handle.daemon.get("launch")
    if launch is None:
        msg = "`netsky codex` holds this home for its turn: there is no daemon to restart."
        raise Conflict(msg, hint="Wait until it has ended.")
    before = await end_daemon(here.home, keep_engine=True, clock=clock)
    log = here.home.logs / "headless.log"
    child = _start(options(here).after(launch), log)
    end = clock.monotonic() + READY_SECONDS
    while clock.monotonic() < end:
        if child.poll() is not None:
            said = " ".join(log.read_text(errors="replace").split())[-_QUOTED:]
            msg = f"The daemon has ended, and the new one does not start: {said}"
            raise Unhealthy(msg, hint="Codex works on. `netsky --no-tui` shows the start.")
        if (now := await _ready(here, child.pid)) is not None:
            return {"before": before["pid"], "pid": child.pid, "epoch": now["epoch"]}
        await clock.sleep(_LOOK)
    msg = f"The new daemon (pid {child.pid}) is not ready after {READY_SECONDS:g} s."
    raise DeadlineExceeded(msg, hint=f"It goes on starting. See {log}.")


async def _let_go_on(home: Home) -> tuple[str, ...]:
    """Resume whoever is parked for a crash loop: its owner has just changed something."""
    parked: tuple[str, ...] = await read(home, _looping, empty=())
    if parked:
        async with daemon(home) as handle:
            for actor_id in parked:
                await handle.call("actors.resume", {"actor_id": actor_id})
    return parked


async def _looping(tx: Tx) -> tuple[str, ...]:
    from netsky_runtime.db import respawns

    return await respawns.looping(tx)


def _start(options: Options, log: Path) -> subprocess.Popen[bytes]:
    runtime = options.flags.get("runtime")
    words = [*_HEADLESS, *(("--runtime", runtime) if runtime else ())]
    with log.open("wb") as said:
        return subprocess.Popen(
            words,
            cwd=options.cwd,
            env=dict(options.environ),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


async def _ready(here: Invocation, pid: int) -> dict[str, Any] | None:
    try:
        async with daemon(here.home) as handle:
            told: dict[str, Any] = (await handle.call("status"))["daemon"]
    except NetskyError:
        return None  # nobody listens yet, or it cannot say yet how it is
    return told if told["pid"] == pid and told["state"] == "ready" else None
