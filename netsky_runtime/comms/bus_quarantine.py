"""What lies in the poison folders, as rows: whoever put it there, and whoever takes it away."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from netsky_runtime.comms.bus import folders
from netsky_runtime.comms.bus.addresses import is_address
from netsky_runtime.comms.bus.folders import POISON, Channel
from netsky_runtime.comms.bus.names import readable
from netsky_runtime.db import bus_poison
from netsky_runtime.db.bus_poison import PoisonedFile
from netsky_runtime.errors import NetskyError, NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.db.connection import Database

NO_REASON = "nobody has written down why"


class Quarantine:
    """Looks at the folders, because other programs fill and empty them as well."""

    def __init__(self, *, root: Path, database: Database) -> None:
        self._root = root
        self._database = database

    async def look(self) -> None:
        """Let the rows say what lies in the folders; nothing is written when they do."""
        known = await self._database.read(bus_poison.known)
        added, there = await asyncio.to_thread(self._scan, known)
        removed = known.keys() - there
        if added or removed:
            await self._database.write(
                lambda tx: bus_poison.update(tx, added=added, removed=removed)
            )

    def _scan(
        self, known: Mapping[tuple[str, str], str]
    ) -> tuple[list[PoisonedFile], set[tuple[str, str]]]:
        """Return the files that are new, or have their reason now, and all that are there."""
        added: list[PoisonedFile] = []
        there: set[tuple[str, str]] = set()
        for address in filter(is_address, folders.addresses(self._root)):
            channel = Channel(self._root, address)
            with suppress(NetskyError):  # a folder that cannot be used is told of by the intake
                for name in channel.pending(POISON):
                    place = (address, readable(name))
                    there.add(place)
                    found = _news(channel, name, known.get(place))
                    if found is not None:
                        added.append(found)
        return added, there


def _news(channel: Channel, name: str, reason: str | None) -> PoisonedFile | None:
    """Return a file of which more is there than the ``reason`` that is known, if one is."""
    if reason not in {None, NO_REASON}:
        return None
    with suppress(NotFound):  # somebody has just taken it away
        found = _file(channel, name)
        if found.reason != reason:
            return found
    return None


def _file(channel: Channel, name: str) -> PoisonedFile:
    return PoisonedFile(
        address=channel.folder,
        file=readable(name),
        reason=channel.reason(name) or NO_REASON,
        at=round(channel.changed_at(name, POISON) * 1000),
    )
