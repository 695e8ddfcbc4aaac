"""Rows of ``approvals``: stored before anyone sees them, decided once.

Every decision and every end has its entry in the ledger, in the same transaction.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netsky_runtime.approval_records import Approval
from netsky_runtime.beside import beside
from netsky_runtime.db import ledger, rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.states import ApprovalKind, ApprovalStatus, LedgerKind

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from netsky_runtime.db.rows import Row, Tx

_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM approvals"
_ALL = """
SELECT approvals.*, (
    SELECT id FROM approvals AS later WHERE later.repeats_id = approvals.id
    AND later.repeats_id <> '' ORDER BY later.number LIMIT 1
) AS successor_id FROM approvals """
_BY_REQUEST = _ALL + "WHERE engine_id = ? AND request_id = ?"
_GET = _ALL + "WHERE id = ?"
_WHERE_IN = "IN (SELECT value FROM json_each(?))"
_BY_IDS = _ALL + f"WHERE id {_WHERE_IN}"
_ABOUT = _ALL + f"WHERE thread_id {_WHERE_IN} AND item_id {_WHERE_IN} ORDER BY number"
_LAST = _ALL + "ORDER BY number DESC LIMIT ?"
# Left to itself SQLite walks the whole table to have the order for nothing.
_PENDING = _ALL + "INDEXED BY approvals_pending WHERE status = 'pending' ORDER BY number LIMIT ?"
_LAST_OF = _ALL + f"WHERE status {_WHERE_IN} ORDER BY number DESC LIMIT ?"
# Who is stopped asks nothing again.
_LOST = """
SELECT approvals.*, '' AS successor_id FROM approvals INDEXED BY approvals_lost_open
WHERE status = 'lost' AND asked_again_input = ''
    AND NOT EXISTS (SELECT 1 FROM approvals AS later
        WHERE later.repeats_id = approvals.id AND later.repeats_id <> '')
    AND EXISTS (SELECT 1 FROM actors WHERE actors.id = actor_id AND actors.status <> 'stopped')
    AND NOT EXISTS (SELECT 1 FROM attention
        WHERE key = 'lost:' || approvals.id AND put_away_at IS NOT NULL)
ORDER BY number DESC LIMIT ?
"""
# What its actor was told to ask again, else the very same question asked by itself.
_LOST_BEFORE = """
SELECT id FROM approvals AS lost INDEXED BY approvals_lost_of
WHERE actor_id = ?1 AND status = 'lost' AND kind = ?2
AND command = ?3 AND (asked_again_input <> ''
    OR (cwd = ?4 AND patch = ?5 AND (command <> '' OR patch <> '')))
AND NOT EXISTS (SELECT 1 FROM approvals AS later WHERE later.repeats_id = lost.id
    AND later.repeats_id <> '')
ORDER BY asked_again_input = '', number LIMIT 1
"""
_DECIDE = """
UPDATE approvals SET status = ?, answer_json = ?, decided_by = ?, rule_id = ?, decided_at = ?
WHERE id = ? AND status = 'pending' RETURNING id
"""
_SENT = """
UPDATE approvals SET sent_at = ?, lost_reason = '' WHERE id = ? AND decided_by <> ''
    AND status <> 'lost'
"""
_REOPEN = """
UPDATE approvals SET status = 'pending', answer_json = NULL, decided_by = '', rule_id = '',
    decided_at = NULL, lost_reason = ''
