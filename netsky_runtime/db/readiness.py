"""Which tasks may begin, and how many workers are at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows, tasks

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.records import Task

_WAITING = f"""
SELECT {tasks.COLUMNS} FROM tasks
WHERE (status = 'open' AND (
        (owner_id IS NOT NULL AND manager_id IS NOT NULL) OR EXISTS (
            SELECT 1 FROM task_dependencies JOIN tasks AS needed ON needed.id = depends_on_id
            WHERE task_id = tasks.id AND needed.status <> 'done')))
    OR (status = 'blocked' AND NOT EXISTS (
        SELECT 1 FROM task_dependencies JOIN tasks AS needed ON needed.id = depends_on_id
        WHERE task_id = tasks.id AND needed.status <> 'done'))
ORDER BY priority, number
"""  # noqa: S608 - constants only
_STUCK = f"""
SELECT {tasks.COLUMNS} FROM tasks
WHERE status = 'blocked' AND id IN (SELECT task_id FROM task_dependencies WHERE depends_on_id = ?)
ORDER BY priority, number
"""  # noqa: S608 - constants only
_IN_VAIN = """
SELECT task_id, depends_on_id FROM task_dependencies
JOIN tasks AS waiting ON waiting.id = task_id AND waiting.status = 'blocked'
JOIN tasks AS needed ON needed.id = depends_on_id AND needed.status IN ('failed', 'cancelled')
ORDER BY waiting.number, needed.number
"""
_IN_VAIN_OF = """
SELECT depends_on_id FROM task_dependencies
JOIN tasks AS needed ON needed.id = depends_on_id AND needed.status IN ('failed', 'cancelled')
WHERE task_id = ? ORDER BY needed.number
"""
_LIVE_WORKERS = """
SELECT count(DISTINCT actors.id) FROM tasks JOIN actors ON actors.id = tasks.owner_id
WHERE tasks.status = 'in_progress' AND actors.status = 'active' AND actors.kind = 'worker'
"""


async def waiting(tx: Tx) -> tuple[Task, ...]:
    """Return what may have to change by itself, urgent first.

    These are blocked tasks that wait for nothing any more, managed or not, open ones that have
    a worker and wait for a place, and open ones that something was taken from: what they depend
    on was done and is open again.
    """
    return tuple(tasks.row_to_task(row) for row in await rows.many(tx, _WAITING))


async def stuck_behind(tx: Tx, task_id: str) -> tuple[Task, ...]:
    """Return the blocked tasks that wait for this one, urgent first."""
    return tuple(tasks.row_to_task(row) for row in await rows.many(tx, _STUCK, task_id))


async def in_vain(tx: Tx) -> dict[str, tuple[str, ...]]:
    """Return blocked task to the tasks it waits for that failed or were cancelled."""
    found: dict[str, tuple[str, ...]] = {}
    for row in await rows.many(tx, _IN_VAIN):
        found[row["task_id"]] = (*found.get(row["task_id"], ()), row["depends_on_id"])
    return found


async def in_vain_of(tx: Tx, task_id: str) -> tuple[str, ...]:
    """Return what this task waits for that failed or was cancelled."""
    return tuple(row["depends_on_id"] for row in await rows.many(tx, _IN_VAIN_OF, task_id))


async def live_workers(tx: Tx) -> int:
    """Return how many active workers have a task in progress."""
    return int(await rows.value(tx, _LIVE_WORKERS))
