"""Facts on their way into the database: in order, in batches, never waited for by a reader."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeAlias

import orjson

from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import events, usage
from netsky_runtime.errors import Fenced, NetskyError
from netsky_runtime.fact_records import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from netsky_runtime.agents.budgets import Effects
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log

QUEUE_LIMIT = 100_000
"""Facts waiting for the database; past it their listeners wait, and their channels fill."""
BATCH = 500
"""Facts of one commit: twice as many are hardly quicker, and whoever writes next waits longer."""
RETRY_SECONDS = 1.0
_UNFIT = (sqlite3.IntegrityError, sqlite3.DataError, TypeError, ValueError, OverflowError)
"""What a fact that no row can hold is refused with, whoever else is in its batch."""

_MANY_A_TURN = frozenset(
    {EventKind.ERROR, EventKind.WARNING, EventKind.UNKNOWN, EventKind.MODEL, EventKind.BLOCKED}
)

_Waiting: TypeAlias = tuple[str, str, CodexEvent]
"""Actor, item id, fact."""


class Counts(Protocol):
    """Counts tokens against budgets."""

    async def count(self, tx: Tx, used: Iterable[Usage]) -> Effects:
        """Count usage, in the transaction that stores it."""
        ...

    def carry_out(self, effects: Effects) -> None:
        """Do what follows, after the commit."""
        ...


class FactWriter:
    """Takes facts at once and stores them in order.

    While one commit is on its way to the disk the next facts gather: a flood commits in
    large transactions, a trickle at once. What is used up is acted on once it is stored.
    """

    def __init__(self, *, database: Database, clock: Clock, log: Log, budgets: Counts) -> None:
        self._budgets = budgets
        self._database = database
        self._clock = clock
        self._log = log
        self._queue: deque[_Waiting] = deque()
        self._filled = asyncio.Event()
        self._went_on = asyncio.Event()
        """Of everybody who waits for facts to be stored just now."""
        self._accepted = 0
        self._stored = 0
        self._room = asyncio.Event()
        self._room.set()
        self._sequence = 0
        self._given_up = False

    def __len__(self) -> int:
        """How many facts wait."""
        return len(self._queue)

    async def put(self, actor_id: str, event: CodexEvent) -> None:
        """Accept a fact at once, or, while the database is far behind, when there is room."""
        while len(self._queue) >= QUEUE_LIMIT:
            self._room.clear()
            await self._room.wait()
        if self._given_up:
            return
        self._queue.append((actor_id, self._name(event), event))
        self._accepted += 1
        self._filled.set()

    async def flush(self) -> None:
        """Return when everything accepted so far is stored, however much comes meanwhile."""
        last = self._accepted
        while self._stored < last and not self._given_up:
            await self._went_on.wait()

    async def run(self) -> None:
        """Store until cancelled; a failing database is retried, nothing accepted is dropped.

        It ends when the home has another owner, who reads the facts from the threads' histories.
        """
        failing = False
        while True:
            await self._filled.wait()
            batch = list(islice(self._queue, BATCH))
            try:
                await self._write(batch)
            except Fenced:
                self._give_up()
                return
            except (sqlite3.Error, OSError, NetskyError) as error:
                if not failing:
                    self._log("error", "facts could not be stored", {"error": str(error)})
                failing = True
                await self._clock.sleep(RETRY_SECONDS)
                continue
            failing = False
            for _ in batch:
                self._queue.popleft()
            self._stored += len(batch)
            self._room.set()
            if not self._queue:
                self._filled.clear()
            self._tell()

    def _give_up(self) -> None:
        self._given_up = True
        self._queue.clear()
        self._room.set()
        self._tell()

    def _tell(self) -> None:
        """Let everybody who waits for facts to be stored look whether theirs are."""
        self._went_on.set()
        self._went_on = asyncio.Event()

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        """Store a batch in order; one fact that no row can hold costs no other."""
        try:
            store = partial(_store, budgets=self._budgets, batch=batch)
            await self._database.write(store, then=self._budgets.carry_out)
        except _UNFIT as error:
            if len(batch) == 1:
                ((actor_id, _, event),) = batch
                fields = {"actor": actor_id, "kind": event.kind.value, "error": repr(error)}
                self._log("error", "a fact cannot be stored and was left out", fields)
                return
            half = len(batch) // 2
            await self._write(batch[:half])
            await self._write(batch[half:])

    def _name(self, event: CodexEvent) -> str:
        if event.item_id or event.kind not in _MANY_A_TURN:
            return event.item_id
        # Several may come in one turn, and none of them is repeated on resume.
        self._sequence += 1
        return f"{event.at}.{self._sequence}"


async def _store(tx: Tx, *, budgets: Counts, batch: Sequence[_Waiting]) -> Effects:
    await events.upsert_many(tx, [_fact(*waiting) for waiting in batch])
    totals = {
        (event.thread_id, event.turn_id): _usage(actor_id, event)
        for actor_id, _, event in batch
        if event.kind is EventKind.USAGE
    }
    for row in totals.values():
        await usage.upsert(tx, row)
    return await budgets.count(tx, totals.values())


def _fact(actor_id: str, item_id: str, event: CodexEvent) -> events.Fact:
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
