"""What every family module shares: statements, rows and JSON columns."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import aiosqlite
import orjson

Tx = aiosqlite.Connection
"""A connection inside a transaction. Whoever holds one neither commits nor rolls back."""
Row = sqlite3.Row


async def many(tx: Tx, sql: str, *params: Any) -> list[Row]:
    """Return all rows; also the way to run an ``UPDATE … RETURNING``."""
    return list(await tx.execute_fetchall(sql, params))


async def one(tx: Tx, sql: str, *params: Any) -> Row | None:
    """Return the first row, if any."""
    rows = await tx.execute_fetchall(sql, params)
    return next(iter(rows), None)


async def value(tx: Tx, sql: str, *params: Any) -> Any:
    """Return the first column of the first row, or ``None``."""
    row = await one(tx, sql, *params)
    return None if row is None else row[0]


async def insert(tx: Tx, table: str, values: Mapping[str, Any]) -> None:
    """Insert one row; column names are code, never input."""
    columns = ", ".join(values)
    marks = ", ".join("?" * len(values))
    sql = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - names are literals
    await tx.execute_fetchall(sql, tuple(values.values()))


def dump(data: Any, *, lax: bool = False) -> str:
    """Return JSON text for a column; ``lax`` stores what is not JSON by its ``str``."""
    default = str if lax else _plain
    return orjson.dumps(data, default=default, option=orjson.OPT_NON_STR_KEYS).decode()


def load(text: str) -> Any:
    """Read a JSON column."""
    return orjson.loads(text)


def words(items: Iterable[str]) -> str:
    """Return ids or enum texts as one parameter, for ``IN (SELECT value FROM json_each(?))``."""
    return orjson.dumps([str(item) for item in items]).decode()


def distinct(ids: Sequence[str]) -> tuple[str, ...]:
    """Return the ids in order, each once."""
    return tuple(dict.fromkeys(ids))


def _plain(data: Any) -> Any:
    # Frozen records may carry mapping proxies and sets; anything else is a bug of the caller.
    if isinstance(data, Mapping):
        return dict(data)
    if isinstance(data, (set, frozenset)):
        return sorted(data)
    msg = f"{type(data).__name__} is not JSON"
    raise TypeError(msg)
