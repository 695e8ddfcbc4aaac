"""Keeps the store true: listens, marks dirty, and reads again on a clock, never per event."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.errors import NetskyError
from netsky_tui.store import LinkState, Part, Store
from netsky_tui.succession import Succession

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_tui.link import Connector, Handle, Push
    from netsky_tui.source import Source

LIVE_PACE = 0.05
"""Seconds between two looks at live text."""
TABLE_PACE = 0.1
"""Seconds between two reads of the database, at least."""
BEAT = 0.04
"""Seconds from the first news to the read: whoever wrote is not done, and the loop is his."""
IDLE_PACE = 1.0
"""Seconds between two looks for changes nobody told of, and between two ticks of the ages."""
STATUS_PACE = 2.0
SCREENFUL = 50
"""Rows of each list that are read for the first frame. All of them take four times as long."""
_LOAD = 4
"""A read that took long is followed by a pause of this many times as long."""

Changed = Callable[[frozenset[Part]], None]


class RoomFeed:
    """One for each room; ``run`` lives as long as it."""

    def __init__(
        self,
        *,
        store: Store,
        connector: Connector,
        clock: Clock,
        changed: Changed,
        progress: Callable[[str], None],
        rung: Callable[[str], None],
        told_to_stop: Callable[[bool], None],
    ) -> None:
        self.store = store
        self.handle: Handle | None = None
        self.source: Source | None = None
        self._connector = connector
        self._clock = clock
        self._changed = changed
        self._progress = progress
        self._rung = rung
        self._told_to_stop = told_to_stop
        self._dirty = asyncio.Event()
        self._live_dirty: frozenset[Part] = frozenset()
        self._again = asyncio.Event()
        self._succession = Succession(
            connector=connector, clock=clock, shown=self._show_link, tell=progress
        )
        self._looked = asyncio.Event()
        self._rewatch = asyncio.Event()
        self._version = -1
        self._quiet_until = 0.0

    # -- what the room asks ----------------------------------------------------------------

    def touch(self) -> None:
        """Read the database at the next beat of the clock: something was done."""
        self._version = -1
        self._dirty.set()

    def retry(self) -> None:
        """Try to connect again after a failure, or host after somebody stopped the daemon."""
        self._again.set()
        self._succession.host()

    def look_at(self, actor_id: str) -> None:
        """Show another actor's events and live text."""
        if self.store.look_at(actor_id):
            self._changed(frozenset({Part.EVENTS}))
            self._rewatch.set()
            self.touch()

    def hush(self) -> None:
        """Read nothing for a beat: the loop belongs to what was just sent."""
        self._quiet_until = self._clock.monotonic() + BEAT

    # -- the clock -------------------------------------------------------------------------

    async def run(self) -> None:
        """Feed the store until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                group.create_task(self._stay_linked(), name="room-link")
                group.create_task(self._read_on_a_clock(), name="room-read")
                group.create_task(self._live_on_a_clock(), name="room-live")
                group.create_task(self._ask_status(), name="room-status")
                group.create_task(self._keep_watching(), name="room-watch")
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        handle, self.handle = self.handle, None
        source, self.source = self.source, None
        if handle is not None:
            await handle.close()
        if source is not None:
            await source.close()

    async def _read_on_a_clock(self) -> None:
        while True:
            if (quiet := self._quiet_until - self._clock.monotonic()) > 0:
                await self._clock.sleep(quiet)
            started = self._clock.monotonic()
            self._dirty.clear()
            problem = await self._refresh()
            if problem:
                self._tell_room(problem)
            self._looked.set()
            took = self._clock.monotonic() - started
            await self._clock.sleep(max(TABLE_PACE, took * _LOAD))
            if not self._dirty.is_set():
                try:
                    async with asyncio.timeout(IDLE_PACE):
                        await self._dirty.wait()
                    await self._clock.sleep(BEAT)
                except TimeoutError:
                    self._changed(self.store.tick(self._clock.now()))

    async def _refresh(self) -> str:
        """Read what changed; return a sentence when it could not be read."""
        try:
            if self.source is None:
                self.source = await self._connector.source()
                if self.source is None:
                    return ""
            version = await self.source.version()
            if version == self._version:
                return ""
            ask = self.store.ask
            if first := not self.store.loaded:
                ask = replace(ask, messages=SCREENFUL, events=SCREENFUL, tasks=SCREENFUL)
            snapshot = await self.source.snapshot(ask)
        except NetskyError as error:
            # An older database is migrated by the daemon that is being started.
            return "" if self.store.daemon.link is LinkState.STARTING else str(error)
        except sqlite3.Error as error:
            return f"The database cannot be read: {error}. Run `netsky doctor`."
        self._version = version
        if first:
            self.touch()
        changed = self.store.apply(snapshot, self._clock.now())
        if snapshot.events_of != self.store.ask.actor_id:
            self.touch()
        self._tell_room("")
        self._changed(changed)
        return ""

    def _tell_room(self, problem: str) -> None:
        if problem != self.store.problem:
            self.store.problem = problem
            self._changed(frozenset({Part.STATUS}))

    async def _live_on_a_clock(self) -> None:
        while True:
            await self._clock.sleep(LIVE_PACE)
            if self._live_dirty:
                parts, self._live_dirty = self._live_dirty, frozenset()
                self._changed(parts)

    # -- the daemon ------------------------------------------------------------------------

    async def _stay_linked(self) -> None:
        handle = await self._first_handle()
        while True:
            if handle.hosting:
                self._group.create_task(self._obey(), name="room-obey")
            self.handle = handle
            link = LinkState.HOSTING if handle.hosting else LinkState.ATTACHED
            self._changed(self.store.set_link(link))
            self._rewatch.set()
            self.touch()
            reason, stopped = await self._listen(handle)
            self.handle = None
            if handle.hosting:
                # The daemon in this process ends only on the way out.
                return
            await handle.close()
            handle = await self._succession.next_handle(reason, stopped=stopped)

    async def _obey(self) -> None:
        self._told_to_stop(await self._connector.told_to_stop())

    async def _first_handle(self) -> Handle:
        # To host takes the loop for half a second: what is stored is drawn before that.
        await self._looked.wait()
        await self._clock.sleep(BEAT)
        while True:
            self._changed(self.store.set_link(LinkState.STARTING))
            try:
                return await self._connector.connect(self._progress)
            except NetskyError as error:
                self._changed(self.store.set_link(LinkState.FAILED, str(error)))
            self._again.clear()
            await self._again.wait()

    def _show_link(self, link: LinkState, detail: str) -> None:
        self._changed(self.store.set_link(link, detail))

    async def _listen(self, handle: Handle) -> tuple[str, bool]:
        """Take pushes until the daemon is gone; return why, and whether somebody stopped it."""
        reason, stopped = "", False
        try:
            async for push in handle.pushes():
                if push.kind == "closing":
                    reason = str(push.data.get("reason") or "")
                    stopped = bool(push.data.get("stopped"))
                else:
                    self._take(push)
        except NetskyError as error:
            reason = reason or error.message
        return reason.rstrip(".") or "the daemon is gone", stopped

    def _take(self, push: Push) -> None:
        match push.kind:
            case "live":
                self._live_dirty |= self.store.set_live(push.data)
            case "notice" if push.data.get("level") == "ring":
                self._rung(str(push.data.get("text", "")))
            case "notice":
                self._progress(str(push.data.get("text", "")))
            case _:
                self._dirty.set()

    async def _ask_status(self) -> None:
        while True:
            if (handle := self.handle) is not None:
                try:
                    self._changed(self.store.set_status(await handle.call("status", deadline=5.0)))
                except (NetskyError, sqlite3.Error):
                    # The listener notices a daemon that is gone, and says so.
                    await self._clock.sleep(STATUS_PACE)
            await self._clock.sleep(STATUS_PACE if self.store.daemon.pid else TABLE_PACE)

    async def _keep_watching(self) -> None:
        while True:
            await self._rewatch.wait()
            self._rewatch.clear()
            if (handle := self.handle) is None:
                continue
            try:
                await handle.call("watch", {"actor_id": self.store.ask.actor_id}, deadline=5.0)
            except NetskyError:
                # A watch that was lost is asked for again after the next connection.
                await self._clock.sleep(IDLE_PACE)
