"""The tools door of one thread: which MCP server Codex is to start for it, and how."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.tools_door.naming import SERVER, TOKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

STARTUP_SECONDS: Final = 30
"""Codex waits so long for ``initialize`` and ``tools/list``; its own 10 s are short for a daemon
that is just coming back."""
CALL_SECONDS: Final = 90
"""Codex waits so long for a call: longer than the door itself, which then says what is wrong."""
_PLACES: Final = ("XDG_RUNTIME_DIR", "TMPDIR")
"""A home with a long path keeps its sockets below one of these, and Codex hands no MCP server
the variables it was not told to (0.120 to 0.169)."""


def mcp_server_config(
    *, home_root: str, token: str, environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the part of a thread's ``config`` that gives it netsky's tools.

    ``token`` is the session's; ``environ`` is the daemon's own environment. The answer contains
    the token: it is for Codex and for no log.
    """
    environ = os.environ if environ is None else environ
    places = {name: environ[name] for name in _PLACES if environ.get(name)}
    server = {
        "command": sys.executable,
        # -P: the thread's folder must not come first where Python looks for modules, or whoever
        # writes an asyncio.py into it runs outside of the sandbox.
        "args": ["-P", "-m", "netsky_runtime.tools_door"],
        "env": {**places, "NETSKY_HOME": home_root, TOKEN_VARIABLE: token},
        "startup_timeout_sec": STARTUP_SECONDS,
        "tool_timeout_sec": CALL_SECONDS,
        # The daemon checks what the actor may do; 0.120 does not know this and goes by the
        # tools' annotations.
        "default_tools_approval_mode": "approve",
    }
    return {"mcp_servers": {SERVER: server}}
