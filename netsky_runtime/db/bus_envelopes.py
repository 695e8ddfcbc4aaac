"""Rows of ``bus_envelopes``: what was taken from the file bus, and whether it has its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import inputs, rows
from netsky_runtime.errors import NotFound

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.records import ActorInput

_FIND = """
SELECT * FROM bus_envelopes WHERE actor_id = ?1 AND key = ?2
UNION
SELECT * FROM bus_envelopes
WHERE actor_id = ?1 AND sender = ?3 AND envelope_id = ?4 AND envelope_id <> ''
LIMIT 1
"""
_GET = "SELECT * FROM bus_envelopes WHERE message_id = ?"
_OPEN = "SELECT count(*) FROM bus_envelopes WHERE answered_at IS NULL"
_OWED = """
SELECT b.*, i.id AS input_id
FROM bus_envelopes AS b INDEXED BY bus_envelopes_open
JOIN actor_inputs AS i ON i.message_id = b.message_id
WHERE b.answered_at IS NULL AND (i.status IN ('answered', 'failed', 'interrupted', 'cancelled')
    OR (i.status = 'uncertain' AND b.overdue <> ''))
    AND (b.created_at, b.key, b.actor_id) > (?, ?, ?)
ORDER BY b.created_at, b.key, b.actor_id LIMIT ?
"""
_OPEN_FILES = "SELECT file FROM bus_envelopes WHERE actor_id = ? AND answered_at IS NULL"
_BACKLOG = """
SELECT count(*) FROM actor_inputs AS i JOIN bus_envelopes AS b ON b.message_id = i.message_id
WHERE i.actor_id = ? AND i.status IN ('queued', 'handed', 'seen')
"""
_OVERDUE = "UPDATE bus_envelopes SET overdue = ? WHERE message_id = ?"
_ANSWER = "UPDATE bus_envelopes SET answered_at = ? WHERE actor_id = ? AND key = ?"
_CONFIRM = """
UPDATE deliveries SET status = 'confirmed', error = '', updated_at = max(updated_at, ?)
WHERE message_id = ? AND sink LIKE 'bus:%'
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenEnvelope:
    """An envelope that has become a message; times are ms since the epoch."""

    actor_id: str
    key: str
    """The same for every copy of it."""
    file: str
    """Its file's name among the claimed."""
    message_id: str
    sender: str
    envelope_id: str = ""
    thread: str = ""
    swarm: str = ""
    requires_ack: bool = False
    overdue: str = ""
    """Why its sender hears of an error where the turn was only stopped: it took too long."""
    created_at: int
    answered_at: int | None = None
    """When its one answer was written, or when it came if it gets none."""


async def insert(tx: Tx, taken: TakenEnvelope) -> None:
    """Add an envelope with its message."""
    await rows.insert(
        tx,
        "bus_envelopes",
        {
            "actor_id": taken.actor_id,
            "key": taken.key,
            "file": taken.file,
            "message_id": taken.message_id,
            "sender": taken.sender,
            "envelope_id": taken.envelope_id,
            "thread": taken.thread,
            "swarm": taken.swarm,
            "requires_ack": taken.requires_ack,
            "created_at": taken.created_at,
            "answered_at": taken.answered_at,
        },
    )


async def find(
    tx: Tx, actor_id: str, *, key: str, sender: str, envelope_id: str
) -> TakenEnvelope | None:
    """Return the envelope that was taken under this key, or with this id from this sender."""
    row = await rows.one(tx, _FIND, actor_id, key, sender, envelope_id)
    return None if row is None else _taken(row)


async def open_count(tx: Tx) -> int:
    """Return how many have no answer yet."""
    return int(await rows.value(tx, _OPEN))


async def open_files(tx: Tx, *, actor_id: str) -> frozenset[str]:
    """Return the names of the actor's claims that have no answer yet."""
    return frozenset(row["file"] for row in await rows.many(tx, _OPEN_FILES, actor_id))


async def backlog(tx: Tx, *, actor_id: str) -> int:
    """Return how many of the actor's open inputs came by the bus."""
    return int(await rows.value(tx, _BACKLOG, actor_id))


async def owed(
    tx: Tx, *, limit: int, after: TakenEnvelope | None = None
) -> tuple[tuple[TakenEnvelope, ActorInput], ...]:
    """Return those whose input has ended and whose answer is not written, oldest first.

    ``after`` is the last one of the page before.
    """
    place = (after.created_at, after.key, after.actor_id) if after else (-1, "", "")
    found = await rows.many(tx, _OWED, *place, limit)
    ended = {i.id: i for i in await inputs.by_ids(tx, [row["input_id"] for row in found])}
    return tuple((_taken(row), ended[row["input_id"]]) for row in found)


async def set_overdue(tx: Tx, message_id: str, reason: str) -> None:
    """Record, before its turn is stopped for it, that an envelope waits no longer."""
    await rows.many(tx, _OVERDUE, reason, message_id)


async def get(tx: Tx, message_id: str) -> TakenEnvelope:
    """Return the envelope that became this message; raises ``NotFound``."""
    row = await rows.one(tx, _GET, message_id)
    if row is None:
        msg = f"Message {message_id} did not come by the bus."
        raise NotFound(msg)
    return _taken(row)


async def answered(tx: Tx, taken: TakenEnvelope, *, reply_id: str | None, now: int) -> None:
    """Record that the answer lies in the sender's inbox: the delivery of the reply is confirmed."""
    await rows.many(tx, _ANSWER, now, taken.actor_id, taken.key)
    if reply_id is not None:
        await rows.many(tx, _CONFIRM, now, reply_id)


def _taken(row: Row) -> TakenEnvelope:
    return TakenEnvelope(
        actor_id=row["actor_id"],
        key=row["key"],
        file=row["file"],
        message_id=row["message_id"],
        sender=row["sender"],
        envelope_id=row["envelope_id"],
        thread=row["thread"],
        swarm=row["swarm"],
        requires_ack=bool(row["requires_ack"]),
        overdue=row["overdue"],
        created_at=row["created_at"],
        answered_at=row["answered_at"],
    )
