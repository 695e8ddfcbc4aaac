"""``netsky doctor``: what netsky stands on, checked."""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import stat
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

import netsky_runtime
from netsky_runtime.errors import NetskyError, NoDaemon
from netsky_tui.cli.calling import call
from netsky_tui.cli.exits import Exit
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import Column, emit, narrate, say, table
from netsky_tui.cli.reading import present, read, reader, run
from netsky_tui.cli.status import MCP_SERVER, behind, in_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home

_COLUMNS = (Column("CHECK"), Column("STATE", state=True), Column("DETAIL", flex=True, folds=True))
_PATIENCE = 30.0
SLOW = 3.0
"""Seconds after which whoever waits is told for what."""
_WAL_RESET_FIXED = ((3, 51, 3), (3, 50, 7), (3, 44, 6))
"""The first releases of three lines without the WAL-reset race (sqlite.org/wal.html)."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; ``state`` is ok, warn, fail, or shut for a door that need not open."""

    name: str
    state: str
    detail: str
    hint: str = ""


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("doctor")(doctor)


def doctor(ctx: typer.Context, as_json: AsJson = False) -> Exit:
    """Check everything netsky stands on.

    Exit status 5 when something fails. Each door to Codex is tried: app_server, mcp_server and
    resident, which needs tmux. One that is shut is no fault while new actors get another.
    """
    checks, doors = run(_examine(Invocation.of(ctx)))
    failed = any(check["state"] == "fail" for check in checks)
    if as_json:
        emit({"checks": checks, "doors": doors, "ok": not failed})
    else:
        table(_COLUMNS, [(check["name"], check["state"], check["detail"]) for check in checks])
        for hint, names in _hints(checks).items():
            say(f"{', '.join(names)}: {hint}")
    return Exit.UNHEALTHY if failed else Exit.OK


def _hints(checks: Sequence[Mapping[str, Any]]) -> Mapping[str, list[str]]:
    """Return what there is to do, each thing with the names of the checks that ask for it."""
    hints: dict[str, list[str]] = {}
    for check in checks:
        if check["hint"] and check["state"] not in {"ok", "shut"}:
            hints.setdefault(check["hint"], []).append(check["name"])
    return hints


