"""How much of what Codex tells is kept: pure, the same for every door."""

from __future__ import annotations

from typing import Any

from netsky_runtime.counting import count

OUTPUT_LIMIT = 16 * 1024
"""Bytes of a command's output that are kept: its tail."""
PATCH_LIMIT = 512 * 1024
"""Characters of one file's diff that are kept: its head, and a line that says so."""
RAW_DEPTH = 8

UNREADABLE = (AttributeError, TypeError, LookupError, ValueError, ArithmeticError)
"""What is raised where a message of Codex has another shape than is known."""


def tail(text: str, limit: int = OUTPUT_LIMIT) -> str:
    """Return the end of a text, at most ``limit`` bytes of it."""
    if len(text) * 4 <= limit or (len(text) <= limit and text.isascii()):
        return text
    return text[-limit:].encode("utf-8", "replace")[-limit:].decode("utf-8", "ignore")


def head(text: str, limit: int = PATCH_LIMIT) -> str:
    """Return the start of a text; when something is left out, the last line says how much."""
    if len(text) <= limit:
        return text
    left = count(len(text) - limit, "more character is", "more characters are")
    return f"{text[:limit]}\n[netsky: {left} not shown]\n"


def bounded(value: Any, depth: int = RAW_DEPTH) -> Any:
    """Return a JSON value with long strings cut, for what is kept raw."""
    if isinstance(value, str):
        return head(value, OUTPUT_LIMIT)
    if depth == 0:
        return None
    if isinstance(value, dict):
        return {key: bounded(inner, depth - 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [bounded(inner, depth - 1) for inner in value]
    return value
