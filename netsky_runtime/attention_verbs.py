"""What the owner does about what waits for him and has no other end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.attention.items import PUT_AWAY, SEND_AGAIN
from netsky_runtime.db import attention, inputs, messages, posting
from netsky_runtime.errors import Conflict
from netsky_runtime.states import AttentionKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.db.posting import Posted
    from netsky_runtime.verbs import Verb, Wake


class AttentionVerbs:
    """Verbs that need only the database."""

    def __init__(self, *, database: Database, clock: Clock, ids: Ids, wake: Wake) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._wake = wake

    def table(self) -> Mapping[str, Verb]:
        """Return method name to verb."""
        return {PUT_AWAY: self.put_away, SEND_AGAIN: self.send_again}

    async def put_away(self, request: protocol.Attention) -> dict[str, Any]:
        """Take out of the queue what would wait there for ever."""
        now = self._clock.now()
        await self._database.write(lambda tx: attention.put_away(tx, request.key, now=now))
        return {"key": request.key}

    async def send_again(self, request: protocol.Attention) -> dict[str, Any]:
        """Send a message that came to nothing once more, as a new one, and put the old one away."""
        now = self._clock.now()

        async def body(tx: Tx) -> Posted:
            item = await attention.require(tx, request.key, now=now)
            if item.kind is not AttentionKind.FAILED:
                msg = f"{request.key} is no message that came to nothing."
                raise Conflict(msg, hint="`netsky attention` says what can be done about it.")
            found = await inputs.require(tx, item.ref)
            said = await messages.require(tx, found.message_id)
            draft = posting.Draft(
                source=said.source,
                kind=said.kind,
                sender=said.sender,
                target=found.actor_id,
                body=said.body,
                mode=found.mode,
                in_reply_to=said.in_reply_to,
                task_id=said.task_id,
            )
            posted = await posting.post(tx, draft, ids=self._ids, now=now)
            await attention.put_away(tx, request.key, now=now)
            return posted

        posted = await self._database.write(body)
        self._wake(posted.message.target)
        return {"key": request.key, "message_id": posted.message.id}
