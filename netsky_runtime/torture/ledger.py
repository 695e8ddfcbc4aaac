"""What the operator was told, kept outside of the home: the other half of the proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netsky_runtime.db import rows
from netsky_runtime.states import ApprovalStatus, InputStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.db.rows import Tx

_INPUTS = """
SELECT i.id, i.status, i.reason, m.body FROM actor_inputs AS i
JOIN messages AS m ON m.id = i.message_id WHERE m.sender = 'owner'
"""
_OPEN = """
SELECT id, actor_id, status FROM actor_inputs WHERE status IN ('queued', 'handed', 'seen')
"""
_UNCERTAIN = "SELECT count(*) FROM actor_inputs WHERE status = 'uncertain'"
_APPROVALS = "SELECT id, status, decided_by FROM approvals"
_TASKS = "SELECT id FROM tasks"
# Only where nothing else was said in the turn: a steer's answer is the answer to all of it.
_ANSWERS = """
SELECT i.id, r.body FROM actor_inputs AS i JOIN messages AS r ON r.id = i.reply_id
WHERE i.status = 'answered' AND NOT EXISTS (SELECT 1 FROM actor_inputs AS other
        WHERE other.id <> i.id AND other.thread_id = i.thread_id AND other.turn_id = i.turn_id)
    AND NOT EXISTS (SELECT 1 FROM actor_inputs AS recovery
        JOIN json_each(recovery.recovers_json) AS named ON named.value = i.id
        WHERE recovery.actor_id = i.actor_id AND recovery.recovers_json <> '[]')
"""
_HANDED_OVER = """
SELECT task_id, count(*) AS times FROM messages WHERE kind = 'task'
GROUP BY task_id HAVING count(*) > 1
"""
_EARLY = """
SELECT t.id, needed.id AS needed_id FROM tasks AS t
JOIN messages AS m ON m.task_id = t.id AND m.kind = 'task'
JOIN task_dependencies AS d ON d.task_id = t.id JOIN tasks AS needed ON needed.id = d.depends_on_id
WHERE needed.closed_at IS NULL OR needed.status <> 'done' OR needed.closed_at > m.created_at
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The ledger against the rows. Each list tells one thing a line."""

    lost: Sequence[str]
    doubled: Sequence[str]
    approvals_lost: Sequence[str]
    """Approvals whose decision was accepted and is nowhere, or that nobody can answer."""
    early: Sequence[str]
    """Tasks that began before what they depend on was done; nothing is opened again here."""
    uncertain: int


@dataclass(slots=True)
class Ledger:
    """What was asked for and what was accepted."""

    sent: dict[str, str] = field(default_factory=dict)
    """Accepted inputs, by id, with the words that they carry."""
    unanswered: set[str] = field(default_factory=set)
    """Words of which the daemon died before it said whether it takes them: either is right."""
    refused: set[str] = field(default_factory=set)
    """Words that were refused: they may be nowhere."""
    tasks: set[str] = field(default_factory=set)
    """Tasks that were accepted."""
    decided: dict[str, ApprovalStatus] = field(default_factory=dict)
    """Approvals that were answered and what they were told to have become."""

    async def balance(self, tx: Tx) -> Balance:
        """Compare with what is stored in the end, when everything has come to rest."""
        stored = {row["id"]: dict(row) for row in await rows.many(tx, _INPUTS)}
        lost = [f"{id_} was accepted and is not stored" for id_ in self.sent if id_ not in stored]
        lost += [
            f"{id_} holds other words than were accepted"
            for id_, words in self.sent.items()
            if id_ in stored and words not in stored[id_]["body"]
        ]
        lost += [
            f"{row['id']} of {row['actor_id']} is still {row['status']} in the end"
            for row in await rows.many(tx, _OPEN)
        ]
        lost += [
            f"{id_} was accepted and is cancelled without a reason"
            for id_ in self.sent
            if id_ in stored
            and stored[id_]["status"] == InputStatus.CANCELLED
            and not stored[id_]["reason"]
        ]
        lost += [
            f"{row['id']} has the answer to something else"
            for row in await rows.many(tx, _ANSWERS)
            if row["id"] in self.sent and self.sent[row["id"]] not in row["body"]
        ]
        tasks = {row["id"] for row in await rows.many(tx, _TASKS)}
        lost += [f"task {id_} was accepted and is not stored" for id_ in self.tasks - tasks]
        return Balance(
            lost=lost,
            doubled=[
                *self._doubled(stored),
                *(
                    f"{row['task_id']} was handed over {row['times']} times"
                    for row in await rows.many(tx, _HANDED_OVER)
                ),
            ],
            approvals_lost=await self._approvals(tx),
            early=[f"{r['id']} before {r['needed_id']}" for r in await rows.many(tx, _EARLY)],
            uncertain=int(await rows.value(tx, _UNCERTAIN)),
        )

    def _doubled(self, stored: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Return words that are stored more than once, or though they were refused."""
        known = [*self.sent.values(), *self.unanswered]
        times = dict.fromkeys(known, 0)
        for row in stored.values():
            for words in known:
                times[words] += words in row["body"]
        found = [f"{words} is stored {count} times" for words, count in times.items() if count > 1]
        bodies = "\n".join(row["body"] for row in stored.values())
        found += [f"{words} was refused and is stored" for words in self.refused if words in bodies]
        return found

    async def _approvals(self, tx: Tx) -> list[str]:
        stored = {row["id"]: row for row in await rows.many(tx, _APPROVALS)}
        found = []
        for id_, status in self.decided.items():
            row = stored.get(id_)
            visible = {status, ApprovalStatus.LOST, ApprovalStatus.RESOLVED_ELSEWHERE}
            if row is None or row["status"] not in visible:
                now = "gone" if row is None else row["status"]
                found.append(f"{id_} was told to be {status} and is {now}")
        waiting = [id_ for id_, row in stored.items() if row["status"] == ApprovalStatus.PENDING]
        return found + [f"{id_} is pending in the end" for id_ in waiting]
