"""Codex's mcp-server: the door of versions up to 0.153.4 that carries many threads in a child."""

from netsky_runtime.codex.mcp_server.runtime import McpServerRuntime

__all__ = ["McpServerRuntime"]
