"""The end of a turn, however it came to be known: live or from history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.agents import standstill
from netsky_runtime.agents.recovery import recover
from netsky_runtime.db import actors, approval_ends, engines, inputs, messages, rungs, turns
from netsky_runtime.states import ApprovalStatus, InputStatus, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import HistoricItem
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, ActorInput, Turn


async def settle_turn(seat: Seat, turn: Turn, items: Sequence[HistoricItem]) -> None:
    """Record that ``turn`` ended and settle every input it consumed, in one transaction.

    Calling it again for the same turn changes nothing. A turn that a crash cut (interrupted,
    no completion time) gets one recovery input instead, unless it was stopped on purpose. One that
    netsky itself interrupted because it hung has failed, and whoever waits for it is told so. One
    that a budget or Codex's usage limit stopped also gets a recovery input, which waits for more.
    """
    kit = seat.kit
    now = kit.clock.now()

    def wake(actor_ids: frozenset[str]) -> None:
        for actor_id in actor_ids:
            kit.wake(actor_id)

    await kit.database.write(lambda tx: settle_in(tx, seat, turn, items, now=now), then=wake)


async def settle_in(
    tx: Tx, seat: Seat, turn: Turn, items: Sequence[HistoricItem], *, now: int
) -> frozenset[str]:
    """Do what ``settle_turn`` does in the transaction at hand; return the actors to wake."""
    kit = seat.kit
    cut = turn.status is TurnStatus.INTERRUPTED and turn.completed_at is None
    actor = await actors.require(tx, seat.actor_id)
    known = await turns.get(tx, turn.thread_id, turn.id)
    why = await _on_purpose(seat, tx, turn, known) if cut else ""
    stopped = bool(why)
    ended = replace(turn, completed_at=now, error=why) if stopped else turn
    if turn.status is TurnStatus.INTERRUPTED and (stopped or not cut):
        ended = await _given_up(tx, ended)
    because = await _goes_on(kit, tx, turn, known, now=now)
    await turns.start(tx, turn)
    await turns.complete(
        tx,
        turn.thread_id,
        turn.id,
        status=ended.status,
        completed_at=ended.completed_at,
        error=ended.error,
        final_text=final_text(items),
        stopped_by=because,
    )
    await approval_ends.turn_over(
        tx,
        thread_id=turn.thread_id,
        turn_id=turn.id,
        status=ApprovalStatus.LOST if cut and not stopped else _unanswered(ended.status),
        now=now,
    )
    consumed = [
        item
        for item in await inputs.open_for(tx, seat.actor_id)
        if item.status is InputStatus.SEEN
        and (item.thread_id, item.turn_id) == (turn.thread_id, turn.id)
    ]
    if because or (cut and not stopped):
        return await recover(kit, tx, actor, consumed, because=because, now=now)
    return await _settle(seat, tx, actor, ended, consumed, items, now)


async def _on_purpose(seat: Seat, tx: Tx, turn: Turn, known: Turn | None) -> str:
    """Say why a turn that looks cut by a crash was stopped on purpose; empty when it was not."""
    if known is not None and known.error in turns.ON_PURPOSE:
        return known.error
    if seat.asked == turn.id or (seat.row is not None and seat.row.ended_at is not None):
        return turns.ASKED  # nobody wants what was begun in a session that is over
    # It began when netsky had left, so nobody could mark it when its engine was stopped.
    unheard = known is None and await engines.stopped_in(tx, turn.started_at, reason=turns.STOPPED)
    return turns.STOPPED if unheard else ""


async def _goes_on(kit: Kit, tx: Tx, turn: Turn, known: Turn | None, *, now: int) -> str:
    """Return why the turn ended though it is to go on: a budget stopped it, or a limit failed it.

    Its inputs were consumed, so they are not sent again: a recovery input waits in their place.
    """
    if turn.status is TurnStatus.FAILED:
        over = known is not None and known.status is not TurnStatus.IN_PROGRESS
        if turn.stopped_by and not over:  # later looks pause no more: the owner may have ended it
            await kit.pauses.limited(tx, at=turn.completed_at or now)
        # Not every door's history tells why it failed, so what was recorded at its end counts.
        return turn.stopped_by or (known.stopped_by if known is not None and over else "")
    if turn.status is TurnStatus.INTERRUPTED and known is not None:
        return known.stopped_by
    return ""


async def _given_up(tx: Tx, turn: Turn) -> Turn:
    rung = await rungs.interrupt_of(tx, turn.thread_id, turn.id)
    if rung is None:
        return turn
    error = f"netsky interrupted it: {rung.evidence}"
    return replace(turn, status=TurnStatus.FAILED, error=error)


def final_text(items: Sequence[HistoricItem]) -> str:
    """Return the turn's last words."""
    return next((item.text for item in reversed(items) if item.type == "agent_message"), "")


def _unanswered(status: TurnStatus) -> ApprovalStatus:
    """Say what became of a question that was still open when its turn ended."""
    if status is TurnStatus.INTERRUPTED:
        return ApprovalStatus.CANCELLED
    return ApprovalStatus.RESOLVED_ELSEWHERE


async def _settle(
    seat: Seat,
    tx: Tx,
    actor: Actor,
    turn: Turn,
    consumed: Sequence[ActorInput],
    items: Sequence[HistoricItem],
    now: int,
) -> frozenset[str]:
    recoveries = [item for item in consumed if item.recovers]
    answers_for = [input_id for item in recoveries for input_id in item.recovers]
    found = await inputs.by_ids(tx, answers_for)
    # Not one that was sent again; what a lost thread may have taken was told of in this turn, and
    # an answer beats the doubt whether there would be one.
    told = [i for i in found if i.status is InputStatus.HANDED and i.thread_id != turn.thread_id]
    if turn.status is TurnStatus.COMPLETED:
        told += [i for i in found if i.status is InputStatus.UNCERTAIN]
    ids = [item.id for item in told]
    await inputs.see(tx, ids, thread_id=turn.thread_id, turn_id=turn.id, now=now)
    recovered = [i for i in found if i.status is InputStatus.SEEN or i in told]
    causes = [item for item in consumed if not item.recovers] + recovered
    words = {i.message_id: await messages.require(tx, i.message_id) for i in causes}
    if recoveries:
        status = {
            TurnStatus.COMPLETED: InputStatus.ANSWERED,
            TurnStatus.FAILED: InputStatus.FAILED,
        }.get(turn.status, InputStatus.INTERRUPTED)
        ids = [item.id for item in recoveries]
        await inputs.settle(tx, ids, status, reason=turn.error, now=now)
    woken = await seat.kit.settle(
        tx, actor=actor, turn=turn, inputs=causes, messages=words, items=items, now=now
    )
    # Where netsky or the actor is being stopped, that has a story of its own.
    here = not seat.closing and turn.error != turns.STOPPED
    if turn.status is TurnStatus.INTERRUPTED and causes and here:
        woken |= await standstill.tell(tx, actor, turn, ids=seat.kit.ids, now=now)
    # A worker that has reported leaves its place to a task that waits for one.
    return woken | await seat.kit.start_ready(tx)
