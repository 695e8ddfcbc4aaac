"""Taking a live thread from one door to another: let go of here, taken up there, never both.

The session's row names the door that may write. It changes between the two steps, so a netsky
that ends in the middle comes back on one door, and on the one that the row names.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from netsky_runtime.agents import ways
from netsky_runtime.agents.attach import attached
from netsky_runtime.codex.base import (
    NoActiveTurn,
    RuntimeFailure,
    StillWriting,
    ThreadGone,
    TurnRunning,
)
from netsky_runtime.db import actors, approval_ends, inputs, sessions
from netsky_runtime.errors import Conflict, DeadlineExceeded, NetskyError, Unhealthy

if TYPE_CHECKING:
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Session
    from netsky_runtime.states import RuntimeName

REST_SECONDS: Final = 10.0
"""How long an interrupted turn may take to end, and the actor's runner to take up the move."""
CARRY_SECONDS: Final = 200.0
"""How long whoever asked waits for the doors after that; the move goes on without him."""


class Move:
    """A move that was asked for. The actor's runner carries it out between two inputs."""

    def __init__(self, to: RuntimeName) -> None:
        self.to = to
        self.begun = asyncio.Event()
        self.over = asyncio.Event()
        self.error: NetskyError | None = None
        """Why the thread is not at the other door."""

    def end(self, error: NetskyError | None) -> None:
        """Note how it went; only the first word counts."""
        if not self.over.is_set():
            self.error = error
            self.begun.set()
            self.over.set()


async def move(seat: Seat, to: RuntimeName, *, interrupt: bool) -> Session:
    """Take the actor's thread to the door ``to`` and return its session as it is then.

    Raises ``Unsupported`` or ``Refused`` where that cannot be, ``Conflict`` when it is there
    already, when a turn runs that may not be interrupted, or when the thread is not attached;
    ``DeadlineExceeded`` when it goes on for longer than anybody waits; ``Unhealthy`` or
    ``RuntimeFailure`` when a door does not do its part: then the thread is at its old door again,
    or, where that has let go of it for good, goes on as any lost thread does; after
    ``StillWriting`` it stays with the new one until that has ended what does not end.
    """
    _check_free(seat)  # first: in the middle of a move the row names the other door already
    _check_way(seat, await _current(seat), to)
    await _check_rest(seat, interrupt=interrupt)
    await seat.kit.runtime(to).open()
    if seat.thread is None:
        async with seat.lock:
            if seat.thread is None:
                return await _change_door(seat, to)
    # Opening took its time: a turn may have begun, somebody may have come first.
    await _check_rest(seat, interrupt=interrupt)
    _check_free(seat)
    return await _ask_runner(seat, Move(to), interrupt=interrupt)


async def carry_out(seat: Seat, to: RuntimeName) -> None:
    """Let go of the thread and take it up at the other door, or at the old one when that fails.

    Raises what ``move`` does. The session is not live when it is not certain which door has it.
    """
    kit = seat.kit
    async with seat.lock:
        thread, row = seat.thread, seat.row
        if thread is None or row is None:
            msg = f"{seat.actor_id} is not attached to its thread just now."
            raise Conflict(msg, hint="Try again when it is.")
        _check_way(seat, row, to)
        try:
            await thread.release()
        except TurnRunning as error:
            raise _busy(seat) from error
        seat.thread = None
        there = await _send_to(seat, row, to)
        if there.thread_id:
            try:
                thread = await _resume(seat, there)
            except StillWriting:
                raise  # the old door would be the second to write: the row names the new one
            except (RuntimeFailure, Unhealthy):
                back = await _send_to(seat, there, row.runtime)
                with suppress(ThreadGone):  # an mcp-server has forgotten it: the runner looks on
                    await attached(seat, await _resume(seat, back))
                raise
            await attached(seat, thread)
    fields = {"actor": seat.actor_id, "from": row.runtime.value, "to": to.value}
    kit.log("info", "thread was moved", {**fields, "thread": row.thread_id})


