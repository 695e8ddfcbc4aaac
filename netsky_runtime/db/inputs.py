"""Rows of ``actor_inputs``: the states of an input, and what follows for delivery and message.

Every change goes through one of the transitions below, so that a delivery always says what
``states.delivery_status`` says of its input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import rows
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import ActorInput
from netsky_runtime.states import InputMode, InputStatus, MessageStatus, delivery_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from netsky_runtime.db.rows import Row, Tx

_Q, _H, _S, _U = (
    InputStatus.QUEUED,
    InputStatus.HANDED,
    InputStatus.SEEN,
    InputStatus.UNCERTAIN,
)
COMES_FROM: Mapping[InputStatus, frozenset[InputStatus]] = {
    InputStatus.QUEUED: frozenset({_Q, _H, _S, _U}),
    InputStatus.HANDED: frozenset({_Q}),
    # Events can overtake the answer to a submit, a turn can be found under another id, and
    # history that can be read again beats the doubt.
    InputStatus.SEEN: frozenset({_Q, _H, _S, _U}),
    InputStatus.ANSWERED: frozenset({_S}),
    InputStatus.INTERRUPTED: frozenset({_H, _S}),
    InputStatus.CANCELLED: frozenset({_Q, _H, _U}),
    InputStatus.FAILED: frozenset({_H, _S}),
    InputStatus.UNCERTAIN: frozenset({_Q, _H, _S}),
}
"""Which states an input may come from, by where it goes."""
RESENT = "sent again by the owner's decision"
"""Why an uncertain input waits again that may be in its thread already."""
SETTLED = frozenset(COMES_FROM) - {_Q, _H, _S}
"""What ``settle`` settles to."""

_GET = "SELECT * FROM actor_inputs WHERE id = ?"
_BY_IDS = """
SELECT * FROM actor_inputs WHERE id IN (SELECT value FROM json_each(?)) ORDER BY seq
"""
_OPEN_FOR = """
SELECT * FROM actor_inputs WHERE actor_id = ? AND status IN ('queued', 'handed', 'seen')
ORDER BY seq
"""
_WAITING = """
SELECT * FROM actor_inputs WHERE actor_id = ? AND status IN ('queued', 'handed', 'seen')
    AND status = 'queued' AND not_before <= ? ORDER BY seq
"""
# Left to itself SQLite walks the whole table to have the order for nothing.
_UNCERTAIN = """
SELECT * FROM actor_inputs INDEXED BY actor_inputs_uncertain WHERE status = 'uncertain'
ORDER BY seq
"""
_RECOVERIES = """
FROM actor_inputs AS original
JOIN actor_inputs AS recovery
    ON recovery.actor_id = original.actor_id AND recovery.recovers_json <> '[]'
JOIN json_each(recovery.recovers_json) AS named ON named.value = original.id
"""
_RECOVERED_BY = f"""
SELECT DISTINCT original.id {_RECOVERIES}
LEFT JOIN turns ON turns.thread_id = recovery.thread_id AND turns.id = recovery.turn_id
WHERE original.id IN (SELECT value FROM json_each(?))
    AND (recovery.status IN ('queued', 'handed')
        OR (recovery.status = 'seen' AND coalesce(turns.status, 'in_progress') = 'in_progress'))
"""  # noqa: S608 - constants only
_RECOVERIES_OF = f"""
SELECT coalesce(max(times), 0) FROM (
    SELECT count(*) AS times {_RECOVERIES}
    JOIN messages ON messages.id = recovery.message_id
    WHERE original.id IN (SELECT value FROM json_each(?))
        AND json_extract(messages.metadata_json, '$.because') IS NULL
    GROUP BY original.id)
