"""Names that whoever starts the door and the door itself agree on."""

from __future__ import annotations

from typing import Final

SERVER: Final = "netsky"
"""The MCP server's name in Codex's configuration. Models see ``mcp__netsky__<tool>``, or the
tools in a namespace of that name."""
TOKEN_VARIABLE: Final = "NETSKY_TOOLS_TOKEN"  # noqa: S105 - the variable's name, not its value
"""Names the session that the calls are for."""
