"""Rows of ``settings``, keys and values as text; the settings module knows what is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

_ALL = "SELECT key, value FROM settings ORDER BY key"
_SET = """
INSERT INTO settings (key, value, updated_at) VALUES (?, ?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at
"""
_CLEAR = "DELETE FROM settings WHERE key = ?"


async def get_all(tx: Tx) -> dict[str, str]:
    """Return what is stored."""
    return {row["key"]: row["value"] for row in await rows.many(tx, _ALL)}


async def set_(tx: Tx, key: str, value: str, *, now: int) -> None:
    """Store a value."""
    await rows.many(tx, _SET, key, value, now)


async def clear(tx: Tx, key: str) -> None:
    """Forget a value, if there is one."""
    await rows.many(tx, _CLEAR, key)
