"""Looks for garbage when nobody waits for the room."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock

REST = 2.0
"""Seconds without a key after which nobody waits for a frame."""
PACE = 60.0
"""Seconds between two searches of everything, at least."""
LATEST = 300.0
"""Seconds after which it is done even under somebody's fingers: garbage is memory."""
_NEVER = 1_000_000


class Tidying:
    """Takes the search of everything, 20 to 70 ms on a full room, out of Python's hands.

    Young objects, nearly all garbage there is, are still searched as Python sees fit.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._thresholds = gc.get_threshold()
        self._last = clock.monotonic()

    def start(self) -> None:
        """From here on everything is searched by ``beat`` alone."""
        young, middle, _ = self._thresholds = gc.get_threshold()
        gc.set_threshold(young, middle, _NEVER)

    def stop(self) -> None:
        """Leave it to Python again."""
        gc.set_threshold(*self._thresholds)

    def beat(self, *, last_key: float) -> None:
        """Search if it is time; ``last_key`` is the monotonic time of the last key."""
        now = self._clock.monotonic()
        since = now - self._last
        if since >= LATEST or (since >= PACE and now - last_key >= REST):
            self._last = now
            gc.collect()
