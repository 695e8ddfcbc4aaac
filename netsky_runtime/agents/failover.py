"""A thread whose door cannot continue it goes on through another; lost for good, anew.

As in a move, the session's row names a door before anything is resumed there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.agents.recovery import recover
from netsky_runtime.codex.base import (
    NoSuchDoor,
    RuntimeFailure,
    StillWriting,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.db import approval_ends, inputs, sessions, turns
from netsky_runtime.errors import CodexMissing, NetskyError, Unhealthy
from netsky_runtime.states import InputStatus, RuntimeName, SessionState, ToolsDoor

if TYPE_CHECKING:
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor, Session


async def resume_elsewhere(
    seat: Seat, actor: Actor, row: Session, why: NetskyError
) -> ThreadSession | None:
    """Resume the session's thread at another door, seat it and return it.

    Where none can, a thread that only its own MCP server knew is given up, a new one is prepared
    and ``None`` returned; any other raises ``why``. Raises ``ThreadUnavailable`` while a door
    cannot say.
    """
    if row.runtime is RuntimeName.SCRIPTED:
        raise why
    kit = seat.kit
    unsure: NetskyError | None = None
    for name in ORDER:
        if name is row.runtime or not kit.runtime(name).capabilities.resume:
            continue
        try:
            seat.thread = await _resume_at(seat, actor, row, name)
        except (NoSuchDoor, CodexMissing, ThreadGone) as error:
            fields = {"actor": actor.id, "door": name.value, "reason": error.message}
            kit.log("info", "door cannot continue the thread", fields)
        except StillWriting:
            raise  # no other door may have it yet
        except (RuntimeFailure, Unhealthy) as error:
            unsure = error
        else:
            await _left(seat, row, name, why)
            return seat.thread
    if unsure is not None:
        msg = f"{why.message} Another door cannot be asked: {unsure.message}"
        raise ThreadUnavailable(msg, hint=unsure.hint) from unsure
    if row.runtime is not RuntimeName.MCP_SERVER:
        raise why
    await _begin_anew(seat, actor, row, why)
    return None


async def change_door(seat: Seat, row: Session, why: NoSuchDoor) -> Session:
    """Give a session that has no thread yet the best door that opens; raises ``why`` if none."""
    to = await _open_one(seat, row, why)
    there = await _send_to(seat, row, to)
    await _left(seat, row, to, why)
    return there


async def _resume_at(seat: Seat, actor: Actor, row: Session, to: RuntimeName) -> ThreadSession:
    """Resume the thread at a door. When that certainly is not, the row is as it was."""
    runtime = seat.kit.runtime(to)
    await runtime.open()
    there = await _send_to(seat, row, to)
    try:
        spec = seat.kit.launcher.spec(actor, there, runtime.capabilities)
        return await runtime.resume(row.thread_id, spec)
    except StillWriting:
        raise
    except (RuntimeFailure, Unhealthy):
        await _send_to(seat, row, row.runtime, engine_id=row.engine_id)
        raise


async def _open_one(seat: Seat, row: Session, why: NetskyError) -> RuntimeName:
    if row.runtime is RuntimeName.SCRIPTED:
        raise why
    for name in ORDER:
        try:
            await seat.kit.runtime(name).open()
        except Unhealthy as error:
            fields = {"actor": seat.actor_id, "door": name.value, "reason": error.message}
            seat.kit.log("info", "door does not open", fields)
        else:
            return name
    raise why


async def _send_to(seat: Seat, row: Session, to: RuntimeName, *, engine_id: str = "") -> Session:
    async def body(tx: Tx) -> Session:
        await sessions.set_runtime(tx, row.id, to, engine_id=engine_id)
        return await sessions.require(tx, row.id)

    seat.row = await seat.kit.database.write(body)
    return seat.row


async def _left(seat: Seat, row: Session, to: RuntimeName, why: NetskyError) -> None:
    """Tell that the thread is at the door ``to`` now; ``row`` is its session as it was before."""
    await seat.kit.database.write(
        lambda tx: approval_ends.lose_place(
            tx,
            row.engine_id,
            seat.actor_id,
            reason=f"its thread left for {to.value}",
            now=seat.kit.clock.now(),
        )
    )
    fields = {
        "actor": seat.actor_id,
        "from": row.runtime.value,
        "to": to.value,
        "thread": row.thread_id,
        "reason": _cause(seat, why),
    }
    line = "thread goes on" if row.thread_id else "an actor without a thread begins"
    seat.kit.log("warning", f"{line} through another door", fields)
    died = row.engine_id or row.runtime.value
    if died not in seat.kit.left:  # a process has many threads, and the operator one screen
        seat.kit.left.add(died)
        seat.kit.tell(
            f"{seat.actor_id}, and whoever else was there, goes on through {to.value}: "
            f"{row.runtime.value} cannot continue it. {_cause(seat, why)}"
        )


def came_from(seat: Seat, row: Session, why: NetskyError) -> str:
    """Say of a session what it had been through before; ``row`` is as it was then."""
    return f"It came here from {row.runtime.value}, which could not go on: {_cause(seat, why)}"


def _cause(seat: Seat, why: NetskyError) -> str:
    """Say how the thread was lost, when this netsky saw it, and why its door has it no more."""
    return f"{seat.problem} {why.message}".strip()


async def _begin_anew(seat: Seat, actor: Actor, row: Session, why: NetskyError) -> None:
    """End the session and make one that takes over from it; what was open there is recovered."""
    kit = seat.kit
    door = await _open_one(seat, row, why)
    now = kit.clock.now()
    reason = f"its conversation was lost: {why.message}"
    fresh = replace(
        row,
        id=kit.ids.new("s"),
        runtime=door,
        state=SessionState.STARTING,
        thread_id="",
        engine_id="",
        tag=kit.ids.tag(),
        token=kit.ids.token(),
        tools_door=ToolsDoor.NONE,
        differences="",
        previous_thread_id=row.thread_id,
        blocked="",
        blocked_at=None,
        started_at=now,
        end_reason="",
    )

    async def body(tx: Tx) -> frozenset[str]:
        sent = [item for item in await inputs.open_for(tx, actor.id) if item.batch_id]
        # Whether the lost thread took what was sent last is not known: the actor is told of it.
        unheard = [item.id for item in sent if item.status is InputStatus.QUEUED]
        await inputs.hand(tx, unheard, now=now)
        await approval_ends.lose_thread(tx, row.thread_id, reason=reason, now=now)
        await turns.cut(tx, row.thread_id, known=(), reason=reason)
        await sessions.end(tx, row.id, reason=reason, now=now)
        await sessions.insert(tx, fresh)
        return await recover(kit, tx, actor, sent, lost_thread=row.thread_id, now=now)

    await kit.database.write(body)
    seat.row = fresh
    fields = {"actor": actor.id, "thread": row.thread_id, "door": door.value, "reason": why.message}
    kit.log("warning", "conversation was lost and begins anew", fields)
