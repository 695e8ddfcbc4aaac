"""Rows of ``respawns``: the threads that were lost under their actors' hands, and the pardon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import actors, rows
from netsky_runtime.records import CRASH_LOOP
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

_INSERT = "INSERT INTO respawns (actor_id, at, reason) VALUES (?, ?, ?)"
# A clock that was set back leaves rows of the future, which would count for ever.
_PRUNE = "DELETE FROM respawns WHERE actor_id = ? AND (at <= ? OR at > ?)"
_COUNT = "SELECT count(*) FROM respawns WHERE actor_id = ?"
_LOOPING = """
SELECT id FROM actors WHERE status = 'parked' AND substr(park_reason, 1, ?) = ? ORDER BY id
"""
_CLEAR = "DELETE FROM respawns WHERE actor_id = ?"


async def record(tx: Tx, actor_id: str, *, reason: str, window_ms: int, now: int) -> int:
    """Record that the actor has lost its thread; return how often it has in the window till now."""
    await rows.many(tx, _PRUNE, actor_id, now - window_ms, now)
    await rows.many(tx, _INSERT, actor_id, now, reason)
    return int(await rows.value(tx, _COUNT, actor_id))


async def looping(tx: Tx) -> tuple[str, ...]:
    """Return the actors that are parked because they lost their threads again and again."""
    return tuple(row["id"] for row in await rows.many(tx, _LOOPING, len(CRASH_LOOP), CRASH_LOOP))


async def pardon(tx: Tx, actor_id: str, *, now: int) -> None:
    """Forget what the actor lost and let it work again if it is parked: its owner wants it to.

    Raises ``NotFound``.
    """
    await rows.many(tx, _CLEAR, actor_id)
    if (await actors.require(tx, actor_id)).status is ActorStatus.PARKED:
        await actors.set_status(tx, actor_id, ActorStatus.ACTIVE, now=now)
