"""Actors that get no more work until their owner says so, and how he does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import actors, respawns
from netsky_runtime.errors import Conflict, Refused
from netsky_runtime.records import OWNER
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor


async def park(kit: Kit, actor_id: str, reason: str) -> None:
    """Give the actor no more work; its thread stays attached.

    Raises ``NotFound``, ``Refused`` for the owner and ``Conflict`` for an actor that is stopped.
    """
    if actor_id == OWNER:
        msg = "The owner cannot be parked."
        raise Refused(msg)
    now = kit.clock.now()

    async def body(tx: Tx) -> None:
        actor = await actors.require(tx, actor_id)
        if actor.status is ActorStatus.STOPPED:
            msg = f"{actor_id} is stopped."
            raise Conflict(msg)
        await actors.set_status(tx, actor_id, ActorStatus.PARKED, reason=reason, now=now)

    await kit.database.write(body)
    kit.log("error", "actor parked", {"actor": actor_id, "reason": reason})


async def charge(kit: Kit, tx: Tx, actor_id: str, *, reason: str, now: int) -> str:
    """Put a loss on the actor's account; return why it is to be parked once that is spent."""
    losses = await respawns.record(
        tx, actor_id, reason=reason, window_ms=kit.respawns.window_ms, now=now
    )
    return kit.respawns.spent(losses, last=reason)


async def stumbled(kit: Kit, actor_id: str, reason: str) -> None:
    """Count an error in serving an actor that serving it again may repeat for ever.

    It is parked when that happens too often: then its owner sees that nothing goes on.
    """
    now = kit.clock.now()

    async def body(tx: Tx) -> str:
        why = await charge(kit, tx, actor_id, reason=reason, now=now)
        if not why or (await actors.require(tx, actor_id)).status is not ActorStatus.ACTIVE:
            return ""
        await actors.set_status(tx, actor_id, ActorStatus.PARKED, reason=why, now=now)
        return why

    if why := await kit.database.write(body):
        kit.log("error", "actor parked", {"actor": actor_id, "reason": why})


async def resume(kit: Kit, actor_id: str) -> Actor:
    """Let a parked or stopped actor work again, whatever it has lost before.

    Raises ``NotFound``.
    """
    now = kit.clock.now()

    async def body(tx: Tx) -> Actor:
        await respawns.pardon(tx, actor_id, now=now)
        await actors.set_status(tx, actor_id, ActorStatus.ACTIVE, reason="", now=now)
        return await actors.require(tx, actor_id)

    return await kit.database.write(body)
