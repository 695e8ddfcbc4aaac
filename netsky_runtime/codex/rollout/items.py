"""Items as a rollout writes them down when they are done, in netsky's words.

Two generations say the same with other names. ``item_completed`` carries a whole item (seen on
app-server and interactive threads from 0.153.4). Before that, and in every mcp-server thread,
there are single events: ``user_message``, ``agent_message``, ``patch_apply_end``, and in threads
that were asked to persist more ``exec_command_end`` and its kin.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from netsky_runtime.codex.bounds import OUTPUT_LIMIT, UNREADABLE, bounded, head, tail
from netsky_runtime.codex.members import part, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.codex.rollout.lines import Payload

Data = dict[str, Any]

_STATUS = {"inProgress": "in_progress"}


def item(raw: Payload) -> Data:
    """Return the ``data`` of an item; one that has another shape than is known is ``other``."""
    name = text(raw.get("type"))
    try:
        make = _ITEMS.get(name)
        return make(raw) if make else _other(name, raw)
    except UNREADABLE:
        return _other(name, raw)


def ended(kind: str, payload: Payload) -> Data:
    """Return the ``data`` of an item whose end is told by an event of this kind, of ``ENDS``."""
    try:
        return _ENDS[kind](payload)
    except UNREADABLE:
        return _other(kind, payload)


def words(content: Any) -> str:
    """Return the words of a message's parts; what is no text is named in brackets."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    return "\n".join(text(p.get("text")) or f"[{p.get('type', '?')}]" for p in parts)


def command_line(command: Any) -> str:
    """Return a command as one would type it."""
    if isinstance(command, list):
        return shlex.join(str(word) for word in command)
    return text(command)


def path_of(place: Any) -> str:
    """Return a path: from 0.153.4 a command's folder is written as a ``file:`` URL."""
    place = text(place)
    return unquote(urlsplit(place).path) if place.startswith("file://") else place


def changes(said: Any) -> list[Data]:
    """Return file changes, which a rollout keeps by path."""
    found = []
    for path, change in said.items() if isinstance(said, dict) else ():
        kind = text(change.get("type")) or "update"
        diff = change.get("unified_diff") if kind == "update" else change.get("content")
        data = {"path": path, "kind": kind, "diff": head(text(diff))}
        if change.get("move_path"):
            data["moved_to"] = change["move_path"]
        found.append(data)
    return found


def milliseconds(duration: Any) -> int | None:
    """Return a duration of seconds and nanoseconds."""
    if not isinstance(duration, dict):
        return None
    return int(duration.get("secs", 0) * 1000 + duration.get("nanos", 0) // 1_000_000)


def user_message(payload: Payload) -> Data:
    """Return a ``user_message`` event: text, and pictures that are only named."""
    parts = [text(payload.get("message"))] if payload.get("message") else []
    parts += ["[image]"] * len(payload.get("images") or ())
    parts += ["[localImage]"] * len(payload.get("local_images") or ())
    return {
        "type": "user_message",
        "text": "\n".join(parts),
        "client_id": text(payload.get("client_id")),
    }


def _status(raw: Payload) -> str:
    status = text(raw.get("status"))
    return _STATUS.get(status, status)


def _user_item(raw: Payload) -> Data:
    return {
        "type": "user_message",
        "text": words(raw.get("content")),
        "client_id": text(raw.get("client_id")),
    }


def _agent_item(raw: Payload) -> Data:
    parts = raw.get("content") or ()
    return {"type": "agent_message", "text": "".join(text(p.get("text")) for p in parts)}


def _reasoning(raw: Payload) -> Data:
    parts = raw.get("summary_text") or raw.get("raw_content") or ()
    return {"type": "reasoning", "text": "\n\n".join(str(p) for p in parts)}


def _command(raw: Payload) -> Data:
    output = raw.get("aggregated_output")
    if output is None:
        output = f"{text(raw.get('stdout'))}{text(raw.get('stderr'))}"
    return {
        "type": "command",
        "command": command_line(raw.get("command")),
        "cwd": path_of(raw.get("cwd")),
        "status": _status(raw) or ("failed" if raw.get("exit_code") else "completed"),
        "exit_code": raw.get("exit_code"),
        "output": tail(output),
        "duration_ms": milliseconds(raw.get("duration")),
    }


def _file_change(raw: Payload) -> Data:
    status = _status(raw) or ("completed" if raw.get("success") else "failed")
    return {"type": "file_change", "status": status, "changes": changes(raw.get("changes"))}


def _tool_call(raw: Payload) -> Data:
    success = raw.get("success")
    return {
        "type": "tool_call",
        "tool": text(raw.get("tool")),
        "arguments": bounded(raw.get("arguments")),
        "status": _status(raw) or ("completed" if success else "failed"),
        "success": success,
        "result": head(words(raw.get("content_items")), OUTPUT_LIMIT),
    }


def _mcp_item(raw: Payload) -> Data:
    return {
        "type": "mcp_call",
        "server": text(raw.get("server")),
        "tool": text(raw.get("tool")),
        "arguments": bounded(raw.get("arguments")),
        "status": _status(raw),
        "result": bounded(_mcp_result(raw.get("result") or raw.get("error"))),
    }


def _mcp_end(payload: Payload) -> Data:
    call, result = part(payload, "invocation"), part(payload, "result")
    good = part(result, "Ok")
    return {
        "type": "mcp_call",
        "server": text(call.get("server")),
        "tool": text(call.get("tool")),
        "arguments": bounded(call.get("arguments")),
        "status": "completed" if good and not good.get("is_error") else "failed",
        "result": bounded(_mcp_result(good or result.get("Err"))),
    }


def _mcp_result(result: Any) -> Any:
    """Return a result with the members that app-server's own history gives it."""
    if not isinstance(result, dict) or "content" not in result:
        return result
    return {name: result.get(name) for name in ("content", "structuredContent", "_meta")}


def _web_search(raw: Payload) -> Data:
    return {"type": "web_search", "query": text(raw.get("query"))}


def _plan(raw: Payload) -> Data:
    return {"type": "plan", "text": text(raw.get("text"))}


def _other(name: str, raw: Payload) -> Data:
    return {"type": "other", "name": f"{name[:1].lower()}{name[1:]}", "raw": bounded(raw)}


_ITEMS: dict[str, Callable[[Payload], Data]] = {
    "UserMessage": _user_item,
    "AgentMessage": _agent_item,
    "Reasoning": _reasoning,
    "CommandExecution": _command,
    "FileChange": _file_change,
    "DynamicToolCall": _tool_call,
    "McpToolCall": _mcp_item,
    "WebSearch": _web_search,
    "Plan": _plan,
}
_ENDS: dict[str, Callable[[Payload], Data]] = {
    "exec_command_end": _command,
    "patch_apply_end": _file_change,
    "mcp_tool_call_end": _mcp_end,
    "dynamic_tool_call_response": _tool_call,
    "web_search_end": _web_search,
}
ENDS = frozenset(_ENDS)
