"""``netsky status``: one look at the whole home."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import DeadlineExceeded, NoDaemon
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call
from netsky_tui.cli.exits import Exit
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, fields, narrate
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx

_PATIENCE = 5.0
_COUNTED = (
    "actors",
    "tasks",
    "messages",
    "inputs_pending",
    "approvals_pending",
    "screens_blocked",
    "turns_running",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("status")(status)


def status(ctx: typer.Context, as_json: AsJson = False) -> Exit:
    """Say whether a daemon runs, on what, and how much waits."""
    present = run(_present(Invocation.of(ctx)))
    if as_json:
        emit(present)
    else:
        _show(present)
    return Exit.UNHEALTHY if present["daemon"]["state"] == "unresponsive" else Exit.OK


async def _present(here: Invocation) -> dict[str, Any]:
    try:
        told = await call(here.home, "status", {}, deadline=_PATIENCE)
        return {**told, "engine": await read(here.home, engine, empty=None)}
    except NoDaemon:
        state = "stopped"
    except DeadlineExceeded as error:
        narrate(f"error: {error.message}")
        state = "unresponsive"
    return await _stored(here, state)


async def engine(tx: Tx) -> dict[str, Any] | None:
    """Return which engine works, with a daemon or without one."""
    from netsky_runtime import leftover

    found = await leftover.working(tx)
    return shapes.engine(found) if found else None


async def _stored(here: Invocation, state: str) -> dict[str, Any]:
    """Tell what the database knows, in the daemon's own shape."""

    async def body(tx: Tx) -> tuple[dict[str, int], str]:
        from dataclasses import asdict

        from netsky_runtime.db import counts, settings

        stored = (await settings.get_all(tx)).get("runtime", "")
        return asdict(await counts.status_counts(tx)), stored

    counted, stored = await read(here.home, body, empty=(dict.fromkeys(_COUNTED, 0), ""))
    runtime = here.environ.get("AGENT_RUNTIME") or stored or "auto"
    return {
        "daemon": {"state": state, "pid": None, "epoch": None, "since": None},
        "runtime": {"name": runtime, "codex_version": None, "notices": []},
        "counts": counted,
        "rooms": 0,
        "home": str(here.home.root),
        "engine": await read(here.home, engine, empty=None),
    }


def in_words(engine: dict[str, Any], turns: int, *, alone: bool) -> str:
    """Say which engine works; what runs in one that is ``alone`` nobody has looked at since."""
    if not alone:
        return f"pid {engine['pid']}"
    some = f"{turns} turn{'' if turns == 1 else 's'} running as far as known"
    return f"pid {engine['pid']} works on without netsky, {some}"


def _show(present: dict[str, Any]) -> None:
    daemon, runtime, counts = present["daemon"], present["runtime"], present["counts"]
    running = daemon["pid"] is not None
    lines: dict[str, object] = {"daemon": daemon["state"]}
    if running:
        started = datetime.fromisoformat(daemon["since"])
        since = age(round(started.timestamp() * 1000), SystemClock().now())
        lines["process"] = f"pid {daemon['pid']}, for {since}, epoch {daemon['epoch']}"
        lines["rooms"] = present["rooms"]
    if present["engine"]:
        lines["engine"] = in_words(present["engine"], counts["turns_running"], alone=not running)
    lines["runtime"] = runtime["name"]
    if runtime["codex_version"]:
        lines["codex"] = runtime["codex_version"]
    lines |= {key.replace("_", " "): value for key, value in counts.items()}
    fields(lines)
    for notice in runtime["notices"]:
        narrate(notice)
    if daemon["state"] == "stopped":
        narrate("No daemon runs. Start one: netsky, or netsky --no-tui")
        if present["engine"]:
            narrate("The next one takes the engine over; `netsky stop` ends it.")
    if counts["approvals_pending"]:
        narrate("Approvals wait: netsky approvals list")
    if counts["screens_blocked"]:
        narrate("Codex waits for a human on its own screen: netsky actors list")
