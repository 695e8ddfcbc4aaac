"""What the daemon says unasked, to everyone who listens, each at his own pace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import orjson

from netsky_runtime.control.subscription import Subscription
from netsky_runtime.db import events, retention

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AsyncExitStack

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.fact_records import StoredEvent

T = TypeVar("T")

PAGE_EVENTS: Final = 500
PAGE_BYTES: Final = 4 * 1024 * 1024


class Spine(Protocol):
    """The part of the database that the feed needs."""

    @property
    def revision(self) -> int:
        """A number that grows with every commit."""
        ...

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call back after every commit."""
        ...

    async def read(self, body: Callable[[Tx], Awaitable[T]]) -> T:
        """Run ``body`` on a snapshot."""
        ...


class Live(Protocol):
    """The part of the agents' live text that the feed needs."""

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call back with the actor whose text has changed."""
        ...

    def revision(self, actor_id: str) -> int:
        """Return a number that grows with every change."""
        ...

    def snapshot(self, actor_id: str) -> dict[str, Any]:
        """Return the text as it stands."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """Facts in a row, from one place in the table to another."""

    after: int
    revision: int
    events: list[dict[str, Any]]
    last: int
    more: bool


class Feed:
    """Makes subscriptions and wakes them. What it reads for one listener serves the next, too."""

    def __init__(
        self,
        *,
        database: Spine,
        live: Live,
        clock: Clock,
        set_watched: Callable[[frozenset[str]], None] | None = None,
    ) -> None:
        self.database = database
        self.live = live
        self.clock = clock
        self._set_watched = set_watched
        self._watched: frozenset[str] = frozenset()
        self._subscriptions: set[Subscription] = set()
        self._reading = asyncio.Lock()
        self._page = Page(-1, -1, [], -1, more=False)
        self._ended: tuple[str, bool] | None = None

    async def start(self, stack: AsyncExitStack) -> None:
        """Begin to listen to the database and the live text; ``stack`` ends every listener."""
        self.database.on_commit(self._committed)
        self.live.on_change(self._changed)
        stack.callback(self.closing, "The daemon has ended.")

    def open(self) -> Subscription:
        """Return a subscription that says nothing until it is asked to."""
        subscription = Subscription(self)
        self._subscriptions.add(subscription)
        if self._ended is not None:
            reason, stopped = self._ended
            subscription.end(reason, stopped=stopped)
        return subscription

    @property
    def rooms(self) -> int:
        """How many listeners look at somebody: rooms, not scripts that follow facts."""
        return sum(one.watched is not None for one in self._subscriptions)

    def notice(self, level: str, text: str) -> None:
        """Tell every listener something that the operator should read."""
        for subscription in self._subscriptions:
            subscription.add_notice(level, text)

    def closing(self, reason: str, *, stopped: bool = False) -> None:
        """Tell every listener that this is the end; the first reason is the one that counts.

        See ``PushKind.CLOSING`` for ``stopped``.
        """
        self._ended = self._ended or (reason, stopped)
        for subscription in self._subscriptions:
            subscription.end(reason, stopped=stopped)

    async def page(self, after: int) -> Page:
        """Return the facts after ``after``, bounded in number and size."""
        async with self._reading:
            revision = self.database.revision
            if (self._page.after, self._page.revision) != (after, revision):
                rows = await self.database.read(
                    lambda tx: events.after(tx, after, limit=PAGE_EVENTS)
                )
                self._page = _cut(after, revision, rows)
            return self._page

    async def last_seq(self) -> int:
        """Return the place of the last fact."""
        return await self.database.read(events.last_seq)

    async def pruned_to(self) -> int:
        """Return the place up to which facts may be missing."""
        return await self.database.read(lambda tx: retention.pruned_to(tx, "events"))

    def forget(self, subscription: Subscription) -> None:
        """Let go of a listener that has left."""
        self._subscriptions.discard(subscription)
        self.rewatch()

    def rewatch(self) -> None:
        """Tell the fleet whose live text anybody wants, when that has changed."""
        watched = frozenset(one.watched for one in self._subscriptions if one.watched is not None)
        if watched != self._watched:
            self._watched = watched
            if self._set_watched is not None:
                self._set_watched(watched)

    def _committed(self) -> None:
        for subscription in self._subscriptions:
            subscription.committed()

    def _changed(self, actor_id: str) -> None:
        for subscription in self._subscriptions:
            if subscription.watched == actor_id:
                subscription.live_changed()


def _cut(after: int, revision: int, rows: tuple[StoredEvent, ...]) -> Page:
    chosen: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        size += len(orjson.dumps(row.data))
        if chosen and size > PAGE_BYTES:
            break
        chosen.append(_json(row))
    last = chosen[-1]["seq"] if chosen else after
    more = len(rows) == PAGE_EVENTS or len(chosen) < len(rows)
    return Page(after, revision, chosen, last, more)


def _json(row: StoredEvent) -> dict[str, Any]:
    return {
        "seq": row.seq,
        "thread_id": row.thread_id,
        "turn_id": row.turn_id,
        "item_id": row.item_id,
        "kind": row.kind,
        "actor_id": row.actor_id,
        "at": row.at,
        "data": row.data,
    }