async def _examine(here: Invocation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return all checks, and what each door has answered."""
    waiting = "no answer yet; a door that keeps silent is given up soon"
    slow = asyncio.get_running_loop().call_later(SLOW, narrate, waiting)
    try:
        return await _asked(here)
    finally:
        slow.cancel()


async def _asked(here: Invocation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    try:
        told = await call(here.home, "doctor", {}, deadline=_PATIENCE)
        checks, doors = told["checks"], told["doors"]
        daemon = Check("daemon", "ok", f"answers on {here.home.control_socket}")
    except NoDaemon:
        checks, doors = await _alone(here)
        daemon = Check("daemon", "ok", "none runs")
    except NetskyError as error:
        checks, doors = await _alone(here)
        daemon = Check("daemon", "fail", error.message, error.hint)
    return [asdict(python_check()), asdict(daemon), *checks], doors


async def _alone(here: Invocation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Check what can be checked without a daemon."""
    from netsky_runtime.checks import disk

    checks = [
        sqlite_check(sqlite3.sqlite_version),
        home_check(here.home),
        await database_check(here.home),
        *await engine_checks(here.home),
    ]
    room = [disk(here.home)] if present(here.home.root) else []
    told, doors = await door_checks(here)
    return [*map(asdict, checks), *room, *told], doors


def python_check() -> Check:
    """Say which Python runs which netsky."""
    version = netsky_runtime.__version__
    return Check("python", "ok", f"{platform.python_version()}, netsky {version}")


def sqlite_check(version: str) -> Check:
    """Say whether this SQLite has the WAL-reset race."""
    number = tuple(int(part) for part in version.split("."))
    newest, *older = _WAL_RESET_FIXED
    fixed = number >= newest or any(line[:2] == number[:2] and number >= line for line in older)
    note = "" if fixed else " (its WAL-reset race cannot strike: only one process writes)"
    return Check("sqlite", "ok", f"{version}{note}")


def home_check(home: Home) -> Check:
    """Look at the folder without creating it."""
    try:
        status = home.root.stat()
    except FileNotFoundError:
        exposed = home.exposure()
        detail = f"{home.root} does not exist yet; it is made at the first start"
        return Check("home", "warn" if exposed else "ok", detail, exposed)
    except OSError as error:
        return Check("home", "fail", f"{home.root}: {error.strerror}", _OTHER_HOME)
    if not stat.S_ISDIR(status.st_mode):
        return Check("home", "fail", f"{home.root} is not a folder", _OTHER_HOME)
    if status.st_uid != os.getuid():
        return Check("home", "fail", f"{home.root} belongs to another user", _OTHER_HOME)
    if not os.access(home.root, os.R_OK | os.W_OK | os.X_OK):
        return Check("home", "fail", f"{home.root} is not writable", _OTHER_HOME)
    if status.st_mode & 0o077:
        detail = f"{home.root} is open to others; the next start closes it"
        return Check("home", "warn", detail, f"chmod 700 {home.root}")
    exposed = home.exposure()
    return Check("home", "warn" if exposed else "ok", str(home.root), exposed)


_OTHER_HOME = "Set NETSKY_HOME to a folder of your own."


async def database_check(home: Home) -> Check:
    """Open the database the way every reading verb does."""
    try:
        if not present(home.database):
            return Check("database", "ok", "none yet; it is made at the first start")
        async with reader(home) as database:
            await database.data_version()
        size = home.database.stat().st_size / 1_000_000
    except NetskyError as error:
        return Check("database", "fail", error.message, error.hint)
    return Check("database", "ok", f"{home.database}, {size:.1f} MB")


async def engine_checks(home: Home) -> list[Check]:
    """Name what works on without a daemon: the engine, an mcp-server, resident Codexes."""
    try:
        working = in_words(await behind(home), alone=True)
    except NetskyError:  # the database has a check of its own
        return []
    taken_over = "`netsky` takes it over, `netsky stop` ends it."
    return [
        Check(name, "warn", detail, "`netsky stop` ends it." if name == MCP_SERVER else taken_over)
        for name, detail in working.items()
    ]


async def door_checks(here: Invocation) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Find Codex and knock at its doors; keeps nothing of what they answer."""
    from netsky_runtime import door_checks, settings
    from netsky_runtime.clock import SystemClock
    from netsky_runtime.codex import binary
    from netsky_runtime.codex.probe import Doors, Forgetful

    try:
        chosen = settings.load(await _stored(here), here.environ)
    except NetskyError as error:
        return [asdict(Check("settings", "fail", error.message, error.hint))], []
    checks = door_checks.containment(chosen)
    try:
        found = binary.find(chosen.codex_bin, here.environ)
        known = Doors(
            store=Forgetful(),
            named=chosen.codex_bin,
            environ=here.environ,
            clock=SystemClock(),
        )
        results = await known.look()
    except NetskyError as error:
        needed = chosen.runtime != "scripted"
        codex = Check("codex", "fail" if needed else "warn", error.message, error.hint)
        return [asdict(codex), *checks], []
    codex = Check("codex", "ok", f"{found.path} (from {found.origin})")
    told = door_checks.checks(chosen, results)
    return [asdict(codex), *told, *checks], door_checks.doors(chosen, results)


async def _stored(here: Invocation) -> Mapping[str, str]:
    async def body(tx: Tx) -> Mapping[str, str]:
        from netsky_runtime.db import settings

        return await settings.get_all(tx)

    try:
        return await read(here.home, body, empty={})
    except NetskyError:  # the database has a check of its own
        return {}
