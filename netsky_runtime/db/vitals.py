"""How the running turns live: the last sign of each, and what was done about its silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.db import rows
from netsky_runtime.states import Evidence, RungOutcome
from netsky_runtime.vital_records import Vital

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Row, Tx

SIGNS: Final = (
    "turn.started",
    "item.started",
    "item.completed",
    "approval.requested",
    "approval.resolved",
    "tool.requested",
    "usage",
    "plan",
    "diff",
    "error",
)
"""The kinds of facts that are a sign of life of the turn they name, as ``events`` spells them."""

_KINDS = ", ".join(f"'{kind}'" for kind in SIGNS)
# Nearly always among the actor's newest rows. Else the unique index of ``events`` answers by
# itself: no row of a long turn is read.
_NEWEST = """
coalesce(
    (SELECT seq FROM events INDEXED BY events_by_actor
     WHERE actor_id = t.actor_id AND seq > (SELECT max(seq) FROM events) - 2000
         AND thread_id = t.thread_id AND turn_id = t.id AND kind IN ({kinds})
     ORDER BY seq DESC LIMIT 1),
    (SELECT max(seq) FROM events
     WHERE thread_id = t.thread_id AND turn_id = t.id AND kind IN ({kinds})))
"""
OF_RUNNING = f"""
SELECT t.thread_id, t.id AS turn_id, sign.kind AS sign, sign.at AS sign_at,
    item.kind AS item, json_extract(item.data_json, '$.type') AS item_type,
    p.evidence AS pulse, p.at AS pulse_at,
    (SELECT outcome FROM rungs WHERE thread_id = t.thread_id AND turn_id = t.id
     ORDER BY seq DESC LIMIT 1) AS outcome
FROM turns AS t
LEFT JOIN events AS sign ON sign.seq = {_NEWEST.format(kinds=_KINDS)}
LEFT JOIN events AS item ON item.seq = {_NEWEST.format(kinds="'item.started', 'item.completed'")}
LEFT JOIN pulses AS p
    ON p.actor_id = t.actor_id AND p.thread_id = t.thread_id AND p.turn_id = t.id
WHERE t.status = 'in_progress'
"""  # noqa: S608 - constants only


async def of_running(tx: Tx) -> dict[tuple[str, str], Vital]:
    """Return how each running turn lives, by thread and turn."""
    found = await rows.many(tx, OF_RUNNING)
    return {(row["thread_id"], row["turn_id"]): _vital(row) for row in found}


def _vital(row: Row) -> Vital:
    return Vital(
        fact=row["sign"] or "",
        fact_at=row["sign_at"],
        item=row["item_type"] or "" if row["item"] == "item.started" else "",
        pulse=Evidence(row["pulse"]) if row["pulse"] else None,
        pulse_at=row["pulse_at"],
        silent=row["outcome"] not in {None, RungOutcome.HELPED.value},
    )
