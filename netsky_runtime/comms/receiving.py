"""How messages enter netsky from outside its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import posting
from netsky_runtime.records import InputMode, MessageKind, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.db.posting import Posted


class Inbox:
    """Takes messages in: stored and queued in one transaction, then the actor is woken."""

    def __init__(
        self, *, database: Database, clock: Clock, ids: Ids, wake: Callable[[str], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._wake = wake

    async def receive(
        self,
        *,
        source: Source,
        sender: str,
        target: str,
        body: str,
        kind: MessageKind = MessageKind.TEXT,
        mode: InputMode = InputMode.QUEUE,
        in_reply_to: str | None = None,
    ) -> Posted:
        """Store a message and queue it for its target.

        When this returns, the message survives any crash. Raises ``NotFound`` for an unknown
        target or an unknown message it answers, ``Conflict`` for a stopped target, ``UsageError``
        for an empty or over-long body.
        """
        draft = posting.Draft(
            source=source,
            kind=kind,
            sender=sender,
            target=target,
            body=body,
            mode=mode,
            in_reply_to=in_reply_to,
        )

        async def store(tx: Tx) -> Posted:
            return await posting.post(tx, draft, ids=self._ids, now=self._clock.now())

        posted = await self._database.write(store)
        if posted.input is not None:
            self._wake(posted.input.actor_id)
        return posted
