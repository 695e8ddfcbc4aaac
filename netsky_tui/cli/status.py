"""``netsky status``: one look at the whole home."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.counting import count
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
    from netsky_runtime.paths import Home

MCP_SERVER = "mcp-server"
"""Of those who work on alone the one that is not taken over: only its own netsky hears it."""
_PATIENCE = 5.0
_COUNTED = (
    "actors",
    "tasks",
    "messages",
    "inputs_pending",
    "approvals_pending",
    "screens_blocked",
    "attention",
    "turns_running",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("status")(status)


def status(ctx: typer.Context, as_json: AsJson = False) -> Exit:
    """Say whether a daemon runs, on what, and how much waits.

    Exit status 5 while it does not answer, or can store nothing.
    """
    present = run(_present(Invocation.of(ctx)))
    if as_json:
        emit(present)
    else:
        _show(present)
    trouble = (present.get("storage") or {}).get("state") == "trouble"
    ill = trouble or present["daemon"]["state"] == "unresponsive"
    return Exit.UNHEALTHY if ill else Exit.OK


async def _present(here: Invocation) -> dict[str, Any]:
    try:
        told = await call(here.home, "status", {}, deadline=_PATIENCE)
        return {**told, **await behind(here.home)}
    except NoDaemon:
        state = "stopped"
    except DeadlineExceeded as error:
        narrate(f"error: {error.message}")
        state = "unresponsive"
    return await _stored(here, state)


async def behind(home: Home) -> dict[str, Any]:
    """Return what works behind the doors and what holds it, with a daemon or without one."""
    from netsky_runtime import leftover

    async def body(tx: Tx) -> dict[str, Any]:
        from dataclasses import asdict

        from netsky_runtime.db import counts, holds

        found, server = await leftover.working(tx), await leftover.server(tx)
        hold = await holds.of_fleet(tx, now=SystemClock().now())
        return {
            "paused": shapes.hold(hold) if hold else None,
            "engine": shapes.engine(found) if found else None,
            "mcp_server": shapes.engine(server) if server else None,
            "doors": {door: asdict(there) for door, there in (await counts.by_door(tx)).items()},
        }

    nothing: dict[str, Any] = {"paused": None, "engine": None, "mcp_server": None, "doors": {}}
    known = await read(home, body, empty=nothing)
    return {**known, "residents": await asyncio.to_thread(leftover.residents, home)}


async def _stored(here: Invocation, state: str) -> dict[str, Any]:
    """Tell what the database knows, in the daemon's own shape."""

    async def body(tx: Tx) -> tuple[dict[str, int], str]:
        from netsky_runtime.db import counts, settings

        stored = (await settings.get_all(tx)).get("runtime", "")
        numbers = await counts.status_counts(tx, now=SystemClock().now())
        return {name: getattr(numbers, name) for name in _COUNTED}, stored

    counted, stored = await read(here.home, body, empty=(dict.fromkeys(_COUNTED, 0), ""))
    runtime = here.environ.get("AGENT_RUNTIME") or stored or "auto"
    return {
        "daemon": {"state": state, "pid": None, "epoch": None, "since": None},
        "runtime": {"name": runtime, "codex_version": None, "notices": [], "silent_since": None},
        "counts": counted,
        "storage": None,  # only a daemon can tell
        "rooms": 0,
        "home": str(here.home.root),
        **await behind(here.home),
    }


def in_words(present: dict[str, Any], *, alone: bool) -> dict[str, str]:
    """Say what works behind each door, by its name in words.

    What runs where nobody looks (``alone``) is told as it was last known, and what it may do.
    """
    working: dict[str, tuple[str, str]] = {}
    if engine := present["engine"]:
        working["engine"] = (f"pid {engine['pid']}", "app_server")
    if server := present["mcp_server"]:
        working[MCP_SERVER] = (f"pid {server['pid']}", "mcp_server")
    if present["residents"]:
        working["residents"] = ("Codex in tmux", "resident")
    if not alone:
        return {name: who for name, (who, _) in working.items()}
    return {
        name: f"{who} works on without netsky, {_running(present['doors'].get(door))}"
        for name, (who, door) in working.items()
    }


def _running(there: dict[str, Any] | None) -> str:
    turns = there["turns"] if there else 0
    told = f"{count(turns, 'turn')} running as far as known"
    return f"{told}, with danger-full-access" if there and there["full_access"] else told


def _ago(since: str) -> str:
    return age(round(datetime.fromisoformat(since).timestamp() * 1000), SystemClock().now())


def _show(present: dict[str, Any]) -> None:
    daemon, runtime, counts = present["daemon"], present["runtime"], present["counts"]
    running = daemon["pid"] is not None
    lines: dict[str, object] = {"daemon": daemon["state"]}
    if running:
        since = _ago(daemon["since"])
        lines["process"] = f"pid {daemon['pid']}, for {since}, epoch {daemon['epoch']}"
        lines["rooms attached"] = present["rooms"]
    if paused := present["paused"]:
        lines["sends nothing"] = paused["reason"]
    working = in_words(present, alone=not running)
    if "engine" in working and (since := runtime.get("silent_since")):
        working["engine"] += f", has not answered for {_ago(since)}"
    lines |= working
    lines["runtime"] = runtime["name"]
    if runtime["codex_version"]:
        lines["codex"] = runtime["codex_version"]
    lines |= {key.replace("_", " "): value for key, value in counts.items()}
    fields(lines)
    if notice := (present.get("storage") or {}).get("notice"):
        narrate(notice)
    for notice in runtime["notices"]:
        narrate(notice)
    if paused:
        narrate(f"To send again: {paused['remedy']}")
    if daemon["state"] == "stopped":
        narrate("No daemon runs: this is what was last known.")
        narrate("Start one: netsky, or netsky --no-tui")
        if working:
            narrate(f"`netsky stop` ends what works on: {', '.join(working)}.")
        if taken := [name for name in working if name != MCP_SERVER]:
            narrate(f"The next start takes over: {', '.join(taken)}.")
    if waiting := counts["attention"]:
        noun = "thing waits" if waiting == 1 else "things wait"
        narrate(f"{waiting} {noun} for you: netsky attention")
