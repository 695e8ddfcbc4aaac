"""Rows of ``bus_poison``: what lies in the poison folders, as it was last seen there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from collections.abc import Collection

    from netsky_runtime.db.rows import Tx

_KNOWN = "SELECT address, file FROM bus_poison"
_ADD = """
INSERT INTO bus_poison (address, file, reason, at) VALUES (?, ?, ?, ?)
ON CONFLICT (address, file) DO UPDATE SET reason = excluded.reason, at = excluded.at
"""
_REMOVE = "DELETE FROM bus_poison WHERE address = ? AND file = ?"
# A file of the same name that comes later is another one, and not put away.
_FORGET = "DELETE FROM attention WHERE key = 'quarantined:' || ? || '/' || ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonedFile:
    """A file of the bus that nobody was given."""

    address: str
    """The folder below the channel root."""
    file: str
    reason: str
    at: int
    """When it came there, ms since the epoch."""


async def known(tx: Tx) -> frozenset[tuple[str, str]]:
    """Return address and name of each file that has a row."""
    return frozenset((row["address"], row["file"]) for row in await rows.many(tx, _KNOWN))


async def update(
    tx: Tx, *, added: Collection[PoisonedFile], removed: Collection[tuple[str, str]]
) -> None:
    """Record which files have come, and which (address and name) are there no more."""
    for address, file in removed:
        await rows.many(tx, _REMOVE, address, file)
        await rows.many(tx, _FORGET, address, file)
    for each in added:
        await rows.many(tx, _ADD, each.address, each.file, each.reason, each.at)
