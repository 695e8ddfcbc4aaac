"""Rows of ``tool_calls``: what a tool answered, so that a repeated call has no second effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.fact_records import ToolCall

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

_GET = "SELECT * FROM tool_calls WHERE thread_id = ? AND turn_id = ? AND call_id = ?"


async def get(tx: Tx, thread_id: str, turn_id: str, call_id: str) -> ToolCall | None:
    """Return the recorded answer, if the call was made before."""
    row = await rows.one(tx, _GET, thread_id, turn_id, call_id)
    if row is None:
        return None
    return ToolCall(
        thread_id=row["thread_id"],
        turn_id=row["turn_id"],
        call_id=row["call_id"],
        actor_id=row["actor_id"],
        tool=row["tool"],
        arguments=rows.load(row["arguments_json"]),
        success=bool(row["success"]),
        text=row["text"],
        created_at=row["created_at"],
    )


async def insert(tx: Tx, call: ToolCall) -> None:
    """Record an answer, in the transaction of its effect.

    Raises ``sqlite3.IntegrityError`` the second time.
    """
    await rows.insert(
        tx,
        "tool_calls",
        {
            "thread_id": call.thread_id,
            "turn_id": call.turn_id,
            "call_id": call.call_id,
            "actor_id": call.actor_id,
            "tool": call.tool,
            "arguments_json": rows.dump(call.arguments),
            "success": call.success,
            "text": call.text,
            "created_at": call.created_at,
        },
    )
