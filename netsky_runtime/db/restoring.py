"""Inputs of a database that was put back: their threads may know more of them than it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.db.rows import Tx

# Never tried, as far as this database knows. The index is of what is open.
_UNTRIED = "status IN ('queued', 'handed', 'seen') AND status = 'queued' AND batch_id = ''"
_THREAD = """
SELECT thread_id FROM sessions
WHERE sessions.actor_id = actor_inputs.actor_id AND ended_at IS NULL AND thread_id <> ''
"""
_AS_IF_SENT = f"""
UPDATE actor_inputs SET batch_id = 'b-restored-' || id, thread_id = ({_THREAD}), reason = ?,
    attempts = attempts + 1, not_before = 0
WHERE {_UNTRIED} AND EXISTS ({_THREAD}) RETURNING id, thread_id
"""  # noqa: S608 - constants only
_SENT = "SELECT id, thread_id FROM actor_inputs WHERE thread_id <> ''"
_WITHOUT_THREAD = f"SELECT id FROM actor_inputs WHERE {_UNTRIED} ORDER BY seq"  # noqa: S608


async def as_if_sent(tx: Tx, *, reason: str) -> Mapping[str, str]:
    """Leave what was never tried as a crash in the middle of sending it would.

    Whoever finds such an input reads its thread's history before it is sent. Returns their ids,
    each with that thread.
    """
    return {row["id"]: row["thread_id"] for row in await rows.many(tx, _AS_IF_SENT, reason)}


async def sent_in(tx: Tx) -> Mapping[str, str]:
    """Return every input that was sent, with the thread it was sent in."""
    return {row["id"]: row["thread_id"] for row in await rows.many(tx, _SENT)}


async def without_thread(tx: Tx) -> tuple[str, ...]:
    """Return what was never tried and has no thread whose history could be read."""
    return tuple(row["id"] for row in await rows.many(tx, _WITHOUT_THREAD))
