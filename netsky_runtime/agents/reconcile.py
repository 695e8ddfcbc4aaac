"""Comparing what netsky believes of its inputs with what the thread's own history says.

| belief | history shows it | history does not, and nothing runs |
|---|---|---|
| queued, never sent | - | - |
| sent, not acknowledged | seen | queued again; on a door that works on without netsky, not before it had ``GRACE_SECONDS`` to take it |
| sent, overdue on a living connection | seen | looked for again, in the end uncertain |
| handed (also an accepted steer) | seen | queued again |
| seen | seen, in the turn that shows it | queued again: Codex lost it |
| uncertain | seen | a human decides |
| answers for a recovery that waits or runs | seen | left to that recovery |

What is seen is settled with its turn. Where history cannot be read: ``doubt``.
"""  # noqa: E501 - a table

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.agents import gaps, matching, overheard
from netsky_runtime.agents.naming import learn_name
from netsky_runtime.agents.settlement import settle_in
from netsky_runtime.db import approval_ends, inputs, sessions, turns
from netsky_runtime.states import ApprovalStatus, InputStatus, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import HistoricTurn, ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import ActorInput, Message

GRACE_SECONDS: Final = 1.0
"""How long after it was attached a living engine may yet take what an earlier netsky wrote to it
without hearing an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """What one look into history is compared with."""

    tried: Sequence[ActorInput]
    """Open and uncertain inputs that history may tell of."""
    found: Mapping[str, HistoricTurn]
    """Those that it does tell of, with the turns that consumed them."""
    unended: frozenset[str]
    """Turns that history knows and whose end is not recorded."""
    untold: frozenset[str]
    """Turns of which facts may be missing."""
    unknown: bool
    """Whether a turn runs as far as recorded, and history does not know it."""

    def asks_for_a_change(self, thread_id: str) -> bool:
        """Whether anything may have to be written."""
        sent = any(item.batch_id and item.thread_id == thread_id for item in self.tried)
        return bool(sent or self.found or self.untold or self.unknown)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of it."""

    woken: frozenset[str] = frozenset()
    again: tuple[str, ...] = ()
    """Inputs that were queued again."""
    over: bool = False
    """Whether nothing runs and nothing is awaited any more."""


async def reconcile(seat: Seat, thread: ThreadSession) -> None:
    """Bring every open input of the actor to where its thread's history says it is.

    What history shows was consumed; what it does not show was not, and is queued again, unless
    a turn still runs that may yet show it. All of that is one transaction, so a crash in the
    middle leaves either belief whole. The caller holds the seat's lock. Raises
    ``HistoryUnavailable``.
    """
    kit = seat.kit
    grace = _in_grace(seat)  # as it is before history is asked, which may take its time
    history = await thread.history()
    await learn_name(seat, thread)  # history may be where it was found
    thread_id = thread.thread_id
    look = await kit.database.read(lambda tx: _look(tx, seat, thread_id, history))
    await gaps.store(seat, thread_id, [turn for turn in history if turn.id in look.untold])
    await _overhear(seat, thread_id, history)
    outcome = _Outcome(over=not _runs(seat, thread, history, look))
    if look.asks_for_a_change(thread_id):

        def wake(done: _Outcome) -> None:
            for actor_id in done.woken:
                kit.wake(actor_id)

        outcome = await kit.database.write(
            lambda tx: _apply(tx, seat, thread, history, grace=grace), then=wake
        )
    seat.engine_changed = False
    if outcome.again:
        fields = {"actor": seat.actor_id, "inputs": list(outcome.again)}
        kit.log("info", "inputs queued again", fields)
    if outcome.over:
        seat.turn_over()


async def doubt(seat: Seat, why: str) -> None:
    """Make everything uncertain that may have been sent and was not seen: a human decides.

    Also what was seen, when the process is gone in which it was: that sight was provisional. What
    a recovery answers for that has yet to run is left to that.
    """
    kit = seat.kit
    kept = set() if seat.engine_changed else {InputStatus.SEEN}

    async def body(tx: Tx) -> list[str]:
        found = await inputs.open_for(tx, seat.actor_id)
        left = inputs.left_to_recoveries(found)
        doubtful = [
            item.id
            for item in found
            if item.batch_id and item.status not in kept and item.id not in left
        ]
        await inputs.settle(
            tx,
            doubtful,
            InputStatus.UNCERTAIN,
            reason=why,
            now=kit.clock.now(),
        )
        return doubtful

    doubtful = await kit.database.write(body)
    seat.turn_over()
    if doubtful:
        kit.log("warning", "inputs are uncertain", {"actor": seat.actor_id, "inputs": doubtful})


async def _look(tx: Tx, seat: Seat, thread_id: str, history: Sequence[HistoricTurn]) -> _Look:
    known = await inputs.unsettled_for(tx, seat.actor_id)
    # Also what is to be sent anew: where words are typed, a human may have sent them.
    tried = [item for item in known if item.attempts and item.thread_id in {"", thread_id}]
    told = {turn.id for turn in history}
    running = await turns.running(tx, seat.actor_id)
    unended = await gaps.unended(tx, thread_id, history)
    return _Look(
        tried=tried,
        found=matching.find(tried, history, input_ids=seat.input_ids),
        unended=unended,
        untold=await gaps.untold(tx, thread_id, history, unended),
        unknown=any(turn.thread_id == thread_id and turn.id not in told for turn in running),
    )


