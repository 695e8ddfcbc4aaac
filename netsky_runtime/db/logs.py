"""Rows of ``logs``: what netsky itself has to say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.records import LogRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.rows import Tx

_INSERT = """
INSERT INTO logs (at, level, component, message, fields_json) VALUES (?, ?, ?, ?, ?)
"""
_TAIL = "SELECT * FROM logs ORDER BY seq DESC LIMIT ?"


async def insert_many(tx: Tx, lines: Sequence[LogRow]) -> None:
    """Add lines in this order; their ``seq`` is given by the database."""
    await tx.executemany(
        _INSERT,
        [
            (line.at, line.level, line.component, line.message, rows.dump(line.fields, lax=True))
            for line in lines
        ],
    )


async def tail(tx: Tx, *, limit: int) -> tuple[LogRow, ...]:
    """Return the last lines, oldest first."""
    return tuple(
        LogRow(
            seq=row["seq"],
            at=row["at"],
            level=row["level"],
            component=row["component"],
            message=row["message"],
            fields=rows.load(row["fields_json"]),
        )
        for row in reversed(await rows.many(tx, _TAIL, limit))
    )
