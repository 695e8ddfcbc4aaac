"""How messages enter netsky from outside its threads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.db import messages, posting, respawns
from netsky_runtime.states import InputMode, MessageKind, MessageStatus, Source

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
        self._stored: set[str] = set()
        # Not after ``write``: a client that leaves in the middle cancels us, not the transaction.
        database.on_commit(self._committed)

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
        resume: bool = False,
    ) -> Posted:
        """Store a message and queue it for its target, who is parked no longer with ``resume``.

        What the target asked the sender is answered by it: the question that ``in_reply_to``
        names, else all that are open. When this returns, the message survives any crash. Raises
        ``NotFound`` for an unknown target or an unknown message it answers, ``Conflict`` for a
        stopped target, ``UsageError`` for an empty or over-long body.
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
            if resume:
                await respawns.pardon(tx, target, now=self._clock.now())
            answering = draft if in_reply_to else await _answering(tx, draft)
            posted = await posting.post(tx, answering, ids=self._ids, now=self._clock.now())
            if posted.input is not None:
                self._stored.add(posted.input.actor_id)
            return posted

        return await self._database.write(store)

    def _committed(self) -> None:
        while self._stored:
            self._wake(self._stored.pop())


async def _answering(tx: Tx, draft: posting.Draft) -> posting.Draft:
    """Let a message that names no question answer whatever its target has asked the sender."""
    asked = [q for q in await messages.open_questions(tx, draft.target) if q.target == draft.sender]
    if not asked:
        return draft
    for question in asked[:-1]:
        await messages.set_status(tx, question.id, MessageStatus.ANSWERED)
    return replace(draft, in_reply_to=asked[-1].id)
