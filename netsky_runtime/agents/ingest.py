"""Facts on their way into the database: in order, in batches, never waited for by a reader."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

import orjson

from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import events, usage
from netsky_runtime.errors import Fenced, NetskyError
from netsky_runtime.records import Usage

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log

QUEUE_LIMIT = 100_000
"""Facts waiting for the database; past it their listeners wait, and their channels fill."""
BATCH = 1_000

_MANY_A_TURN = frozenset(
    {EventKind.ERROR, EventKind.WARNING, EventKind.UNKNOWN, EventKind.MODEL, EventKind.BLOCKED}
)


class FactWriter:
    """Takes facts at once and stores them in order.

    While one commit is on its way to the disk the next facts gather: a flood commits in
    large transactions, a trickle at once.
    """

    def __init__(self, *, database: Database, clock: Clock, log: Log) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._queue: deque[tuple[str, CodexEvent]] = deque()
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._room = asyncio.Event()
        self._room.set()
        self._sequence = 0
        self._given_up = False

    async def put(self, actor_id: str, event: CodexEvent) -> None:
        """Accept a fact at once, or, while the database is far behind, when there is room."""
        while len(self._queue) >= QUEUE_LIMIT:
            self._room.clear()
            await self._room.wait()
        if self._given_up:
            return
        self._queue.append((actor_id, event))
        self._drained.clear()
        self._filled.set()

    async def flush(self) -> None:
        """Return when everything accepted so far is stored."""
        await self._drained.wait()

    async def run(self) -> None:
        """Store until cancelled; a failing database is retried, nothing accepted is dropped.

        It ends when the home has another owner, who reads the facts from the threads' histories.
        """
        while True:
            await self._filled.wait()
            batch = [self._queue[index] for index in range(min(BATCH, len(self._queue)))]
            try:
                await self._database.write(partial(self._store, batch=batch))
            except Fenced:
                self._give_up()
                return
            except (sqlite3.Error, OSError, NetskyError) as error:
                self._log("error", "facts could not be stored", {"error": str(error)})
                await self._clock.sleep(1.0)
                continue
            for _ in batch:
                self._queue.popleft()
            self._room.set()
            if not self._queue:
                self._filled.clear()
                self._drained.set()

    def _give_up(self) -> None:
        self._given_up = True
        self._queue.clear()
        self._room.set()
        self._drained.set()

    async def _store(self, tx: Tx, *, batch: list[tuple[str, CodexEvent]]) -> None:
        await events.upsert_many(tx, [self._fact(actor_id, event) for actor_id, event in batch])
        totals = {
            (event.thread_id, event.turn_id): _usage(actor_id, event)
            for actor_id, event in batch
            if event.kind is EventKind.USAGE
        }
        for row in totals.values():
            await usage.upsert(tx, row)

    def _fact(self, actor_id: str, event: CodexEvent) -> tuple[str, str, str, str, str, int, str]:
        item_id = event.item_id
        if not item_id and event.kind in _MANY_A_TURN:
            # Several may come in one turn, and none of them is repeated on resume.
            self._sequence += 1
            item_id = f"{event.at}.{self._sequence}"
        return (
            event.thread_id,
            event.turn_id,
            item_id,
            event.kind.value,
            actor_id,
            event.at,
            orjson.dumps(event.data, option=orjson.OPT_NON_STR_KEYS).decode(),
        )


def _usage(actor_id: str, event: CodexEvent) -> Usage:
    data = event.data
    return Usage(
        thread_id=event.thread_id,
        turn_id=event.turn_id,
        actor_id=actor_id,
        input_tokens=int(data.get("input_tokens") or 0),
        cached_tokens=int(data.get("cached_tokens") or 0),
        output_tokens=int(data.get("output_tokens") or 0),
        reasoning_tokens=int(data.get("reasoning_tokens") or 0),
        total_tokens=int(data.get("total_tokens") or 0),
        context_window=data.get("context_window"),
        updated_at=event.at,
    )
