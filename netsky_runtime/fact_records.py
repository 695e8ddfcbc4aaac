"""Frozen records of what threads told: facts, token totals and tool calls.

Times, and what an empty string and ``None`` mean, are as in ``records``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A tool call's recorded answer, kept so that a repeated call has no second effect."""

    thread_id: str
    turn_id: str
    call_id: str
    actor_id: str
    tool: str
    arguments: Mapping[str, Any]
    success: bool
    text: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A fact from a thread, in the order netsky stored it."""

    seq: int
    thread_id: str
    turn_id: str
    item_id: str
    kind: str
    actor_id: str
    at: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token totals of a thread as of one turn. Totals, because Codex repeats them on resume."""

    thread_id: str
    turn_id: str
    actor_id: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    context_window: int | None = None
    updated_at: int
