"""Letting go of a thread that nobody will come back for, with nothing left hanging on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import approval_ends, inputs, sessions
from netsky_runtime.states import InputStatus

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx


async def abandon(tx: Tx, actor_id: str, *, reason: str, recovers: bool, now: int) -> None:
    """End the actor's session: what was sent is uncertain, what it asked is lost.

    A human decides what becomes of the inputs; those that were not sent yet stay queued. Where
    such recoveries will run (``recovers``), what they answer for is left to them.
    """
    found = await inputs.open_for(tx, actor_id)
    kept = inputs.left_to_recoveries(found) if recovers else frozenset()
    sent = [item.id for item in found if item.batch_id and item.id not in kept]
    await inputs.settle(tx, sent, InputStatus.UNCERTAIN, reason=reason, now=now)
    session = await sessions.current(tx, actor_id)
    if session is None:
        return
    if session.thread_id:
        await approval_ends.lose_thread(tx, session.thread_id, reason=reason, now=now)
    await sessions.end(tx, session.id, reason=reason, now=now)