"""  # noqa: S608 - constants only
_STATES = "SELECT id, status FROM actor_inputs WHERE id IN (SELECT value FROM json_each(?))"
_ATTEMPT = """
UPDATE actor_inputs SET envelope = ?, batch_id = ?, thread_id = ?, attempts = attempts + 1
WHERE id = ?
"""
_NAME_THREAD = """
UPDATE actor_inputs SET thread_id = ? WHERE id IN (
    SELECT id FROM actor_inputs WHERE actor_id = ? AND status IN ('queued', 'handed', 'seen')
        AND batch_id <> '' AND thread_id = '')
"""
_ROUSE = """
UPDATE actor_inputs SET not_before = 0 WHERE id IN (
    SELECT id FROM actor_inputs WHERE actor_id = ? AND status IN ('queued', 'handed', 'seen')
        AND status = 'queued' AND not_before > 0)
"""
_HAND = """
UPDATE actor_inputs SET status = 'handed', turn_id = ?, handed_at = ?, reason = ''
WHERE id IN (SELECT value FROM json_each(?))
"""
_SEE = """
UPDATE actor_inputs SET status = 'seen', thread_id = ?, turn_id = ?, seen_at = coalesce(seen_at, ?),
    handed_at = coalesce(handed_at, ?), settled_at = NULL, reason = ''
WHERE id IN (SELECT value FROM json_each(?))
"""
_SETTLE = """
UPDATE actor_inputs SET status = ?, reason = ?, reply_id = ?, settled_at = ?
WHERE id IN (SELECT value FROM json_each(?))
"""
_REQUEUE = """
UPDATE actor_inputs SET status = 'queued', reason = ?, not_before = ?, batch_id = '',
    thread_id = '', turn_id = '', envelope = '', handed_at = NULL, seen_at = NULL,
    settled_at = NULL
WHERE id IN (SELECT value FROM json_each(?))
"""
_QUEUES = """
SELECT DISTINCT actor_id FROM actor_inputs
WHERE status IN ('queued', 'handed', 'seen') AND status = 'queued'
"""
_EXPLAIN = """
UPDATE actor_inputs SET reason = ? WHERE id IN (SELECT value FROM json_each(?))
"""
_DELIVERIES = """
UPDATE deliveries SET status = ?, error = ?, updated_at = max(updated_at, ?)
WHERE input_id IN (SELECT value FROM json_each(?))
"""
_MESSAGES = """
UPDATE messages SET status = ?1 WHERE status <> ?1 AND id IN (
    SELECT message_id FROM actor_inputs WHERE id IN (SELECT value FROM json_each(?2)))
"""


async def insert(tx: Tx, actor_input: ActorInput) -> None:
    """Add an input; ``posting.post`` calls this with its message and delivery."""
    await rows.insert(
        tx,
        "actor_inputs",
        {
            "id": actor_input.id,
            "actor_id": actor_input.actor_id,
            "message_id": actor_input.message_id,
            "mode": actor_input.mode.value,
            "status": actor_input.status.value,
            "recovers_json": rows.dump(actor_input.recovers),
            "created_at": actor_input.created_at,
        },
    )


async def get(tx: Tx, input_id: str) -> ActorInput | None:
    """Return the input, if there is one of that id."""
    row = await rows.one(tx, _GET, input_id)
    return None if row is None else row_to_input(row)


async def require(tx: Tx, input_id: str) -> ActorInput:
    """Return the input; raises ``NotFound``."""
    found = await get(tx, input_id)
    if found is None:
        raise _unknown(input_id)
    return found


async def by_ids(tx: Tx, ids: Sequence[str]) -> tuple[ActorInput, ...]:
    """Return the inputs of these ids in the order they came; unknown ids are passed over."""
    return await _many(tx, _BY_IDS, rows.words(ids)) if ids else ()


async def open_for(tx: Tx, actor_id: str) -> tuple[ActorInput, ...]:
    """Return what is queued, handed or seen, in the order it came."""
    return await _many(tx, _OPEN_FOR, actor_id)


async def unsettled_for(tx: Tx, actor_id: str) -> tuple[ActorInput, ...]:
    """Return the actor's inputs that are open or uncertain: what its history may still tell of."""
    doubtful = [item for item in await uncertain(tx) if item.actor_id == actor_id]
    return (*await open_for(tx, actor_id), *doubtful)


