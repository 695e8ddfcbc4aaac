"""A thread's name, learned after its first words: which row, and which inputs, are its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.agents.blocking import set_blocked
from netsky_runtime.agents.launch import tools_door
from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.db import inputs, sessions
from netsky_runtime.errors import Conflict

if TYPE_CHECKING:
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import ThreadRuntime, ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Session


async def learn_name(seat: Seat, thread: ThreadSession) -> None:
    """Record the thread's id as soon as it has one; told again, nothing changes.

    Raises what ``bind`` raises.
    """
    row = seat.row
    if row is None or not thread.thread_id or row.thread_id == thread.thread_id:
        return
    runtime = seat.kit.runtime(row.runtime)
    await bind(seat, row, runtime, thread_id=thread.thread_id, engine_id=thread.engine_id)


async def bind(
    seat: Seat, row: Session, runtime: ThreadRuntime, *, thread_id: str, engine_id: str
) -> Session:
    """Give the session its thread, and the thread what was sent to it before it had a name.

    A thread that is another actor's is refused, and told as what blocks the session, which must
    not go on with it: raises ``ThreadUnavailable``.
    """
    kit = seat.kit
    door = tools_door(row, runtime.capabilities)

    async def body(tx: Tx) -> None:
        await sessions.bind_thread(
            tx,
            row.id,
            thread_id=thread_id,
            engine_id=engine_id,
            tools_door=door,
            now=kit.clock.now(),
        )
        await inputs.name_thread(tx, seat.actor_id, thread_id)

    try:
        await kit.database.write(body)
    except Conflict as error:
        reason = f"{seat.actor_id} was given a thread that is not its own. {error.message}"
        await set_blocked(seat, reason)
        raise ThreadUnavailable(reason) from error
    return seat.changed(thread_id=thread_id, engine_id=engine_id, tools_door=door)


async def look_for_name(seat: Seat, row: Session, runtime: ThreadRuntime) -> Session:
    """Find the thread that was started by a netsky which ended before it learned its id.

    What was sent to a thread that does not exist was never consumed: it is queued again. Raises
    ``HistoryUnavailable`` when it is not certain that there is none.
    """
    kit = seat.kit

    async def sent(tx: Tx) -> list[str]:
        found = await inputs.open_for(tx, seat.actor_id)
        return [item.id for item in found if item.batch_id and not item.thread_id]

    unheard = await kit.database.read(sent)
    if not unheard:
        return row
    thread_id = await runtime.find(row.tag, since=row.started_at)
    fields = {"actor": seat.actor_id, "inputs": unheard, "thread": thread_id}
    if thread_id:
        kit.log("info", "thread found by its mark", fields)
        return await bind(seat, row, runtime, thread_id=thread_id, engine_id=row.engine_id)
    reason = "no thread was started for it"
    await kit.database.write(lambda tx: inputs.requeue(tx, unheard, reason=reason))
    kit.log("info", "inputs queued again", fields)
    return row
