"""What a human types in Codex's own screen of an actor's thread: kept as the owner's words.

Nothing is handed to a thread for it, and its turn's end is reported to nobody.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.bounds import head
from netsky_runtime.db import messages, posting
from netsky_runtime.records import MAX_BODY_BYTES, OWNER, Message
from netsky_runtime.states import Direction, MessageKind, MessageStatus, Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import HistoricItem
    from netsky_runtime.db.connection import Tx

LONGEST: Final = MAX_BODY_BYTES // 8
"""Characters that are kept of what was typed or pasted: at most half a body's bytes."""


def said(
    seat: Seat, thread_id: str, turn_id: str, items: Sequence[HistoricItem], *, at: int
) -> list[Message]:
    """Return the user messages of a turn that netsky did not send.

    ``items`` are the turn's, from its first on or as many as were heard; ``at`` is when, in
    milliseconds. A message has the same id however it is heard of: by its words and how often
    the turn had them before, because what 0.145 and older call an item live is not what they
    call it in history.
    """
    tag = seat.row.tag if seat.row is not None else ""
    if not tag:
        return []  # nothing tells a human's words from netsky's
    before: Counter[str] = Counter()
    found = []
    for item in items:
        text = item.text
        if item.type != "user_message" or tag in text or not text.strip():
            continue
        before[text] += 1
        message = Message(
            id=_id(thread_id, turn_id, text, before[text]),
            source=Source.CODEX,
            direction=Direction.INBOUND,
            kind=MessageKind.TEXT,
            sender=OWNER,
            target=seat.actor_id,
            body=posting.clean(head(text, LONGEST)),
            status=MessageStatus.CLOSED,
            thread_id=thread_id,
            turn_id=turn_id,
            metadata={"item": item.id},
            created_at=at,
        )
        found.append(message)
    return found


async def keep(seat: Seat, found: Sequence[Message]) -> None:
    """Record those messages that are not recorded yet."""
    if not found:
        return
    database = seat.kit.database

    async def missing(tx: Tx) -> list[Message]:
        known = await messages.known(tx, [message.id for message in found])
        return [message for message in found if message.id not in known]

    async def body(tx: Tx) -> None:
        for message in await missing(tx):
            await messages.insert(tx, message)

    if await database.read(missing):
        await database.write(body)


def _id(thread_id: str, turn_id: str, text: str, number: int) -> str:
    parts = "\0".join((thread_id, turn_id, str(number), text))
    digest = hashlib.blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=8)
    return f"m-{digest.hexdigest()}"
