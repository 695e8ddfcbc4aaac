"""What Codex is told to start for a thread."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pytest

from netsky_runtime.agents.tools_config import CALL_SECONDS, STARTUP_SECONDS, mcp_server_config
from netsky_runtime.paths import Home
from netsky_runtime.tools_door import server


def test_it_runs_this_python_with_the_token_and_the_home_in_its_environment() -> None:
    home = Home(root=Path("/home/of/netsky"), sockets=Path("/home/of/netsky"))
    config = mcp_server_config(home=home, token="secret")
    assert list(config) == ["mcp_servers"]
    assert list(config["mcp_servers"]) == ["netsky"]
    told = config["mcp_servers"]["netsky"]
    assert told["command"] == sys.executable
    assert "-P" in told["args"]
    assert told["env"] == {"NETSKY_HOME": "/home/of/netsky", "NETSKY_TOOLS_TOKEN": "secret"}
    assert told["default_tools_approval_mode"] == "approve"
    assert not any("secret" in part for part in [told["command"], *told["args"]])


def test_a_token_in_codexs_own_environment_is_handed_on_and_kept_from_the_models_commands() -> None:
    config = mcp_server_config(home=Home.locate({"NETSKY_HOME": "/home/of/netsky"}), token=None)
    told = config["mcp_servers"]["netsky"]
    assert told["env"] == {"NETSKY_HOME": "/home/of/netsky"}
    assert told["env_vars"] == ["NETSKY_TOOLS_TOKEN"]
    assert config["shell_environment_policy"] == {"set": {"NETSKY_TOOLS_TOKEN": ""}}


@pytest.mark.parametrize("place", ["XDG_RUNTIME_DIR", "TMPDIR", "TEMP", None])
def test_the_door_finds_the_socket_of_a_home_with_a_long_path(
    tmp_path: Path, place: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codex hands on ``TMPDIR``, its own, and nothing else that says where sockets are kept."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    if place in {"TMPDIR", "TEMP"}:
        monkeypatch.setenv(place, str(tmp_path))
    environ = {place: str(tmp_path)} if place else {}
    here = Home.locate({**environ, "NETSKY_HOME": str(tmp_path / ("long" * 40))})
    told = mcp_server_config(home=here, token="t")["mcp_servers"]["netsky"]["env"]
    monkeypatch.setattr(tempfile, "tempdir", "/of/codex")
    assert Home.locate(told).control_socket == here.control_socket


def test_codex_waits_longer_than_the_door_so_that_the_door_says_what_is_wrong() -> None:
    assert STARTUP_SECONDS > server.LIST_SECONDS
    assert CALL_SECONDS > server.CALL_SECONDS
