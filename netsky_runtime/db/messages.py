"""Rows of ``messages`` and ``deliveries``. A message is never deleted and keeps its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.errors import NotFound
from netsky_runtime.records import OWNER, Delivery, Message
from netsky_runtime.states import DeliveryStatus, Direction, MessageKind, MessageStatus, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.rows import Row, Tx

UNREAD_LIMIT = 1_000
"""``unread`` counts no further."""
_END_OF_TIME = 2**62

_GET = "SELECT * FROM messages WHERE id = ?"
_RECENT = "SELECT * FROM messages WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2"
_RECENT_OF = """
SELECT m.* FROM (
    SELECT seq FROM (SELECT seq FROM messages WHERE target = ?3 AND seq < ?1
                     ORDER BY seq DESC LIMIT ?2)
    UNION
    SELECT seq FROM (SELECT seq FROM messages WHERE sender = ?3 AND seq < ?1
                     ORDER BY seq DESC LIMIT ?2)
) AS near JOIN messages AS m ON m.seq = near.seq ORDER BY near.seq DESC LIMIT ?2
"""
_KNOWN = "SELECT id FROM messages WHERE id IN (SELECT value FROM json_each(?))"
_SET_STATUS = "UPDATE messages SET status = ? WHERE id = ? RETURNING id"
_MARK_READ = """
UPDATE messages SET read_at = ?
WHERE id IN (SELECT value FROM json_each(?)) AND target = ? AND read_at IS NULL
"""
_UNREAD = """
SELECT count(*) FROM (
    SELECT 1 FROM messages INDEXED BY messages_unread
    WHERE target = 'owner' AND read_at IS NULL LIMIT ?)
"""
_OPEN_QUESTIONS = """
SELECT * FROM messages WHERE sender = ? AND kind = 'question' AND status = 'routed' ORDER BY seq
"""
_DELIVERIES_OF = "SELECT * FROM deliveries WHERE message_id = ? ORDER BY created_at, id"


async def insert(tx: Tx, message: Message) -> None:
    """Add a message; ``posting.post`` is the way for all that shall reach somebody."""
    await rows.insert(
        tx,
        "messages",
        {
            "id": message.id,
            "source": message.source.value,
            "direction": message.direction.value,
            "kind": message.kind.value,
            "sender": message.sender,
            "target": message.target,
            "body": message.body,
            "status": message.status.value,
            "in_reply_to": message.in_reply_to,
            "task_id": message.task_id,
            "thread_id": message.thread_id,
            "turn_id": message.turn_id,
            "metadata_json": rows.dump(message.metadata),
            "created_at": message.created_at,
            "read_at": message.read_at,
        },
    )


async def get(tx: Tx, message_id: str) -> Message | None:
    """Return the message, if there is one of that id."""
    row = await rows.one(tx, _GET, message_id)
    return None if row is None else row_to_message(row)


async def require(tx: Tx, message_id: str) -> Message:
    """Return the message; raises ``NotFound``."""
    message = await get(tx, message_id)
    if message is None:
        raise _unknown(message_id)
    return message


async def known(tx: Tx, ids: Sequence[str]) -> frozenset[str]:
    """Return those of the ids that there are messages of."""
    return frozenset(row["id"] for row in await rows.many(tx, _KNOWN, rows.words(ids)))


async def recent(
    tx: Tx, *, limit: int = 200, before_seq: int | None = None, actor_id: str | None = None
) -> tuple[tuple[int, Message], ...]:
    """Return the last messages with their places, oldest first.

    ``before_seq`` pages back; ``actor_id`` keeps to those it sent or got.
    """
    before = _END_OF_TIME if before_seq is None else before_seq
    if actor_id is None:
        found = await rows.many(tx, _RECENT, before, limit)
    else:
        found = await rows.many(tx, _RECENT_OF, before, limit, actor_id)
    return tuple((row["seq"], row_to_message(row)) for row in reversed(found))


async def set_status(tx: Tx, message_id: str, status: MessageStatus) -> None:
    """Set the status; raises ``NotFound``."""
    if not await rows.many(tx, _SET_STATUS, status.value, message_id):
        raise _unknown(message_id)


async def mark_read(tx: Tx, ids: Sequence[str], now: int) -> None:
    """Record when the owner first saw messages; others' messages are left alone."""
    await rows.many(tx, _MARK_READ, now, rows.words(ids), OWNER)


async def unread(tx: Tx) -> int:
    """Return how many messages wait for the owner's eyes, counting to ``UNREAD_LIMIT``."""
    return int(await rows.value(tx, _UNREAD, UNREAD_LIMIT))


async def open_questions(tx: Tx, sender: str) -> tuple[Message, ...]:
    """Return what an actor has asked and nobody has answered, oldest first."""
    return tuple(row_to_message(row) for row in await rows.many(tx, _OPEN_QUESTIONS, sender))


async def insert_delivery(tx: Tx, delivery: Delivery) -> None:
    """Add one message's way to one sink."""
    await rows.insert(
        tx,
        "deliveries",
        {
            "id": delivery.id,
            "message_id": delivery.message_id,
            "sink": delivery.sink,
            "input_id": delivery.input_id,
            "status": delivery.status.value,
            "error": delivery.error,
            "created_at": delivery.created_at,
            "updated_at": delivery.updated_at,
        },
    )


async def deliveries_of(tx: Tx, message_id: str) -> tuple[Delivery, ...]:
    """Return where the message went, with receipts."""
    return tuple(_delivery(row) for row in await rows.many(tx, _DELIVERIES_OF, message_id))


def row_to_message(row: Row) -> Message:
    """Read one row of ``messages``."""
    return Message(
        id=row["id"],
        source=Source(row["source"]),
        direction=Direction(row["direction"]),
        kind=MessageKind(row["kind"]),
        sender=row["sender"],
        target=row["target"],
        body=row["body"],
        status=MessageStatus(row["status"]),
        in_reply_to=row["in_reply_to"],
        task_id=row["task_id"],
        thread_id=row["thread_id"],
        turn_id=row["turn_id"],
        metadata=rows.load(row["metadata_json"]),
        created_at=row["created_at"],
        read_at=row["read_at"],
    )


def _delivery(row: Row) -> Delivery:
    return Delivery(
        id=row["id"],
        message_id=row["message_id"],
        sink=row["sink"],
        input_id=row["input_id"],
        status=DeliveryStatus(row["status"]),
        error=row["error"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )


def _unknown(message_id: str) -> NotFound:
    msg = f"There is no message {message_id!r}."
    return NotFound(msg, hint="`netsky messages list` shows the last ones.")
