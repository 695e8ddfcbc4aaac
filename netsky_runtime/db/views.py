"""What the room draws, each in a few statements and in pages; nothing here reads whole tables.

Messages and events are paged by ``messages.recent`` and ``events.recent``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import (
    actors,
    rows,
    sessions,
    tasks,
    turns,
    vitals,
)
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.records import Actor, Session, Task, Turn
    from netsky_runtime.vital_records import Vital

_ACTORS = """
SELECT actors.*,
    (SELECT count(*) FROM actor_inputs AS i
     WHERE i.actor_id = actors.id AND i.status IN ('queued', 'handed', 'seen')) AS open_inputs,
    (SELECT count(*) FROM actor_inputs AS i
     WHERE i.actor_id = actors.id AND i.status = 'uncertain') AS uncertain,
    (SELECT count(*) FROM approvals AS a
     WHERE a.actor_id = actors.id AND a.status = 'pending') AS pending_approvals,
    (SELECT min(a.created_at) FROM approvals AS a
     WHERE a.actor_id = actors.id AND a.status = 'pending') AS pending_since,
    (SELECT min(m.created_at) FROM messages AS m
     WHERE m.sender = actors.id AND m.kind = 'question' AND m.status = 'routed')
        AS question_since,
    (SELECT e.at FROM events AS e
     WHERE e.actor_id = actors.id ORDER BY e.seq DESC LIMIT 1) AS last_event_at,
    (SELECT t.status FROM turns AS t
     WHERE t.actor_id = actors.id ORDER BY t.started_at DESC, t.rowid DESC LIMIT 1) AS last_turn
FROM actors
"""
ALL_ACTORS = _ACTORS + "WHERE (created_at, id) > (?, ?) ORDER BY created_at, id LIMIT ?"
ONE_ACTOR = _ACTORS + "WHERE id = ?"
_UNMET = """
(SELECT group_concat(needed.id) FROM task_dependencies AS d
 JOIN tasks AS needed ON needed.id = d.depends_on_id
 WHERE d.task_id = tasks.id AND needed.status <> 'done') AS unmet
"""
OPEN_TASKS = f"""
SELECT {tasks.COLUMNS}, {_UNMET} FROM tasks INDEXED BY tasks_open
WHERE status IN ('open', 'blocked', 'in_progress', 'reported') AND (priority, number) > (?, ?)
ORDER BY priority, number LIMIT ?
"""  # noqa: S608 - constants only
CLOSED_TASKS = f"""
SELECT {tasks.COLUMNS}, {_UNMET} FROM tasks
WHERE closed_at IS NOT NULL AND (closed_at, number) < (?, ?)
ORDER BY closed_at DESC, number DESC LIMIT ?
"""  # noqa: S608 - constants only
FAILED_REPORTS = """
SELECT id FROM tasks INDEXED BY tasks_by_status
WHERE status IN ('in_progress', 'reported')
    AND (SELECT json_extract(m.metadata_json, '$.status') FROM messages AS m
         WHERE m.task_id = tasks.id AND m.kind = 'report' ORDER BY m.seq DESC LIMIT 1) = 'failed'
"""
_END_OF_TIME = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorView:
    """An actor with what its health is derived from; times are ms since the epoch."""

    actor: Actor
    session: Session | None
    """The one that is not over."""
    turn: Turn | None
    """The running one, that of the session's own thread before any other."""
    open_inputs: int
    """Queued, handed or seen."""
    uncertain: int
    """Inputs that a human has to decide."""
    pending_approvals: int
    pending_since: int | None
    """When the oldest pending approval came."""
    question_since: int | None
    """When its oldest open question was asked."""
    last_event_at: int | None
    """When the last fact of its threads happened."""
    last_turn: TurnStatus | None
    """How its latest turn ended, or that it runs; ``None``: it had none."""
    vital: Vital | None = None
    """How the running turn lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """A task with what it still waits for."""

    task: Task
    unmet: tuple[str, ...]


async def actor_views(
    tx: Tx, *, limit: int | None = None, after: Actor | None = None
) -> tuple[ActorView, ...]:
    """Return actors, oldest first; ``after`` is the last one of the page before."""
    place = (-1, "") if after is None else (after.created_at, after.id)
    return await _views(tx, await rows.many(tx, ALL_ACTORS, *place, -1 if limit is None else limit))


async def actor_view(tx: Tx, actor_id: str) -> ActorView | None:
    """Return one actor, if there is one of that name."""
    found = await _views(tx, await rows.many(tx, ONE_ACTOR, actor_id))
    return found[0] if found else None


async def open_tasks(
    tx: Tx, *, limit: int = 200, after: Task | None = None
) -> tuple[TaskView, ...]:
    """Return tasks that are not closed, urgent first; ``after`` ends the page before."""
    place = ("", 0) if after is None else (after.priority.value, tasks.number(after.id))
    return await _task_views(tx, OPEN_TASKS, *place, limit)


async def closed_tasks(
    tx: Tx, *, limit: int = 200, after: Task | None = None
) -> tuple[TaskView, ...]:
    """Return closed tasks, the last closed first; ``after`` ends the page before."""
    place = (_END_OF_TIME, 0)
    if after is not None:
        place = (after.closed_at or 0, tasks.number(after.id))
    return await _task_views(tx, CLOSED_TASKS, *place, limit)


async def failed_reports(tx: Tx) -> frozenset[str]:
    """Return the tasks in somebody's hands whose last report tells of a failed turn."""
    return frozenset(row["id"] for row in await rows.many(tx, FAILED_REPORTS))


async def _views(tx: Tx, found: Sequence[Row]) -> tuple[ActorView, ...]:
    current = {session.actor_id: session for session in await sessions.list_current(tx)}
    running: dict[str, Turn] = {}
    for turn in await turns.running(tx):
        session = current.get(turn.actor_id)
        if turn.actor_id not in running or (session and session.thread_id == turn.thread_id):
            running[turn.actor_id] = turn
    lives = await vitals.of_running(tx) if running else {}
    return tuple(
        ActorView(
            actor=actors.row_to_actor(row),
            session=current.get(row["id"]),
            turn=running.get(row["id"]),
            open_inputs=row["open_inputs"],
            uncertain=row["uncertain"],
            pending_approvals=row["pending_approvals"],
            pending_since=row["pending_since"],
            question_since=row["question_since"],
            last_event_at=row["last_event_at"],
            last_turn=TurnStatus(row["last_turn"]) if row["last_turn"] else None,
            vital=_life(lives, running.get(row["id"])),
        )
        for row in found
    )


def _life(lives: Mapping[tuple[str, str], Vital], turn: Turn | None) -> Vital | None:
    return None if turn is None else lives.get((turn.thread_id, turn.id))


async def _task_views(tx: Tx, sql: str, *params: object) -> tuple[TaskView, ...]:
    return tuple(
        TaskView(
            task=tasks.row_to_task(row),
            unmet=tasks.in_order(row["unmet"]),
        )
        for row in await rows.many(tx, sql, *params)
    )
