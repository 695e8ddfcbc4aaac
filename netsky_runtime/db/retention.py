"""What of ``events`` and ``logs`` is deleted, in steps that a writer beside them does not feel.

Rows are numbered in the order of time, so age is a place: it is found by halving, and no index
by age has to be kept up with every fact that comes in.

An event goes when it is older than ``events_keep_days``, or when ``events_keep_rows`` newer ones
are there. It stays all the same

- while its turn runs, carries an input that is open or uncertain or belongs to an open task, or
  has an approval that is pending;
- for ``LANDMARK_TIMES`` as long, when it is the start or end of a turn, an approval's question
  or answer, or the loss of a thread: what a trace is read by.

The newest ``SPARED`` stay however old they are: a clock that jumped ahead deletes no present.
What messages, inputs, turns, approvals and tasks say of themselves is never pruned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from netsky_runtime.db import rows

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

Family = Literal["events", "logs"]

LANDMARK_TIMES: Final = 10
SPARED: Final[dict[Family, int]] = {"events": 10_000, "logs": 1_000}

_NEWEST: Final[dict[Family, str]] = {
    "events": "SELECT coalesce(max(seq), 0) FROM events",
    "logs": "SELECT coalesce(max(seq), 0) FROM logs",
}
_OLDEST: Final[dict[Family, str]] = {
    "events": "SELECT coalesce(min(seq), 1) FROM events",
    "logs": "SELECT coalesce(min(seq), 1) FROM logs",
}
_AT: Final[dict[Family, str]] = {
    "events": "SELECT seq, at FROM events WHERE seq >= ? ORDER BY seq LIMIT 1",
    "logs": "SELECT seq, at FROM logs WHERE seq >= ? ORDER BY seq LIMIT 1",
}
_STEP: Final[dict[Family, str]] = {
    "events": """
SELECT max(seq) FROM (
    SELECT seq FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)""",
    "logs": """
SELECT max(seq) FROM (
    SELECT seq FROM logs WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?)""",
}
_DELETE: Final[dict[Family, str]] = {
    "events": """
DELETE FROM events WHERE seq > ?1 AND seq <= ?2
AND NOT (at >= ?3 AND kind IN (
    'turn.started', 'turn.completed', 'approval.requested', 'approval.resolved', 'session.lost'))
AND NOT EXISTS (
    SELECT 1 FROM turns AS t
    WHERE t.thread_id = events.thread_id AND t.id = events.turn_id AND t.status = 'in_progress')
AND NOT EXISTS (
    SELECT 1 FROM actor_inputs AS i
    WHERE i.thread_id = events.thread_id AND i.turn_id = events.turn_id AND i.turn_id <> ''
    AND (i.status IN ('queued', 'handed', 'seen', 'uncertain') OR EXISTS (
        SELECT 1 FROM messages AS m JOIN tasks AS k ON k.id = m.task_id
        WHERE m.id = i.message_id AND k.status IN ('open', 'blocked', 'in_progress', 'reported'))))
AND NOT EXISTS (
    SELECT 1 FROM approvals AS a
    WHERE a.thread_id = events.thread_id AND a.turn_id = events.turn_id AND a.status = 'pending')
""",
    "logs": "DELETE FROM logs WHERE seq > ?1 AND seq <= ?2 AND ?3 >= 0",
}
_NOTE: Final = """
INSERT INTO pruned (family, up_to, rows, at) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (family) DO UPDATE SET up_to = max(up_to, ?2), rows = rows + ?3, at = ?4
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of pruning."""

    last: int
    """The place it went up to."""
    deleted: int


async def frontier(tx: Tx, family: Family, *, before: int, keep_rows: int) -> int:
    """Return the last place that may be pruned: older than ``before`` (ms), or too many."""
    newest = int(await rows.value(tx, _NEWEST[family]))
    oldest = int(await rows.value(tx, _OLDEST[family]))
    by_age = await _last_older(tx, family, before, low=oldest - 1, high=newest)
    return min(max(by_age, newest - keep_rows), newest - SPARED[family])


async def step(
    tx: Tx, family: Family, *, after: int, up_to: int, limit: int, landmarks_before: int, now: int
) -> Step:
    """Look at ``limit`` rows behind ``after``, and delete those of them that may go."""
    last = await rows.value(tx, _STEP[family], after, up_to, limit)
    if last is None:
        return Step(last=up_to, deleted=0)
    await rows.many(tx, _DELETE[family], after, last, landmarks_before)
    deleted = int(await rows.value(tx, "SELECT changes()"))
    if deleted:
        await rows.many(tx, _NOTE, family, last, deleted, now)
    return Step(last=last, deleted=deleted)


async def pruned_to(tx: Tx, family: Family) -> int:
    """Return the place up to which rows may be missing, 0 when none was ever pruned."""
    return int(await rows.value(tx, "SELECT up_to FROM pruned WHERE family = ?", family) or 0)


async def _last_older(tx: Tx, family: Family, before: int, *, low: int, high: int) -> int:
    while low < high:
        middle = (low + high + 1) // 2
        row = await rows.one(tx, _AT[family], middle)
        if row is not None and row["at"] < before:
            low = row["seq"]
        else:
            high = middle - 1
    return low
