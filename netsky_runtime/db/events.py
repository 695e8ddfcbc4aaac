"""Rows of ``events``: the facts of the threads in the order netsky stored them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from netsky_runtime.db import rows
from netsky_runtime.fact_records import StoredEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.rows import Row, Tx

Fact: TypeAlias = tuple[str, str, str, str, str, int, str]
"""``thread_id, turn_id, item_id, kind, actor_id, at`` (ms)``, data_json``."""

_END_OF_TIME = 2**62

# A fact told again, as after a resume, keeps its place; one that says the same writes nothing.
_UPSERT = """
INSERT INTO events (thread_id, turn_id, item_id, kind, actor_id, at, data_json)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (thread_id, turn_id, item_id, kind) DO UPDATE SET
    actor_id = excluded.actor_id, at = excluded.at, data_json = excluded.data_json
WHERE data_json <> excluded.data_json
"""
_AFTER = "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
_AFTER_OF = "SELECT * FROM events WHERE actor_id = ? AND seq > ? ORDER BY seq LIMIT ?"
_RECENT = "SELECT * FROM events WHERE actor_id = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
# One that is told again keeps its place, so the place does not tell which is the last.
_LAST_OF_KIND = """
SELECT * FROM events WHERE actor_id = ? AND kind = ? ORDER BY at DESC, seq DESC LIMIT 1
"""
_ENDED = """
SELECT turn_id FROM events WHERE thread_id = ? AND item_id = '' AND kind = 'turn.completed'
    AND turn_id IN (SELECT value FROM json_each(?))
"""
_LAST_SEQ = "SELECT coalesce(max(seq), 0) FROM events"


async def upsert_many(tx: Tx, facts: Sequence[Fact]) -> None:
    """Store facts in order; one that is known by (thread, turn, item, kind) keeps its ``seq``."""
    await tx.executemany(_UPSERT, facts)


async def after(
    tx: Tx, seq: int, *, limit: int, actor_id: str | None = None
) -> tuple[StoredEvent, ...]:
    """Return the first events behind ``seq``, of one actor or of all, in order."""
    if actor_id is None:
        found = await rows.many(tx, _AFTER, seq, limit)
    else:
        found = await rows.many(tx, _AFTER_OF, actor_id, seq, limit)
    return tuple(_event(row) for row in found)


async def ended(tx: Tx, thread_id: str, turn_ids: Sequence[str]) -> frozenset[str]:
    """Return those of a thread's turns whose end is among its facts: then all of theirs are."""
    found = await rows.many(tx, _ENDED, thread_id, rows.words(turn_ids))
    return frozenset(row["turn_id"] for row in found)


async def recent(
    tx: Tx, actor_id: str, *, limit: int, before_seq: int | None = None
) -> tuple[StoredEvent, ...]:
    """Return an actor's last events, oldest first; ``before_seq`` pages back."""
    before = _END_OF_TIME if before_seq is None else before_seq
    found = await rows.many(tx, _RECENT, actor_id, before, limit)
    return tuple(_event(row) for row in reversed(found))


async def last_seq(tx: Tx) -> int:
    """Return the place of the newest event, 0 when there is none."""
    return int(await rows.value(tx, _LAST_SEQ))


async def last_of(tx: Tx, actor_id: str) -> StoredEvent | None:
    """Return the actor's newest event."""
    found = await recent(tx, actor_id, limit=1)
    return found[0] if found else None


async def last_of_kind(tx: Tx, actor_id: str, kind: str) -> StoredEvent | None:
    """Return the actor's newest event of a kind."""
    row = await rows.one(tx, _LAST_OF_KIND, actor_id, kind)
    return None if row is None else _event(row)


def _event(row: Row) -> StoredEvent:
    return StoredEvent(
        seq=row["seq"],
        thread_id=row["thread_id"],
        turn_id=row["turn_id"],
        item_id=row["item_id"],
        kind=row["kind"],
        actor_id=row["actor_id"],
        at=row["at"],
        data=rows.load(row["data_json"]),
    )
