"""Comparing what netsky believes of its inputs with what the thread's own history says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.agents import matching, overheard
from netsky_runtime.agents.naming import learn_name
from netsky_runtime.agents.pause import LIMITED
from netsky_runtime.agents.settlement import settle_turn
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import approval_ends, inputs, sessions, turns
from netsky_runtime.records import ActorInput, Message, Turn
from netsky_runtime.states import ApprovalStatus, InputStatus, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import HistoricTurn, ThreadSession
    from netsky_runtime.db.connection import Tx


async def reconcile(seat: Seat, thread: ThreadSession) -> None:
    """Bring every open input of the actor to where its thread's history says it is.

    What history shows was consumed; what it does not show was not, and is queued again, unless
    a turn still runs that may yet show it. The caller holds the seat's lock.
    Raises ``HistoryUnavailable``.
    """
    kit = seat.kit
    history = await thread.history()
    await learn_name(seat, thread)  # history may be where it was found
    known = await kit.database.read(lambda tx: inputs.unsettled_for(tx, seat.actor_id))
    # Also what is to be sent anew: where words are typed, a human may have sent them.
    tried = [item for item in known if item.attempts and item.thread_id in {"", thread.thread_id}]
    found = matching.find(tried, history, input_ids=seat.input_ids)
    await _see(seat, thread.thread_id, tried, found)
    sent = [item for item in tried if item.batch_id and item.thread_id == thread.thread_id]
    await _overhear(seat, thread.thread_id, history)
    unsettled = await _fill_gaps(seat, thread.thread_id, history)
    unsettled |= {turn.id for turn in found.values()}
    for turn in history:
        if turn.id in unsettled and turn.status is not TurnStatus.IN_PROGRESS:
            await settle_turn(seat, _record(seat, thread.thread_id, turn), turn.items)
    running = any(turn.status is TurnStatus.IN_PROGRESS for turn in history)
    if running or thread.active_turn:
        return
    await _end_unknown(seat, thread, history)
    # What is uncertain stays so unless history shows it: a human decides. A batch whose answer
    # is overdue may still be taken by a slow engine: it is not sent again.
    late = seat.awaiting if seat.overdue is not None else ""
    vanished = [
        item for item in sent if item.id not in found and item.status.open and item.batch_id != late
    ]
    await _queue_again(seat, vanished)
    if not late or any(item.batch_id == late and item.id in found for item in sent):
        seat.turn_over()


async def _overhear(seat: Seat, thread_id: str, history: Sequence[HistoricTurn]) -> None:
    found: list[Message] = []
    for turn in history:
        at = turn.started_at or turn.completed_at or seat.kit.clock.now()
        found += overheard.said(seat, thread_id, turn.id, turn.items, at=at)
    await overheard.keep(seat, found)


async def _end_unknown(seat: Seat, thread: ThreadSession, history: Sequence[HistoricTurn]) -> None:
    """End the turns that were heard to start and that history does not know.

    Another door may tell them under other ids, and a crash may have come before Codex wrote
    them down.
    """
    database = seat.kit.database
    thread_id = thread.thread_id
    told = {turn.id for turn in history}

    async def stale(tx: Tx) -> bool:
        running = await turns.running(tx, seat.actor_id)
        return any(turn.thread_id == thread_id and turn.id not in told for turn in running)

    async def body(tx: Tx) -> None:
        known = told | {seat.open_turn, thread.active_turn}  # somebody may just have begun one
        reason = "its thread's history does not show it"
        for turn_id in await turns.cut(tx, thread_id, known=known, reason=reason):
            await approval_ends.turn_over(
                tx,
                thread_id=thread_id,
                turn_id=turn_id,
                status=ApprovalStatus.LOST,
                now=seat.kit.clock.now(),
            )

    if await database.read(stale):
        await database.write(body)


async def doubt(seat: Seat, why: str) -> None:
    """Make everything uncertain that may have been sent and was not seen: a human decides."""
    kit = seat.kit

    async def body(tx: Tx) -> list[str]:
        doubtful = [
            item.id
            for item in await inputs.open_for(tx, seat.actor_id)
            if item.batch_id and item.status is not InputStatus.SEEN
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


async def _see(
    seat: Seat, thread_id: str, tried: Sequence[ActorInput], found: dict[str, HistoricTurn]
) -> None:
    now = seat.kit.clock.now()
    unseen = {
        item.id: found[item.id]
        for item in tried
        if item.id in found
        and (item.status is not InputStatus.SEEN or item.turn_id != found[item.id].id)
    }
    if not unseen:
        return

    async def body(tx: Tx) -> None:
        for input_id, turn in unseen.items():
            await inputs.see(tx, [input_id], thread_id=thread_id, turn_id=turn.id, now=now)

    await seat.kit.database.write(body)


async def _queue_again(seat: Seat, vanished: Sequence[ActorInput]) -> None:
    """Queue what history does not show. Inputs behind a recovery are that recovery's business."""
    if not vanished:
        return
    kit = seat.kit

    async def body(tx: Tx) -> list[str]:
        kept = set(await inputs.recovered_by(tx, [item.id for item in vanished]))
        again = [item.id for item in vanished if item.id not in kept]
        await inputs.requeue(tx, again, reason="history does not show it: it was not consumed")
        return again

    again = await kit.database.write(body)
    if again:
        kit.log("info", "inputs queued again", {"actor": seat.actor_id, "inputs": again})


