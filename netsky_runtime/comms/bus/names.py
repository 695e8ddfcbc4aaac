"""File names on the bus: they sort by time, and no two writers ever choose the same one.

20 digits of nanoseconds, 10 of the process id, 8 hexadecimal of chance, 10 of a count, then
``-from-`` and the sender. All four, because fresh processes start their counts at 0 together.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

NANOSECONDS = 1_000_000
"""In a millisecond."""
_STRANGE = "\N{REPLACEMENT CHARACTER}"


def is_envelope(name: str) -> bool:
    """Whether a reader looks at the file at all."""
    return name.endswith(".json") and not name.startswith(".")


def readable(name: str) -> str:
    """Return a file's name as text that can be stored and shown; it can be any bytes."""
    text = os.fsencode(name).decode(errors="replace")
    return "".join(char if char.isprintable() else _STRANGE for char in text)


def file_name(*, at_ns: int, pid: int, noise: str, count: int, sender: str) -> str:
    """Put a name together; ``noise`` is 8 hexadecimal digits."""
    return f"{at_ns:020d}-{pid:010d}-{noise}-{count:010d}-from-{sender}.json"


def settled_name(*, at_ms: int, sender: str, about: str) -> str:
    """Return the one name of an envelope that is written once, also by a second attempt.

    ``about`` is what is unique to it.
    """
    noise = hashlib.sha256(about.encode(errors="replace")).hexdigest()[:8]
    return file_name(at_ns=at_ms * NANOSECONDS, pid=0, noise=noise, count=0, sender=sender)


class Names:
    """Makes the names of one process."""

    def __init__(
        self,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        noise: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._now_ns = now_ns
        self._noise = noise
        self._last = 0
        self._count = 0

    def new(self, sender: str) -> str:
        """Return a name that sorts after those made before."""
        self._last = max(self._now_ns(), self._last + 1)
        self._count += 1
        return file_name(
            at_ns=self._last,
            pid=os.getpid(),
            noise=self._noise(),
            count=self._count - 1,
            sender=sender,
        )
