"""What the machine's clocks say of the time between two looks at them.

On Linux CLOCK_MONOTONIC, which Python's ``time.monotonic`` reads, stands still while the machine
sleeps and CLOCK_BOOTTIME does not. On macOS ``time.monotonic`` stands still too, and
CLOCK_MONOTONIC is the one that goes on. The wall clock may be set to anything at any time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

GAP_SECONDS: Final = 5.0
"""Less than this is a busy machine, not a gap."""


def boottime() -> float:
    """Return the seconds since some moment in the past, also those the machine has slept."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """All clocks, looked at together."""

    monotonic: float
    """Seconds in which the machine was awake."""
    boot: float
    """Seconds, slept through or not."""
    wall: int
    """Milliseconds since the epoch, as far as the machine knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """What happened between two moments besides the passing of time; seconds."""

    missed: float
    """In which nothing of netsky ran: the machine slept, or this process was stopped."""
    jumped: float
    """By which the wall clock was set forward, or, below zero, back."""

    def __bool__(self) -> bool:
        """Whether anything did."""
        return bool(self.missed or self.jumped)


def between(before: Moment, after: Moment, *, expected: float) -> Gap:
    """Return what happened while netsky meant to wait ``expected`` seconds.

    A machine too busy to come back in time within ``GAP_SECONDS`` makes no gap.
    """
    awake = after.monotonic - before.monotonic
    passed = max(awake, after.boot - before.boot)
    missed = passed - expected
    jumped = (after.wall - before.wall) / 1000 - passed
    return Gap(
        missed=missed if missed >= GAP_SECONDS else 0.0,
        jumped=jumped if abs(jumped) >= GAP_SECONDS else 0.0,
    )