WHERE id = ? AND sent_at IS NULL AND status <> 'pending' RETURNING id
"""
_GIVE_UP_NUMBER = "UPDATE approvals SET request_id = request_id || ' of ' || id WHERE id = ?"
LOSE = """
UPDATE approvals SET status = 'lost', lost_reason = ?
WHERE (status = 'pending' OR (decided_by <> '' AND sent_at IS NULL AND lost_reason = '')) AND """
"""Ends what waits, and what was decided and never heard; which, is to be added."""
_LOSE_ONE = LOSE + "id = ? RETURNING *"
_ASKED_AGAIN = "UPDATE approvals SET asked_again_input = ? WHERE id = ?"


async def store(
    tx: Tx,
    *,
    engine_id: str,
    request_id: str,
    thread_id: str,
    turn_id: str,
    item_id: str,
    actor_id: str,
    kind: ApprovalKind,
    command: str = "",
    cwd: str = "",
    reason: str = "",
    patch: str = "",
    questions: Sequence[Mapping[str, Any]] = (),
    available_decisions: Sequence[str] = (),
    raw: Mapping[str, Any] | None = None,
    now: int,
) -> tuple[Approval, bool]:
    """Store a question and say whether it is new.

    The same request of the same engine that asks the same is the same question: the stored row is
    returned with what became of it. One that asks something else is a new question, and whatever
    became of the stored one never answers it. A new one that repeats a lost one is linked to it.
    """
    number = int(await rows.value(tx, _NEXT_NUMBER))
    approval = Approval(
        id=f"a{number}",
        engine_id=engine_id,
        request_id=request_id,
        thread_id=thread_id,
        turn_id=turn_id,
        item_id=item_id,
        actor_id=actor_id,
        kind=kind,
        command=command,
        cwd=cwd,
        reason=reason,
        patch=patch,
        questions=tuple(questions),
        available_decisions=tuple(str(word) for word in available_decisions),
        raw=raw or {},
        status=ApprovalStatus.PENDING,
        created_at=now,
    )
    row = await rows.one(tx, _BY_REQUEST, engine_id, request_id)
    if row is not None:
        stored = read(row)
        if _asks(stored) == _asks(approval) and _are_one_patch(stored.patch, patch):
            return stored, False
        await _overtake(tx, stored, now=now)
    before = await rows.value(tx, _LOST_BEFORE, actor_id, kind.value, command, cwd, patch)
    approval = replace(approval, repeats_id=before or "")
    await _insert(tx, approval, number)
    return approval, True


async def get(tx: Tx, approval_id: str) -> Approval | None:
    """Return the approval, if there is one of that id."""
    row = await rows.one(tx, _GET, approval_id)
    return None if row is None else read(row)


async def require(tx: Tx, approval_id: str) -> Approval:
    """Return the approval; raises ``NotFound``."""
    approval = await get(tx, approval_id)
    if approval is None:
        msg = f"There is no approval {approval_id!r}."
        raise NotFound(msg, hint="`netsky approvals list` shows them.")
    return approval


async def by_ids(tx: Tx, ids: Sequence[str]) -> tuple[Approval, ...]:
    """Return the approvals of these ids, in no order; unknown ids are passed over."""
    return tuple(read(row) for row in await rows.many(tx, _BY_IDS, rows.words(ids)))


async def about(
    tx: Tx, thread_ids: Collection[str], item_ids: Collection[str]
) -> tuple[Approval, ...]:
    """Return the approvals that these threads asked about these items, oldest first."""
    found = await rows.many(tx, _ABOUT, rows.words(thread_ids), rows.words(item_ids))
    return tuple(read(row) for row in found)


async def list_(
    tx: Tx, *, statuses: Collection[ApprovalStatus] | None = None, limit: int = 200
) -> tuple[Approval, ...]:
    """Return the last approvals in these states, oldest first."""
    if statuses is None:
        found = await rows.many(tx, _LAST, limit)
    else:
        found = await rows.many(tx, _LAST_OF, rows.words(statuses), limit)
    return tuple(read(row) for row in reversed(found))


async def pending(tx: Tx, *, limit: int = 200) -> tuple[Approval, ...]:
    """Return the approvals that wait longest, oldest first."""
    return tuple(read(row) for row in await rows.many(tx, _PENDING, limit))


async def lost(tx: Tx, *, limit: int) -> tuple[Approval, ...]:
    """Return the last lost approvals, oldest first, that nobody has asked again or put away."""
    return tuple(read(row) for row in reversed(await rows.many(tx, _LOST, limit)))


async def decide(
    tx: Tx,
    approval_id: str,
    *,
    status: ApprovalStatus,
    answer: Mapping[str, Any] | None = None,
    decided_by: str,
    rule_id: str = "",
    now: int,
) -> Approval:
    """Record a decision and return the approval.

    Raises ``NotFound``, or ``Conflict`` naming who decided when it is not pending any more.
    """
    text = None if answer is None else rows.dump(answer)
    done = await rows.one(tx, _DECIDE, status.value, text, decided_by, rule_id, now, approval_id)
    present = await require(tx, approval_id)
    if done is not None:
        entry: dict[str, Any] = {
            "by": decided_by,
            "decision": status.value,
            "seen": ledger.seen(present),
        }
        if rule_id:
            entry["rule"] = rule_id
        if answer is not None:  # not the words: they may be a secret
            entry["answered"] = sorted(str(key) for key in answer)
        await ledger.append(tx, LedgerKind.DECIDED, entry, approval_id=approval_id, now=now)
        return present
    became = present.status.value.replace("_", " ")
    by = f" by {present.decided_by}" if present.decided_by else ""
    msg = f"Approval {approval_id} is not pending any more: it was {became}{by}."
    raise Conflict(msg)


async def sent(tx: Tx, approval_id: str, *, now: int) -> None:
    """Record that Codex has the decision."""
    await rows.many(tx, _SENT, now, approval_id)


async def reopen(tx: Tx, approval_id: str, *, why: str, now: int) -> None:
    """Let a question wait again: its decision was no answer, or Codex asks what was given up."""
    if await rows.one(tx, _REOPEN, approval_id) is not None:
        entry = {"by": "netsky", "why": why}
        await ledger.append(tx, LedgerKind.REOPENED, entry, approval_id=approval_id, now=now)


async def asked_again(tx: Tx, approval: Approval, input_id: str, *, by: str, now: int) -> None:
    """Record which input told the actor to ask a lost question again."""
    await rows.many(tx, _ASKED_AGAIN, input_id, approval.id)
    entry = {"by": by, "input": input_id, "seen": ledger.seen(approval)}
    await ledger.append(tx, LedgerKind.ASKED_AGAIN, entry, approval_id=approval.id, now=now)


async def _insert(tx: Tx, approval: Approval, number: int) -> None:
    await rows.insert(
        tx,
        "approvals",
        {
            "number": number,
            "id": approval.id,
            "engine_id": approval.engine_id,
            "request_id": approval.request_id,
            "thread_id": approval.thread_id,
            "turn_id": approval.turn_id,
            "item_id": approval.item_id,
            "actor_id": approval.actor_id,
            "kind": approval.kind.value,
            "command": approval.command,
            "cwd": approval.cwd,
            "reason": approval.reason,
            "patch": approval.patch,
            "questions_json": rows.dump(approval.questions),
            "available_decisions_json": rows.dump(approval.available_decisions),
            "raw_json": rows.dump(approval.raw),
            "status": approval.status.value,
            "created_at": approval.created_at,
            "repeats_id": approval.repeats_id,
        },
    )


def _asks(approval: Approval) -> tuple[object, ...]:
    """Return what makes a question of Codex's that very question, beside its patch."""
    return (
        approval.thread_id,
        approval.item_id,
        approval.kind,
        approval.command,
        approval.cwd,
        beside(approval.raw),
        rows.dump(approval.questions),
        rows.dump(approval.raw.get("permissions")),
    )


