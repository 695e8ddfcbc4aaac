"""What ``codex/event`` notifications tell, as ``CodexEvent``: pure, tolerant.

Recorded from 0.120, 0.145 and 0.153.4. Whole items come as ``item_started`` and
``item_completed``. Commands and patches do so from 0.145 on only; 0.120 tells them by single
events, and later versions by both, so that one item may be told twice here: who keeps the
thread's state tells it once. Names of items, and the single events, are those of rollouts.

What a command writes in its first 150 ms may be missing from its deltas and from both ends alike
when it lives longer than that: 0.153.4 begins to listen only then (openai/codex#28207), and only
the model is told all.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from netsky_runtime.codex import limits
from netsky_runtime.codex.bounds import bounded, head
from netsky_runtime.codex.events import CodexEvent, EventKind, well_formed
from netsky_runtime.codex.members import moment, part
from netsky_runtime.codex.rollout import items, tokens
from netsky_runtime.states import TurnStatus

Message = Mapping[str, Any]
Made = tuple[EventKind, dict[str, Any], str]
"""Kind, data and item id of an event."""
Maker = Callable[[Message, int], list[Made]]

ERROR_LIMIT = 16 * 1024
EVENT: Final = "codex/event"
"""The method of all these notifications."""
CONFIGURED: Final = "session_configured"
COMMAND_ASKED: Final = "exec_approval_request"
PATCH_ASKED: Final = "apply_patch_approval_request"
TURN_ENDED: Final = "task_complete"
TURN_STOPPED: Final = "turn_aborted"
ENDS: Final = (TURN_ENDED, TURN_STOPPED)

_UNASKABLE = {
    "elicitation_request": "an MCP server's question",
    "request_user_input": "a question of the model",
    "request_permissions": "a request for permissions",
    "dynamic_tool_call_request": "a dynamic tool call",
}
"""What Codex asks through its other doors. This one tells of it and takes no answer."""

_SILENT = frozenset(
    {
        # said again, whole, by item_completed
        "user_message",
        "agent_message",
        "agent_message_delta",
        "agent_reasoning",
        "agent_reasoning_delta",
        "agent_reasoning_raw_content",
        "agent_reasoning_raw_content_delta",
        "agent_reasoning_section_break",
        "entered_review_mode",
        "exited_review_mode",
        "context_compacted",
        # what the model was told and said, in the provider's words
        "raw_response_item",
        "raw_response_completed",
        # no news of a turn
        CONFIGURED,
        PATCH_ASKED,
        "mcp_startup_update",
        "mcp_startup_complete",
        "thread_name_updated",
        "thread_settings_applied",
        "skills_update_available",
        "shutdown_complete",
        "terminal_interaction",
        "patch_apply_updated",
        "background_event",
        "hook_started",
        "hook_completed",
    }
)


def thread_of(params: Message) -> str:
    """Return the thread that a notification is about, empty where it does not say."""
    return str(part(params, "_meta").get("threadId") or "")


def request_of(params: Message) -> int | str | None:
    """Return the call that Codex read the event for: on a thread that has several, any."""
    found = part(params, "_meta").get("requestId")
    return found if isinstance(found, int | str) else None


def message_of(params: Message) -> dict[str, Any]:
    """Return the event itself."""
    return part(params, "msg")


def turn_of(params: Message) -> str:
    """Return the turn an event belongs to: most events are named after their turn's id."""
    return str(message_of(params).get("turn_id") or params.get("id") or "")


def events(params: Message, thread_id: str, at: int) -> list[CodexEvent]:
    """Return what a notification tells; nothing when it is no news.

    Raises one of ``UNREADABLE`` when a member has another shape than is known.
    """
    message = message_of(params)
    kind = str(message.get("type") or "")
    make = _MAKERS.get(kind)
    if make is not None:
        made = make(message, at)
    elif kind in _SILENT:
        made = []
    elif kind in _UNASKABLE:
        said = (
            f"Codex has {_UNASKABLE[kind]}, and its mcp-server takes no answer: the turn waits "
            "for ever. Interrupt it, or move the actor to another runtime."
        )
        made = [(EventKind.WARNING, {"message": said}, "")]
    else:
        made = [(EventKind.UNKNOWN, {"method": kind, "params": bounded(message)}, "")]
    turn_id = turn_of(params)
    return [
        well_formed(CodexEvent(kind, thread_id, at, turn_id, item_id, data))
        for kind, data, item_id in made
    ]


def _turn_started(message: Message, _at: int) -> list[Made]:
    return [(EventKind.TURN_STARTED, {"started_at": moment(message.get("started_at"))}, "")]


def _turn_completed(message: Message, at: int) -> list[Made]:
    error = _words(message.get("error"))
    status = TurnStatus.FAILED if error else TurnStatus.COMPLETED
    return [_end(message, at, status, error)]


