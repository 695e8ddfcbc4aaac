"""What actors asked, by the turn in which they asked it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import messages, rows

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.records import Message, Turn

# Walks the sender's messages backwards and stops at the first from before the turn: an actor's
# whole past is never read.
_ASKED_IN = """
SELECT * FROM messages
WHERE sender = ?1 AND kind = 'question' AND thread_id = ?2 AND turn_id = ?3
    AND seq > coalesce((SELECT seq FROM messages WHERE sender = ?1 AND created_at < ?4
                        ORDER BY seq DESC LIMIT 1), 0)
ORDER BY seq
"""


async def asked_in(tx: Tx, turn: Turn) -> tuple[Message, ...]:
    """Return the questions that the turn's actor asked in it, answered or not, oldest first."""
    found = await rows.many(tx, _ASKED_IN, turn.actor_id, turn.thread_id, turn.id, turn.started_at)
    return tuple(messages.row_to_message(row) for row in found)
