"""The runtimes that the contract suite runs over."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from tests.contract.rigs import AppServerRig, McpServerRig, ResidentRig, Rig, ScriptedRig, Stage
from tests.real_codex.conftest import bench, codex_binary, model, old_bench, old_codex_binary
from tests.support.den import den_over

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.torture.model_server import ModelServer
    from tests.real_codex.conftest import Bench

__all__ = ["bench", "codex_binary", "model", "old_bench", "old_codex_binary"]


@pytest.fixture
async def scripted_rig(tmp_path: Path) -> AsyncIterator[ScriptedRig]:
    async with AsyncExitStack() as stack:
        yield ScriptedRig(tmp_path, stack)


@pytest.fixture
def app_server_rig(bench: Bench) -> AppServerRig:
    return AppServerRig(bench)


@pytest.fixture
def mcp_server_rig(old_bench: Bench) -> McpServerRig:
    return McpServerRig(old_bench)


@pytest.fixture
async def resident_rig(
    codex_binary: Path, model: ModelServer, tmp_path: Path
) -> AsyncIterator[ResidentRig]:
    async with den_over("0.163.0", codex_binary, model, tmp_path) as den:
        yield ResidentRig(den)


@pytest.fixture(
    params=[
        "scripted",
        pytest.param("app_server", marks=pytest.mark.real_codex),
        pytest.param("mcp_server", marks=pytest.mark.real_codex),
        pytest.param("resident", marks=pytest.mark.real_codex),
    ]
)
def rig(request: pytest.FixtureRequest) -> Rig:
    found: Rig = request.getfixturevalue(f"{request.param}_rig")
    return found


@pytest.fixture
async def stage(rig: Rig) -> Stage:
    runtime = rig.runtime()
    await runtime.open()
    return Stage(rig, runtime)
