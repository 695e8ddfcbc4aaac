"""Rows of ``engines``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

_RUNNING = """
SELECT * FROM engines WHERE runtime = ? AND state = 'running'
ORDER BY started_at DESC, rowid DESC LIMIT 1
"""
_LATEST = "SELECT * FROM engines ORDER BY started_at DESC, rowid DESC LIMIT ?"
_SECOND = 1_000
"""Codex tells when a turn began in whole seconds."""
_STOPPED_IN = """
SELECT 1 FROM engines WHERE end_reason = ? AND started_at <= ? AND ended_at >= ? LIMIT 1
"""
_END = """
UPDATE engines SET state = ?, ended_at = ?, end_reason = ? WHERE id = ? AND ended_at IS NULL
"""


async def insert(tx: Tx, engine: Engine) -> None:
    """Add an engine."""
    await rows.insert(
        tx,
        "engines",
        {
            "id": engine.id,
            "runtime": engine.runtime.value,
            "state": engine.state.value,
            "pid": engine.pid,
            "pid_started": engine.pid_started,
            "binary": engine.binary,
            "version": engine.version,
            "codex_home": engine.codex_home,
            "socket": engine.socket,
            "started_at": engine.started_at,
            "ended_at": engine.ended_at,
            "end_reason": engine.end_reason,
        },
    )


async def stopped_in(tx: Tx, at: int, *, reason: str) -> bool:
    """Whether an engine lived at ``at`` (ms) that was ended later for this reason."""
    return bool(await rows.many(tx, _STOPPED_IN, reason, at + _SECOND, at))


async def running(tx: Tx, runtime: RuntimeName) -> Engine | None:
    """Return the last engine of a runtime that is not known to have ended."""
    row = await rows.one(tx, _RUNNING, runtime.value)
    return None if row is None else _engine(row)


async def latest(tx: Tx, *, limit: int) -> tuple[Engine, ...]:
    """Return the last engines that were started, of all runtimes, ended or not, newest first."""
    return tuple(_engine(row) for row in await rows.many(tx, _LATEST, limit))


async def end(tx: Tx, engine_id: str, *, state: EngineState, reason: str, now: int) -> None:
    """Record how an engine ended; one that is over stays as it ended."""
    await rows.many(tx, _END, state.value, now, reason, engine_id)


def _engine(row: Row) -> Engine:
    return Engine(
        id=row["id"],
        runtime=RuntimeName(row["runtime"]),
        state=EngineState(row["state"]),
        pid=row["pid"],
        pid_started=row["pid_started"],
        binary=row["binary"],
        version=row["version"],
        codex_home=row["codex_home"],
        socket=row["socket"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        end_reason=row["end_reason"],
    )
