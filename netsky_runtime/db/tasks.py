"""Rows of ``tasks`` and ``task_dependencies``. A dependency is met when its task is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.records import Task
from netsky_runtime.states import Priority, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Collection

    from netsky_runtime.db.rows import Row, Tx

COLUMNS = """
tasks.*, (SELECT group_concat(depends_on_id) FROM task_dependencies
          WHERE task_id = tasks.id) AS depends_on
"""
_GET = f"SELECT {COLUMNS} FROM tasks WHERE id = ?"  # noqa: S608 - constants only
_LIST = f"""
SELECT {COLUMNS} FROM tasks
WHERE number > ?1 AND (?2 IS NULL OR status IN (SELECT value FROM json_each(?2)))
ORDER BY number LIMIT ?3
"""  # noqa: S608 - constants only
_LANE = "(?1 IS NULL OR manager_id = ?1 OR owner_id = ?1)"
OPEN_IN = f"""
SELECT {COLUMNS} FROM tasks INDEXED BY tasks_open
WHERE status IN ('open', 'blocked', 'in_progress', 'reported') AND {_LANE}
ORDER BY priority, number LIMIT ?2
"""  # noqa: S608 - constants only
CLOSED_IN = f"""
SELECT {COLUMNS} FROM tasks INDEXED BY tasks_closed WHERE closed_at IS NOT NULL AND {_LANE}
ORDER BY closed_at DESC, number DESC LIMIT ?2
"""  # noqa: S608 - constants only
_OF_OWNER = f"SELECT {COLUMNS} FROM tasks WHERE owner_id = ? ORDER BY number"  # noqa: S608 - as above
_TOUCHED = "INSERT OR IGNORE INTO task_turns (task_id, thread_id, turn_id) VALUES (?, ?, ?)"
_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM tasks"
_SET_STATUS = """
UPDATE tasks SET status = ?, updated_at = ?, closed_at = ? WHERE id = ? RETURNING id
"""
_SET_FIELDS = """
UPDATE tasks SET title = coalesce(?, title), body = coalesce(?, body),
    priority = coalesce(?, priority), estimate_minutes = coalesce(?, estimate_minutes),
    updated_at = ?
WHERE id = ? RETURNING id
"""
_ASSIGN = """
UPDATE tasks SET owner_id = ?, manager_id = ?, updated_at = ? WHERE id = ? RETURNING id
"""
_UNMET = """
SELECT needed.id FROM task_dependencies JOIN tasks AS needed ON needed.id = depends_on_id
WHERE task_id = ? AND needed.status <> 'done' ORDER BY needed.number
"""
_ADD_DEPENDENCY = """
INSERT INTO task_dependencies (task_id, depends_on_id, added_at) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING
"""
_REMOVE_DEPENDENCY = """
DELETE FROM task_dependencies WHERE task_id = ? AND depends_on_id = ? RETURNING task_id
"""
# Every task that the first one needs, with the edge it was first reached by.
_NEEDED_BY = """
WITH RECURSIVE needed (id) AS (
    VALUES (?)
    UNION SELECT depends_on_id FROM task_dependencies JOIN needed ON task_id = needed.id)
