"""Stopping turns on purpose: said in the database first, so that no crash looks like one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import NoActiveTurn, RuntimeFailure
from netsky_runtime.db import inputs, sessions, turns
from netsky_runtime.db.trouble import refusing
from netsky_runtime.errors import Conflict, DatabaseError
from netsky_runtime.records import Turn
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.supervise import Supervisor

REACH_SECONDS: Final = 10.0
"""How long an actor that is to be stopped gets to have its thread back, if a turn runs there."""
DRAIN_SECONDS: Final = 5.0
"""How long running turns get to end after they were interrupted at a stop."""


async def interrupt(seat: Seat, thread: ThreadSession, turn_id: str, *, because: str = "") -> None:
    """Stop a turn. When Codex dies over it, its end is no crash: nothing continues by itself.

    Except for ``because``, which stops it for a while. It works while nothing can be stored, too:
    the turn may be what fills the disk. Raises ``NoActiveTurn``, ``ThreadBlocked`` or another
    ``RuntimeFailure``; what was said is taken back then, for the turn may go on.
    """
    kit = seat.kit
    stored = True
    try:
        with refusing():  # whoever waits here until the disk has room waits for this turn
            await note(seat, thread, turn_id, because=because)
    except DatabaseError as error:
        stored, seat.asked = False, turn_id
        fields = {"actor": seat.actor_id, "turn": turn_id, "error": error.message}
        kit.log("warning", "turn is asked to stop, which cannot be stored", fields)
    try:
        await thread.interrupt(turn_id)
    except NoActiveTurn:
        raise  # it is over, and how it ended is told by its end
    except RuntimeFailure:
        seat.asked = ""
        if stored:
            await kit.database.write(lambda tx: turns.go_on(tx, thread.thread_id, turn_id))
        raise


async def note(seat: Seat, thread: ThreadSession, turn_id: str, *, because: str = "") -> None:
    """Store that a turn is to end, before Codex is told; see ``turns.ask_stop``."""
    turn = Turn(
        thread_id=thread.thread_id,
        id=turn_id,
        actor_id=seat.actor_id,
        status=TurnStatus.IN_PROGRESS,
        started_at=seat.kit.clock.now(),
    )

    async def body(tx: Tx) -> None:
        await turns.start(tx, turn)  # its start may not have been heard yet
        await turns.ask_stop(tx, turn.thread_id, turn_id, because=because)

    await seat.kit.database.write(body)


async def ask_again(seat: Seat, thread: ThreadSession) -> None:
    """Stop a turn that was asked to stop and runs yet: whoever asked may have died before telling.

    Where that fails the turn goes on, and its end counts for what it looks like.
    """
    turn_id = thread.active_turn
    if not turn_id:
        return
    turn = await seat.kit.database.read(lambda tx: turns.get(tx, thread.thread_id, turn_id))
    if turn is not None and turn.error == turns.ASKED:
        await _try_to_interrupt(seat, because=turn.stopped_by)


async def interrupt_running(seat: Seat, *, only: str = "", because: str = "") -> str:
    """Stop the actor's turn, be it any or ``only`` this one, and return its id.

    ``because`` is why it goes on later, if it does.
    Raises ``Conflict`` when it does not run.
    """
    thread = seat.thread
    turn_id = thread.active_turn if thread else ""
    if thread is None or not turn_id or only not in {"", turn_id}:
        raise idle(seat.actor_id)
    try:
        await interrupt(seat, thread, turn_id, because=because)
    except NoActiveTurn as error:
        msg = f"The turn of {seat.actor_id} has just ended."
        raise Conflict(msg) from error
    return turn_id


async def reach(actor_id: str, *, kit: Kit, seat_of: Callable[[str], Seat | None]) -> bool:
    """Wait until a turn that runs as far as recorded, or may, can be stopped, or has ended.

    False when its thread is not attached within ``REACH_SECONDS``.
    """

    async def unheard(tx: Tx) -> bool:
        session = await sessions.current(tx, actor_id)
        if session is None:
            return False
        running = await turns.running(tx, actor_id)
        found = await inputs.open_for(tx, actor_id)
        left = inputs.left_to_recoveries(found)  # their turn is over
        sent = any(item.batch_id and item.id not in left for item in found)
        return sent or any(turn.thread_id == session.thread_id for turn in running)

    deadline = kit.clock.monotonic() + REACH_SECONDS
    while await kit.database.read(unheard):
        seat = seat_of(actor_id)
        if seat is not None and seat.busy:
            return True
        if kit.clock.monotonic() >= deadline:
            return seat is not None and seat.thread is not None
        if seat is None or seat.thread is None:
            kit.wake(actor_id)  # a runner that rests before its next attempt need not
        await kit.clock.sleep(0.1)
    return True


async def interrupt_and_wait(seats: Sequence[Seat], *, kit: Kit, supervisor: Supervisor) -> None:
    """Let the seats be closing, stop their turns and wait until their ends are recorded.

    At most ``DRAIN_SECONDS``.
    """
    for seat in seats:
        seat.closing = True
    interrupts = [
        supervisor.spawn(f"interrupt of {seat.actor_id}", _interrupt_all(seat)) for seat in seats
    ]
    deadline = kit.clock.monotonic() + DRAIN_SECONDS
    while kit.clock.monotonic() < deadline and any(seat.busy for seat in seats):
        await kit.clock.sleep(0.02)
    for task in interrupts:
        task.cancel()


async def _interrupt_all(seat: Seat) -> None:
    """Stop what runs, and what begins yet: a batch may be on its way."""
    asked = ""
    while seat.busy:
        turn_id = seat.thread.active_turn if seat.thread is not None else ""
        if turn_id not in {"", asked}:
            asked = turn_id
            await _try_to_interrupt(seat)
        else:
            await seat.kit.clock.sleep(0.02)


async def _try_to_interrupt(seat: Seat, *, because: str = "") -> None:
    thread = seat.thread
    if thread is None or not thread.active_turn:
        return
    try:
        await interrupt(seat, thread, thread.active_turn, because=because)
    except NoActiveTurn:
        return
    except RuntimeFailure as error:
        fields = {"actor": seat.actor_id, "error": str(error)}
        seat.kit.log("warning", "interrupt failed", fields)


def idle(actor_id: str) -> Conflict:
    """Return the error for an actor whose turn should be stopped and that has none."""
    return Conflict(f"{actor_id} has no running turn.")
