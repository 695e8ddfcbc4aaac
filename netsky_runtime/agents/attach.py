"""Getting an actor its thread: the session row, the runtime, and what came back different."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.agents.launch import launch_spec
from netsky_runtime.codex.base import ThreadGone, ThreadSession
from netsky_runtime.db import actors, approvals, inputs, sessions, turns
from netsky_runtime.records import Actor, Session, SessionState

if TYPE_CHECKING:
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.db.connection import Tx


async def attach(seat: Seat) -> None:
    """Make sure the seat has a session row and, when the thread exists, a live thread.

    An actor that has had no input yet gets no thread: Codex keeps nothing of a thread before
    its first turn. Raises ``ThreadUnavailable`` or ``Unhealthy`` when the runtime cannot serve
    now, ``ThreadGone`` when a thread that has had turns is nowhere to be found.
    """
    kit = seat.kit
    actor = await kit.database.read(lambda tx: actors.require(tx, seat.actor_id))
    row = seat.row = await _session_row(seat, actor)
    runtime = kit.runtime(row.runtime)
    await runtime.open()
    if not row.thread_id:
        if row.state is SessionState.LOST:  # there was no Codex for a while
            await kit.database.write(
                lambda tx: sessions.set_state(tx, row.id, SessionState.STARTING)
            )
        return
    spec = launch_spec(actor, row)
    try:
        thread = await runtime.resume(row.thread_id, spec)
    except ThreadGone:
        if not await _never_had_a_turn(seat, row.thread_id):
            raise
        seat.row = await _forget_thread(seat, row)
        return
    await _attached(seat, row, thread)


async def start_thread(seat: Seat) -> ThreadSession:
    """Start the thread of an actor that has none, for its first input.

    Raises ``InputRejected`` or ``ThreadUnavailable``.
    """
    kit = seat.kit
    row = seat.row
    if row is None:  # the runner attaches before it dispatches
        msg = f"{seat.actor_id} has no session"
        raise RuntimeError(msg)
    actor = await kit.database.read(lambda tx: actors.require(tx, seat.actor_id))
    thread = await kit.runtime(row.runtime).start(launch_spec(actor, row))
    now = kit.clock.now()
    await kit.database.write(
        lambda tx: sessions.bind_thread(
            tx, row.id, thread_id=thread.thread_id, engine_id=thread.engine_id, now=now
        )
    )
    await _attached(seat, replace(row, thread_id=thread.thread_id), thread)
    return thread


async def _session_row(seat: Seat, actor: Actor) -> Session:
    kit = seat.kit

    async def body(tx: Tx) -> Session:
        row = await sessions.current(tx, actor.id)
        if row is None:
            row = kit.new_session(actor)
            await sessions.insert(tx, row)
        return row

    return await kit.database.write(body)


async def _attached(seat: Seat, row: Session, thread: ThreadSession) -> None:
    differences = "; ".join(thread.differences)

    async def body(tx: Tx) -> None:
        if row.engine_id and row.engine_id != thread.engine_id:
            # Request ids start anew in every engine: what the old one asked, nobody waits for.
            await approvals.lose_engine(tx, row.engine_id)
        await sessions.set_state(
            tx,
            row.id,
            SessionState.LIVE,
            engine_id=thread.engine_id,
            differences=differences,
        )

    await seat.kit.database.write(body)
    if differences:
        seat.kit.log(
            "warning",
            "thread came back different",
            {"actor": seat.actor_id, "differences": differences},
        )
    seat.row = replace(
        row, state=SessionState.LIVE, engine_id=thread.engine_id, differences=differences
    )
    seat.thread = thread


async def _never_had_a_turn(seat: Seat, thread_id: str) -> bool:
    async def body(tx: Tx) -> bool:
        sent = [i for i in await inputs.open_for(tx, seat.actor_id) if i.thread_id == thread_id]
        had = await turns.any_in(tx, thread_id)
        return not had and not any(item.seen_at for item in sent)

    return await seat.kit.database.read(body)


async def _forget_thread(seat: Seat, row: Session) -> Session:
    """Drop a thread that Codex never wrote down; what was sent to it was never consumed."""
    kit = seat.kit
    fresh = replace(row, thread_id="", engine_id="", state=SessionState.STARTING)

    async def body(tx: Tx) -> None:
        await sessions.unbind_thread(tx, row.id)
        await approvals.lose_thread(tx, row.thread_id)
        sent = [i.id for i in await inputs.open_for(tx, seat.actor_id) if i.batch_id]
        await inputs.requeue(tx, sent, reason="its thread was lost before the first turn")

    await kit.database.write(body)
    kit.log(
        "info",
        "thread without a turn was dropped",
        {"actor": seat.actor_id, "thread": row.thread_id},
    )
    return fresh