async def _ask_runner(seat: Seat, wanted: Move, *, interrupt: bool) -> Session:
    seat.move = wanted
    seat.wake.set()
    try:
        if interrupt and seat.thread is not None and seat.thread.active_turn:
            with suppress(NoActiveTurn):  # it ended by itself
                await seat.thread.interrupt(seat.thread.active_turn)
        try:
            async with asyncio.timeout(REST_SECONDS):
                await wanted.begun.wait()
        except TimeoutError as error:
            msg = f"{seat.actor_id} did not come to rest within {REST_SECONDS:g} s."
            raise Conflict(msg, hint="Interrupt it, and try again when it is idle.") from error
        try:
            async with asyncio.timeout(CARRY_SECONDS):
                await wanted.over.wait()
        except TimeoutError as error:
            msg = f"{seat.actor_id} is still on its way to {wanted.to.value}."
            hint = f"It goes on by itself: `netsky actors show {seat.actor_id}` tells where it is."
            raise DeadlineExceeded(msg, hint=hint) from error
    finally:
        if not wanted.begun.is_set() and seat.move is wanted:
            seat.move = None
            seat.wake.set()
    if wanted.error is not None:
        raise wanted.error
    return await _current(seat)


async def _current(seat: Seat) -> Session:
    row = await seat.kit.database.read(lambda tx: sessions.current(tx, seat.actor_id))
    if row is None:
        msg = f"{seat.actor_id} has no session."
        raise Conflict(msg, hint="It gets one when it is active.")
    return row


def _check_way(seat: Seat, row: Session, to: RuntimeName) -> None:
    ways.check(row, to, seat.kit.runtime)


def _check_free(seat: Seat) -> None:
    if seat.move is not None:
        msg = f"{seat.actor_id} is being moved already."
        raise Conflict(msg)


async def _check_rest(seat: Seat, *, interrupt: bool) -> None:
    async with seat.lock:  # a turn's end is seen by all before its seat has noted it
        if seat.busy and not interrupt:
            raise _busy(seat)


async def _change_door(seat: Seat, to: RuntimeName) -> Session:
    """Change the row of an actor whose thread does not exist yet. The caller holds the lock."""
    row = await _current(seat)
    _check_way(seat, row, to)
    if row.thread_id:
        why = f": {seat.problem}" if seat.problem else "."
        msg = f"{seat.actor_id} is not attached to its thread just now{why}"
        raise Conflict(msg, hint="Try again when it is.")
    waiting = await seat.kit.database.read(lambda tx: inputs.open_for(tx, seat.actor_id))
    if any(item.batch_id for item in waiting):
        msg = f"{seat.actor_id} may have begun a thread that netsky has not found yet."
        raise Conflict(msg, hint="Try again when it is attached.")
    seat.row = await _send_to(seat, row, to)
    seat.wake.set()
    return seat.row


async def _send_to(seat: Seat, row: Session, to: RuntimeName) -> Session:
    async def body(tx: Tx) -> Session:
        await sessions.set_runtime(tx, row.id, to)
        await approval_ends.lose_place(
            tx,
            row.engine_id,
            seat.actor_id,
            reason=f"its thread left for {to.value}",
            now=seat.kit.clock.now(),
        )
        return await sessions.require(tx, row.id)

    seat.row = await seat.kit.database.write(body)
    return seat.row


async def _resume(seat: Seat, row: Session) -> ThreadSession:
    kit = seat.kit
    actor = await kit.database.read(lambda tx: actors.require(tx, seat.actor_id))
    runtime = kit.runtime(row.runtime)
    spec = kit.launcher.spec(actor, row, runtime.capabilities)
    return await runtime.resume(row.thread_id, spec)


def _busy(seat: Seat) -> Conflict:
    msg = f"{seat.actor_id} is in the middle of a turn."
    return Conflict(msg, hint="Wait for its end, or give --interrupt.")
