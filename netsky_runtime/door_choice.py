"""Which door to Codex a thread gets: the one that was asked for, else the best that is open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.door_stores import DoorRows
from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.probe import Doors
    from netsky_runtime.db.connection import Database
    from netsky_runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """The door of new actors."""

    runtime: RuntimeName
    notices: tuple[str, ...] = ()
    """Why ``auto`` passed the doors before it."""


def doors(
    settings: Settings, environ: Mapping[str, str], *, database: Database, clock: Clock
) -> Doors:
    """Return the doors of the Codex that these settings name, remembered in the database."""
    from netsky_runtime.codex.probe import Doors

    store = DoorRows(database=database)
    return Doors(store=store, named=settings.codex_bin, environ=environ, clock=clock)


async def choose(settings: Settings, doors: Callable[[], Doors]) -> Choice:
    """Take the door that was set, else the first that is open.

    Without any it is app_server, for its error to be shown.
    """
    if settings.runtime != "auto":
        return Choice(RuntimeName(settings.runtime))
    try:
        best, closed = await doors().best()
    except CodexMissing:
        return Choice(RuntimeName.APP_SERVER)
    notices = tuple(f"{result.door.value} is not open: {result.reason}" for result in closed)
    return Choice(best.door if best else RuntimeName.APP_SERVER, notices)


async def sidecar_door(
    settings: Settings, doors: Callable[[], Doors], best: RuntimeName
) -> RuntimeName:
    """Return the door of a sidecar's new thread: the one that was set, else mcp_server if open."""
    if settings.runtime == "auto" and (await doors().ask(RuntimeName.MCP_SERVER)).open:
        return RuntimeName.MCP_SERVER
    return best


async def check_door(doors: Callable[[], Doors], door: RuntimeName) -> None:
    """Raise ``Unhealthy`` for a door that somebody asked for and that is not open."""
    if door is RuntimeName.SCRIPTED:
        return
    result = await doors().ask(door)
    if not result.open:
        msg = f"{door.value} is not open. {result.reason}"
        raise Unhealthy(msg, hint="`netsky doctor` tells which doors are open.")
