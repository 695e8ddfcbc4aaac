"""Rings for the owner, once for each thing that waits, also over restarts.

The bell rings in every room, the notification appears on the daemon's own desktop. What nobody
could be told of (no room is open, no desktop takes it) stays untold, and rings when somebody can.
"""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

from netsky_runtime import settings
from netsky_runtime.attention.desktop import REST_SECONDS
from netsky_runtime.attention.ringing import QuietHours, verdict, words
from netsky_runtime.db import attention
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.errors import NetskyError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from netsky_runtime.attention.items import Waiting
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log
    from netsky_runtime.settings import Settings

    class Notifier(Protocol):
        """Whoever shows a notification."""

        async def tell(self, text: str) -> bool:
            """Show it; return whether that was possible."""
            ...


PACE_SECONDS: Final = 1.0
"""Between two looks, at least, however much is written."""
LOOK_SECONDS: Final = 30.0
"""Between two looks, at most, while something is untold: the wall clock can be set."""
GONE_SECONDS: Final = 60.0
"""How long a thing must have been gone to be news when it comes back. A screen that is read anew
after a restart, or changes between two dialogs, is not."""
MOST: Final = 1_000
"""Things looked at; who has that many needs no bell."""
_SET: Final = ("ring", "quiet_hours")


def local_time(milliseconds: int) -> datetime:
    """Return the time of day where the daemon runs."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).astimezone()


class Herald:
    """Looks when something was written.

    ``ring`` rings in every room, of which there are ``rooms``; ``local`` gives the time of day.
    """

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        rooms: Callable[[], int],
        ring: Callable[[str], None],
        desktop: Notifier,
        local: Callable[[int], datetime] = local_time,
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._rooms = rooms
        self._ring = ring
        self._desktop = desktop
        self._local = local
        self._news = asyncio.Event()
        self._known_since: float | None = None
        """When the first of what is untold was seen."""
        self._rang_at = float("-inf")
        self._quiet_seen = False
        """Whether what is untold has waited through quiet hours."""
        self._unnoted: set[str] = set()
        """What has rung, as long as that could not be stored."""
        self._gone: dict[str, float] = {}
        self._desktop_rests_until = float("-inf")
        self._failing = ""
        database.on_commit(self._news.set)

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            self._news.clear()
            again = await self._try()
            if again is None:
                await self._news.wait()
                again = 0.0
            due = self._clock.monotonic() + min(again, LOOK_SECONDS)
            await self._clock.sleep(PACE_SECONDS)
            while not self._news.is_set() and self._clock.monotonic() < due:
                await self._clock.sleep(PACE_SECONDS)

    async def _try(self) -> float | None:
        try:
            again = await self.look()
        except (NetskyError, sqlite3.Error) as error:
            if str(error) != self._failing:
                self._log("warning", "nobody can be rung for", {"reason": str(error)})
            self._failing = str(error)
            return LOOK_SECONDS
        self._failing = ""
        return again

    async def look(self) -> float | None:
        """Ring if it is time; return after how many seconds to look again, if unasked."""
        again = await self._ring_if_due()
        if self._unnoted:
            keys, now = sorted(self._unnoted), self._clock.now()
            await self._database.write(lambda tx: attention.tell(tx, keys, now=now))
            self._unnoted.clear()
        return again

    async def _ring_if_due(self) -> float | None:
        chosen, waiting, gone = await self._database.read(partial(_state, now=self._clock.now()))
        untold = [each for each in waiting if each.key not in self._unnoted]
        forgetting = await self._forget(gone)
        if chosen.ring == "none":
            # Not told, so that a bell that is switched on rings for what still waits.
            return forgetting
        now = self._clock.monotonic()
        if not untold:
            self._known_since, self._quiet_seen = None, False
            return forgetting
        if self._known_since is None:
            self._known_since = now
        hours = QuietHours.parse(chosen.quiet_hours)
        quiet = hours.left(self._local(self._clock.now())) if hours is not None else 0.0
        self._quiet_seen = self._quiet_seen or quiet > 0
        found = verdict(
            untold=len(untold),
            waited=now - self._known_since,
            since_ring=now - self._rang_at,
            quiet=quiet,
        )
        if not found.ring:
            return found.again
        if await self._tell(chosen, untold):
            self._known_since, self._quiet_seen = None, False
            return forgetting
        return LOOK_SECONDS

    async def _tell(self, chosen: Settings, untold: Sequence[Waiting]) -> bool:
        text = words(untold, after_quiet=self._quiet_seen)
        told = False
        if chosen.ring in {"bell", "both"} and self._rooms():
            self._ring(text)
            told = True
        if chosen.ring in {"desktop", "both"}:
            told |= await self._tell_desktop(text)
        if told:
            self._rang_at = self._clock.monotonic()
            self._unnoted.update(each.key for each in untold)
        return told

    async def _tell_desktop(self, text: str) -> bool:
        if self._clock.monotonic() < self._desktop_rests_until:
            return False
        if await self._desktop.tell(text):
            return True
        self._desktop_rests_until = self._clock.monotonic() + REST_SECONDS
        return False

    async def _forget(self, gone: frozenset[str]) -> float | None:
        """Let what has long been gone be news again; return when to look at the rest."""
        now = self._clock.monotonic()
        self._gone = {key: self._gone.get(key, now) for key in gone}
        due = [key for key, since in self._gone.items() if now - since >= GONE_SECONDS]
        if due:
            await self._database.write(lambda tx: attention.forget(tx, due))
            for key in due:
                del self._gone[key]
        return GONE_SECONDS if self._gone else None


async def _state(tx: Tx, *, now: int) -> tuple[Settings, Sequence[Waiting], frozenset[str]]:
    """Return what is set, what the owner was not told of, and what of the rest has gone."""
    stored = await setting_rows.get_all(tx)
    chosen = settings.load({key: stored[key] for key in _SET if key in stored}, environ={})
    waiting = await attention.waiting(tx, now=now, limit=MOST)
    return chosen, [each for each in waiting if not each.told], await attention.gone(tx, now=now)