SELECT task_id, depends_on_id FROM task_dependencies JOIN needed ON task_id = needed.id
"""


async def touched(tx: Tx, task_id: str, *, thread_id: str, turn_id: str) -> None:
    """Record that a turn has started or changed the task: a trace leads from one to the other."""
    await rows.many(tx, _TOUCHED, task_id, thread_id, turn_id)


async def insert(
    tx: Tx,
    *,
    title: str,
    body: str = "",
    priority: Priority = Priority.P2,
    status: TaskStatus = TaskStatus.OPEN,
    owner_id: str | None = None,
    manager_id: str | None = None,
    estimate_minutes: int | None = None,
    now: int,
) -> Task:
    """Add a task under the next number; raises ``UsageError`` when it has no title."""
    if not title.strip():
        msg = "The task has no title."
        raise UsageError(msg, hint="Say in a few words what is to be done.")
    place = int(await rows.value(tx, _NEXT_NUMBER))
    task = Task(
        id=f"t{place}",
        title=title,
        body=body,
        priority=priority,
        status=status,
        owner_id=owner_id,
        manager_id=manager_id,
        estimate_minutes=estimate_minutes,
        created_at=now,
        updated_at=now,
        closed_at=now if status.closed else None,
    )
    await rows.insert(
        tx,
        "tasks",
        {
            "id": task.id,
            "number": place,
            "title": title,
            "body": body,
            "priority": priority.value,
            "status": status.value,
            "owner_id": owner_id,
            "manager_id": manager_id,
            "estimate_minutes": estimate_minutes,
            "created_at": now,
            "updated_at": now,
            "closed_at": task.closed_at,
        },
    )
    return task


async def get(tx: Tx, task_id: str) -> Task | None:
    """Return the task, if there is one of that id."""
    row = await rows.one(tx, _GET, task_id)
    return None if row is None else row_to_task(row)


async def require(tx: Tx, task_id: str) -> Task:
    """Return the task; raises ``NotFound``."""
    task = await get(tx, task_id)
    if task is None:
        raise _unknown(task_id)
    return task


async def list_(
    tx: Tx,
    *,
    statuses: Collection[TaskStatus] | None = None,
    limit: int | None = None,
    after_number: int = 0,
) -> tuple[Task, ...]:
    """Return tasks, oldest first, those numbered above ``after_number``."""
    wanted = None if statuses is None else rows.words(statuses)
    return await _many(tx, _LIST, after_number, wanted, -1 if limit is None else limit)


async def open_in(tx: Tx, lane: str | None, *, limit: int) -> tuple[Task, ...]:
    """Return tasks that are not closed, the most urgent first.

    ``lane`` is the actor that manages or owns them; ``None`` means all.
    """
    return await _many(tx, OPEN_IN, lane, limit)


async def closed_in(tx: Tx, lane: str | None, *, limit: int) -> tuple[Task, ...]:
    """Return closed tasks of a lane, or of all, the last closed first."""
    return await _many(tx, CLOSED_IN, lane, limit)


async def set_status(tx: Tx, task_id: str, status: TaskStatus, *, now: int) -> None:
    """Set the status, and when it closed; raises ``NotFound``."""
    closed = now if status.closed else None
    _found(task_id, await rows.many(tx, _SET_STATUS, status.value, now, closed, task_id))


async def set_fields(
    tx: Tx,
    task_id: str,
    *,
    title: str | None = None,
    body: str | None = None,
    priority: Priority | None = None,
    estimate_minutes: int | None = None,
    now: int,
) -> None:
    """Change what is given; raises ``UsageError`` for an empty title, ``NotFound``."""
    if title is not None and not title.strip():
        msg = "A task needs a title."
        raise UsageError(msg, hint="Say in a few words what is to be done.")
    level = None if priority is None else priority.value
    changed = await rows.many(tx, _SET_FIELDS, title, body, level, estimate_minutes, now, task_id)
    _found(task_id, changed)


async def assign(
    tx: Tx, task_id: str, *, owner_id: str | None, manager_id: str | None, now: int
) -> None:
    """Say who does the task and who it is reported to; raises ``NotFound``."""
    _found(task_id, await rows.many(tx, _ASSIGN, owner_id, manager_id, now, task_id))


async def add_dependency(tx: Tx, task_id: str, on_id: str, *, now: int) -> None:
    """Let a task wait for another; asking for it again changes nothing.

    Raises ``NotFound`` for an unknown task, ``UsageError`` naming the path when the two would
    wait for each other.
    """
    for each in (task_id, on_id):
        await require(tx, each)
    if path := await _path(tx, on_id, task_id):
        msg = f"{task_id} cannot wait for {on_id}: " + " → ".join((task_id, *path)) + "."
        raise UsageError(msg, hint="Take one of these dependencies out of the plan.")
    await rows.many(tx, _ADD_DEPENDENCY, task_id, on_id, now)


async def remove_dependency(tx: Tx, task_id: str, on_id: str) -> None:
    """Let a task wait for another no longer; raises ``NotFound`` when it does not."""
    await require(tx, task_id)
    if not await rows.many(tx, _REMOVE_DEPENDENCY, task_id, on_id):
        msg = f"{task_id} does not depend on {on_id}."
        raise NotFound(msg, hint=f"`netsky tasks show {task_id}` tells what it depends on.")


async def unmet(tx: Tx, task_id: str) -> tuple[str, ...]:
    """Return the tasks that this one waits for."""
    return tuple(row["id"] for row in await rows.many(tx, _UNMET, task_id))


async def of_owner(tx: Tx, actor_id: str) -> tuple[Task, ...]:
    """Return the tasks an actor does or has done, oldest first."""
    return await _many(tx, _OF_OWNER, actor_id)


async def _path(tx: Tx, start: str, goal: str) -> tuple[str, ...]:
    """Return a shortest chain of needs from ``start`` to ``goal``, or nothing."""
    needs: dict[str, list[str]] = {}
    for row in await rows.many(tx, _NEEDED_BY, start):
        needs.setdefault(row["task_id"], []).append(row["depends_on_id"])
    paths: dict[str, tuple[str, ...]] = {start: (start,)}
    frontier = [start]
    while frontier and goal not in paths:
        reached = [(near, far) for near in frontier for far in needs.get(near, ())]
        frontier = []
        for near, far in reached:
            if far not in paths:
                paths[far] = (*paths[near], far)
                frontier.append(far)
    return paths.get(goal, ())


async def _many(tx: Tx, sql: str, *params: object) -> tuple[Task, ...]:
    return tuple(row_to_task(row) for row in await rows.many(tx, sql, *params))


def row_to_task(row: Row) -> Task:
    """Read one row of ``tasks``, selected as ``COLUMNS``."""
    return Task(
        id=row["id"],
        title=row["title"],
        body=row["body"],
        priority=Priority(row["priority"]),
        status=TaskStatus(row["status"]),
        owner_id=row["owner_id"],
        manager_id=row["manager_id"],
        estimate_minutes=row["estimate_minutes"],
        depends_on=in_order(row["depends_on"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        closed_at=row["closed_at"],
    )


def number(task_id: str) -> int:
    """Return a task's number: 7 for ``t7``."""
    return int(task_id[1:])


def in_order(ids: str | None) -> tuple[str, ...]:
    """Read ids from ``group_concat``, which keeps no order of its own."""
    return tuple(sorted(ids.split(","), key=number)) if ids else ()


def _found(task_id: str, changed: list[Row]) -> None:
    if not changed:
        raise _unknown(task_id)


def _unknown(task_id: str) -> NotFound:
    msg = f"There is no task {task_id!r}."
    return NotFound(msg, hint="`netsky tasks list` shows all.")
