"""What Codex is told to start for a thread."""

from __future__ import annotations

import sys
from pathlib import Path

from netsky_runtime.agents.tools_config import CALL_SECONDS, STARTUP_SECONDS, mcp_server_config
from netsky_runtime.paths import Home
from netsky_runtime.tools_door import server


def test_it_runs_this_python_with_the_token_and_the_home_in_its_environment() -> None:
    config = mcp_server_config(home_root="/home/of/netsky", token="secret", environ={})
    assert list(config["mcp_servers"]) == ["netsky"]
    told = config["mcp_servers"]["netsky"]
    assert told["command"] == sys.executable
    assert "-P" in told["args"]
    assert told["env"] == {"NETSKY_HOME": "/home/of/netsky", "NETSKY_TOOLS_TOKEN": "secret"}
    assert told["default_tools_approval_mode"] == "approve"
    assert not any("secret" in part for part in [told["command"], *told["args"]])


def test_the_door_finds_the_socket_of_a_home_with_a_long_path(tmp_path: Path) -> None:
    """Codex hands on none of the variables that say where such a home keeps its sockets."""
    root = str(tmp_path / ("long" * 40))
    environ = {"XDG_RUNTIME_DIR": str(tmp_path / "run"), "PATH": "/bin", "OTHER": "x"}
    here = Home.locate({**environ, "NETSKY_HOME": root})
    config = mcp_server_config(home_root=root, token="t", environ=environ)
    told = config["mcp_servers"]["netsky"]["env"]
    assert Home.locate(told).control_socket == here.control_socket
    assert "OTHER" not in told


def test_codex_waits_longer_than_the_door_so_that_the_door_says_what_is_wrong() -> None:
    assert STARTUP_SECONDS > server.LIST_SECONDS
    assert CALL_SECONDS > server.CALL_SECONDS
