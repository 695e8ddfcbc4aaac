"""Codex's notifications and history as ``CodexEvent`` and ``HistoricTurn``: pure, tolerant, fast.

Kinds nobody knows are kept raw, members that are missing become empty. Observed on
0.120 to 0.169.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from netsky_runtime.codex import limits
from netsky_runtime.codex.app_server.items import item
from netsky_runtime.codex.base import HistoricItem, HistoricTurn
from netsky_runtime.codex.bounds import bounded, head
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.members import moment, part
from netsky_runtime.states import TurnStatus

Params = Mapping[str, Any]
Maker = Callable[[Params, int], CodexEvent | None]

TURN_STATUS = {
    "inProgress": TurnStatus.IN_PROGRESS,
    "completed": TurnStatus.COMPLETED,
    "interrupted": TurnStatus.INTERRUPTED,
    "failed": TurnStatus.FAILED,
}
_THREAD_STATUS = {"notLoaded": "not_loaded", "systemError": "error"}


def notification(method: str, params: Params, at: int) -> CodexEvent | None:
    """Return the event of a notification, or ``None`` when it says nothing about a thread.

    ``at`` is the time it was received, in milliseconds.
    """
    make = _MAKERS.get(method)
    if make is not None:
        return make(params, at)
    if method in SILENT or not params.get("threadId"):
        return None
    return CodexEvent(
        EventKind.UNKNOWN,
        params["threadId"],
        at,
        turn_id(params),
        params.get("itemId") or "",
        {"method": method, "params": bounded(params)},
    )


def history(turns: Any) -> tuple[HistoricTurn, ...]:
    """Return the turns of ``thread/turns/list`` or ``thread/read``, in the order they came."""
    return tuple(_historic_turn(turn) for turn in turns or ())


def last_turn(turns: Any) -> dict[str, Any]:
    """Return the last turn of a thread as Codex tells it, empty when there is none."""
    last = turns[-1] if isinstance(turns, list) and turns else None
    return last if isinstance(last, dict) else {}


def turn_id(params: Params) -> str:
    """Return the turn a notification or request is about, else nothing."""
    found = params.get("turnId")
    if found is None and isinstance(turn := params.get("turn"), dict):
        found = turn.get("id")
    return found or ""


def parent_of(thread: Any) -> str:
    """Return the thread that made this one, for Codex's own sub-agents; else nothing."""
    if not isinstance(thread, dict):
        return ""
    if thread.get("parentThreadId"):
        return str(thread["parentThreadId"])
    source = thread.get("source")
    sub = source.get("subAgent") if isinstance(source, dict) else None
    spawn = sub.get("thread_spawn") if isinstance(sub, dict) else None
    return str(spawn.get("parent_thread_id") or "") if isinstance(spawn, dict) else ""


def status_of(thread: Any) -> str:
    """Return a thread's status in ``THREAD_STATUS``'s words."""
    status = thread.get("status") if isinstance(thread, dict) else None
    word = status.get("type", "") if isinstance(status, dict) else str(status or "")
    return _THREAD_STATUS.get(word, word)


def error_text(error: Any) -> str:
    """Return the words of a turn's error, with its details when there are any."""
    if not isinstance(error, dict):
        return str(error or "")
    message = str(error.get("message") or "")
    details = error.get("additionalDetails")
    return head(f"{message} ({details})" if details else message, 16 * 1024)


def _turn_started(params: Params, at: int) -> CodexEvent:
    turn = params.get("turn") or {}
    data = {"started_at": moment(turn.get("startedAt"))}
    return CodexEvent(
        EventKind.TURN_STARTED, params.get("threadId", ""), at, turn_id(params), "", data
    )


def _turn_completed(params: Params, at: int) -> CodexEvent:
    turn = params.get("turn") or {}
    data = {
        "status": TURN_STATUS.get(turn.get("status", ""), TurnStatus.FAILED).value,
        "error": error_text(turn.get("error")),
        "usage_limit": limits.is_usage_limit(turn.get("error")),
        # Before 0.145 no times are told; a turn that is seen to end has ended by itself.
        "completed_at": moment(turn.get("completedAt")) or at,
    }
    return CodexEvent(
        EventKind.TURN_COMPLETED, params.get("threadId", ""), at, turn_id(params), "", data
    )


