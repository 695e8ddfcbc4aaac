"""Codex's questions as approval events, and a human's decision as the answer Codex expects.

Pure functions. Every method has its own shape of question and of answer; shapes as in the
schemas that 0.120 to 0.169 print.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsky_runtime.codex import answers, commands
from netsky_runtime.codex.app_server.items import patch
from netsky_runtime.codex.app_server.normalise import turn_id
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.states import ApprovalKind, DecisionWord

if TYPE_CHECKING:
    from netsky_runtime.codex.base import Decision, ToolResult

COMMAND = "item/commandExecution/requestApproval"
FILE_CHANGE = "item/fileChange/requestApproval"
PERMISSIONS = "item/permissions/requestApproval"
USER_INPUT = "item/tool/requestUserInput"
ELICITATION = "mcpServer/elicitation/request"
OLD_COMMAND = "execCommandApproval"
OLD_PATCH = "applyPatchApproval"
TOOL_CALL = "item/tool/call"

KINDS = {
    COMMAND: ApprovalKind.COMMAND,
    OLD_COMMAND: ApprovalKind.COMMAND,
    FILE_CHANGE: ApprovalKind.FILE_CHANGE,
    OLD_PATCH: ApprovalKind.FILE_CHANGE,
    PERMISSIONS: ApprovalKind.PERMISSIONS,
    USER_INPUT: ApprovalKind.USER_INPUT,
    ELICITATION: ApprovalKind.ELICITATION,
}
"""The requests that are held until a human decides."""

_ALL = tuple(DecisionWord)
_WORDS = {
    DecisionWord.ACCEPT: "accept",
    DecisionWord.ACCEPT_FOR_SESSION: "acceptForSession",
    DecisionWord.DECLINE: "decline",
    DecisionWord.CANCEL: "cancel",
}
_OLD_WORDS = {
    DecisionWord.ACCEPT: "approved",
    DecisionWord.ACCEPT_FOR_SESSION: "approved_for_session",
    DecisionWord.DECLINE: "denied",
    DecisionWord.CANCEL: "abort",
}
_DENIED_HAS_A_REASON = (0, 145)
"""From here on the older methods take ``{"denied": {"rejection": …}}``; 0.120 takes the word."""

Params = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send back, and whether the turn must be interrupted besides."""

    result: dict[str, Any]
    interrupt: bool = False


def thread_of(params: Params) -> str:
    """Return the thread a request is about; the older methods call it a conversation."""
    return str(params.get("threadId") or params.get("conversationId") or "")


def item_of(params: Params) -> str:
    """Return the item a request is about, else nothing."""
    return str(params.get("itemId") or params.get("callId") or "")


def requested(
    request_id: str, method: str, params: Params, *, at: int, changes: Any = None
) -> CodexEvent:
    """Return the ``APPROVAL_REQUESTED`` event of a held request.

    ``changes`` are those of the fileChange item with the same id: the request has none.
    """
    data = {
        "request_id": request_id,
        "method": method,
        "kind": KINDS[method].value,
        "command": commands.shown(params.get("command")),
        "cwd": str(params.get("cwd") or ""),
        "reason": str(params.get("reason") or params.get("message") or ""),
        "patch": patch(changes) if method == FILE_CHANGE else _old_patch(params),
        "questions": _questions(method, params),
        "available_decisions": [word.value for word in available(method, params)],
        "raw": dict(params),
    }
    return CodexEvent(
        EventKind.APPROVAL_REQUESTED,
        thread_of(params),
        at,
        turn_id(params),
        item_of(params),
        data,
    )


def tool_requested(params: Params, *, at: int) -> CodexEvent:
    """Return the ``TOOL_REQUESTED`` event of a dynamic tool call."""
    call_id = str(params.get("callId") or "")
    data = {
        "call_id": call_id,
        "tool": str(params.get("tool") or ""),
        "arguments": params.get("arguments"),
    }
    return CodexEvent(
        EventKind.TOOL_REQUESTED, thread_of(params), at, turn_id(params), call_id, data
    )


