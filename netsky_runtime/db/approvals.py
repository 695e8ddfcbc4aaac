"""Rows of ``approvals``: stored before anyone sees them, decided once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.db import rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import Approval
from netsky_runtime.states import ApprovalKind, ApprovalStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from netsky_runtime.db.rows import Row, Tx

_BY_REQUEST = "SELECT * FROM approvals WHERE engine_id = ? AND request_id = ?"
_NEXT_NUMBER = "SELECT coalesce(max(number), 0) + 1 FROM approvals"
_GET = "SELECT * FROM approvals WHERE id = ?"
_LAST = "SELECT * FROM approvals ORDER BY number DESC LIMIT ?"
# Left to itself SQLite walks the whole table to have the order for nothing.
_PENDING = """
SELECT * FROM approvals INDEXED BY approvals_pending WHERE status = 'pending'
ORDER BY number LIMIT ?
"""
_LAST_OF = """
SELECT * FROM approvals WHERE status IN (SELECT value FROM json_each(?))
ORDER BY number DESC LIMIT ?
"""
_DECIDE = """
UPDATE approvals SET status = ?, answer_json = ?, decided_by = ?, decided_at = ?
WHERE id = ? AND status = 'pending' RETURNING *
"""
_SETTLE = "UPDATE approvals SET status = ?1, decided_at = ?2 WHERE status = 'pending' AND "
_SETTLE_TURN = _SETTLE + "thread_id = ?3 AND (?4 IS NULL OR turn_id = ?4) RETURNING id"
_SETTLE_REQUEST = _SETTLE + "engine_id = ?3 AND request_id = ?4 RETURNING id"
_LOSE = """
UPDATE approvals SET status = 'lost'
WHERE (status = 'pending' OR (decided_by <> '' AND sent_at IS NULL)) AND status <> 'lost' AND """
_LOSE_ENGINE = _LOSE + "engine_id = ? RETURNING id"
_LOSE_PLACE = _LOSE + "engine_id = ? AND actor_id = ? RETURNING id"
_LOSE_THREAD = _LOSE + "thread_id = ? RETURNING id"
_SENT = "UPDATE approvals SET sent_at = ? WHERE id = ?"
_REOPEN = """
UPDATE approvals SET status = 'pending', answer_json = NULL, decided_by = '', decided_at = NULL
WHERE id = ? AND sent_at IS NULL
"""
_ELSEWHERE = """
UPDATE approvals SET status = 'resolved_elsewhere', answer_json = NULL, decided_by = ''
WHERE id = ? AND sent_at IS NULL
"""


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

    The same request of the same engine is the same question: asked again, the stored row is
    returned with what became of it.
    """
    row = await rows.one(tx, _BY_REQUEST, engine_id, request_id)
    if row is not None:
        return _approval(row), False
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
    await rows.insert(
        tx,
        "approvals",
        {
            "number": number,
            "id": approval.id,
            "engine_id": engine_id,
            "request_id": request_id,
            "thread_id": thread_id,
            "turn_id": turn_id,
            "item_id": item_id,
            "actor_id": actor_id,
            "kind": kind.value,
            "command": command,
            "cwd": cwd,
            "reason": reason,
            "patch": patch,
            "questions_json": rows.dump(approval.questions),
            "available_decisions_json": rows.dump(approval.available_decisions),
            "raw_json": rows.dump(approval.raw),
            "status": approval.status.value,
            "created_at": now,
        },
    )
    return approval, True


async def get(tx: Tx, approval_id: str) -> Approval | None:
    """Return the approval, if there is one of that id."""
    row = await rows.one(tx, _GET, approval_id)
    return None if row is None else _approval(row)


async def require(tx: Tx, approval_id: str) -> Approval:
    """Return the approval; raises ``NotFound``."""
    approval = await get(tx, approval_id)
    if approval is None:
        msg = f"There is no approval {approval_id!r}."
        raise NotFound(msg, hint="`netsky approvals list` shows them.")
    return approval


async def list_(
    tx: Tx, *, statuses: Collection[ApprovalStatus] | None = None, limit: int = 200
) -> tuple[Approval, ...]:
    """Return the last approvals in these states, oldest first."""
    if statuses is None:
        found = await rows.many(tx, _LAST, limit)
    else:
        found = await rows.many(tx, _LAST_OF, rows.words(statuses), limit)
    return tuple(_approval(row) for row in reversed(found))


async def pending(tx: Tx, *, limit: int = 200) -> tuple[Approval, ...]:
    """Return the approvals that wait longest, oldest first."""
    return tuple(_approval(row) for row in await rows.many(tx, _PENDING, limit))


async def decide(
    tx: Tx,
    approval_id: str,
    *,
    status: ApprovalStatus,
    answer: Mapping[str, Any] | None = None,
    decided_by: str,
    now: int,
) -> Approval:
    """Record a decision and return the approval.

    Raises ``NotFound``, or ``Conflict`` naming who decided when it is not pending any more.
    """
    text = None if answer is None else rows.dump(answer)
    row = await rows.one(tx, _DECIDE, status.value, text, decided_by, now, approval_id)
    if row is not None:
        return _approval(row)
    present = await require(tx, approval_id)
    became = present.status.value.replace("_", " ")
    by = f" by {present.decided_by}" if present.decided_by else ""
    msg = f"Approval {approval_id} is not pending any more: it was {became}{by}."
    raise Conflict(msg)


async def settle_pending(
    tx: Tx, *, thread_id: str, turn_id: str | None = None, status: ApprovalStatus, now: int
) -> tuple[str, ...]:
    """End what is pending in a thread, or in one turn of it; return the ids."""
    return await _settle(tx, _SETTLE_TURN, status, now, thread_id, turn_id)


async def settle_request(
    tx: Tx, engine_id: str, request_id: str, status: ApprovalStatus, *, now: int
) -> tuple[str, ...]:
    """End one request if it is pending; return its id in a tuple."""
    return await _settle(tx, _SETTLE_REQUEST, status, now, engine_id, request_id)


async def lose_engine(tx: Tx, engine_id: str) -> tuple[str, ...]:
    """Mark as lost what a dead engine asked and was not answered, or did not live to hear."""
    return tuple(row["id"] for row in await rows.many(tx, _LOSE_ENGINE, engine_id))


async def lose_place(tx: Tx, engine_id: str, actor_id: str) -> tuple[str, ...]:
    """Mark as lost what an actor's threads asked in an engine that they have left."""
    return tuple(row["id"] for row in await rows.many(tx, _LOSE_PLACE, engine_id, actor_id))


async def lose_thread(tx: Tx, thread_id: str) -> tuple[str, ...]:
    """Mark as lost what a thread asked that nobody will come back for."""
    return tuple(row["id"] for row in await rows.many(tx, _LOSE_THREAD, thread_id))


async def sent(tx: Tx, approval_id: str, *, now: int) -> None:
    """Record that Codex has the decision."""
    await rows.many(tx, _SENT, now, approval_id)


async def reopen(tx: Tx, approval_id: str) -> None:
    """Take back a decision that could not be said to Codex, so that it can be made again."""
    await rows.many(tx, _REOPEN, approval_id)


async def taken_elsewhere(tx: Tx, approval_id: str) -> None:
    """Record that a decision came too late: somebody else had answered."""
    await rows.many(tx, _ELSEWHERE, approval_id)


async def _settle(
    tx: Tx, sql: str, status: ApprovalStatus, now: int, *where: str | None
) -> tuple[str, ...]:
    return tuple(row["id"] for row in await rows.many(tx, sql, status.value, now, *where))


def _approval(row: Row) -> Approval:
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
    )
