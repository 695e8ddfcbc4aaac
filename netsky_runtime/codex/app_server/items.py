"""Items of a turn in netsky's words: pure functions, the same for live events and history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netsky_runtime.codex.bounds import OUTPUT_LIMIT, UNREADABLE, bounded, head, tail
from netsky_runtime.codex.patches import unified

Item = Mapping[str, Any]
Data = dict[str, Any]

_STATUS = {"inProgress": "in_progress"}


def item(raw: Item) -> Data:
    """Return the ``data`` of ``ITEM_STARTED`` and ``ITEM_COMPLETED`` for an item.

    One that has another shape than is known is ``other``: a thread's history must be readable
    in spite of it.
    """
    try:
        make = _MAKERS.get(raw.get("type", ""))
        return make(raw) if make else _other(raw)
    except UNREADABLE:
        return _other(raw)


def message_text(content: Any) -> str:
    """Return the words of a user message; what is not text is named in brackets."""
    if not isinstance(content, list):
        return ""
    if len(content) == 1 and (text := content[0].get("text")) is not None:
        return str(text)
    return "\n".join(str(part.get("text") or f"[{part.get('type', '?')}]") for part in content)


def patch(changes: Any) -> str:
    """Return the changes of a fileChange item as one unified patch."""
    return unified(_changes(changes))


def _changes(changes: Any) -> list[Data]:
    found = []
    for change in changes if isinstance(changes, list) else ():
        kind = change.get("kind")
        moved = kind.get("move_path") if isinstance(kind, dict) else None
        word = kind.get("type", "update") if isinstance(kind, dict) else str(kind or "update")
        data = {
            "path": change.get("path", ""),
            "kind": word,
            "diff": head(change.get("diff") or ""),
        }
        if moved:
            data["moved_to"] = moved
        found.append(data)
    return found


def _words(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        msg = "Words are no text."
        raise TypeError(msg)
    return value or ""


def _user_message(raw: Item) -> Data:
    return {
        "type": "user_message",
        "text": message_text(raw.get("content")),
        "client_id": raw.get("clientId") or "",
    }


def _agent_message(raw: Item) -> Data:
    return {"type": "agent_message", "text": _words(raw.get("text"))}


def _reasoning(raw: Item) -> Data:
    parts = raw.get("summary") or raw.get("content") or ()
    return {"type": "reasoning", "text": "\n\n".join(str(part) for part in parts)}


def _command(raw: Item) -> Data:
    status = raw.get("status", "")
    return {
        "type": "command",
        "command": raw.get("command") or "",
        "cwd": raw.get("cwd") or "",
        "status": _STATUS.get(status, status),
        "exit_code": raw.get("exitCode"),
        "output": tail(raw.get("aggregatedOutput") or ""),
        "duration_ms": raw.get("durationMs"),
    }


def _file_change(raw: Item) -> Data:
    status = raw.get("status", "")
    return {
        "type": "file_change",
        "status": _STATUS.get(status, status),
        "changes": _changes(raw.get("changes")),
    }


def _tool_call(raw: Item) -> Data:
    status = raw.get("status", "")
    parts = raw.get("contentItems") or ()
    result = "\n".join(str(part.get("text") or f"[{part.get('type', '?')}]") for part in parts)
    return {
        "type": "tool_call",
        "tool": raw.get("tool") or "",
        "arguments": bounded(raw.get("arguments")),
        "status": _STATUS.get(status, status),
        "success": raw.get("success"),
        "result": head(result, OUTPUT_LIMIT),
    }


def _mcp_call(raw: Item) -> Data:
    status = raw.get("status", "")
    return {
        "type": "mcp_call",
        "server": raw.get("server") or "",
        "tool": raw.get("tool") or "",
        "arguments": bounded(raw.get("arguments")),
        "status": _STATUS.get(status, status),
        "result": bounded(raw.get("result") or raw.get("error")),
    }


def _web_search(raw: Item) -> Data:
    return {"type": "web_search", "query": raw.get("query") or ""}


def _plan(raw: Item) -> Data:
    return {"type": "plan", "text": _words(raw.get("text"))}


def _other(raw: Item) -> Data:
    known = raw if isinstance(raw, Mapping) else {}
    return {"type": "other", "name": str(known.get("type") or ""), "raw": bounded(known)}


_MAKERS: dict[str, Callable[[Item], Data]] = {
    "userMessage": _user_message,
    "agentMessage": _agent_message,
    "reasoning": _reasoning,
    "commandExecution": _command,
    "fileChange": _file_change,
    "dynamicToolCall": _tool_call,
    "mcpToolCall": _mcp_call,
    "webSearch": _web_search,
    "plan": _plan,
}