async def _apply(
    tx: Tx, seat: Seat, thread: ThreadSession, history: Sequence[HistoricTurn], *, grace: bool
) -> _Outcome:
    thread_id, now = thread.thread_id, seat.kit.clock.now()
    look = await _look(tx, seat, thread_id, history)  # others may have written since the first
    woken: frozenset[str] = frozenset()
    for turn in history:
        if turn.id in look.unended and turn.status is TurnStatus.IN_PROGRESS:
            await turns.start(tx, gaps.record(seat, thread_id, turn))
    await sessions.set_resync(tx, thread_id, False)
    await _see(tx, look, thread_id, now=now)
    unsettled = look.unended | {turn.id for turn in look.found.values()}
    for turn in history:
        if turn.id in unsettled and turn.status is not TurnStatus.IN_PROGRESS:
            row = gaps.record(seat, thread_id, turn)
            woken |= await settle_in(tx, seat, row, turn.items, now=now)
    if _turn_runs(seat, thread, history):
        return _Outcome(woken=woken)
    told = {turn.id for turn in history}
    await _end_unknown(tx, seat, thread, told, now=now)
    again = await _queue_again(tx, seat, look, thread_id, grace=grace)
    return _Outcome(woken=woken, again=again, over=not _runs(seat, thread, history, look))


def _runs(seat: Seat, thread: ThreadSession, history: Sequence[HistoricTurn], look: _Look) -> bool:
    """Whether a turn runs, or may yet begin for a batch whose answer is overdue."""
    if _turn_runs(seat, thread, history):
        return True
    late = _late(seat)
    sent = [item for item in look.tried if item.batch_id == late]
    return bool(late) and not any(item.id in look.found for item in sent)


def _turn_runs(seat: Seat, thread: ThreadSession, history: Sequence[HistoricTurn]) -> bool:
    """Whether a turn runs, or one was heard that is younger than this look into history.

    Such a one may have ended meanwhile: its end was heard too, and waits for the seat's lock.
    """
    if any(turn.status is TurnStatus.IN_PROGRESS for turn in history) or thread.active_turn:
        return True
    return bool(seat.open_turn) and seat.open_turn not in {turn.id for turn in history}


def _late(seat: Seat) -> str:
    """Return the batch whose answer is overdue: a slow engine may take it yet."""
    return seat.awaiting if seat.overdue is not None else ""


async def _overhear(seat: Seat, thread_id: str, history: Sequence[HistoricTurn]) -> None:
    found: list[Message] = []
    for turn in history:
        at = turn.started_at or turn.completed_at or seat.kit.clock.now()
        found += overheard.said(seat, thread_id, turn.id, turn.items, at=at)
    await overheard.keep(seat, found)


async def _see(tx: Tx, look: _Look, thread_id: str, *, now: int) -> None:
    for item in look.tried:
        turn = look.found.get(item.id)
        if turn and (item.status is not InputStatus.SEEN or item.turn_id != turn.id):
            await inputs.see(tx, [item.id], thread_id=thread_id, turn_id=turn.id, now=now)


async def _end_unknown(
    tx: Tx, seat: Seat, thread: ThreadSession, told: set[str], *, now: int
) -> None:
    """End the turns that were heard to start and that history does not know.

    Another door may tell them under other ids, and a crash may have come before Codex wrote
    them down.
    """
    known = told | {seat.open_turn, thread.active_turn}  # somebody may just have begun one
    reason = "its thread's history does not show it"
    for turn_id in await turns.cut(tx, thread.thread_id, known=known, reason=reason):
        await approval_ends.turn_over(
            tx,
            thread_id=thread.thread_id,
            turn_id=turn_id,
            status=ApprovalStatus.LOST,
            now=now,
        )


async def _queue_again(
    tx: Tx, seat: Seat, look: _Look, thread_id: str, *, grace: bool
) -> tuple[str, ...]:
    """Queue what history does not show. Inputs behind a recovery are that recovery's business."""
    late = _late(seat)
    vanished = [
        item.id
        for item in look.tried
        if item.batch_id not in {"", late}
        and item.thread_id == thread_id
        and item.id not in look.found
        and item.status.open
        and not (grace and item.status is InputStatus.QUEUED)
    ]
    kept = set(await inputs.recovered_by(tx, vanished)) if vanished else set()
    again = tuple(input_id for input_id in vanished if input_id not in kept)
    await inputs.requeue(tx, again, reason="history does not show it: it was not consumed")
    return again


def _in_grace(seat: Seat) -> bool:
    """Whether what was written to the door before this netsky had it may yet be taken there."""
    if not seat.capabilities.survives_netsky:
        return False
    return seat.kit.clock.monotonic() - seat.attached_at < GRACE_SECONDS