def available(method: str, params: Params) -> tuple[DecisionWord, ...]:
    """Return what a human can say. Declining is always taken, also when Codex does not list it."""
    if method == USER_INPUT:
        return (DecisionWord.ACCEPT, DecisionWord.DECLINE, DecisionWord.CANCEL)
    if method == ELICITATION:
        session = _may_persist(params)
        return tuple(w for w in _ALL if w is not DecisionWord.ACCEPT_FOR_SESSION or session)
    listed = params.get("availableDecisions")
    if not isinstance(listed, list):
        return _ALL
    return tuple(w for w in _ALL if _WORDS[w] in listed or w is DecisionWord.DECLINE)


def answer(
    method: str, params: Params, decision: Decision, *, version: tuple[int, ...] = ()
) -> Answer:
    """Return the reply that says this decision in this method's shape.

    Raises ``UsageError`` when the question needs content and the decision has none.
    """
    word = decision.word
    questions = _questions(method, params)
    answers.check(kind=KINDS[method], questions=questions, raw=params, decision=decision)
    if method in (COMMAND, FILE_CHANGE):
        return Answer({"decision": _WORDS[word]})
    if method in (OLD_COMMAND, OLD_PATCH):
        if word is DecisionWord.DECLINE and version >= _DENIED_HAS_A_REASON:
            return Answer({"decision": {"denied": {"rejection": "declined by the operator"}}})
        return Answer({"decision": _OLD_WORDS[word]})
    stop = word is DecisionWord.CANCEL
    accepted = word in (DecisionWord.ACCEPT, DecisionWord.ACCEPT_FOR_SESSION)
    if method == PERMISSIONS:
        scope = "session" if word is DecisionWord.ACCEPT_FOR_SESSION else "turn"
        granted = dict(params.get("permissions") or {}) if accepted else {}
        return Answer({"permissions": granted, "scope": scope}, interrupt=stop)
    if method == USER_INPUT:
        texts = answers.given(questions, decision.answer) if accepted else {}
        told = {name: {"answers": parts} for name, parts in texts.items()}
        return Answer({"answers": told}, interrupt=stop)
    return Answer(_elicitation(params, decision, accepted=accepted))


def tool_answer(result: ToolResult) -> dict[str, Any]:
    """Return the reply to a dynamic tool call."""
    return {
        "contentItems": [{"type": "inputText", "text": result.text}],
        "success": result.success,
    }


def _old_patch(params: Params) -> str:
    files = params.get("fileChanges")
    if not isinstance(files, dict):
        return ""
    changes = []
    for path, change in files.items():
        kind = change.get("type", "update")
        text = change.get("unified_diff") or change.get("content") or ""
        changes.append({"path": path, "kind": kind, "diff": text})
    return patch(changes)


def _questions(method: str, params: Params) -> list[Any]:
    if method == USER_INPUT:
        questions = params.get("questions")
        return list(questions) if isinstance(questions, list) else []
    if method != ELICITATION:
        return []
    question = {
        "id": "content",
        "header": str(params.get("serverName") or ""),
        "question": str(params.get("message") or ""),
        "schema": params.get("requestedSchema"),
        "url": params.get("url"),
    }
    return [question]


def _elicitation(params: Params, decision: Decision, *, accepted: bool) -> dict[str, Any]:
    if not accepted:
        action = "cancel" if decision.word is DecisionWord.CANCEL else "decline"
        return {"action": action, "content": None, "_meta": None}
    content = dict(decision.answer or {})
    keep = decision.word is DecisionWord.ACCEPT_FOR_SESSION and _may_persist(params)
    meta = {"persist": "session"} if keep else None
    form = params.get("mode") != "url"
    return {"action": "accept", "content": content if form else None, "_meta": meta}


def _may_persist(params: Params) -> bool:
    meta = params.get("_meta")
    offered = meta.get("persist") if isinstance(meta, dict) else None
    return offered == "session" or (isinstance(offered, list) and "session" in offered)
