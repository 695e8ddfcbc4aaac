"""Rows of ``actors``."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import Actor
from netsky_runtime.states import ActorKind, ActorStatus

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

_GET = "SELECT * FROM actors WHERE id = ?"
_ALL = "SELECT * FROM actors ORDER BY created_at, rowid"
_SET_STATUS = """
UPDATE actors SET status = ?, park_reason = ?, updated_at = ? WHERE id = ? RETURNING id
"""
_SET_KIND = "UPDATE actors SET kind = ?, updated_at = ? WHERE id = ? RETURNING id"
_SET_CWD = "UPDATE actors SET cwd = ?, updated_at = ? WHERE id = ? RETURNING id"
_NAMES = "SELECT id FROM actors WHERE id GLOB ? || '[0-9]*'"


async def insert(tx: Tx, actor: Actor) -> None:
    """Add an actor; raises ``Conflict`` when its name is taken."""
    values = {
        "id": actor.id,
        "kind": actor.kind.value,
        "status": actor.status.value,
        "manager_id": actor.manager_id,
        "objective": actor.objective,
        "cwd": actor.cwd,
        "park_reason": actor.park_reason,
        "created_at": actor.created_at,
        "updated_at": actor.updated_at,
    }
    try:
        await rows.insert(tx, "actors", values)
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorname != "SQLITE_CONSTRAINT_PRIMARYKEY":
            raise
        msg = f"There is already an actor {actor.id!r}."
        raise Conflict(msg, hint="Choose another name.") from error


async def get(tx: Tx, actor_id: str) -> Actor | None:
    """Return the actor, if there is one of that name."""
    row = await rows.one(tx, _GET, actor_id)
    return None if row is None else row_to_actor(row)


async def require(tx: Tx, actor_id: str) -> Actor:
    """Return the actor; raises ``NotFound``."""
    actor = await get(tx, actor_id)
    if actor is None:
        raise unknown(actor_id)
    return actor


async def list_all(tx: Tx) -> tuple[Actor, ...]:
    """Return all actors, the owner among them, oldest first."""
    return tuple(row_to_actor(row) for row in await rows.many(tx, _ALL))


async def set_status(
    tx: Tx, actor_id: str, status: ActorStatus, *, reason: str = "", now: int
) -> None:
    """Set the status; ``reason`` is kept only while the actor is parked. Raises ``NotFound``."""
    kept = reason if status is ActorStatus.PARKED else ""
    _found(actor_id, await rows.many(tx, _SET_STATUS, status.value, kept, now, actor_id))


async def set_kind(tx: Tx, actor_id: str, kind: ActorKind, *, now: int) -> None:
    """Make the actor another kind of thing; raises ``NotFound``."""
    _found(actor_id, await rows.many(tx, _SET_KIND, kind.value, now, actor_id))


async def set_cwd(tx: Tx, actor_id: str, cwd: str, *, now: int) -> None:
    """Say where the actor works; raises ``NotFound``."""
    _found(actor_id, await rows.many(tx, _SET_CWD, cwd, now, actor_id))


async def next_name(tx: Tx, kind: ActorKind) -> str:
    """Return the next free name of a kind: ``worker7``, ``manager0`` for the first manager."""
    stem = kind.value
    endings = [str(row[0])[len(stem) :] for row in await rows.many(tx, _NAMES, stem)]
    # Names given by hand may look alike (``worker7b``): only plain numbers count.
    used = [int(ending) for ending in endings if ending.isascii() and ending.isdecimal()]
    first = 0 if kind is ActorKind.MANAGER else 1
    return f"{stem}{max(used, default=first - 1) + 1}"


def unknown(actor_id: str) -> NotFound:
    """Return the error for an actor that nobody knows."""
    msg = f"There is no actor {actor_id!r}."
    return NotFound(msg, hint="`netsky actors list` names them all.")


def row_to_actor(row: Row) -> Actor:
    """Read one row of ``actors``."""
    return Actor(
        id=row["id"],
        kind=ActorKind(row["kind"]),
        status=ActorStatus(row["status"]),
        manager_id=row["manager_id"],
        objective=row["objective"],
        cwd=row["cwd"],
        park_reason=row["park_reason"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _found(actor_id: str, changed: list[Row]) -> None:
    if not changed:
        raise unknown(actor_id)