async def _fill_gaps(seat: Seat, thread_id: str, history: Sequence[HistoricTurn]) -> set[str]:
    """Store the facts of the turns whose end netsky did not see; return those turns' ids."""
    kit = seat.kit

    async def ended(tx: Tx) -> set[str]:
        thread = await sessions.get_thread(tx, thread_id)
        if thread is not None and thread.resync:
            return set()  # which facts are missing is not known: all are taken again
        known = await turns.list_for_actor(tx, seat.actor_id, limit=len(history) + 10)
        return {turn.id for turn in known if turn.status is not TurnStatus.IN_PROGRESS}

    over = await kit.database.read(ended)
    missed = [turn for turn in history if turn.id not in over]
    if missed:

        async def body(tx: Tx) -> None:
            for turn in missed:
                if turn.status is TurnStatus.IN_PROGRESS:  # an ended one is recorded with its end
                    await turns.start(tx, _record(seat, thread_id, turn))
            await sessions.set_resync(tx, thread_id, False)

        await kit.database.write(body)
    for turn in missed:
        for event in _facts(thread_id, turn, now=kit.clock.now()):
            await kit.facts.put(seat.actor_id, event)
    return {turn.id for turn in missed}


def _facts(thread_id: str, turn: HistoricTurn, *, now: int) -> list[CodexEvent]:
    at = turn.completed_at or turn.started_at or now
    facts = [
        CodexEvent(
            kind=EventKind.ITEM_COMPLETED,
            thread_id=thread_id,
            at=at,
            turn_id=turn.id,
            item_id=item.id,
            data={**item.data, "type": item.type},
        )
        for item in turn.items
    ]
    if turn.status is not TurnStatus.IN_PROGRESS:
        facts.append(
            CodexEvent(
                kind=EventKind.TURN_COMPLETED,
                thread_id=thread_id,
                at=at,
                turn_id=turn.id,
                data={
                    "status": turn.status.value,
                    "error": turn.error,
                    "completed_at": turn.completed_at,
                },
            )
        )
    return facts


def _record(seat: Seat, thread_id: str, turn: HistoricTurn) -> Turn:
    return Turn(
        thread_id=thread_id,
        id=turn.id,
        actor_id=seat.actor_id,
        status=turn.status,
        started_at=turn.started_at or seat.kit.clock.now(),
        completed_at=turn.completed_at,
        error=turn.error,
        stopped_by=LIMITED if turn.usage_limit else "",
    )