def _turn_aborted(message: Message, at: int) -> list[Made]:
    return [_end(message, at, TurnStatus.INTERRUPTED, "")]


def _end(message: Message, at: int, status: TurnStatus, error: str) -> Made:
    completed_at = moment(message.get("completed_at")) or at
    data = {"status": status.value, "error": error, "completed_at": completed_at}
    return (EventKind.TURN_COMPLETED, data, "")


def _item(kind: EventKind) -> Maker:
    def make(message: Message, _at: int) -> list[Made]:
        raw = message["item"]
        known = {"status": "in_progress", **raw} if kind is EventKind.ITEM_STARTED else raw
        return [(kind, items.item(known), str(raw.get("id") or ""))]

    return make


def _begun(end: str) -> Maker:
    def make(message: Message, _at: int) -> list[Made]:
        data = items.ended(end, {"status": "in_progress", **message})
        data["status"] = "in_progress"
        return [(EventKind.ITEM_STARTED, data, str(message.get("call_id") or ""))]

    return make


def _ended(end: str) -> Maker:
    def make(message: Message, _at: int) -> list[Made]:
        data = items.ended(end, dict(message))
        return [(EventKind.ITEM_COMPLETED, data, str(message.get("call_id") or ""))]

    return make


def _delta(stream: str) -> Maker:
    def make(message: Message, _at: int) -> list[Made]:
        data = {"stream": stream, "text": str(message.get("delta") or "")}
        return [(EventKind.DELTA, data, str(message.get("item_id") or ""))]

    return make


def _output(message: Message, _at: int) -> list[Made]:
    chunk = base64.b64decode(str(message.get("chunk") or "")).decode(errors="replace")
    data = {"stream": "command_output", "text": chunk}
    return [(EventKind.DELTA, data, str(message.get("call_id") or ""))]


def _tokens(message: Message, _at: int) -> list[Made]:
    made: list[Made] = []
    if usage := tokens.usage(message):
        made.append((EventKind.USAGE, usage, ""))
    if told := tokens.limits(message):
        made.append((EventKind.RATE_LIMITS, {"raw": {"rateLimits": bounded(told)}}, ""))
    return made


def _plan(message: Message, _at: int) -> list[Made]:
    steps = [
        {"step": str(step.get("step") or ""), "status": str(step.get("status") or "")}
        for step in message.get("plan") or ()
    ]
    return [(EventKind.PLAN, {"steps": steps}, "")]


def _diff(message: Message, _at: int) -> list[Made]:
    return [(EventKind.DIFF, {"diff": head(message.get("unified_diff") or "")}, "")]


def _error(*, will_retry: bool) -> Maker:
    def make(message: Message, _at: int) -> list[Made]:
        data = {
            "message": _words(message),
            "will_retry": will_retry,
            "usage_limit": limits.is_usage_limit(message),
        }
        return [(EventKind.ERROR, data, "")]

    return make


def _warning(message: Message, _at: int) -> list[Made]:
    said = message.get("message") or message.get("summary")
    return [(EventKind.WARNING, {"message": str(said or "")}, "")]


def _model(message: Message, _at: int) -> list[Made]:
    return [(EventKind.MODEL, {"model": str(message.get("to_model") or "")}, "")]


def _words(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error or "")
    message = str(error.get("message") or "")
    details = error.get("additional_details")
    return head(f"{message} ({details})" if details else message, ERROR_LIMIT)


_MAKERS: dict[str, Maker] = {
    "task_started": _turn_started,
    TURN_ENDED: _turn_completed,
    TURN_STOPPED: _turn_aborted,
    "item_started": _item(EventKind.ITEM_STARTED),
    "item_completed": _item(EventKind.ITEM_COMPLETED),
    COMMAND_ASKED: _begun("exec_command_end"),
    "exec_command_begin": _begun("exec_command_end"),
    "exec_command_end": _ended("exec_command_end"),
    "patch_apply_begin": _begun("patch_apply_end"),
    "patch_apply_end": _ended("patch_apply_end"),
    "mcp_tool_call_begin": _begun("mcp_tool_call_end"),
    "mcp_tool_call_end": _ended("mcp_tool_call_end"),
    "web_search_begin": _begun("web_search_end"),
    "web_search_end": _ended("web_search_end"),
    "agent_message_content_delta": _delta("agent_message"),
    "reasoning_content_delta": _delta("reasoning"),
    "reasoning_raw_content_delta": _delta("reasoning"),
    "plan_delta": _delta("plan"),
    "exec_command_output_delta": _output,
    "token_count": _tokens,
    "plan_update": _plan,
    "turn_diff": _diff,
    "error": _error(will_retry=False),
    "stream_error": _error(will_retry=True),
    "warning": _warning,
    "guardian_warning": _warning,
    "deprecation_notice": _warning,
    "model_reroute": _model,
}
