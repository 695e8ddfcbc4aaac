"""Rows of ``notes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.errors import UsageError
from netsky_runtime.records import Note

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM notes"
_LAST = "SELECT * FROM notes ORDER BY number DESC LIMIT ?"
_LAST_OF_TASK = "SELECT * FROM notes WHERE task_id = ? ORDER BY number DESC LIMIT ?"


async def insert(tx: Tx, *, author: str, body: str, task_id: str | None = None, now: int) -> Note:
    """Keep an explanation under the next number; raises ``UsageError`` when it is empty."""
    if not body.strip():
        msg = "The note is empty."
        raise UsageError(msg, hint="Write something.")
    number = int(await rows.value(tx, _NEXT_NUMBER))
    note = Note(id=f"n{number}", author=author, task_id=task_id, body=body, created_at=now)
    await rows.insert(
        tx,
        "notes",
        {
            "number": number,
            "id": note.id,
            "author": author,
            "task_id": task_id,
            "body": body,
            "created_at": now,
        },
    )
    return note


async def list_(tx: Tx, *, task_id: str | None = None, limit: int = 200) -> tuple[Note, ...]:
    """Return the last notes, of one task or of all, oldest first."""
    if task_id is None:
        found = await rows.many(tx, _LAST, limit)
    else:
        found = await rows.many(tx, _LAST_OF_TASK, task_id, limit)
    return tuple(
        Note(
            id=row["id"],
            author=row["author"],
            task_id=row["task_id"],
            body=row["body"],
            created_at=row["created_at"],
        )
        for row in reversed(found)
    )
