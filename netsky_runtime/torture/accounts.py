"""What the operator was told, kept outside of the home: the other half of the proof."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.counting import count
from netsky_runtime.db import rows
from netsky_runtime.states import ApprovalStatus, InputStatus, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from netsky_runtime.db.rows import Row, Tx
    from netsky_runtime.invariants.histories import Heard

_INPUTS = """
SELECT i.id, i.status, i.reason, m.body FROM actor_inputs AS i
JOIN messages AS m ON m.id = i.message_id WHERE m.sender = 'owner'
"""
_OPEN = """
SELECT id, actor_id, status FROM actor_inputs WHERE status IN ('queued', 'handed', 'seen')
"""
_UNCERTAIN = "SELECT count(*) FROM actor_inputs WHERE status = 'uncertain'"
_RECOVERED = """
SELECT named.value AS id, r.id AS recovery_id FROM actor_inputs AS r
JOIN json_each(r.recovers_json) AS named WHERE r.recovers_json <> '[]'
"""
_APPROVALS = """
SELECT a.id, a.status, a.decided_by, a.command, a.thread_id, a.item_id,
    coalesce(t.status, '') AS turn_status
FROM approvals AS a LEFT JOIN turns AS t ON t.thread_id = a.thread_id AND t.id = a.turn_id
"""
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

COMMAND: Final = re.compile(r"mktemp (\w+)\.XXXXXX")
"""What is asked for: each time that it runs it makes a file with the words for a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The accounts against rows and histories. Each list tells one thing a line."""

    lost: Sequence[str]
    doubled: Sequence[str]
    approvals_lost: Sequence[str]
    """Approvals whose decision was accepted and is nowhere, was not carried out or not as it was
    made, or that nobody can answer."""
    early: Sequence[str]
    """Tasks that began before what they depend on was done; nothing is opened again here."""
    uncertain: int
    ends: Counter[str]
    """Accepted inputs by what became of them."""


@dataclass(slots=True)
class Accounts:
    """What was asked for and what was accepted."""

    sent: dict[str, str] = field(default_factory=dict)
    """Accepted inputs, by id, with the words that they carry."""
    unanswered: set[str] = field(default_factory=set)
    """Words of which the daemon died before it said whether it takes them: either is right."""
    refused: set[str] = field(default_factory=set)
    """Words that were refused: they may be nowhere."""
    refusals: Counter[str] = field(default_factory=Counter)
    """What was refused, by verb and kind of error."""
    tasks: set[str] = field(default_factory=set)
    """Tasks that were accepted."""
    decided: dict[str, ApprovalStatus] = field(default_factory=dict)
    """Approvals that were answered and what they were told to have become."""

    async def balance(self, tx: Tx, heard: Heard, *, deeds: Sequence[str] | None = None) -> Balance:
        """Compare with what is stored in the end, when everything has come to rest.

        ``deeds`` names what accepted commands have made; ``None`` where nothing really runs.
        """
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
        lost += await self._unheard(tx, stored, heard)
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
            approvals_lost=await self._approvals(tx, heard, deeds),
            early=[f"{r['id']} before {r['needed_id']}" for r in await rows.many(tx, _EARLY)],
            uncertain=int(await rows.value(tx, _UNCERTAIN)),
            ends=Counter(stored[id_]["status"] for id_ in self.sent if id_ in stored),
        )

    async def _unheard(
        self, tx: Tx, stored: Mapping[str, Mapping[str, Any]], heard: Heard
    ) -> list[str]:
        """Return accepted inputs of which the rows tell other than the threads themselves."""
        told_of: dict[str, int] = {}
        for row in await rows.many(tx, _RECOVERED):
            told_of[row["id"]] = told_of.get(row["id"], 0) + heard.stands(row["recovery_id"])
        found = []
        for id_ in self.sent:
            status = stored[id_]["status"] if id_ in stored else ""
            stands = heard.stands(id_) or told_of.get(id_, 0)
            if status in {InputStatus.SEEN, InputStatus.ANSWERED} and not stands:
                found.append(f"{id_} is {status} and stands in no history")
            if status == InputStatus.CANCELLED and heard.stands(id_):
                found.append(f"{id_} is cancelled and its thread has heard it")
        return found

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

    async def _approvals(self, tx: Tx, heard: Heard, deeds: Sequence[str] | None) -> list[str]:
        stored = {row["id"]: row for row in await rows.many(tx, _APPROVALS)}
        found = []
        for id_, status in self.decided.items():
            row = stored.get(id_)
            # Nobody else answers here: what is resolved elsewhere was netsky's own decision.
            if row is None or row["status"] not in {status, ApprovalStatus.LOST}:
                now = "gone" if row is None else row["status"]
                found.append(f"{id_} was told to be {status} and is {now}")
            elif row["status"] == status and row["turn_status"] == TurnStatus.COMPLETED:
                ran = heard.ran.get((row["thread_id"], row["item_id"]))
                if ran != (status is ApprovalStatus.ACCEPTED):
                    did = {None: "heard nothing of it", True: "ran it", False: "did not run it"}
                    found.append(f"{id_} is {status} and its thread {did[ran]}")
        waiting = [id_ for id_, row in stored.items() if row["status"] == ApprovalStatus.PENDING]
        found += [f"{id_} is pending in the end" for id_ in waiting]
        return found + ([] if deeds is None else _undone(stored.values(), deeds))


def _undone(approvals: Iterable[Row], deeds: Sequence[str]) -> list[str]:
    """Return commands that have run more often than was accepted, or less often.

    A cut turn may have come to its command or not, a lost decision may have been heard.
    """
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for row in approvals:
        name = COMMAND.search(row["command"])
        if name is None:
            continue
        accepted = row["status"] == ApprovalStatus.ACCEPTED
        least[name[1]] += accepted and row["turn_status"] == TurnStatus.COMPLETED
        most[name[1]] += accepted or (
            row["status"] == ApprovalStatus.LOST and row["decided_by"] != ""
        )
    done = Counter(deed.partition(".")[0] for deed in deeds)
    return [
        f"what {name} asked for has run {count(done[name], 'time')}, "
        f"and was accepted {count(most[name], 'time')}"
        for name in least.keys() | done.keys()
        if not least[name] <= done[name] <= most[name]
    ]
