"""What each actor has to do, in one statement: who comes back at a start is decided from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import actors, rows

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.records import Actor

_STANDINGS = """
SELECT actors.*,
    EXISTS (SELECT 1 FROM actor_inputs AS i WHERE i.actor_id = actors.id
        AND i.status IN ('queued', 'handed', 'seen')) AS waits,
    EXISTS (SELECT 1 FROM actor_inputs AS i WHERE i.actor_id = actors.id
        AND i.status IN ('queued', 'handed', 'seen') AND i.batch_id <> '')
    OR EXISTS (SELECT 1 FROM turns AS t WHERE t.actor_id = actors.id AND t.status = 'in_progress')
    OR EXISTS (SELECT 1 FROM approvals AS a WHERE a.actor_id = actors.id AND a.status = 'pending')
        AS under_way,
    EXISTS (SELECT 1 FROM tasks AS k WHERE k.owner_id = actors.id
        AND k.status IN ('in_progress', 'reported')) AS has_task
FROM actors WHERE ?1 IS NULL OR actors.id = ?1 ORDER BY actors.created_at, actors.rowid
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An actor, and whether anything is left of its work."""

    actor: Actor
    waits: bool
    """An input is queued, handed or seen."""
    under_way: bool
    """An input was sent, a turn runs or a question of it is open, as far as known."""
    has_task: bool
    """It works on a task, or has reported one that is not closed."""


async def all_(tx: Tx) -> tuple[Standing, ...]:
    """Return the standing of every actor, the owner among them, oldest first."""
    return tuple(_standing(row) for row in await rows.many(tx, _STANDINGS, None))


async def of(tx: Tx, actor_id: str) -> Standing:
    """Return one actor's standing. Raises ``NotFound``."""
    row = await rows.one(tx, _STANDINGS, actor_id)
    if row is None:
        raise actors.unknown(actor_id)
    return _standing(row)


def _standing(row: Row) -> Standing:
    return Standing(
        actor=actors.row_to_actor(row),
        waits=bool(row["waits"]),
        under_way=bool(row["under_way"]),
        has_task=bool(row["has_task"]),
    )
