"""A terminal that nobody may type into: stored where the room looks, over when the door says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import inputs, sessions

if TYPE_CHECKING:
    from netsky_runtime.agents.seat import Seat
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Session


async def set_blocked(seat: Seat, reason: str) -> None:
    """Record why nothing can be typed, or with an empty ``reason`` that it can again.

    Then what waits goes at once.
    """
    row, kit = seat.row, seat.kit
    if row is None or row.blocked == reason:
        return
    now = kit.clock.now()

    async def body(tx: Tx) -> Session:
        await sessions.set_blocked(tx, row.id, reason, now=now)
        if not reason:
            await inputs.rouse(tx, seat.actor_id)
        return await sessions.require(tx, row.id)

    stored = await kit.database.write(body)
    seat.changed(blocked=stored.blocked, blocked_at=stored.blocked_at)
    fields = {"actor": seat.actor_id, "reason": reason}
    if reason:
        kit.log("warning", "thread is blocked", fields)
    else:
        kit.log("info", "thread is not blocked any more", fields)
        seat.wake.set()
