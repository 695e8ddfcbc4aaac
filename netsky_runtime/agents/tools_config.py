"""The tools door of one thread: which MCP server Codex is to start for it, and how."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.tools_door.naming import SERVER, TOKEN_VARIABLE

if TYPE_CHECKING:
    from netsky_runtime.paths import Home

STARTUP_SECONDS: Final = 30
"""Codex waits so long for ``initialize`` and ``tools/list``; its own 10 s are short for a daemon
that is just coming back."""
CALL_SECONDS: Final = 90
"""Codex waits so long for a call: longer than the door itself, which then says what is wrong."""


def mcp_server_config(*, home: Home, token: str | None) -> dict[str, Any]:
    """Return the part of a thread's ``config`` that gives it netsky's tools.

    ``token`` is the session's, and then the answer is for Codex alone: for no log, and for no
    command line. ``None`` says that Codex has it in its own environment, as ``TOKEN_VARIABLE``:
    Codex hands it on to the door, and the commands of the model do not see it.
    """
    server: dict[str, Any] = {
        "command": sys.executable,
        # -P: the thread's folder must not come first where Python looks for modules, or whoever
        # writes an asyncio.py into it runs outside of the sandbox.
        "args": ["-P", "-m", "netsky_runtime.tools_door"],
        "env": _places(home),
        "startup_timeout_sec": STARTUP_SECONDS,
        "tool_timeout_sec": CALL_SECONDS,
        # The daemon checks what the actor may do; 0.120 does not know this and goes by the
        # tools' annotations.
        "default_tools_approval_mode": "approve",
    }
    config: dict[str, Any] = {"mcp_servers": {SERVER: server}}
    if token is None:
        server["env_vars"] = [TOKEN_VARIABLE]
        # Beside the operator's own list of variables to set, not in its place (0.120 to 0.169).
        config["shell_environment_policy"] = {"set": {TOKEN_VARIABLE: ""}}
    else:
        server["env"][TOKEN_VARIABLE] = token
    return config


def _places(home: Home) -> dict[str, str]:
    """Return what leads the door to the daemon's socket, whatever else its environment says.

    Codex hands on a few variables of its own, ``TMPDIR`` among them, and no others (0.120 to
    0.169); a home with a long path keeps its sockets below one of these or of those.
    """
    places = {"NETSKY_HOME": str(home.root)}
    if home.sockets != home.root:
        places["XDG_RUNTIME_DIR"] = str(home.sockets.parent)
    return places
