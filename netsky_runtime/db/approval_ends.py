"""How approvals end that nobody decided, or whose decision nobody heard.

What happens to an approval, by what netsky has seen of Codex; each row below is a test:

| seen | waits | decided, not sent | decided and sent |
|---|---|---|---|
| Codex asks it again under the same id | waits | sent | sent again on a new connection |
| Codex asks again what had been given up | - | - | - : it waits again |
| Codex asks something else under its id (``approvals.store``) | lost | lost | - |
| somebody else's answer is told of | resolved_elsewhere | resolved_elsewhere | - |
| its turn ended by itself | resolved_elsewhere | unconfirmed | - |
| its turn was interrupted | cancelled | unconfirmed | - |
| its turn was cut by the end of its process | lost | lost | - |
| its process is another one now, or its thread has left it | lost | lost | - |
| its thread cannot be found any more, or was given up | lost | lost | - |
| netsky is detached, its thread is not attached yet | - | - | - |

``-`` is no change. *Unconfirmed* keeps the decision's word, and says that it is not known whether
Codex had it from netsky: the turn could not have gone on without an answer, but netsky was gone
before it could note that it had sent one. The rows hold for app_server, mcp_server and scripted.
They differ in what there is to see: mcp-server's threads live and die with their process, so a
netsky that comes back finds another process, and nothing is ever asked again by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.db import approvals, ledger, rows
from netsky_runtime.states import ApprovalStatus, LedgerKind

if TYPE_CHECKING:
    from netsky_runtime.db.rows import Tx

UNCONFIRMED: Final = "its turn went on without it being known whether Codex had this from netsky"

_SETTLE = "UPDATE approvals SET status = ?, decided_at = ? WHERE status = 'pending' AND "
_SETTLE_TURN = _SETTLE + "thread_id = ? AND turn_id = ? RETURNING *"
_SETTLE_REQUEST = _SETTLE + "engine_id = ? AND request_id = ? RETURNING *"
_DOUBT_TURN = """
UPDATE approvals SET lost_reason = ?
WHERE decided_by <> '' AND sent_at IS NULL AND lost_reason = '' AND status <> 'pending'
    AND thread_id = ? AND turn_id = ? RETURNING *
"""
_LOSE_ENGINE = approvals.LOSE + "engine_id = ? RETURNING *"
_LOSE_PLACE = approvals.LOSE + "engine_id = ? AND actor_id = ? RETURNING *"
_LOSE_THREAD = approvals.LOSE + "thread_id = ? RETURNING *"
_LOSE_TURN = approvals.LOSE + "thread_id = ? AND turn_id = ? RETURNING *"
_ELSEWHERE = """
UPDATE approvals SET status = 'resolved_elsewhere', answer_json = NULL, decided_by = '',
    rule_id = '', lost_reason = ''
WHERE id = ? AND sent_at IS NULL AND decided_by <> ''
    AND status NOT IN ('resolved_elsewhere', 'lost')
RETURNING *
"""


async def turn_over(
    tx: Tx, *, thread_id: str, turn_id: str, status: ApprovalStatus, now: int
) -> tuple[str, ...]:
    """End what a turn asked that is over; ``status`` is what became of what still waited.

    Returns the ids of what was ended.
    """
    kind = LedgerKind(status.value)
    if status is ApprovalStatus.LOST:
        why = "its turn was cut by a crash"
        return await _end(tx, _LOSE_TURN, (why, thread_id, turn_id), kind, why, now)
    why = "its turn ended"
    over = await _end(tx, _SETTLE_TURN, (status.value, now, thread_id, turn_id), kind, why, now)
    doubt = (UNCONFIRMED, thread_id, turn_id)
    await _end(tx, _DOUBT_TURN, doubt, LedgerKind.UNCONFIRMED, UNCONFIRMED, now)
    return over


async def resolved(tx: Tx, engine_id: str, request_id: str, *, now: int) -> tuple[str, ...]:
    """Record that somebody else answered a request, if it waits; return its id in a tuple."""
    status = ApprovalStatus.RESOLVED_ELSEWHERE.value
    kind, why = LedgerKind.RESOLVED_ELSEWHERE, "Codex has its answer, and not from netsky"
    return await _end(tx, _SETTLE_REQUEST, (status, now, engine_id, request_id), kind, why, now)


async def taken_elsewhere(tx: Tx, approval_id: str, *, now: int) -> bool:
    """Record that a decision came too late: somebody else had answered."""
    kind, why = LedgerKind.RESOLVED_ELSEWHERE, "its decision came too late"
    return bool(await _end(tx, _ELSEWHERE, (approval_id,), kind, why, now))


async def lose_engine(tx: Tx, engine_id: str, *, reason: str, now: int) -> tuple[str, ...]:
    """Mark as lost what a dead engine asked and was not answered, or did not live to hear."""
    return await _end(tx, _LOSE_ENGINE, (reason, engine_id), LedgerKind.LOST, reason, now)


async def lose_place(
    tx: Tx, engine_id: str, actor_id: str, *, reason: str, now: int
) -> tuple[str, ...]:
    """Mark as lost what an actor's threads asked in an engine that they have left."""
    return await _end(tx, _LOSE_PLACE, (reason, engine_id, actor_id), LedgerKind.LOST, reason, now)


async def lose_thread(tx: Tx, thread_id: str, *, reason: str, now: int) -> tuple[str, ...]:
    """Mark as lost what a thread asked that nobody will come back for."""
    return await _end(tx, _LOSE_THREAD, (reason, thread_id), LedgerKind.LOST, reason, now)


async def _end(
    tx: Tx, sql: str, params: tuple[object, ...], kind: LedgerKind, why: str, now: int
) -> tuple[str, ...]:
    ended = [approvals.read(row) for row in await rows.many(tx, sql, *params)]
    for approval in ended:
        await ledger.append(tx, kind, ledger.ended(approval, why), approval_id=approval.id, now=now)
    return tuple(approval.id for approval in ended)
