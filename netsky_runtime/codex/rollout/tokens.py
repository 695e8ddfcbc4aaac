"""What a ``token_count`` event tells, in a rollout and on an mcp-server alike: pure."""

from __future__ import annotations

from typing import Any

from netsky_runtime.codex.members import part

_USAGE = {
    "input_tokens": "input_tokens",
    "cached_tokens": "cached_input_tokens",
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_output_tokens",
    "total_tokens": "total_tokens",
}
_LIMITS = ("primary", "secondary", "credits", "individual_limit")


def usage(payload: Any) -> dict[str, Any]:
    """Return the ``data`` of ``EventKind.USAGE``, empty when no total is told."""
    info = part(payload, "info")
    total = part(info, "total_token_usage")
    if not total:
        return {}
    counts = {name: total.get(key, 0) for name, key in _USAGE.items()}
    return {**counts, "context_window": info.get("model_context_window")}


def limits(payload: Any) -> dict[str, Any]:
    """Return the account's rate limits as they are told, empty when none is."""
    told = part(payload, "rate_limits")
    return told if any(told.get(name) is not None for name in _LIMITS) else {}
