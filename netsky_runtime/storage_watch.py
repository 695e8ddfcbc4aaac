"""Says when nothing can be stored, why and what to do; finds out by itself that it is over."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.clock import iso
from netsky_runtime.db import daemon_row
from netsky_runtime.db.trouble import probe
from netsky_runtime.errors import DatabaseError, NetskyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database
    from netsky_runtime.db.trouble import Standing
    from netsky_runtime.log import Log

STEADY_SECONDS = 3.0
"""How long the database must have worked before it is told: a disk that is nearly full takes one
write and refuses the next."""
LONGEST_STEADY_SECONDS = 60.0
"""The same when trouble that was told to be over comes back, and comes back again."""
LOOK_SECONDS = 5.0
"""Between two looks whether the file and the home are still this daemon's."""
GOES_ON: Final = "What runs goes on and is kept in memory; new input is refused until then."


class StorageWatch:
    """Owns what is said of the database's trouble: once when it begins, once when it is over."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        log: Log,
        tell: Callable[[str, str], None],
        facts_waiting: Callable[[], int],
    ) -> None:
        """Make one; ``tell`` takes a level and a sentence to every room."""
        self._database = database
        self._trouble = database.trouble
        self._clock = clock
        self._log = log
        self._tell = tell
        self._facts_waiting = facts_waiting
        self._begun = asyncio.Event()
        self._own: tuple[int, int] | None = None
        """The file that is this daemon's: the one that was there when the watch first began."""
        self._gone: Standing | None = None
        self._steady = STEADY_SECONDS
        self._trouble.on_change(self._changed)

    def state(self) -> dict[str, Any]:
        """Return how the storage is: ``state`` is ok or trouble, ``problem`` is one sentence.

        ``notice`` is all that an operator is told while there is trouble.
        """
        standing = self._trouble.standing
        return {
            "state": "ok" if standing is None else "trouble",
            "since": None if standing is None else iso(standing.since),
            "problem": "" if standing is None else standing.message,
            "hint": "" if standing is None else standing.hint,
            "notice": "" if standing is None else _sentence(standing),
            "writes_waiting": self._trouble.waiting,
            "facts_waiting": self._facts_waiting(),
        }

    async def run(self) -> None:
        """Watch until cancelled. Begun again it goes on with the same file."""
        if self._own is None:
            self._own = await asyncio.to_thread(self._file)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outlast())
            group.create_task(self._keep_looking())

    def _changed(self) -> None:
        if self._trouble.standing is not None:
            self._begun.set()

    async def _outlast(self) -> None:
        ended = 0.0
        while True:
            await self._begun.wait()
            began = self._clock.monotonic()
            again = ended and began - ended < LONGEST_STEADY_SECONDS
            self._steady = (
                min(2 * self._steady, LONGEST_STEADY_SECONDS) if again else STEADY_SECONDS
            )
            if (standing := self._trouble.standing) is not None:
                fields = {"problem": standing.message, "hint": standing.hint}
                self._log("warning", "nothing can be stored", fields)
                self._tell("error", _sentence(standing))
            await self._until_it_works()
            self._begun.clear()
            ended = self._clock.monotonic()
            if standing is not None:
                lasted = round(ended - began)
                self._log("info", "storage works again", {"seconds": lasted})
                self._tell("info", "Storage works again: what waited is stored.")

    async def _until_it_works(self) -> None:
        while True:
            # Like everything that waits it is tried again, so that somebody does try.
            with suppress(NetskyError, sqlite3.Error):
                await self._database.write(probe)
            await self._clock.sleep(self._steady)
            if self._trouble.standing is None:
                return

    async def _keep_looking(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            self._compare(await asyncio.to_thread(self._file))
            with suppress(NetskyError, sqlite3.Error):
                if await self._database.read(daemon_row.epoch) != self._database.epoch:
                    await self._database.write(daemon_row.epoch)  # and meets the fence

    def _compare(self, there: tuple[int, int] | None) -> None:
        """Refuse to write to a file that nobody else can find: SQLite itself does not notice."""
        if there != self._own and self._gone is None:
            msg = f"The database {self._database.path} was removed or replaced."
            hint = "Put it back; or `netsky stop`, then `netsky restore` a copy."
            self._gone = self._trouble.begin(DatabaseError(msg, hint=hint), lasting=True)
        elif there == self._own and self._gone is not None:
            if self._trouble.standing is self._gone:
                self._trouble.over()
            self._gone = None

    def _file(self) -> tuple[int, int] | None:
        try:
            status = self._database.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def _sentence(standing: Standing) -> str:
    since = datetime.fromtimestamp(standing.since / 1000, UTC).astimezone()
    why = standing.message[0].lower() + standing.message[1:]
    return f"Nothing is stored since {since:%H:%M:%S}: {why} {standing.hint} {GOES_ON}"