def _are_one_patch(one: str, other: str) -> bool:
    # A request has none: it is that of its item, of which a netsky that came back may not know.
    return not one or not other or one == other


async def _overtake(tx: Tx, stored: Approval, *, now: int) -> None:
    """Take the id of a question whose id Codex asks something else under."""
    await rows.many(tx, _GIVE_UP_NUMBER, stored.id)
    why = "Codex asks something else under its id"
    row = await rows.one(tx, _LOSE_ONE, why, stored.id)
    if row is not None:
        entry = ledger.ended(read(row), why)
        await ledger.append(tx, LedgerKind.LOST, entry, approval_id=stored.id, now=now)


def read(row: Row) -> Approval:
    """Return a row of the table, or of one of its queries, as a record."""
    answer = row["answer_json"]
    return Approval(
        id=row["id"],
        engine_id=row["engine_id"],
        request_id=row["request_id"],
        thread_id=row["thread_id"],
        turn_id=row["turn_id"],
        item_id=row["item_id"],
        actor_id=row["actor_id"],
        kind=ApprovalKind(row["kind"]),
        command=row["command"],
        cwd=row["cwd"],
        reason=row["reason"],
        patch=row["patch"],
        questions=tuple(rows.load(row["questions_json"])),
        available_decisions=tuple(rows.load(row["available_decisions_json"])),
        raw=rows.load(row["raw_json"]),
        status=ApprovalStatus(row["status"]),
        answer=None if answer is None else rows.load(answer),
        decided_by=row["decided_by"],
        created_at=row["created_at"],
        decided_at=row["decided_at"],
        sent_at=row["sent_at"],
        rule_id=row["rule_id"],
        lost_reason=row["lost_reason"],
        repeats_id=row["repeats_id"],
        asked_again_input=row["asked_again_input"],
        successor_id=(row["successor_id"] if "successor_id" in row.keys() else None) or "",  # noqa: SIM118 - a Row is no mapping
    )
