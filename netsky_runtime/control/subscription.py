"""One listener of the daemon's feed, and what he has not heard yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.control import protocol
from netsky_runtime.control.vocabulary import Push, PushKind
from netsky_runtime.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.control.feed import Feed

LIVE_SECONDS: Final = 0.05
CHANGED_SECONDS: Final = 0.1
MAX_NOTICES: Final = 1000


class Subscription:
    """One listener: his place in the facts, whom he watches, and what he has not heard yet.

    Facts are read from the database at the pace at which he takes them. Of the live text and of
    ``changed`` only the latest state waits for him. Notices are kept up to ``MAX_NOTICES``.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._some = asyncio.Event()  # something is to be said, now or when it is due
        self._now = asyncio.Event()  # something is to be said at once
        self.listening = False
        """Whether he has asked for anything."""
        self.watched: str | None = None
        self._facts = False
        self._seq = 0
        self._stale = False
        self._window: int | None = None
        self._unread = 0
        self._live_shown = -1
        self._live_at = 0.0
        self._live_left = 0
        self._lost = 0
        self._changed_shown = 0
        self._changed_at = 0.0
        self._left_at = feed.clock.monotonic()
        self._notices: deque[Push] = deque()
        self._notices_lost = 0
        self._farewell: dict[str, Any] | None = None
        self._over = False

    async def call(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Answer ``watch`` and ``subscribe``. Raises ``UsageError``, ``Conflict``."""
        request = protocol.parse(method, params)
        if not self.listening:
            self.listening = True
            self._changed_shown = self._feed.database.revision
        match request:
            case protocol.Watch():
                self._watch(request.actor_id)
                return {}
            case protocol.Subscribe():
                return await self._subscribe(request)
            case _:
                msg = f"{method} is not about pushes"
                raise AssertionError(msg)

    def _watch(self, actor_id: str | None) -> None:
        self.watched = actor_id
        self._live_shown = -1
        self._lost = 0
        self._live_left = self._live_revision()
        self._feed.rewatch()
        self._live_at = 0.0
        self._hurry()

    async def _subscribe(self, request: protocol.Subscribe) -> dict[str, Any]:
        seq = await self._feed.last_seq() if request.from_seq is None else request.from_seq
        pruned_to = await self._feed.pruned_to()
        if self._facts:
            # Pages of the first place could be on their way among those of the second.
            msg = "This client takes facts already."
            raise Conflict(msg, hint="Connect once more to read from another place.")
        self._facts = request.facts
        self._seq = seq
        self._window = request.window
        self._stale = True
        self._hurry()
        # Of those up to there some are gone: what comes is what is left of them.
        return {"seq": seq} if seq >= pruned_to else {"seq": seq, "pruned_to": pruned_to}

    def ack(self, pages: int) -> None:
        """Take note that he has taken ``pages`` pages of facts."""
        self._unread = max(0, self._unread - pages)
        self._hurry()

    def committed(self) -> None:
        """Take note of a commit."""
        self._stale = True
        self._some.set()
        if self._facts or self._feed.clock.monotonic() >= self._changed_at:
            self._now.set()

    def live_changed(self) -> None:
        """Take note that the text of whom he watches has changed."""
        self._some.set()
        if self._feed.clock.monotonic() >= self._live_at:
            self._now.set()

    def add_notice(self, level: str, text: str) -> None:
        """Keep a notice; the oldest gives way."""
        if len(self._notices) >= MAX_NOTICES:
            self._notices.popleft()
            self._notices_lost += 1
        self._notices.append(Push(PushKind.NOTICE, {"level": level, "text": text}))
        self._hurry()

    def end(self, reason: str, *, stopped: bool = False) -> None:
        """Make ``reason`` the last thing he hears; see ``PushKind.CLOSING``."""
        if self._farewell is None:
            self._farewell = {"reason": reason, "stopped": stopped}
        self._hurry()

    def close(self) -> None:
        """End without another word; ``next`` returns ``None``."""
        self._over = True
        self.watched = None
        self._feed.forget(self)
        self._hurry()

    async def next(self) -> Push | None:
        """Return what is to be said next, waiting for it; ``None`` after the last.

        For one task. A cancelled call loses nothing.
        """
        self._came_back()
        while not self._over:
            self._some.clear()
            self._now.clear()
            push = self._a_notice() or await self._a_page() or self._the_rest()
            if push is not None:
                self._left_at = self._feed.clock.monotonic()
                self._live_left = self._live_revision()
                return push
            await self._pause()
        return None

    def _hurry(self) -> None:
        self._some.set()
        self._now.set()

    def _came_back(self) -> None:
        # Who was away for longer than a live state lasts has missed those of that time, and the
        # one that waited when he left.
        missed = self._live_revision() - self._live_left
        if missed and self._feed.clock.monotonic() - self._left_at > LIVE_SECONDS:
            self._lost += missed + (self._live_left != self._live_shown)

    def _live_revision(self) -> int:
        return 0 if self.watched is None else self._feed.live.revision(self.watched)

    def _a_notice(self) -> Push | None:
        if self._notices_lost:
            text = f"{self._notices_lost} older notices were dropped."
            self._notices_lost = 0
            return Push(PushKind.NOTICE, {"level": "warning", "text": text})
        return self._notices.popleft() if self._notices else None

    async def _a_page(self) -> Push | None:
        if not self._facts or not self._stale:
            return None
        if self._window is not None and self._unread >= self._window:
            return None
        self._stale = False
        try:
            page = await self._feed.page(self._seq)
        except BaseException:
            self._stale = True
            raise
        self._seq = page.last
        self._stale = self._stale or page.more
        if not page.events:
            return None
        self._unread += 1
        return Push(PushKind.FACTS, {"events": page.events})

    def _the_rest(self) -> Push | None:
        now = self._feed.clock.monotonic()
        if self._live_waits() and now >= self._live_at and self.watched is not None:
            lost, self._lost = max(0, self._lost - 1), 0
            self._live_shown = self._live_revision()
            self._live_at = now + LIVE_SECONDS
            return Push(PushKind.LIVE, {**self._feed.live.snapshot(self.watched), "lost": lost})
        if self._change_waits() and now >= self._changed_at:
            self._changed_shown = self._feed.database.revision
            self._changed_at = now + CHANGED_SECONDS
            return Push(PushKind.CHANGED, {"revision": self._changed_shown})
        if self._farewell is not None:
            self._over = True
            return Push(PushKind.CLOSING, self._farewell)
        return None

    def _live_waits(self) -> bool:
        return self.watched is not None and self._live_revision() != self._live_shown

    def _change_waits(self) -> bool:
        return self.listening and self._feed.database.revision != self._changed_shown

    async def _pause(self) -> None:
        due = []
        if self._live_waits():
            due.append(self._live_at)
        if self._change_waits():
            due.append(self._changed_at)
        if not due:
            await self._some.wait()
            return
        clock = self._feed.clock
        sleep = clock.sleep(max(0.0, min(due) - clock.monotonic()))
        timer = asyncio.get_running_loop().create_task(sleep)
        timer.add_done_callback(self._due)
        try:
            await self._now.wait()
        finally:
            timer.cancel()
            await asyncio.wait([timer])

    def _due(self, timer: asyncio.Task[None]) -> None:
        if not timer.cancelled():
            self._now.set()
