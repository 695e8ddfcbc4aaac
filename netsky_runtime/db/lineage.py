"""Who answers to whom, upwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import actors
from netsky_runtime.records import OWNER, Actor
from netsky_runtime.states import ActorStatus

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx


async def nearest_active(tx: Tx, actor: Actor) -> str:
    """Return the id of the nearest active actor above ``actor``, in the end the owner."""
    passed = {actor.id}
    above_id = actor.manager_id
    while above_id is not None and above_id != OWNER and above_id not in passed:
        above = await actors.require(tx, above_id)
        if above.status is ActorStatus.ACTIVE:
            return above.id
        passed.add(above.id)
        above_id = above.manager_id
    return OWNER
