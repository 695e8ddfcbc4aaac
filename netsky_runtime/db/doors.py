"""Rows of ``doors``: which doors a Codex binary has shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.records import DoorResult
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.db.rows import Tx

_OF = "SELECT * FROM doors WHERE binary = ? AND size = ? AND mtime_ns = ?"
_FORGET = "DELETE FROM doors WHERE binary = ? AND (size <> ? OR mtime_ns <> ? OR door = ?)"


async def of_binary(
    tx: Tx, binary: str, *, size: int, mtime_ns: int
) -> Mapping[RuntimeName, DoorResult]:
    """Return what is known of a binary as it is now; one that has changed is another one."""
    found = await rows.many(tx, _OF, binary, size, mtime_ns)
    return {
        RuntimeName(row["door"]): DoorResult(
            door=RuntimeName(row["door"]),
            open=bool(row["open"]),
            version=row["version"],
            milliseconds=row["milliseconds"],
            reason=row["reason"],
            tried_at=row["tried_at"],
        )
        for row in found
    }


async def keep(tx: Tx, binary: str, result: DoorResult, *, size: int, mtime_ns: int) -> None:
    """Store a result in place of the door's last one, and forget what the binary was before."""
    await rows.many(tx, _FORGET, binary, size, mtime_ns, result.door.value)
    await rows.insert(
        tx,
        "doors",
        {
            "binary": binary,
            "size": size,
            "mtime_ns": mtime_ns,
            "door": result.door.value,
            "open": int(result.open),
            "version": result.version,
            "milliseconds": result.milliseconds,
            "reason": result.reason,
            "tried_at": result.tried_at,
        },
    )
