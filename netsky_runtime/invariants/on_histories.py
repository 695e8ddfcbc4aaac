"""Invariants 1, 2 and 4 against what threads themselves keep, which no row can colour.

Rows are read before the histories and after them: what is called seen was written down by its
thread before, and what a thread has heard was intended before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.db import inputs, rows
from netsky_runtime.invariants.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.invariants.checks import Violation
    from netsky_runtime.invariants.histories import Heard

SAID_ONCE: Final = Check(
    invariant=2,
    name="said_once",
    about="No input stands twice in the histories of threads, unless the owner sent it again.",
)
SEEN_STANDS: Final = Check(
    invariant=2,
    name="seen_stands",
    about="Every input that was seen or answered in a turn that is over stands in its history.",
)
ACCEPTED_BEFORE_SAID: Final = Check(
    invariant=1,
    name="accepted_before_said",
    about="Every input in a thread's history is stored, with the attempt to send it.",
)
DONE_AS_DECIDED: Final = Check(
    invariant=4,
    name="done_as_decided",
    about="What a thread did of what it had asked for is what was decided.",
)
CHECKS: Final = (SAID_ONCE, SEEN_STANDS, ACCEPTED_BEFORE_SAID, DONE_AS_DECIDED)

# An input that went down with its thread is told of by its recovery, and is seen where that is.
_SEEN = """
SELECT i.id, i.status, i.thread_id, (SELECT json_group_array(r.id) FROM actor_inputs AS r
        JOIN json_each(r.recovers_json) AS named ON named.value = i.id
        WHERE r.actor_id = i.actor_id AND r.recovers_json <> '[]'
            AND r.thread_id = i.thread_id AND r.turn_id = i.turn_id) AS told_by
FROM actor_inputs AS i
JOIN turns AS t ON t.thread_id = i.thread_id AND t.id = i.turn_id AND t.status <> 'in_progress'
WHERE i.status IN ('seen', 'answered')
"""
# An item that asked more than once was decided more than once: no single word is its decision.
_DECIDED = """
SELECT id, status, thread_id, item_id FROM approvals WHERE decided_by <> '' AND item_id <> ''
    AND status IN ('accepted', 'accepted_for_session', 'declined', 'cancelled')
    AND kind IN ('command', 'file_change') AND (SELECT count(*) FROM approvals AS other
        WHERE other.thread_id = approvals.thread_id AND other.item_id = approvals.item_id) = 1
"""
_ATTEMPTS = """
SELECT id, attempts, (SELECT count(*) FROM input_steps WHERE input_id = actor_inputs.id
        AND status = 'queued' AND reason = ?) AS resent
FROM actor_inputs WHERE id IN (SELECT value FROM json_each(?))
"""
_RESTORED = "SELECT count(*) FROM ledger WHERE kind = 'restored'"
_ACCEPTED = frozenset({"accepted", "accepted_for_session"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What rows say that histories must show."""

    seen: Sequence[Row]
    decided: Sequence[Row]
    restored: bool
    """Whether a backup took the database's place: threads remember what came after it."""


async def claims(tx: Tx) -> Claims:
    """Return what the rows say; to be read before the histories."""
    return Claims(
        seen=await rows.many(tx, _SEEN),
        decided=await rows.many(tx, _DECIDED),
        restored=bool(await rows.value(tx, _RESTORED)),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """How often an input was sent."""

    attempts: int
    resent: int
    """How often of those because the owner said so, knowing that it may be there already."""


async def attempts(tx: Tx, heard: Heard) -> dict[str, Sent]:
    """Return how often each input that was heard was sent, as far as it is stored.

    To be read after the histories.
    """
    ids = {input_id for counted in heard.inputs.values() for input_id in counted}
    found = await rows.many(tx, _ATTEMPTS, inputs.RESENT, rows.words(ids))
    return {row["id"]: Sent(attempts=row["attempts"], resent=row["resent"]) for row in found}


def compare(claimed: Claims, heard: Heard, sent: Mapping[str, Sent]) -> list[Violation]:
    """Return what histories show that must never be, and do not show that must be."""
    return [
        *_said(heard, sent, restored=claimed.restored),
        *_seen(claimed.seen, heard),
        *_decided(claimed.decided, heard),
    ]


def _said(heard: Heard, sent: Mapping[str, Sent], *, restored: bool) -> Iterator[Violation]:
    shown: dict[str, list[str]] = {}
    for thread_id, counted in heard.inputs.items():
        for input_id in counted:
            shown.setdefault(input_id, []).append(thread_id)
    for input_id, threads in shown.items():
        where = ", ".join(threads)
        known = sent.get(input_id)
        if (times := heard.stands(input_id)) > 1 + (known.resent if known else 0):
            told = f"Input {input_id} stands {times} times in the history of {where}."
            yield SAID_ONCE.found(told, input_id, *threads)
        if restored and known is None:
            continue
        if known is None or not known.attempts:
            told = f"The history of {where} shows {input_id}, "
            told += "which is not stored" if known is None else "which was never sent"
            yield ACCEPTED_BEFORE_SAID.found(f"{told}.", input_id, *threads)


def _seen(claimed: Sequence[Row], heard: Heard) -> Iterator[Violation]:
    for row in claimed:
        counted = heard.inputs.get(row["thread_id"])
        if counted is None or any(
            counted[each] for each in (row["id"], *rows.load(row["told_by"]))
        ):
            continue
        told = f"Input {row['id']} is {row['status']}, and the history of {row['thread_id']} does "
        yield SEEN_STANDS.found(f"{told}not show it.", row["id"], row["thread_id"])


def _decided(claimed: Sequence[Row], heard: Heard) -> Iterator[Violation]:
    for row in claimed:
        ran = heard.ran.get((row["thread_id"], row["item_id"]))
        if ran is None or ran == (row["status"] in _ACCEPTED):
            continue
        told = f"Approval {row['id']} was {row['status'].replace('_', ' ')}, and its thread "
        told += "carried it out." if ran else "was told that it is declined."
        yield DONE_AS_DECIDED.found(told, row["id"], row["thread_id"])
