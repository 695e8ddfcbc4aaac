"""Getting an actor its thread: the session row, the door, and what came back different."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.agents import failover
from netsky_runtime.agents.naming import learn_name, look_for_name
from netsky_runtime.codex.base import NoSuchDoor, ThreadGone, ThreadSession
from netsky_runtime.db import actors, approval_ends, inputs, sessions, turns
from netsky_runtime.states import SessionState

if TYPE_CHECKING:
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import ThreadRuntime
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, Session


async def attach(seat: Seat) -> None:
    """Make sure the seat has a session row and, when the thread exists, a live thread.

    An actor that has had no input yet gets no thread: Codex keeps nothing of a thread before
    its first turn. A thread that its own door cannot continue goes on through another one, see
    ``failover``. Raises ``ThreadUnavailable`` or ``Unhealthy`` when no door can serve now,
    ``ThreadGone`` when a thread that has had turns is nowhere to be found, ``HistoryUnavailable``
    when it is not certain which thread it is.
    """
    kit = seat.kit
    actor = await kit.database.read(lambda tx: actors.require(tx, seat.actor_id))
    await asyncio.to_thread(kit.launcher.make_folders, actor.id)
    row = seat.row = await session_row(seat, actor)
    runtime = kit.runtime(row.runtime)
    shut = await _open(runtime)
    if not row.thread_id:
        row = seat.row = await look_for_name(seat, row, runtime)
    if not row.thread_id:
        if shut is not None:
            seat.row = await failover.change_door(seat, row, shut)
        elif row.state is not SessionState.STARTING:  # it was lost before it had heard anything
            await kit.database.write(
                lambda tx: sessions.set_state(tx, row.id, SessionState.STARTING)
            )
        return
    gone: NoSuchDoor | ThreadGone | None = shut
    if gone is None:
        spec = kit.launcher.spec(actor, row, runtime.capabilities)
        try:
            await attached(seat, await runtime.resume(row.thread_id, spec))
        except ThreadGone as error:
            if await _never_had_a_turn(seat, row):
                seat.row = await _forget_thread(seat, row)
                return
            gone = error
        else:
            return
    thread = await failover.resume_elsewhere(seat, actor, row, gone)
    if thread is not None:
        await attached(seat, thread, also=failover.came_from(seat, row, gone))


async def start_thread(seat: Seat) -> ThreadSession:
    """Start the thread of an actor that has none, for its first input.

    It may have no name before it hears that. Raises ``InputRejected`` or ``ThreadUnavailable``.
    """
    kit, row = seat.kit, seat.session
    actor = await kit.database.read(lambda tx: actors.require(tx, seat.actor_id))
    runtime = kit.runtime(row.runtime)
    thread = await runtime.start(kit.launcher.spec(actor, row, runtime.capabilities))
    await attached(seat, thread)
    await learn_name(seat, thread)
    return thread


async def session_row(seat: Seat, actor: Actor) -> Session:
    """Return the actor's session; it is made when there is none."""
    kit = seat.kit
    present = await kit.database.read(lambda tx: sessions.current(tx, actor.id))
    if present is not None and present.token:
        return present

    async def body(tx: Tx) -> Session:
        row = await sessions.current(tx, actor.id)
        if row is None:
            row = kit.new_session(actor)
            await sessions.insert(tx, row)
        if not row.token:  # an older netsky made it
            row = replace(row, token=kit.ids.token())
            await sessions.set_token(tx, row.id, row.token)
        return row

    return await kit.database.write(body)


async def attached(seat: Seat, thread: ThreadSession, *, also: str = "") -> None:
    """Seat the thread, and record that its session is live and what came back different.

    ``also`` is what else is different that the thread itself does not know.
    """
    seat.thread = thread  # before all: the runner lets go of it, whatever fails from here on
    row = seat.session
    differences = "; ".join((*thread.differences, *filter(None, (also,))))
    now = seat.kit.clock.now()
    another = bool(row.engine_id) and row.engine_id != thread.engine_id
    seat.engine_changed |= another

    async def body(tx: Tx) -> None:
        if another:
            # Request ids start anew in every engine: what the old one asked, nobody waits for.
            reason = "the Codex process that asked is gone"
            await approval_ends.lose_engine(tx, row.engine_id, reason=reason, now=now)
        await sessions.set_state(
            tx,
            row.id,
            SessionState.LIVE,
            engine_id=thread.engine_id,
            differences=differences,
        )
        await sessions.set_blocked(tx, row.id, "", now=now)  # the door tells if it still is

    await seat.kit.database.write(body)
    if differences:
        seat.kit.log(
            "warning",
            "thread came back different",
            {"actor": seat.actor_id, "differences": differences},
        )
    seat.changed(
        state=SessionState.LIVE,
        engine_id=thread.engine_id,
        differences=differences,
        blocked="",
        blocked_at=None,
    )


async def _open(runtime: ThreadRuntime) -> NoSuchDoor | None:
    try:
        await runtime.open()
    except NoSuchDoor as error:
        return error
    return None


async def _never_had_a_turn(seat: Seat, row: Session) -> bool:
    """Whether nobody has ever heard of a turn in the thread, and its door knows none by its mark.

    A door that cannot continue a thread may still find what was written down of it.
    """

    async def body(tx: Tx) -> bool:
        sent = [i for i in await inputs.open_for(tx, seat.actor_id) if i.thread_id == row.thread_id]
        had = await turns.any_in(tx, row.thread_id)
        return not had and not any(item.seen_at for item in sent)

    if not await seat.kit.database.read(body):
        return False
    return not await seat.kit.runtime(row.runtime).find(row.tag, since=row.started_at)


async def _forget_thread(seat: Seat, row: Session) -> Session:
    """Drop a thread that Codex never wrote down; what was sent to it was never consumed."""
    kit = seat.kit

    async def body(tx: Tx) -> Session:
        await sessions.unbind_thread(tx, row.id)
        reason = "its thread was lost before the first turn"
        await approval_ends.lose_thread(tx, row.thread_id, reason=reason, now=kit.clock.now())
        sent = [i.id for i in await inputs.open_for(tx, seat.actor_id) if i.batch_id]
        await inputs.requeue(tx, sent, reason=reason)
        return await sessions.require(tx, row.id)

    fresh = await kit.database.write(body)
    kit.log(
        "info",
        "thread without a turn was dropped",
        {"actor": seat.actor_id, "thread": row.thread_id},
    )
    return fresh
