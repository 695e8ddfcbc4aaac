"""The doors to a real Codex."""

from __future__ import annotations

from typing import Final

from netsky_runtime.states import RuntimeName

ORDER: Final = (RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT)
"""All of them, the one that can do most first: so a new thread prefers them, and so they are
tried, asked and shown."""
