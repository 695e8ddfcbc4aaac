"""Who stands above an actor and works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import lineage
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import ActorStatus
from tests.support.society import Society, society

if TYPE_CHECKING:
    from pathlib import Path


async def above(people: Society, actor_id: str) -> str:
    actor = await people.actor(actor_id)
    return await people.database.read(lambda tx: lineage.nearest_active(tx, actor))


@pytest.mark.parametrize("away", [ActorStatus.PARKED, ActorStatus.STOPPED])
async def test_the_nearest_active_manager_is_found_and_in_the_end_the_owner(
    tmp_path: Path, away: ActorStatus
) -> None:
    async with society(tmp_path) as people:
        await people.hire("manager1", MANAGER0)
        await people.hire("worker1", "manager1")
        found = [await above(people, "worker1")]
        for actor_id in ("manager1", MANAGER0):
            await people.set_status(actor_id, away)
            found.append(await above(people, "worker1"))
        assert found == ["manager1", MANAGER0, OWNER]
        assert await above(people, MANAGER0) == OWNER


async def test_an_actor_that_nobody_manages_answers_to_the_owner(tmp_path: Path) -> None:
    async with society(tmp_path) as people:
        await people.hire("worker1", None)
        assert await above(people, "worker1") == OWNER
