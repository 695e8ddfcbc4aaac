"""The one row of ``daemon``: who owned this home last, and how often it was owned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

_TAKE = """
INSERT INTO daemon (id, epoch, pid, started_at) VALUES (1, 1, ?, ?)
ON CONFLICT (id) DO UPDATE SET epoch = epoch + 1, pid = excluded.pid,
    started_at = excluded.started_at
RETURNING epoch
"""
_RAISE = """
INSERT INTO daemon (id, epoch, pid, started_at) VALUES (1, ?1 + 1, ?2, ?3)
ON CONFLICT (id) DO UPDATE SET epoch = max(epoch, ?1) + 1, pid = ?2, started_at = ?3
RETURNING epoch
"""
_EPOCH = "SELECT epoch FROM daemon WHERE id = 1"
_CURRENT = "SELECT epoch, pid, started_at FROM daemon WHERE id = 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonRow:
    """The last daemon of this home; whether it still runs is for its lock and socket to say."""

    epoch: int
    pid: int
    started_at: int


async def take_epoch(tx: Tx, pid: int, now: int) -> int:
    """Record a new owner of this home and return its epoch, one more than the last one's."""
    return int(await rows.value(tx, _TAKE, pid, now))


async def raise_epoch(tx: Tx, *, above: int, pid: int, now: int) -> int:
    """Record a new owner with an epoch later than ``above`` and than the last one's; return it."""
    return int(await rows.value(tx, _RAISE, above, pid, now))


async def epoch(tx: Tx) -> int:
    """Return the epoch of whoever owns this home now, 0 before the first."""
    return int(await rows.value(tx, _EPOCH) or 0)


async def current(tx: Tx) -> DaemonRow | None:
    """Return the last daemon, if there has been one."""
    row = await rows.one(tx, _CURRENT)
    if row is None:
        return None
    return DaemonRow(epoch=row["epoch"], pid=row["pid"], started_at=row["started_at"])
