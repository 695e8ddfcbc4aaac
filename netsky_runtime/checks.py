"""What ``doctor`` asks of a running daemon, and what a home must be before anything starts."""

from __future__ import annotations

import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

from netsky_runtime import door_checks
from netsky_runtime.db import backup
from netsky_runtime.errors import Refused, Unhealthy
from netsky_runtime.housekeeping import BACK_UP, PRUNE
from netsky_runtime.settings import Settings, allowed_roots, work_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.codex.base import RuntimeInfo
    from netsky_runtime.paths import Home
    from netsky_runtime.records import DoorResult

LOW_DISK = 512 * 1024 * 1024
"""Bytes free below which the database is in danger."""
_NO_BACKUPS = 'netsky settings set backup_keep "" takes one a day again.'
_NO_FOLDER = "Make it a folder that is yours, or take it away: netsky makes it."
_TRIED_AGAIN = "It is tried again every ten minutes; `netsky backup` tries at once."
WAL_RACE_FIXED = (3, 51, 3)


def check_start(home: Home, settings: Settings, cwd: Path) -> None:
    """Refuse to start on settings that cannot hold; nothing has been created before.

    Raises ``Unhealthy`` for a work_dir that is gone, ``Refused`` for a home that actors could
    write to.
    """
    folder = work_dir(settings, cwd)
    if not folder.is_dir():
        msg = f"The setting work_dir names {folder}, and there is no such folder."
        hint = "Make it, or: netsky settings set work_dir DIR"
        raise Unhealthy(msg, hint=hint)
    check_home(home, allowed_roots(settings, cwd), settings)


def check_home(home: Home, roots: Sequence[Path], settings: Settings) -> None:
    """Refuse a home that actors could write to: they could forge their own approvals.

    Raises ``Refused``.
    """
    if settings.sandbox != "workspace-write":
        return
    place = home.root.resolve()
    for root in roots:
        if place.is_relative_to(root):
            msg = f"The home {place} lies inside {root}, where actors may write."
            hint = (
                "Start netsky in a project's folder: cd DIR && netsky. "
                "Or name one for good: netsky settings set work_dir DIR"
            )
            raise Refused(msg, hint=hint)


def checks(
    home: Home,
    info: RuntimeInfo,
    settings: Settings,
    results: Sequence[DoorResult],
    storage: Mapping[str, Any],
    housekeeping: Mapping[str, str],
) -> list[dict[str, Any]]:
    """Return ``{name, state, detail, hint}`` for everything; state is ok, warn, fail or shut.

    ``info`` is of the door that new actors get, ``results`` what all have just answered,
    ``storage`` how the daemon's database is, ``housekeeping`` what it could not do for it and why.
    """
    return [
        _runtime(info),
        *door_checks.checks(settings, results),
        _database(home, storage, housekeeping.get(PRUNE, "")),
        _backups(home, settings, housekeeping.get(BACK_UP, "")),
        disk(home),
        *door_checks.containment(settings),
        _place(home),
    ]


def _runtime(info: RuntimeInfo) -> dict[str, Any]:
    well = info.version and not info.notices and info.silent_since is None
    state = "ok" if well else "warn" if info.version else "fail"
    detail = " ".join(part for part in (info.name.value, info.version, info.detail) if part)
    if info.silent_since is not None:
        detail += ", which has not answered yet"
    return _check("runtime", state, detail, " ".join(info.notices))


def _database(home: Home, storage: Mapping[str, Any], unpruned: str) -> dict[str, Any]:
    if storage["problem"]:
        detail = f"{storage['problem']} Since {storage['since']}."
        return _check("database", "fail", detail, storage["hint"])
    size = home.database.stat().st_size
    detail = f"{home.database}, {size / 1e6:.1f} MB, SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info < WAL_RACE_FIXED:
        detail += " (the WAL-reset race of older versions cannot bite: one process writes)"
    if unpruned:
        return _check("database", "warn", f"{detail}; old rows were not pruned: {unpruned}")
    return _check("database", "ok", detail)


def _backups(home: Home, settings: Settings, failed: str) -> dict[str, Any]:
    try:
        found = backup.kept(home.backups)
    except OSError as error:
        why = f"{home.backups} cannot be read: {error.strerror or error}"
        return _check("backups", "fail", why, _NO_FOLDER)
    newest = f"{len(found)}, the newest {found[-1].name}" if found else "none yet"
    if settings.backup_keep and failed:
        detail = f"{newest}; the last could not be taken: {failed}"
        return _check("backups", "fail", detail, _TRIED_AGAIN)
    if settings.backup_keep:
        return _check("backups", "ok", newest)
    return _check("backups", "warn", f"{newest}; none is taken by itself", _NO_BACKUPS)


def disk(home: Home) -> dict[str, Any]:
    """Look at the room that is left for the home, which exists."""
    free = shutil.disk_usage(home.root).free
    state = "ok" if free > LOW_DISK else "warn"
    return _check("disk", state, f"{free / 1e9:.1f} GB free", "Make room." if state != "ok" else "")


def _place(home: Home) -> dict[str, Any]:
    exposed = home.exposure()
    return _check("home", "warn" if exposed else "ok", str(home.root.resolve()), exposed)


def _check(name: str, state: str, detail: str, hint: str = "") -> dict[str, Any]:
    return {"name": name, "state": state, "detail": detail, "hint": hint}
