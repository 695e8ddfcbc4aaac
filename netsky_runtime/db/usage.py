"""Rows of ``usage``: token totals of a thread as of one turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.fact_records import Usage

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

_UPSERT = """
INSERT INTO usage (thread_id, turn_id, actor_id, input_tokens, cached_tokens, output_tokens,
    reasoning_tokens, total_tokens, context_window, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (thread_id, turn_id) DO UPDATE SET
    actor_id = excluded.actor_id, input_tokens = excluded.input_tokens,
    cached_tokens = excluded.cached_tokens, output_tokens = excluded.output_tokens,
    reasoning_tokens = excluded.reasoning_tokens, total_tokens = excluded.total_tokens,
    context_window = coalesce(excluded.context_window, context_window),
    updated_at = excluded.updated_at
WHERE excluded.updated_at >= usage.updated_at
"""
# The newest row of a thread holds all of it: rows are totals, not increments.
_LATEST = """
FROM threads JOIN usage ON usage.thread_id = threads.id AND usage.turn_id = (
    SELECT turn_id FROM usage AS newest WHERE newest.thread_id = threads.id
    ORDER BY newest.updated_at DESC, newest.total_tokens DESC LIMIT 1)
"""
_OF_ACTOR = f"""
SELECT usage.* {_LATEST} WHERE threads.actor_id = ? ORDER BY threads.created_at, threads.id
"""
_TOTALS = f"""
SELECT coalesce(sum(input_tokens), 0), coalesce(sum(cached_tokens), 0),
    coalesce(sum(output_tokens), 0), coalesce(sum(reasoning_tokens), 0),
    coalesce(sum(total_tokens), 0) {_LATEST}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Tokens of all threads together."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int


async def upsert(tx: Tx, usage: Usage) -> None:
    """Store a thread's totals as of a turn; an older report never replaces a newer one."""
    await rows.many(
        tx,
        _UPSERT,
        usage.thread_id,
        usage.turn_id,
        usage.actor_id,
        usage.input_tokens,
        usage.cached_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.total_tokens,
        usage.context_window,
        usage.updated_at,
    )


async def of_actor(tx: Tx, actor_id: str) -> tuple[Usage, ...]:
    """Return the newest totals of each of the actor's threads, oldest thread first."""
    return tuple(_usage(row) for row in await rows.many(tx, _OF_ACTOR, actor_id))


async def totals(tx: Tx) -> Totals:
    """Return the sum over all threads."""
    row = (await rows.many(tx, _TOTALS))[0]
    return Totals(
        input_tokens=row[0],
        cached_tokens=row[1],
        output_tokens=row[2],
        reasoning_tokens=row[3],
        total_tokens=row[4],
    )


def _usage(row: Row) -> Usage:
    return Usage(
        thread_id=row["thread_id"],
        turn_id=row["turn_id"],
        actor_id=row["actor_id"],
        input_tokens=row["input_tokens"],
        cached_tokens=row["cached_tokens"],
        output_tokens=row["output_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        total_tokens=row["total_tokens"],
        context_window=row["context_window"],
        updated_at=row["updated_at"],
    )