async def waiting(tx: Tx, actor_id: str, now: int) -> tuple[ActorInput, ...]:
    """Return what is queued and need not rest any longer, in the order it came."""
    return await _many(tx, _WAITING, actor_id, now)


async def uncertain(tx: Tx) -> tuple[ActorInput, ...]:
    """Return what a human has to decide."""
    return await _many(tx, _UNCERTAIN)


async def recovered_by(tx: Tx, ids: Sequence[str]) -> tuple[str, ...]:
    """Return those of ``ids`` that a recovery input already answers for.

    Such a recovery is queued, handed, or seen in a turn that is not over.
    """
    return tuple(row[0] for row in await rows.many(tx, _RECOVERED_BY, rows.words(ids)))


def left_to_recoveries(found: Iterable[ActorInput]) -> frozenset[str]:
    """Return the ids that those of ``found`` answer for which recover, and have not been sent."""
    waiting = (item for item in found if item.recovers and not item.batch_id)
    return frozenset(input_id for item in waiting for input_id in item.recovers)


async def recoveries_of(tx: Tx, ids: Sequence[str]) -> int:
    """Return how often the most recovered of ``ids`` has been recovered from a crash.

    A recovery whose message tells another reason (``because``) does not count.
    """
    return int(await rows.value(tx, _RECOVERIES_OF, rows.words(ids)))


async def attempt(tx: Tx, envelopes: Mapping[str, str], *, batch_id: str, thread_id: str) -> None:
    """Record what is about to be sent; the inputs stay queued until the runtime accepts them.

    ``thread_id`` is empty for the first words of a thread that has no name before it hears them.
    Raises ``Conflict`` unless all are queued, ``NotFound`` for an unknown id.
    """
    await _check(tx, tuple(envelopes), InputStatus.HANDED)
    sent = [(text, batch_id, thread_id, input_id) for input_id, text in envelopes.items()]
    await tx.executemany(_ATTEMPT, sent)


async def name_thread(tx: Tx, actor_id: str, thread_id: str) -> None:
    """Record the thread of what was sent before the thread had told its id."""
    await rows.many(tx, _NAME_THREAD, thread_id, actor_id)


async def rouse(tx: Tx, actor_id: str) -> None:
    """Let the actor's queued inputs go at once, also those that were to rest."""
    await rows.many(tx, _ROUSE, actor_id)


async def hand(tx: Tx, ids: Sequence[str], *, turn_id: str = "", now: int) -> None:
    """Record that the runtime accepted queued inputs.

    Raises ``Conflict`` from any other state, ``NotFound`` for an unknown id.
    """
    if ids := await _check(tx, ids, InputStatus.HANDED):
        await rows.many(tx, _HAND, turn_id, now, rows.words(ids))
        await _follow(tx, ids, InputStatus.HANDED, now=now)


async def see(tx: Tx, ids: Sequence[str], *, thread_id: str, turn_id: str, now: int) -> None:
    """Record that the thread's history shows the inputs, in this turn.

    Raises ``Conflict`` when one is settled, ``NotFound`` for an unknown id.
    """
    if ids := await _check(tx, ids, InputStatus.SEEN):
        await rows.many(tx, _SEE, thread_id, turn_id, now, now, rows.words(ids))
        await _follow(tx, ids, InputStatus.SEEN, now=now)


async def settle(
    tx: Tx,
    ids: Sequence[str],
    status: InputStatus,
    *,
    reason: str = "",
    reply_id: str | None = None,
    now: int,
) -> None:
    """Record how inputs ended: answered, interrupted, cancelled, failed or uncertain.

    Raises ``Conflict`` when one is in a state that cannot lead there (see ``COMES_FROM``),
    ``NotFound`` for an unknown id.
    """
    if status not in SETTLED:
        msg = f"{status.value} is not an end of an input"
        raise ValueError(msg)
    if ids := await _check(tx, ids, status):
        await rows.many(tx, _SETTLE, status.value, reason, reply_id, now, rows.words(ids))
        await _follow(tx, ids, status, reason=reason, now=now)


