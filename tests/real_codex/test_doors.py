"""What each real Codex answers when netsky knocks."""

import os
from pathlib import Path

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.probe import Doors, Forgetful
from netsky_runtime.states import RuntimeName

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT


def doors(binary: Path, home: Path) -> Doors:
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), "CODEX_HOME": str(home / "codex")}
    return Doors(store=Forgetful(), named=str(binary), environ=environ, clock=SystemClock())


async def test_a_codex_of_today_has_no_mcp_server_and_says_why(codex_binary, tmp_path):
    results = {result.door: result for result in await doors(codex_binary, tmp_path).look()}
    assert [door for door, result in results.items() if result.open] == [APP, RESIDENT]
    told = "This Codex has no mcp-server: it takes the word for a prompt."
    assert results[MCP].reason == told
    versions = {result.version for result in results.values() if result.open}
    assert len(versions) == 1
    best, passed = await doors(codex_binary, tmp_path).best()
    assert best is not None
    assert (best.door, passed) == (APP, [])


async def test_the_last_codex_with_an_mcp_server_has_every_door(old_codex_binary, tmp_path):
    results = await doors(old_codex_binary, tmp_path).look()
    assert [result.door for result in results if result.open] == [APP, MCP, RESIDENT]


@pytest.mark.parametrize("kind", ["today", "old"])
async def test_knocking_leaves_no_trace_in_codex_own_folder(
    kind, codex_binary, old_codex_binary, tmp_path
):
    binary = {"today": codex_binary, "old": old_codex_binary}[kind]
    await doors(binary, tmp_path).look()
    assert list(tmp_path.iterdir()) == []
