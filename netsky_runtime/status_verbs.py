"""What an operator can ask of a daemon about itself: how it is, and what it stands on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netsky_runtime import door_checks
from netsky_runtime.checks import checks
from netsky_runtime.clock import iso
from netsky_runtime.db.counts import status_counts
from netsky_runtime.errors import CodexMissing, DatabaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import RuntimeInfo
    from netsky_runtime.codex.probe import Doors
    from netsky_runtime.control import protocol
    from netsky_runtime.db.connection import Database
    from netsky_runtime.db.counts import Counts
    from netsky_runtime.housekeeping import Housekeeping
    from netsky_runtime.paths import Home
    from netsky_runtime.records import DoorResult
    from netsky_runtime.services import Services
    from netsky_runtime.settings import Settings
    from netsky_runtime.supervise import Supervisor
    from netsky_runtime.verbs import Verb


class StatusVerbs:
    """Describes a daemon.

    ``daemon``, ``storage`` and ``rooms`` return the state of each just now, ``numbers`` is what was
    counted last.
    """

    def __init__(
        self,
        *,
        home: Home,
        settings: Settings,
        database: Database,
        clock: Clock,
        supervisor: Supervisor,
        services: Services,
        housekeeping: Housekeeping,
        doors: Callable[[], Doors],
        daemon: Callable[[], dict[str, Any]],
        storage: Callable[[], dict[str, Any]],
        rooms: Callable[[], int],
        numbers: Counts,
    ) -> None:
        self._home = home
        self._settings = settings
        self._database = database
        self._clock = clock
        self._supervisor = supervisor
        self._services = services
        self._housekeeping = housekeeping
        self._doors = doors
        self._daemon = daemon
        self._storage = storage
        self._rooms = rooms
        self._numbers = numbers

    def table(self) -> Mapping[str, Verb]:
        """Return the verbs by name."""
        return {"status": self.status, "doctor": self.doctor}

    async def status(self, _request: protocol.Empty) -> dict[str, Any]:
        """Say how the daemon is, what it runs on and how much there is."""
        with suppress(DatabaseError):  # else what was last known
            self._numbers = await self._database.read(
                lambda tx: status_counts(tx, now=self._clock.now())
            )
        numbers = self._numbers
        info = await self._info()
        return {
            "daemon": self._daemon(),
            "runtime": {
                "name": info.name.value,
                "codex_version": info.version,
                "detail": info.detail,
                "survives_netsky": self._services.runtimes.survives(),
                "notices": list(info.notices),
                "silent_since": iso(info.silent_since) if info.silent_since else None,
            },
            "storage": self._storage(),
            "doors": {name: dict(why) for name, why in self._services.runtimes.lacks().items()},
            "counts": {
                "actors": numbers.actors,
                "tasks": numbers.tasks,
                "messages": numbers.messages,
                "inputs_pending": numbers.inputs_pending,
                "approvals_pending": numbers.approvals_pending,
                "screens_blocked": numbers.screens_blocked,
                "attention": numbers.attention,
                "turns_running": len(self._services.fleet.running()),
            },
            "rooms": self._rooms(),
        }

    async def doctor(self, _request: protocol.Empty) -> dict[str, Any]:
        """Check what the daemon stands on, and knock at every door to Codex."""
        await self._services.runtimes.info()  # asks Codex: whoever is silent is so for a while then
        results: Sequence[DoorResult] = ()
        with suppress(CodexMissing):  # the runtime's own check says so
            results = await self._doors().look()
        info = await self._info()
        found = await asyncio.to_thread(
            checks,
            self._home,
            info,
            self._settings,
            results,
            self._storage(),
            dict(self._housekeeping.failing),
        )
        return {"checks": found, "doors": door_checks.doors(self._settings, results)}

    async def _info(self) -> RuntimeInfo:
        """Describe the door of new actors; tell behind that what of netsky itself fails."""
        runtimes = self._services.runtimes
        info = await runtimes.info()
        troubles = (*self._supervisor.troubles(), *runtimes.troubles())
        return replace(info, notices=(*info.notices, *troubles))