async def requeue(
    tx: Tx, ids: Sequence[str], *, reason: str, not_before: int = 0, now: int = 0
) -> None:
    """Queue inputs again that were not consumed; the next attempt renders them anew.

    They keep their place and count of attempts. ``not_before`` is ms since the epoch; ``now``
    is the receipt's new time, which stays as it was without it. Raises ``Conflict`` when one is
    settled other than uncertain, ``NotFound`` for an unknown id.
    """
    if ids := await _check(tx, ids, InputStatus.QUEUED):
        await rows.many(tx, _REQUEUE, reason, not_before, rows.words(ids))
        await _follow(tx, ids, InputStatus.QUEUED, now=now)


async def queues(tx: Tx) -> tuple[str, ...]:
    """Return the actors for whom anything is queued."""
    return tuple(row[0] for row in await rows.many(tx, _QUEUES))


async def explain(tx: Tx, ids: Sequence[str], reason: str) -> None:
    """Say why inputs are where they are, and leave them there."""
    if ids:
        await rows.many(tx, _EXPLAIN, reason, rows.words(ids))


def message_status(status: InputStatus) -> MessageStatus:
    """Say what an input's state makes of its message."""
    match status:
        case InputStatus.ANSWERED:
            return MessageStatus.ANSWERED
        case InputStatus.FAILED:
            return MessageStatus.FAILED
        case InputStatus.INTERRUPTED | InputStatus.CANCELLED:
            return MessageStatus.CLOSED
        case _:
            return MessageStatus.ROUTED


async def _check(tx: Tx, ids: Sequence[str], to: InputStatus) -> tuple[str, ...]:
    wanted = rows.distinct(ids)
    if not wanted:
        return ()
    states = {row["id"]: row["status"] for row in await rows.many(tx, _STATES, rows.words(wanted))}
    for input_id in wanted:
        if input_id not in states:
            raise _unknown(input_id)
        status = InputStatus(states[input_id])
        if status not in COMES_FROM[to]:
            msg = f"Input {input_id} is {status.value} and cannot become {to.value}."
            raise Conflict(msg)
    return wanted


async def _follow(
    tx: Tx, ids: Sequence[str], status: InputStatus, *, reason: str = "", now: int
) -> None:
    every = rows.words(ids)
    await rows.many(tx, _DELIVERIES, delivery_status(status).value, reason, now, every)
    await rows.many(tx, _MESSAGES, message_status(status).value, every)


async def _many(tx: Tx, sql: str, *params: object) -> tuple[ActorInput, ...]:
    return tuple(row_to_input(row) for row in await rows.many(tx, sql, *params))


def row_to_input(row: Row) -> ActorInput:
    """Read one row of ``actor_inputs``."""
    return ActorInput(
        id=row["id"],
        actor_id=row["actor_id"],
        message_id=row["message_id"],
        mode=InputMode(row["mode"]),
        status=InputStatus(row["status"]),
        thread_id=row["thread_id"],
        batch_id=row["batch_id"],
        envelope=row["envelope"],
        turn_id=row["turn_id"],
        recovers=tuple(rows.load(row["recovers_json"])),
        reason=row["reason"],
        attempts=row["attempts"],
        not_before=row["not_before"],
        created_at=row["created_at"],
        handed_at=row["handed_at"],
        seen_at=row["seen_at"],
        settled_at=row["settled_at"],
        reply_id=row["reply_id"],
    )


def _unknown(input_id: str) -> NotFound:
    msg = f"There is no input {input_id!r}."
    return NotFound(msg, hint="`netsky inputs list` shows those that are open.")
