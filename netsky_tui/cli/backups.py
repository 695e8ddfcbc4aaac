"""``netsky backup`` and ``netsky restore``: a copy of everything stored, and back to it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock, iso
from netsky_runtime.errors import NotFound
from netsky_runtime.tilde import expand
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, fields, narrate
from netsky_tui.cli.reading import present, read, run

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home
    from netsky_runtime.restore import Restored

_TOLD = ("messages", "actor_inputs", "tasks", "turns", "events", "approvals")
"""The tables whose numbers of rows tell an operator how much there is."""


def register(app: typer.Typer) -> None:
    """Add the verbs to the root command."""
    app.command("backup")(backup)
    app.command("restore")(restore)


def backup(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="Where to; a new file in the home's backups folder if left out."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database to a file, and read the copy from end to end.

    The file's folder must be there. A daemon that runs goes on. Of the copies in the home's
    backups folder the newest are kept: see the setting backup_keep.
    """
    home = Invocation.of(ctx).home
    if not present(home.database):
        msg = f"There is no database {home.database} yet."
        raise NotFound(msg, hint="It is made at the first start.")
    target = file and expand(file).absolute()
    if target is not None and target.parent != home.backups and not present(target.parent):
        msg = f"There is no folder {target.parent}."
        raise NotFound(msg, hint="Make it first, or leave out FILE: the home's backups folder.")
    told = run(_take(home, target))
    if as_json:
        emit(told)
        return
    counted = told["rows"]
    fields(
        {
            "backup": told["path"],
            "size": f"{told['bytes'] / 1e6:.1f} MB",
            "newest": iso(told["newest_at"]) if told["newest_at"] else "nothing has happened yet",
            **{name.replace("_", " "): counted.get(name) for name in _TOLD},
        }
    )
    narrate("verified: pages, indexes and references are whole")


async def _take(home: Home, file: Path | None) -> dict[str, Any]:
    from netsky_runtime.db import backup as copies

    folder, now = home.backups, SystemClock().now()
    target = await asyncio.to_thread(copies.free_name, folder, now) if file is None else file
    copy = await asyncio.to_thread(copies.take, home.database, target)
    if file is None:
        keep = await _keep(home)
        await asyncio.to_thread(copies.prune, folder, keep=max(keep, 1), now=now)
    return copy.told()


async def _keep(home: Home) -> int:
    from netsky_runtime import settings
    from netsky_runtime.db import settings as rows

    async def body(tx: Tx) -> int:
        return settings.load(await rows.get_all(tx), environ={}).backup_keep

    return await read(home, body, empty=settings.Settings().backup_keep)


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `backup` made.")],
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the database.

    The database that was there is set aside, never deleted. Only while nothing runs. What happened
    after the backup is not in it: an input that it still calls queued is sent only when its
    thread's history does not show it, and is uncertain where the backup does not know it.
    """
    home = Invocation.of(ctx).home
    done = run(_restore(home, expand(file).absolute()))
    if as_json:
        emit(_present(done))
    else:
        _show(done)


async def _restore(home: Home, file: Path) -> Restored:
    from netsky_runtime.errors import DaemonRunning, HomeBusy
    from netsky_runtime.restore import restore as put_back

    try:
        return await put_back(home, file, clock=SystemClock())
    except HomeBusy:
        raise
    except DaemonRunning as error:
        msg = "A daemon runs on this home: its database cannot be replaced."
        raise DaemonRunning(msg, hint="`netsky stop`, then restore.") from error


def _present(done: Restored) -> dict[str, Any]:
    return {
        "restored": done.copy.told(),
        "before": None if done.before is None else done.before.told(),
        "aside": None if done.aside is None else str(done.aside),
        "epoch": done.epoch,
        "asked": list(done.asked),
        "uncertain": list(done.uncertain),
    }


def _show(done: Restored) -> None:
    then = done.copy.rows
    now = {} if done.before is None else done.before.rows
    at = iso(done.copy.newest_at) if done.copy.newest_at else "before anything happened"
    told: dict[str, object] = {"restored": at, "set aside": done.aside}
    for name in _TOLD:
        here = then.get(name, 0)
        gone = now.get(name, here) - here
        told[name.replace("_", " ")] = f"{here}, {gone} fewer than before" if gone > 0 else here
    told["epoch"] = done.epoch
    fields(told)
    if done.before is None:
        narrate("The database that was there could not be read.")
    if done.asked:
        narrate(f"Looked for in their threads' history before they are sent: {len(done.asked)}.")
    if done.uncertain:
        narrate(f"Uncertain now, see `netsky inputs list`: {len(done.uncertain)}.")
