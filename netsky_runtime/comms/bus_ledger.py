"""Which envelopes have come by the bus, and as which messages: each is an input once.

An envelope, its message and its input are stored in one transaction; copies are known by their
idempotency key, their id, or without either by all that they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.comms import bus_answers
from netsky_runtime.db import bus_envelopes, posting
from netsky_runtime.db.bus_envelopes import TakenEnvelope
from netsky_runtime.errors import Conflict
from netsky_runtime.states import MessageKind, Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.comms.bus.envelope import BusEnvelope
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.db.posting import Posted


class Ledger:
    """Enters envelopes; ``stored`` is told of each actor that has something new to hear."""

    def __init__(
        self, *, database: Database, clock: Clock, ids: Ids, stored: Callable[[str], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._stored = stored

    async def enter(
        self, actor_id: str, envelope: BusEnvelope, *, file: str, name: str
    ) -> tuple[TakenEnvelope, Posted | None]:
        """Store an envelope, and what it became; ``None`` when it had been entered before.

        ``file`` is its name in the inbox, ``name`` among the claimed. Raises ``NotFound`` for an
        unknown actor, ``Conflict`` for a stopped one, ``UsageError`` for words it cannot take.
        """
        key, now = bus_answers.key_of(envelope), self._clock.now()

        async def body(tx: Tx) -> tuple[TakenEnvelope, Posted | None]:
            found = await bus_envelopes.find(
                tx, actor_id, key=key, sender=envelope.sender, envelope_id=envelope.id
            )
            if found is not None:
                return found, None
            posted = await posting.post(
                tx, _draft(actor_id, envelope, file=file), ids=self._ids, now=now
            )
            taken = TakenEnvelope(
                actor_id=actor_id,
                key=key,
                file=name,
                message_id=posted.message.id,
                sender=envelope.sender,
                envelope_id=envelope.id,
                thread=envelope.thread,
                swarm=envelope.swarm,
                requires_ack=envelope.requires_ack,
                created_at=now,
                answered_at=now if envelope.answers else None,
            )
            await bus_envelopes.insert(tx, taken)
            return taken, posted

        def then(result: tuple[TakenEnvelope, Posted | None]) -> None:
            if result[1] is not None:
                self._stored(actor_id)

        return await self._database.write(body, then=then)

    async def accept(self, actor_id: str, envelope: BusEnvelope, *, file: str, name: str) -> Posted:
        """Store an envelope that has not been entered before.

        Raises as ``enter`` does, and ``Conflict`` for a copy of what was taken before.
        """
        taken, posted = await self.enter(actor_id, envelope, file=file, name=name)
        if posted is None:
            msg = f"{actor_id} has had this envelope before, as {taken.message_id}."
            raise Conflict(msg, hint="Give another id or key to what is to be sent again.")
        return posted

    async def knows(self, actor_id: str, envelope: BusEnvelope) -> bool:
        """Whether a copy of the envelope was taken before."""
        found = await self._database.read(
            lambda tx: bus_envelopes.find(
                tx,
                actor_id,
                key=bus_answers.key_of(envelope),
                sender=envelope.sender,
                envelope_id=envelope.id,
            )
        )
        return found is not None


def _draft(actor_id: str, envelope: BusEnvelope, *, file: str) -> posting.Draft:
    body = envelope.text
    if not body.strip():
        body = f"({envelope.kind} without words)"
    return posting.Draft(
        source=Source.BUS,
        kind=MessageKind.TEXT,
        sender=envelope.sender,
        target=actor_id,
        body=body,
        metadata={
            "bus": {
                "kind": envelope.kind,
                "id": envelope.id,
                "in_reply_to": envelope.in_reply_to,
                "file": file,
            }
        },
    )
