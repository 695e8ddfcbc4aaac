"""What a daemon does for its own database beside the work: pruning, and a copy a day."""

from __future__ import annotations

import asyncio
import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Final

from netsky_runtime.db import backup, retention
from netsky_runtime.errors import NetskyError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database
    from netsky_runtime.db.retention import Family, Step
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.log import Log
    from netsky_runtime.settings import Settings

FIRST_SECONDS: Final = 60.0
"""A start has other things to do."""
EVERY_SECONDS: Final = 600.0
DAY_MS: Final = 86_400_000
STEP_SECONDS: Final = 0.01
"""How long one step of pruning should hold the writer; the next step is sized by the last."""
REST_TIMES: Final = 4
"""Between two steps the writer is left to everybody else, this many times as long."""
SMALLEST, LARGEST = 20, 2_000
"""Rows of one step."""
PRUNE, BACK_UP = "prune", "back up"
_FORESEEN = (NetskyError, sqlite3.Error, OSError)


class Housekeeping:
    """Prunes what nobody needs any more, and keeps the newest copies of the database."""

    def __init__(
        self,
        *,
        database: Database,
        backups: Path,
        settings: Callable[[], Awaitable[Settings]],
        clock: Clock,
        log: Log,
    ) -> None:
        """Make one; ``settings`` are asked for anew every time."""
        self._database = database
        self._backups = backups
        self._settings = settings
        self._clock = clock
        self._log = log
        self._rows = 200
        self._walked: dict[Family, int] = {"events": 0, "logs": 0}
        self._walked_at = 0
        self._failing: dict[str, str] = {}

    @property
    def failing(self) -> Mapping[str, str]:
        """Why ``PRUNE`` and ``BACK_UP`` could not be done the last time, if they could not."""
        return self._failing

    async def run(self) -> None:
        """Keep house until cancelled."""
        await self._clock.sleep(FIRST_SECONDS)
        while True:
            await self._keep_house()
            await self._clock.sleep(EVERY_SECONDS)

    async def _keep_house(self) -> None:
        """Do each job, also when another cannot be done."""
        try:
            settings = await self._settings()
        except _FORESEEN as error:
            self._failed((PRUNE, BACK_UP), str(error))
            return
        jobs: Mapping[str, Callable[[Settings], Awaitable[object]]] = {
            PRUNE: self.prune,
            BACK_UP: self.back_up,
        }
        for job, work in jobs.items():
            try:
                await work(settings)
            except _FORESEEN as error:
                self._failed((job,), str(error))
            else:
                self._failing.pop(job, None)

    async def prune(self, settings: Settings) -> int:
        """Delete what may go, in small steps with rests between them; return how many rows."""
        now = self._clock.now()
        if now - self._walked_at >= DAY_MS:  # what stayed for an open turn may go by now
            self._walked, self._walked_at = {"events": 0, "logs": 0}, now
        kept = settings.events_keep_days * DAY_MS
        deleted = await self._prune(
            "events",
            before=now - kept,
            keep_rows=settings.events_keep_rows,
            landmarks_before=now - kept * retention.LANDMARK_TIMES,
        )
        deleted += await self._prune(
            "logs",
            before=now - settings.logs_keep_days * DAY_MS,
            keep_rows=settings.logs_keep_rows,
            landmarks_before=0,
        )
        if deleted:
            self._log("info", "old rows were pruned", {"rows": deleted})
        return deleted

    async def back_up(self, settings: Settings) -> Path | None:
        """Take the copy of the day when it is due; return where it is."""
        if not settings.backup_keep:
            return None
        found = await asyncio.to_thread(backup.kept, self._backups)
        now = self._clock.now()
        # A name of the future is of a clock that was ahead: it tells no age.
        past = [path for path in found if backup.taken_at(path) <= now]
        if past and now - backup.taken_at(past[-1]) < DAY_MS:
            return None
        target = await asyncio.to_thread(backup.free_name, self._backups, now)
        copy = await asyncio.to_thread(backup.take, self._database.path, target)
        gone = await asyncio.to_thread(
            backup.prune, self._backups, keep=settings.backup_keep, now=now
        )
        fields = {"file": str(target), "bytes": copy.bytes, "deleted": len(gone)}
        self._log("info", "backup was taken", fields)
        return target

    async def _prune(
        self, family: Family, *, before: int, keep_rows: int, landmarks_before: int
    ) -> int:
        up_to = await self._database.read(
            partial(retention.frontier, family=family, before=before, keep_rows=keep_rows)
        )
        deleted = 0
        while (after := self._walked[family]) < up_to:
            taken, done = await self._step(family, after, up_to, landmarks_before)
            self._walked[family] = done.last
            deleted += done.deleted
            await self._clock.sleep(REST_TIMES * taken)
        return deleted

    async def _step(
        self, family: Family, after: int, up_to: int, landmarks_before: int
    ) -> tuple[float, Step]:
        """Take one step; the next takes more or fewer rows, so that none holds the writer long."""
        began = 0.0

        async def body(tx: Tx) -> Step:
            nonlocal began
            began = self._clock.monotonic()  # what it waited before held up nobody
            return await retention.step(
                tx,
                family,
                after=after,
                up_to=up_to,
                limit=self._rows,
                landmarks_before=landmarks_before,
                now=self._clock.now(),
            )

        done = await self._database.write(body)
        taken = self._clock.monotonic() - began
        factor = STEP_SECONDS / taken if taken > 0 else 2.0
        self._rows = round(min(max(self._rows * min(factor, 2.0), SMALLEST), LARGEST))
        return taken, done

    def _failed(self, jobs: Sequence[str], error: str) -> None:
        if any(self._failing.get(job) != error for job in jobs):
            self._log("error", "housekeeping failed", {"jobs": " and ".join(jobs), "error": error})
        self._failing.update(dict.fromkeys(jobs, error))
