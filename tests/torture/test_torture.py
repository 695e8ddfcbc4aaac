"""netsky is killed over and over, on scripted threads and on real Codex, and loses nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.errors import CodexMissing, UsageError
from netsky_runtime.states import RuntimeName
from netsky_runtime.torture.entry import tortured
from netsky_runtime.torture.points import POINTS

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 2 * len(POINTS)
"""Every second one is at a named place, and each place has its turn."""


async def torture(runtime: RuntimeName, *, seed: int, kills: int, codex: Path | None = None):
    environ = dict(os.environ) | ({"NETSKY_CODEX_BIN": str(codex)} if codex else {})
    report, _ = await tortured(
        runtime=runtime, seed=seed, kills=kills, environ=environ, keep=False, progress=print
    )
    return report


@pytest.mark.timeout(400)
async def test_kills_of_scripted_threads_at_every_named_place_lose_and_double_nothing():
    report = await torture(RuntimeName.SCRIPTED, seed=7, kills=KILLS)
    assert report.broken() == []
    assert report.kills == KILLS
    assert report.inputs > KILLS
    assert report.approvals > 0
    assert set(report.places) >= {point.name for point in POINTS}
    assert report.invariants > 30
    assert report.checks >= KILLS
    assert report.missed.total() < len(POINTS) // 4  # else it is one at random moments only
    assert report.read > 0


async def test_a_door_that_has_no_history_of_its_own_is_not_tortured():
    with pytest.raises(UsageError):
        await torture(RuntimeName.RESIDENT, seed=7, kills=1)


async def test_without_a_codex_it_says_so_before_anything_is_made(tmp_path):
    with pytest.raises(CodexMissing):
        await torture(RuntimeName.APP_SERVER, seed=7, kills=1, codex=tmp_path / "none")
