"""Rows of ``rungs`` and ``pulses``: what was done about turns that hung, and how they live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.states import Evidence, RungName, RungOutcome
from netsky_runtime.vital_records import Rung

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

_BEGIN = """
INSERT INTO rungs (actor_id, thread_id, turn_id, rung, evidence, at) VALUES (?, ?, ?, ?, ?, ?)
RETURNING seq
"""
_SAY = "UPDATE rungs SET said_at = ? WHERE seq = ?"
_END = "UPDATE rungs SET outcome = ?, detail = ?, ended_at = ? WHERE seq = ?"
_LEAVE = """
UPDATE rungs SET outcome = 'failed', detail = ?, ended_at = ? WHERE seq IN (
    SELECT seq FROM rungs WHERE ended_at IS NULL)
"""
_LAST = "SELECT * FROM rungs WHERE actor_id = ? ORDER BY at DESC, seq DESC LIMIT ?"
_INTERRUPT_OF = """
SELECT * FROM rungs WHERE thread_id = ? AND turn_id = ? AND said_at IS NOT NULL
ORDER BY seq DESC LIMIT 1
"""
_BEAT = """
INSERT INTO pulses (actor_id, thread_id, turn_id, evidence, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (actor_id) DO UPDATE SET thread_id = excluded.thread_id, turn_id = excluded.turn_id,
    evidence = excluded.evidence, at = excluded.at
"""


async def begin(
    tx: Tx,
    *,
    actor_id: str,
    thread_id: str,
    turn_id: str,
    rung: RungName,
    evidence: str,
    now: int,
) -> int:
    """Record a rung before it is climbed; return its number."""
    return int(
        await rows.value(tx, _BEGIN, actor_id, thread_id, turn_id, rung.value, evidence, now)
    )


async def say(tx: Tx, seq: int, *, now: int | None) -> None:
    """Record that Codex is about to be told to stop the turn; ``None`` when it had none to stop.

    Whatever becomes of the rung, and of netsky, the turn's end is netsky's doing from here on.
    """
    await rows.many(tx, _SAY, now, seq)


async def end(tx: Tx, seq: int, outcome: RungOutcome, *, detail: str, now: int) -> None:
    """Record what came of a rung; the last word counts."""
    await rows.many(tx, _END, outcome.value, detail, now, seq)


async def leave(tx: Tx, *, reason: str, now: int) -> None:
    """End the rungs in whose middle an earlier netsky has ended."""
    await rows.many(tx, _LEAVE, reason, now)


async def last_of(tx: Tx, actor_id: str, *, limit: int) -> tuple[Rung, ...]:
    """Return the actor's last rungs, newest first."""
    return tuple(row_to_rung(row) for row in await rows.many(tx, _LAST, actor_id, limit))


async def interrupt_of(tx: Tx, thread_id: str, turn_id: str) -> Rung | None:
    """Return the rung by which netsky may have interrupted the turn, if there is one."""
    row = await rows.one(tx, _INTERRUPT_OF, thread_id, turn_id)
    return None if row is None else row_to_rung(row)


async def beat(
    tx: Tx, *, actor_id: str, thread_id: str, turn_id: str, evidence: Evidence, at: int
) -> None:
    """Keep the last sign of life that is no fact; ``at`` is ms since the epoch."""
    await rows.many(tx, _BEAT, actor_id, thread_id, turn_id, evidence.value, at)


def row_to_rung(row: Row) -> Rung:
    """Read one row of ``rungs``."""
    return Rung(
        seq=row["seq"],
        actor_id=row["actor_id"],
        thread_id=row["thread_id"],
        turn_id=row["turn_id"],
        rung=RungName(row["rung"]),
        evidence=row["evidence"],
        outcome=RungOutcome(row["outcome"]),
        detail=row["detail"],
        at=row["at"],
        ended_at=row["ended_at"],
    )
