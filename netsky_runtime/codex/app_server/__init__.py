"""Codex's app-server: the door that carries many threads and outlives netsky."""

from netsky_runtime.codex.app_server.runtime import AppServerRuntime

__all__ = ["AppServerRuntime"]
