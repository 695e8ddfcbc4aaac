"""netsky, the engine and the whole tree are killed over and over on the real Codex."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.states import RuntimeName
from netsky_runtime.torture.entry import tortured
from netsky_runtime.torture.points import BY_NAME

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 12


@pytest.mark.timeout(400)
async def test_kills_of_netsky_and_of_its_engine_lose_and_double_nothing(codex_binary: Path):
    report, _ = await tortured(
        runtime=RuntimeName.APP_SERVER,
        seed=7,
        kills=KILLS,
        environ={**os.environ, "NETSKY_CODEX_BIN": str(codex_binary)},
        keep=False,
        progress=print,
    )
    assert report.broken() == []
    assert report.kills == KILLS
    assert set(report.targets) == {"daemon", "engine", "process tree"}
    assert report.inputs > KILLS
    assert report.approvals > 0
    assert report.checks >= KILLS
    assert sum(place in BY_NAME for place in report.places) == KILLS // 2
    assert report.missed.total() < KILLS // 4
    assert report.read > 0
