"""How much there is, without counting rows one by one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.db import attention, rows
from netsky_runtime.states import AttentionKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.db.rows import Tx

# Tasks and messages are numbered one by one and never deleted: the highest number is the count.
STATUS_COUNTS = """
SELECT
    (SELECT count(*) FROM actors WHERE kind <> 'owner') AS actors,
    (SELECT coalesce(max(number), 0) FROM tasks) AS tasks,
    (SELECT coalesce(max(seq), 0) FROM messages) AS messages,
    (SELECT count(*) FROM actor_inputs INDEXED BY actor_inputs_open
     WHERE status IN ('queued', 'handed', 'seen')) AS inputs_pending,
    (SELECT count(*) FROM turns WHERE status = 'in_progress') AS turns_running
"""

BY_DOOR = """
SELECT s.runtime,
       count(t.id) AS turns,
       max(s.sandbox = 'danger-full-access') AS full_access
FROM sessions AS s INDEXED BY sessions_current
LEFT JOIN turns AS t INDEXED BY turns_running
    ON t.actor_id = s.actor_id AND t.status = 'in_progress'
WHERE s.ended_at IS NULL
GROUP BY s.runtime
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What the sessions behind one door do."""

    turns: int
    """Those that run."""
    full_access: bool
    """Whether one of the sessions has no sandbox: danger-full-access."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What ``netsky status`` shows. Actors without the owner; inputs that are not settled."""

    actors: int
    tasks: int
    messages: int
    inputs_pending: int
    approvals_pending: int
    screens_blocked: int
    waiting: Mapping[AttentionKind, int]
    """Everything that waits for a human, approvals and blocked screens among it."""
    turns_running: int

    @property
    def attention(self) -> int:
        """How much waits for a human."""
        return sum(self.waiting.values())


async def status_counts(tx: Tx, *, now: int) -> Counts:
    """Return the counts; the time it takes depends on what is open, not on what there has been."""
    row = (await rows.many(tx, STATUS_COUNTS))[0]
    waiting = await attention.counts(tx, now=now)
    return Counts(
        actors=row["actors"],
        tasks=row["tasks"],
        messages=row["messages"],
        inputs_pending=row["inputs_pending"],
        approvals_pending=waiting.get(AttentionKind.APPROVAL, 0),
        screens_blocked=waiting.get(AttentionKind.BLOCKED, 0),
        waiting=waiting,
        turns_running=row["turns_running"],
    )


async def by_door(tx: Tx) -> dict[str, Behind]:
    """Return what is behind each door that a session has, by the door's name."""
    return {
        row["runtime"]: Behind(turns=row["turns"], full_access=bool(row["full_access"]))
        for row in await rows.many(tx, BY_DOOR)
    }
