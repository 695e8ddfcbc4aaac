"""Which tasks may begin, and how many workers are at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows, tasks

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.records import Task

_WAITING = f"""
SELECT {tasks.COLUMNS} FROM tasks
WHERE (status = 'open' AND owner_id IS NOT NULL AND manager_id IS NOT NULL)
    OR (status = 'blocked' AND NOT EXISTS (
        SELECT 1 FROM task_dependencies JOIN tasks AS needed ON needed.id = depends_on_id
        WHERE task_id = tasks.id AND needed.status <> 'done'))
ORDER BY priority, number
"""  # noqa: S608 - constants only
_LIVE_WORKERS = """
SELECT count(DISTINCT actors.id) FROM tasks JOIN actors ON actors.id = tasks.owner_id
WHERE tasks.status = 'in_progress' AND actors.status = 'active' AND actors.kind = 'worker'
"""


async def waiting(tx: Tx) -> tuple[Task, ...]:
    """Return what may have to change by itself, urgent first.

    These are blocked tasks that wait for nothing any more, managed or not, and open ones that
    have a worker and wait for a place.
    """
    return tuple(tasks.row_to_task(row) for row in await rows.many(tx, _WAITING))


async def live_workers(tx: Tx) -> int:
    """Return how many active workers have a task in progress."""
    return int(await rows.value(tx, _LIVE_WORKERS))
