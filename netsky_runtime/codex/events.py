"""What happens inside a thread, in one shape for every runtime.

``EventKind`` documents the keys of ``CodexEvent.data``. All data is JSON. A
consumer must bear keys that are missing: Codex versions differ.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class EventKind(StrEnum):
    """The kinds of facts, and the one kind that is none (``DELTA``)."""

    TURN_STARTED = "turn.started"
    """``started_at`` (ms or null)."""
    TURN_COMPLETED = "turn.completed"
    """``status`` (a TurnStatus), ``error`` (text), ``completed_at`` (ms, or null when a crash
    cut the turn), ``usage_limit`` (whether it failed because the account's limit was reached)."""
    ITEM_STARTED = "item.started"
    """Like ``ITEM_COMPLETED``, as far as known."""
    ITEM_COMPLETED = "item.completed"
    """``type`` and its fields:
    ``user_message`` text, client_id;
    ``agent_message`` text;
    ``reasoning`` text;
    ``command`` command, cwd, status, exit_code, output (tail, at most 16 KiB), duration_ms;
    ``file_change`` status, changes [{path, kind, diff}];
    ``tool_call`` tool, arguments, status, success, result;
    ``mcp_call`` server, tool, arguments, status, result;
    ``web_search`` query; ``plan`` text; ``other`` name, raw."""
    APPROVAL_REQUESTED = "approval.requested"
    """``request_id`` (text), ``kind`` (an ApprovalKind), ``command``, ``cwd``, ``reason``,
    ``patch`` (unified, joined from the item), ``questions`` (list), ``available_decisions``
    (list of DecisionWord), ``raw`` (the params as they came), ``method``."""
    APPROVAL_RESOLVED = "approval.resolved"
    """``request_id``: somebody answered it, perhaps not netsky."""
    TOOL_REQUESTED = "tool.requested"
    """``call_id``, ``tool``, ``arguments``: answer with ``ThreadSession.answer_tool``."""
    USAGE = "usage"
    """``input_tokens, cached_tokens, output_tokens, reasoning_tokens, total_tokens,
    context_window``: totals of the thread."""
    RATE_LIMITS = "rate_limits"
    """``raw``. No sign of life of any turn."""
    THREAD_STATUS = "thread.status"
    """``status`` (idle, active, not_loaded, error), ``flags`` (list)."""
    THREAD_STARTED = "thread.started"
    """A thread netsky did not start: ``parent_id``."""
    PLAN = "plan"
    """``steps`` [{step, status}]."""
    DIFF = "diff"
    """``diff``: unified diff of the turn so far."""
    ERROR = "error"
    """``message``, ``will_retry``, ``usage_limit`` as in ``TURN_COMPLETED``."""
    WARNING = "warning"
    """``message``."""
    UNKNOWN = "unknown"
    """``method``, ``params``: kept raw."""
    MODEL = "model"
    """``model``: what the thread runs on from here, as somebody else has chosen it."""
    BLOCKED = "blocked"
    """``reason`` and ``screen``: a terminal that netsky dares not type into, and what it shows;
    an empty ``reason`` says that it is over."""
    RESYNC = "resync"
    """Facts may have been missed before this point; read ``history``."""
    SESSION_LOST = "session.lost"
    """``reason``. The last event of ``events()`` when the runtime's process or connection died."""
    DELTA = "delta"
    """``stream`` (agent_message, reasoning, command_output), ``text``. Not a fact: folded, and
    dropped when nobody looks."""


@dataclass(frozen=True, slots=True)
class CodexEvent:
    """One thing that happened in one thread."""

    kind: EventKind
    thread_id: str
    at: int
    """Milliseconds since the epoch."""
    turn_id: str = ""
    item_id: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_fact(self) -> bool:
        """Whether this must be stored and must not be lost."""
        return self.kind is not EventKind.DELTA


def well_formed(event: CodexEvent) -> CodexEvent:
    """Return the event. Raises ``TypeError`` when one of its ids is no text."""
    if not (type(event.thread_id) is type(event.turn_id) is type(event.item_id) is str):
        msg = "An id is no text."
        raise TypeError(msg)
    return event
