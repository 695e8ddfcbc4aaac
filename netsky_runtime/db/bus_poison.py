"""Rows of ``bus_poison``: what lies in the poison folders, as it was last seen there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from netsky_runtime.db.rows import Tx

_KNOWN = "SELECT address, file, reason FROM bus_poison"
_ADD = """
INSERT INTO bus_poison (address, file, reason, at) VALUES (?, ?, ?, ?)
ON CONFLICT (address, file) DO UPDATE SET reason = excluded.reason, at = excluded.at
"""
_REMOVE = "DELETE FROM bus_poison WHERE address = ? AND file = ?"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoisonedFile:
    """A file of the bus that nobody was given."""

    address: str
    """The folder below the channel root."""
    file: str
    reason: str
    at: int
    """When it came there, ms since the epoch."""


async def known(tx: Tx) -> Mapping[tuple[str, str], str]:
    """Return the reason of each file that has a row, by address and name."""
    return {(row["address"], row["file"]): row["reason"] for row in await rows.many(tx, _KNOWN)}


async def update(
    tx: Tx, *, added: Collection[PoisonedFile], removed: Collection[tuple[str, str]]
) -> None:
    """Record which files have come, and which (address and name) are there no more."""
    for address, file in removed:
        await rows.many(tx, _REMOVE, address, file)
    for each in added:
        await rows.many(tx, _ADD, each.address, each.file, each.reason, each.at)
