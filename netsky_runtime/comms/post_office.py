"""The daemon at the file bus: when its folders are looked at, and when answers are written."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import Change

from netsky_runtime.comms.bus import folders
from netsky_runtime.comms.bus.folders import INBOX, POISON
from netsky_runtime.comms.bus.names import is_envelope
from netsky_runtime.comms.bus_answering import Answering
from netsky_runtime.comms.bus_intake import Intake
from netsky_runtime.comms.bus_ledger import Ledger
from netsky_runtime.comms.bus_log import BusLog
from netsky_runtime.comms.bus_quarantine import Quarantine
from netsky_runtime.errors import NetskyError
from netsky_runtime.watching import changes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database
    from netsky_runtime.log import Log

POLL_SECONDS = 5.0
"""How often the folders are looked at unasked: a new folder's first file can be missed."""
PRUNE_SECONDS = 3600.0
KEPT_SECONDS = 7 * 86_400.0
"""How long what is finished, or is no envelope, lies in delivered and in poison."""
KEPT = 1000
"""How many files of it each of these folders keeps at most. Who writes an answer a second time
after a crash looks for it there, so it must not be few."""
DEBOUNCE_MS = 50
STEP_MS = 10


class PostOffice:
    """Carries between the actors' inboxes below ``root`` and the database."""

    def __init__(
        self,
        *,
        root: Path,
        database: Database,
        clock: Clock,
        ids: Ids,
        wake: Callable[[str], None],
        log: Log,
    ) -> None:
        self._root = root
        self._clock = clock
        self._wake = wake
        self._log = BusLog(log)
        self.ledger = Ledger(database=database, clock=clock, ids=ids, stored=self._stored)
        self.intake = Intake(
            root=root, database=database, ledger=self.ledger, clock=clock, log=self._log
        )
        self._answering = Answering(root=root, database=database, clock=clock, log=self._log)
        self._quarantine = Quarantine(root=root, database=database)
        self._due = asyncio.Event()
        self._files = True
        """Something may lie in an inbox."""
        self._owing = True
        """An envelope may be without its answer."""
        database.on_commit(self._committed)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._try(self.intake.recover)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._tick())
            group.create_task(self._serve())

    async def collect(self) -> None:
        """Store what lies in the inboxes of the actors."""
        await self.intake.return_stale()
        if await self.intake.collect():
            self._look()

    async def quarantine(self) -> None:
        """Let the rows say what lies in the poison folders."""
        await self._quarantine.look()

    async def answer(self) -> None:
        """Write the answers of all envelopes whose inputs have ended."""
        self._owing = await self._answering.answer()

    async def prune(self) -> None:
        """Remove what is long finished, of everybody: it would grow for ever."""
        before = self._clock.now() / 1000 - KEPT_SECONDS
        await asyncio.to_thread(folders.prune, self._root, before=before, most=KEPT)

    async def _serve(self) -> None:
        while True:
            self._due.clear()
            if self._files:
                self._files = False
                await self._try(self.collect)
                await self._try(self.quarantine)
            await self._try(self.answer)
            await self._due.wait()

    async def _try(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (NetskyError, OSError, sqlite3.Error) as error:
            self._log.once("error", "the bus stands still", "", str(error))

    async def _watch(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._root.mkdir, mode=0o700, exist_ok=True)
                async for _ in changes(
                    self._root, only=_arrives, debounce=DEBOUNCE_MS, step=STEP_MS
                ):
                    self._look()
            except OSError as error:  # no more watches, the folder is gone, a name is no UTF-8
                reason = str(error)
                self._log.once("warning", "the bus is only looked at now and then", "", reason)
            await self._clock.sleep(POLL_SECONDS)

    async def _tick(self) -> None:
        due = self._clock.monotonic()
        while True:
            await self._clock.sleep(POLL_SECONDS)
            self._look()
            if self._clock.monotonic() >= due:  # mail does not wait for it
                due += PRUNE_SECONDS
                await self._try(self.prune)

    def _look(self) -> None:
        self._files = True
        self._due.set()

    def _stored(self, actor_id: str) -> None:
        self._owing = True
        self._wake(actor_id)

    def _committed(self) -> None:
        if self._owing:
            self._due.set()


def _arrives(change: Change, path: str) -> bool:
    file = Path(path)
    if file.parent.name == POISON:
        return True
    return change is not Change.deleted and file.parent.name == INBOX and is_envelope(file.name)
