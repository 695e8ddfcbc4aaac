"""Rows of ``spending``: what each turn took, however often and in whatever order it is told.

Codex tells the total of the thread after every response, and again on resume. A turn's own share
is its total less that of the turn before it, so that all shares of a thread add up to its total.
A total below the one before is a counter that began anew: it is a share by itself. Turns stand by
the time they were first heard of, but behind every smaller total that was told before: so a clock
that is set back moves none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.fact_records import Usage

# The task is the one in hand when the turn is first heard to have taken anything.
_TELL = """
INSERT INTO spending (thread_id, turn_id, actor_id, task_id, at, place, total, tokens)
VALUES (?1, ?2, ?3, (
    SELECT id FROM tasks WHERE owner_id = ?3 AND status IN ('in_progress', 'reported')
    ORDER BY status = 'in_progress' DESC, number DESC LIMIT 1), ?4, coalesce((
    SELECT max(?4, place + 1) FROM (
        SELECT place, total FROM spending WHERE thread_id = ?1
        ORDER BY place DESC, turn_id DESC LIMIT 1)
    WHERE total < ?5), ?4), ?5, 0)
ON CONFLICT (thread_id, turn_id) DO UPDATE SET
    at = min(at, excluded.at), total = max(total, excluded.total)
RETURNING place
"""
# Whatever stood before the row stays as it was; what follows it may have another one before it.
_SHARE = """
UPDATE spending AS own SET tokens = own.total - (
    SELECT coalesce(max(CASE WHEN b.total <= own.total THEN b.total END), 0) FROM (
        SELECT total FROM spending AS earlier WHERE earlier.thread_id = own.thread_id
            AND (earlier.place, earlier.turn_id) < (own.place, own.turn_id)
        ORDER BY earlier.place DESC, earlier.turn_id DESC LIMIT 1) AS b)
WHERE own.thread_id = ? AND own.place >= ?
"""
_SPENT = "SELECT coalesce(max(tokens), 0) FROM spent WHERE scope = ? AND subject = ?"
_SINCE = "SELECT coalesce(sum(tokens), 0) FROM spending WHERE at >= ?"


async def tell(tx: Tx, usage: Usage) -> None:
    """Count what a turn has taken. Usage that names no turn is in the total of the next one."""
    if not usage.turn_id:
        return
    place = await rows.value(
        tx,
        _TELL,
        usage.thread_id,
        usage.turn_id,
        usage.actor_id,
        usage.updated_at,
        usage.total_tokens,
    )
    await rows.many(tx, _SHARE, usage.thread_id, place)


async def of_actor(tx: Tx, actor_id: str) -> int:
    """Return the tokens of all turns of the actor, those of its sub-agents among them."""
    return int(await rows.value(tx, _SPENT, BudgetScope.ACTOR.value, actor_id))


async def of_task(tx: Tx, task_id: str) -> int:
    """Return the tokens of the turns that whoever had the task in hand took for it."""
    return int(await rows.value(tx, _SPENT, BudgetScope.TASK.value, task_id))


async def since(tx: Tx, at: int) -> int:
    """Return the tokens of all turns that were first heard of at this time or later."""
    return int(await rows.value(tx, _SINCE, at))
