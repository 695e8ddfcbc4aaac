"""Time and ids that tests move by hand."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import defaultdict

START_MS = 1_763_600_000_000


class ManualClock:
    """A clock that stands still until ``advance``; sleepers wake in the order they are due."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self._start_ms = start_ms
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._arrived = asyncio.Event()

    def now(self) -> int:
        return self._start_ms + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    def set_by(self, seconds: float) -> None:
        """Set the wall clock forward, or back: whoever sleeps does not notice."""
        self._start_ms += round(seconds * 1000)

    @property
    def sleepers(self) -> int:
        """How many wait for this clock now."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._numbers), future))
        self._arrived.set()
        await future  # a cancelled sleeper stays in the heap, done, and is passed over

    async def advance(self, seconds: float = 0.0) -> None:
        """Move time on, waking each sleeper at its own moment and letting it run."""
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end + 1e-9:
            due, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._elapsed = max(self._elapsed, due)
            future.set_result(None)
            await settle()
        self._elapsed = max(self._elapsed, end)

    async def pass_next(self) -> float:
        """Wait until somebody sleeps, let the first be due, and return how long that took.

        Put it under a deadline.
        """
        await self.until_sleeping()
        before = self._elapsed
        due = min(due for due, _, future in self._sleepers if not future.done())
        await self.advance(due - before)
        return round(self._elapsed - before, 3)

    async def until_sleeping(self, count: int = 1) -> None:
        """Return when at least ``count`` tasks wait for this clock. Put it under a deadline."""
        while self.sleepers < count:
            self._arrived.clear()
            await self._arrived.wait()


async def settle(rounds: int = 20) -> None:
    """Let every task that can run do so, a bounded number of times."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class CountingIds:
    """``m-0001``, ``m-0002``…: counted for each prefix, sorting as made; tags, tokens likewise."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int)

    def new(self, prefix: str) -> str:
        self._counts[prefix] += 1
        return f"{prefix}-{self._counts[prefix]:04d}"

    def tag(self) -> str:
        self._counts[""] += 1
        return f"tag{self._counts['']:05d}"

    def token(self) -> str:
        return self.new("token")