def _item_started(params: Params, at: int) -> CodexEvent:
    raw = params.get("item") or {}
    return CodexEvent(
        EventKind.ITEM_STARTED,
        params.get("threadId", ""),
        at,
        params.get("turnId", ""),
        raw.get("id", ""),
        item(raw),
    )


def _item_completed(params: Params, at: int) -> CodexEvent:
    raw = params.get("item") or {}
    return CodexEvent(
        EventKind.ITEM_COMPLETED,
        params.get("threadId", ""),
        at,
        params.get("turnId", ""),
        raw.get("id", ""),
        item(raw),
    )


def _delta(stream: str) -> Maker:
    def make(params: Params, at: int) -> CodexEvent:
        return CodexEvent(
            EventKind.DELTA,
            params.get("threadId", ""),
            at,
            params.get("turnId", ""),
            params.get("itemId", ""),
            {"stream": stream, "text": params.get("delta", "")},
        )

    return make


def _usage(params: Params, at: int) -> CodexEvent:
    usage = params.get("tokenUsage") or {}
    total = usage.get("total") or {}
    data = {
        "input_tokens": total.get("inputTokens", 0),
        "cached_tokens": total.get("cachedInputTokens", 0),
        "output_tokens": total.get("outputTokens", 0),
        "reasoning_tokens": total.get("reasoningOutputTokens", 0),
        "total_tokens": total.get("totalTokens", 0),
        "context_window": usage.get("modelContextWindow"),
    }
    return CodexEvent(
        EventKind.USAGE, params.get("threadId", ""), at, params.get("turnId", ""), "", data
    )


def _rate_limits(params: Params, at: int) -> CodexEvent:
    return CodexEvent(EventKind.RATE_LIMITS, "", at, "", "", {"raw": bounded(params)})


def _thread_status(params: Params, at: int) -> CodexEvent:
    status = params.get("status")
    flags = status.get("activeFlags") if isinstance(status, dict) else None
    data = {"status": status_of(params), "flags": list(flags or ())}
    return CodexEvent(EventKind.THREAD_STATUS, params.get("threadId", ""), at, "", "", data)


def _thread_closed(params: Params, at: int) -> CodexEvent:
    data = {"status": "not_loaded", "flags": []}
    return CodexEvent(EventKind.THREAD_STATUS, params.get("threadId", ""), at, "", "", data)


def _thread_started(params: Params, at: int) -> CodexEvent:
    thread = params.get("thread") or {}
    data = {"parent_id": parent_of(thread)}
    return CodexEvent(EventKind.THREAD_STARTED, thread.get("id", ""), at, "", "", data)


def _settings(params: Params, at: int) -> CodexEvent:
    data = {"model": str(part(params, "threadSettings").get("model") or "")}
    return CodexEvent(EventKind.MODEL, params.get("threadId", ""), at, "", "", data)


def _rerouted(params: Params, at: int) -> CodexEvent:
    data = {"model": str(params.get("toModel") or "")}
    return CodexEvent(EventKind.MODEL, params.get("threadId", ""), at, turn_id(params), "", data)


def _plan(params: Params, at: int) -> CodexEvent:
    steps = [
        {"step": step.get("step", ""), "status": _snake(step.get("status", ""))}
        for step in params.get("plan") or ()
    ]
    return CodexEvent(
        EventKind.PLAN, params.get("threadId", ""), at, turn_id(params), "", {"steps": steps}
    )


def _diff(params: Params, at: int) -> CodexEvent:
    data = {"diff": head(params.get("diff") or "")}
    return CodexEvent(EventKind.DIFF, params.get("threadId", ""), at, turn_id(params), "", data)


