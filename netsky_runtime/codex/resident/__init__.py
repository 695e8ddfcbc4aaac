"""The resident: Codex's own TUI in a tmux session of its own, which outlives netsky.

A human can sit down at it at any time. What happens in the thread is read from its rollout file;
the screen only says whether text may be typed.
"""

from netsky_runtime.codex.resident.runtime import ResidentRuntime

__all__ = ["ResidentRuntime"]
