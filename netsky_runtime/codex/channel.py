"""From a reader that waits for nobody to the one consumer of a thread's events."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from netsky_runtime.codex.events import CodexEvent, EventKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netsky_runtime.clock import Clock

MAX_FACTS = 50_000
MAX_DELTA_CHARS = 64 * 1024
MAX_PENDING_DELTAS = 256
MAX_REQUESTS_KEPT = 1_000
_BREATH = 128

# A thread's history shows none of these, so a reader of history could never make them up for.
_ONLY_HERE = frozenset(
    {EventKind.APPROVAL_REQUESTED, EventKind.APPROVAL_RESOLVED, EventKind.TOOL_REQUESTED}
)


class ThreadChannel:
    """A bounded queue of one thread's events: ``put`` never waits, one consumer iterates.

    Facts come out in the order they went in. Deltas of one item and stream that nobody has
    taken yet are folded into one (its last 64 Ki characters), which comes out where the first
    stood; while 256 such wait, those of further items are dropped. When more than
    ``max_facts`` facts wait, all that waits is dropped and one ``RESYNC`` takes its place,
    followed by the requests that hold a turn, which no history tells. To be used on one
    event loop only.
    """

    def __init__(self, thread_id: str, *, clock: Clock, max_facts: int = MAX_FACTS) -> None:
        self._thread_id = thread_id
        self._clock = clock
        self._max_facts = max_facts
        self._queue: deque[CodexEvent | _Folded] = deque()
        self._facts = 0
        self._pending: dict[tuple[str, str, str], _Folded] = {}
        self._last: CodexEvent | None = None
        self._ended = False
        self._wake = asyncio.Event()
        self._waiting = False
        self._taken = 0

    @property
    def ended(self) -> bool:
        """Whether ``end`` was called: nothing more goes in."""
        return self._ended

    def name(self, thread_id: str) -> None:
        """Learn the id of a thread that had none when the channel was made."""
        self._thread_id = thread_id

    def put(self, event: CodexEvent) -> None:
        """Take an event in, at once. After ``end`` it is dropped."""
        if self._ended:
            return
        if event.is_fact:
            if self._facts >= self._max_facts:
                self._overflow()
            self._queue.append(event)
            self._facts += 1
        else:
            self._fold(event)
        self._wake.set()

    def end(self, reason: str | None) -> None:
        """Let the consumer finish what waits, then ``SESSION_LOST`` if there is a reason.

        The first call counts.
        """
        if self._ended:
            return
        self._ended = True
        if reason is not None:
            self._last = CodexEvent(
                EventKind.SESSION_LOST, self._thread_id, self._clock.now(), data={"reason": reason}
            )
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[CodexEvent]:
        return self

    async def __anext__(self) -> CodexEvent:
        # Everything that can be cancelled comes before the event is taken: none is lost.
        if self._waiting:
            msg = f"Two consumers read the events of thread {self._thread_id}."
            raise RuntimeError(msg)
        self._waiting = True
        try:
            self._taken += 1
            if self._taken % _BREATH == 0:
                await asyncio.sleep(0)  # a full queue never suspends its consumer otherwise
            while not self._queue and not self._ended:
                self._wake.clear()
                await self._wake.wait()
        finally:
            self._waiting = False
        return self._take()

    def _take(self) -> CodexEvent:
        if self._queue:
            entry = self._queue.popleft()
            if isinstance(entry, CodexEvent):
                self._facts -= 1
                return entry
            del self._pending[entry.key]
            return entry.event()
        last, self._last = self._last, None
        if last is None:
            raise StopAsyncIteration
        return last

    def _fold(self, event: CodexEvent) -> None:
        key = (event.turn_id, event.item_id, str(event.data.get("stream", "")))
        folded = self._pending.get(key)
        if folded is None:
            if len(self._pending) >= MAX_PENDING_DELTAS:
                return
            folded = self._pending[key] = _Folded(key, event)
            self._queue.append(folded)
        folded.add(str(event.data.get("text", "")))

    def _overflow(self) -> None:
        requests = [
            entry
            for entry in self._queue
            if isinstance(entry, CodexEvent) and entry.kind in _ONLY_HERE
        ]
        self._queue.clear()
        self._pending.clear()
        self._queue.append(CodexEvent(EventKind.RESYNC, self._thread_id, self._clock.now()))
        kept = min(MAX_REQUESTS_KEPT, self._max_facts // 2)
        self._queue.extend(requests[max(0, len(requests) - kept) :])
        self._facts = len(self._queue)


class _Folded:
    """Deltas of one item and stream, waiting to come out as one."""

    __slots__ = ("_chunks", "_first", "_length", "key")

    def __init__(self, key: tuple[str, str, str], first: CodexEvent) -> None:
        self.key = key
        self._first = first
        self._chunks: list[str] = []
        self._length = 0

    def add(self, text: str) -> None:
        self._chunks.append(text)
        self._length += len(text)
        # Cut only at twice the bound, or every small delta would copy the whole tail.
        if self._length > 2 * MAX_DELTA_CHARS:
            self._chunks = ["".join(self._chunks)[-MAX_DELTA_CHARS:]]
            self._length = MAX_DELTA_CHARS

    def event(self) -> CodexEvent:
        first = self._first
        text = "".join(self._chunks)[-MAX_DELTA_CHARS:]
        data = {**first.data, "text": text}
        return CodexEvent(first.kind, first.thread_id, first.at, first.turn_id, first.item_id, data)
