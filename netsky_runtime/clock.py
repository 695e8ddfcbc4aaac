"""Time and ids, passed in so that tests are deterministic."""

from __future__ import annotations

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32: no i, l, o, u


class Clock(Protocol):
    """Wall time for rows, monotonic time for deadlines, and the only way to wait."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds, never going back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> int:
        """Milliseconds since the epoch."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Seconds, never going back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Ids(Protocol):
    """Makes ids that nobody else has."""

    def new(self, prefix: str) -> str:
        """Return ``<prefix>-<text>``; later ids of one process sort after earlier ones."""
        ...

    def tag(self) -> str:
        """Return an unguessable marker of 8 characters."""
        ...

    def token(self) -> str:
        """Return a secret of 256 bits, as text that fits into a URL."""
        ...


class SortableIds:
    """Time-sortable ids: 9 characters of milliseconds, 7 of randomness."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = (0, 0)

    def new(self, prefix: str) -> str:
        """Return an id like ``m-1hq2v0c4xk8r3d9z``."""
        now = self._clock.now()
        last_ms, last_random = self._last
        # Within a millisecond (or when the clock steps back) count up instead of drawing again.
        if now <= last_ms:
            self._last = (last_ms, last_random + 1)
        else:
            self._last = (now, secrets.randbits(34))
        ms, noise = self._last
        return f"{prefix}-{_base32(ms, 9)}{_base32(noise, 7)}"

    def tag(self) -> str:
        """Return an unguessable marker of 8 characters."""
        return _base32(secrets.randbits(40), 8)

    def token(self) -> str:
        """Return a secret of 256 bits, as text that fits into a URL."""
        return secrets.token_urlsafe(32)


def iso(milliseconds: int) -> str:
    """Return a time as people and scripts read it: UTC, ISO 8601, to the millisecond."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _base32(number: int, width: int) -> str:
    digits = []
    for _ in range(width):
        number, digit = divmod(number, 32)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
