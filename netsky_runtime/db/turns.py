"""Rows of ``turns``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.records import Turn
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netsky_runtime.db.rows import Row, Tx

STOPPED = "it was stopped while no netsky used it"
"""Error of a turn that runs as far as known, and does not any more."""
ASKED = "it was asked to stop"
"""Error of a turn that runs, and that somebody wants to end."""
ON_PURPOSE = frozenset({STOPPED, ASKED})
"""Errors of a running turn whose end is no crash, whatever it looks like."""

# A turn that is over stays over: its start may be told again after a resume.
_START = """
INSERT INTO turns (thread_id, id, actor_id, status, started_at, completed_at, error, final_text)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (thread_id, id) DO UPDATE SET actor_id = excluded.actor_id,
    started_at = min(started_at, excluded.started_at)
"""
_COMPLETE = """
UPDATE turns SET status = ?, completed_at = ?, error = ?, final_text = ?, stopped_by = ?
WHERE thread_id = ? AND id = ?
"""
_GET = "SELECT * FROM turns WHERE thread_id = ? AND id = ?"
_RUNNING = "SELECT * FROM turns WHERE status = 'in_progress' ORDER BY started_at"
_RUNNING_OF = """
SELECT * FROM turns WHERE actor_id = ? AND status = 'in_progress' ORDER BY started_at
"""
_LIST_FOR_ACTOR = """
SELECT * FROM turns WHERE actor_id = ? ORDER BY started_at DESC, rowid DESC LIMIT ?
"""

_CUT = """
UPDATE turns SET status = 'interrupted', completed_at = NULL, error = ?
WHERE thread_id = ? AND status = 'in_progress' AND id NOT IN (SELECT value FROM json_each(?))
RETURNING id
"""
_STOP = "UPDATE turns SET error = ? WHERE thread_id = ? AND status = 'in_progress'"
_STOP_FOR = """
UPDATE turns SET stopped_by = CASE stopped_by WHEN '' THEN ?1 ELSE stopped_by END
WHERE status = 'in_progress' AND error = '' AND (?2 IS NULL OR actor_id = ?2) RETURNING *
"""
_LET_RUN = """
UPDATE turns SET stopped_by = ''
WHERE actor_id = ? AND status = 'in_progress' AND error = '' AND stopped_by <> ''
"""
_ASK_STOP = """
UPDATE turns SET error = ?, stopped_by = ?
WHERE thread_id = ? AND id = ? AND status = 'in_progress'
"""
_GO_ON = "UPDATE turns SET error = '' WHERE thread_id = ? AND id = ? AND error = ?"
_OVER_IN = "SELECT id FROM turns WHERE thread_id = ? AND status <> 'in_progress'"
_ANY_IN = "SELECT 1 FROM turns WHERE thread_id = ? LIMIT 1"


async def start(tx: Tx, turn: Turn) -> None:
    """Add a turn; one that is known keeps its state and its earliest start."""
    await rows.many(
        tx,
        _START,
        turn.thread_id,
        turn.id,
        turn.actor_id,
        turn.status.value,
        turn.started_at,
        turn.completed_at,
        turn.error,
        turn.final_text,
    )


async def complete(
    tx: Tx,
    thread_id: str,
    turn_id: str,
    *,
    status: TurnStatus,
    completed_at: int | None,
    error: str = "",
    final_text: str = "",
    stopped_by: str = "",
) -> None:
    """Record how a turn ended; ``completed_at`` is ``None`` when a crash cut it.

    ``stopped_by`` says why it is to go on all the same, when it is.
    """
    values = (status.value, completed_at, error, final_text, stopped_by)
    await rows.many(tx, _COMPLETE, *values, thread_id, turn_id)


async def cut(tx: Tx, thread_id: str, *, known: Iterable[str], reason: str) -> tuple[str, ...]:
    """End the thread's running turns other than ``known``, as cut by a crash; return their ids."""
    found = await rows.many(tx, _CUT, reason, thread_id, rows.words(known))
    return tuple(row["id"] for row in found)


async def stop(tx: Tx, thread_id: str) -> None:
    """Note that what runs the thread's turns is ended on purpose, and nobody sees how they end."""
    await rows.many(tx, _STOP, STOPPED, thread_id)


async def stop_for(tx: Tx, why: str, *, actor_id: str | None = None) -> tuple[Turn, ...]:
    """Note why the running turns, of one actor or of all, are to be stopped; return them.

    They go on by a recovery input once the reason is gone. One that was asked to stop before is
    left as it is.
    """
    return tuple(row_to_turn(row) for row in await rows.many(tx, _STOP_FOR, why, actor_id))


async def let_run(tx: Tx, actor_id: str) -> None:
    """Take back what ``stop_for`` noted, where nobody has asked for the stop yet."""
    await rows.many(tx, _LET_RUN, actor_id)


async def ask_stop(tx: Tx, thread_id: str, turn_id: str, *, because: str = "") -> None:
    """Note that a running turn is to end, before Codex is told.

    ``because`` is what stops it for a while; without it, it does not go on by itself.
    """
    await rows.many(tx, _ASK_STOP, ASKED, because, thread_id, turn_id)


async def go_on(tx: Tx, thread_id: str, turn_id: str) -> None:
    """Take back what ``ask_stop`` noted: Codex was not told."""
    await rows.many(tx, _GO_ON, thread_id, turn_id, ASKED)


async def over_in(tx: Tx, thread_id: str) -> frozenset[str]:
    """Return the ids of the thread's turns that are over."""
    return frozenset(row["id"] for row in await rows.many(tx, _OVER_IN, thread_id))


async def get(tx: Tx, thread_id: str, turn_id: str) -> Turn | None:
    """Return the turn, if it is known."""
    row = await rows.one(tx, _GET, thread_id, turn_id)
    return None if row is None else row_to_turn(row)


async def running(tx: Tx, actor_id: str | None = None) -> tuple[Turn, ...]:
    """Return the turns that run, of one actor or of all, oldest first."""
    if actor_id is None:
        found = await rows.many(tx, _RUNNING)
    else:
        found = await rows.many(tx, _RUNNING_OF, actor_id)
    return tuple(row_to_turn(row) for row in found)


async def any_in(tx: Tx, thread_id: str) -> bool:
    """Say whether the thread is known to have had a turn."""
    return bool(await rows.many(tx, _ANY_IN, thread_id))


async def list_for_actor(tx: Tx, actor_id: str, limit: int) -> tuple[Turn, ...]:
    """Return the actor's last turns, newest first."""
    return tuple(row_to_turn(row) for row in await rows.many(tx, _LIST_FOR_ACTOR, actor_id, limit))


def row_to_turn(row: Row) -> Turn:
    """Read one row of ``turns``."""
    return Turn(
        thread_id=row["thread_id"],
        id=row["id"],
        actor_id=row["actor_id"],
        status=TurnStatus(row["status"]),
        started_at=row["started_at"],
        completed_at=row["completed_at"],
        error=row["error"],
        final_text=row["final_text"],
        stopped_by=row["stopped_by"],
    )