def _error(params: Params, at: int) -> CodexEvent:
    data = {
        "message": error_text(params.get("error")),
        "will_retry": bool(params.get("willRetry")),
        "usage_limit": limits.is_usage_limit(params.get("error")),
    }
    return CodexEvent(EventKind.ERROR, params.get("threadId") or "", at, turn_id(params), "", data)


def _warning(params: Params, at: int) -> CodexEvent | None:
    if not params.get("threadId"):
        return None
    data = {"message": str(params.get("message") or "")}
    return CodexEvent(EventKind.WARNING, params["threadId"], at, turn_id(params), "", data)


def _mcp_startup(params: Params, at: int) -> CodexEvent | None:
    """Tell only of a thread's MCP server that does not come up (seen on 0.153.4)."""
    if not params.get("error"):
        return None
    words = f"MCP server {params.get('name')}: {params['error']}"
    return _warning({**params, "message": head(words, 16 * 1024)}, at)


def _historic_turn(turn: Params) -> HistoricTurn:
    return HistoricTurn(
        id=turn.get("id", ""),
        status=TURN_STATUS.get(turn.get("status", ""), TurnStatus.FAILED),
        started_at=moment(turn.get("startedAt")),
        completed_at=moment(turn.get("completedAt")),
        error=error_text(turn.get("error")),
        usage_limit=limits.is_usage_limit(turn.get("error")),
        items=tuple(
            HistoricItem(id=raw.get("id", ""), type=(data := item(raw))["type"], data=data)
            for raw in turn.get("items") or ()
        ),
    )


def _snake(word: str) -> str:
    return "in_progress" if word == "inProgress" else word


DELTAS: dict[str, Maker] = {
    "item/agentMessage/delta": _delta("agent_message"),
    "item/reasoning/textDelta": _delta("reasoning"),
    "item/reasoning/summaryTextDelta": _delta("reasoning"),
    "item/commandExecution/outputDelta": _delta("command_output"),
    "item/plan/delta": _delta("plan"),
}
"""Live text: wanted by the live connection, opted out of by the one for facts."""

NOISE = frozenset(
    {
        "item/reasoning/summaryPartAdded",
        "item/commandExecution/terminalInteraction",
        "item/fileChange/outputDelta",
        "item/fileChange/patchUpdated",
        "item/mcpToolCall/progress",
        "command/exec/outputDelta",
        "process/outputDelta",
        "rawResponseItem/completed",
        "rawResponse/completed",
        "thread/realtime/transcript/delta",
        "thread/realtime/item/transcript/delta",
        "thread/realtime/outputAudio/delta",
    }
)
"""Progress that the completed item says again: nobody wants it."""

SILENT = NOISE | {
    "thread/readState/changed",
    "thread/archived",
    "thread/unarchived",
    "thread/goal/cleared",
    "thread/name/updated",
    "thread/prediction/updated",
    "serverRequest/resolved",
}
"""Known, and no news for netsky; ``serverRequest/resolved`` needs the request it ends, and an
archived thread is told of as unloaded."""

_FACTS: dict[str, Maker] = {
    "turn/started": _turn_started,
    "turn/completed": _turn_completed,
    "item/started": _item_started,
    "item/completed": _item_completed,
    "thread/tokenUsage/updated": _usage,
    "account/rateLimits/updated": _rate_limits,
    "thread/status/changed": _thread_status,
    "thread/closed": _thread_closed,
    "thread/started": _thread_started,
    "thread/settings/updated": _settings,
    "model/rerouted": _rerouted,
    "turn/plan/updated": _plan,
    "turn/diff/updated": _diff,
    "error": _error,
    "warning": _warning,
    "guardianWarning": _warning,
    "mcpServer/startupStatus/updated": _mcp_startup,
}
_MAKERS: dict[str, Maker] = {**_FACTS, **DELTAS}

FACTS_OPT_OUT = tuple(sorted(DELTAS.keys() | NOISE | {"thread/readState/changed"}))
LIVE_OPT_OUT = tuple(sorted(_FACTS.keys() | SILENT))
