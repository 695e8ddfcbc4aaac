"""What history tells of turns that netsky did not hear to their end, in the words of its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.agents.pause import LIMITED
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import events, sessions, turns
from netsky_runtime.records import Turn
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import HistoricTurn
    from netsky_runtime.db.connection import Tx


LAST: Final = 2
"""How many turns back facts may be missing of turns whose end is recorded: they are stored a
moment apart, and whoever was killed in that moment was at the end of the thread."""


async def unended(tx: Tx, thread_id: str, history: Sequence[HistoricTurn]) -> frozenset[str]:
    """Return the turns of ``history`` whose end netsky has not recorded."""
    return frozenset(turn.id for turn in history) - await turns.over_in(tx, thread_id)


async def untold(
    tx: Tx, thread_id: str, history: Sequence[HistoricTurn], unended: frozenset[str]
) -> frozenset[str]:
    """Return the turns of ``history`` of which facts may be missing, among them the ``unended``.

    All of them, when facts of the thread were dropped: which are missing is not known then.
    """
    thread = await sessions.get_thread(tx, thread_id)
    if thread is not None and thread.resync:
        return frozenset(turn.id for turn in history)
    last = [turn.id for turn in history[-LAST:]]
    return unended | (frozenset(last) - await events.ended(tx, thread_id, last))


async def store(seat: Seat, thread_id: str, found: Sequence[HistoricTurn]) -> None:
    """Store the facts of these turns; returns when they are on the disk.

    Before the turns' ends are recorded: nobody asks for the facts of a turn that is over.
    """
    kit = seat.kit
    for turn in found:
        for event in _facts(thread_id, turn, now=kit.clock.now()):
            await kit.facts.put(seat.actor_id, event)
    if found:
        await kit.facts.flush()


def record(seat: Seat, thread_id: str, turn: HistoricTurn) -> Turn:
    """Return the row of a turn as history tells it."""
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


def _facts(thread_id: str, turn: HistoricTurn, *, now: int) -> list[CodexEvent]:
    began = turn.started_at or now
    facts = [
        CodexEvent(
            kind=EventKind.ITEM_COMPLETED,
            thread_id=thread_id,
            at=turn.completed_at or began,
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
                at=turn.completed_at or now,  # of a cut turn nobody knows more than that it is over
                turn_id=turn.id,
                data={
                    "status": turn.status.value,
                    "error": turn.error,
                    "completed_at": turn.completed_at,
                },
            )
        )
    return facts
