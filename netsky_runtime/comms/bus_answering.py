"""From the database to the senders' inboxes: each envelope whose input has ended gets its answer.

The answer is written first, then recorded, then the envelope's own file is archived; its name is
made from what it answers, so a crash in between repeats nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from netsky_runtime.comms import bus_answers
from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, Channel
from netsky_runtime.db import bus_envelopes, messages
from netsky_runtime.errors import NetskyError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.comms.bus_log import BusLog
    from netsky_runtime.db.bus_envelopes import TakenEnvelope
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.records import ActorInput, Message

AT_ONCE = 64
"""Rows read at a time."""


class Answering:
    """Writes what is owed to the bus."""

    def __init__(self, *, root: Path, database: Database, clock: Clock, log: BusLog) -> None:
        self._root = root
        self._database = database
        self._clock = clock
        self._log = log
        self._turn = asyncio.Lock()

    async def answer(self) -> bool:
        """Write the answers of all envelopes whose inputs have ended.

        A sender who cannot be reached keeps nobody else waiting. Returns whether any envelope
        is still without its answer.
        """
        async with self._turn:
            unreachable: set[str] = set()
            last: TakenEnvelope | None = None
            while owed := await self._owed(last):
                for taken, ended in owed:
                    if taken.sender not in unreachable:
                        await self._try(taken, ended, unreachable)
                last = owed[-1][0]
            return bool(await self._database.read(bus_envelopes.open_count))

    async def _owed(
        self, last: TakenEnvelope | None
    ) -> tuple[tuple[TakenEnvelope, ActorInput], ...]:
        return await self._database.read(
            lambda tx: bus_envelopes.owed(tx, limit=AT_ONCE, after=last)
        )

    async def _try(self, taken: TakenEnvelope, ended: ActorInput, unreachable: set[str]) -> None:
        try:
            await self._answer(taken, ended)
        except NetskyError as error:
            unreachable.add(taken.sender)
            self._log.once("error", "answer cannot be written", taken.message_id, error.message)

    async def _answer(self, taken: TakenEnvelope, ended: ActorInput) -> None:
        async def look(tx: Tx) -> tuple[Message, Message | None]:
            cause = await messages.require(tx, taken.message_id)
            return cause, await messages.get(tx, ended.reply_id) if ended.reply_id else None

        cause, reply = await self._database.read(look)
        now = self._clock.now()
        envelope = bus_answers.answer(taken, cause, ended, reply, now=now)
        at_ms = ended.settled_at or now
        await asyncio.to_thread(bus_answers.write, self._root, envelope, at_ms=at_ms)
        await self._database.write(
            lambda tx: bus_envelopes.answered(tx, taken, reply_id=ended.reply_id, now=now)
        )
        if taken.file:  # else it came without one
            channel = Channel(self._root, taken.actor_id)
            with suppress(NotFound):  # a crash came between: it lies there already
                await asyncio.to_thread(channel.move, taken.file, CLAIMED, DELIVERED)
