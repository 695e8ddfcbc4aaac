"""A rollout's lines as ``CodexEvent``: one state machine for every version.

Recorded from 0.120.0, 0.145.0, 0.153.4, 0.163.0 and 0.169.0. What each line tells:

- ``session_meta``: the thread, and whose sub-agent it is. The first one counts: a fork goes on
  with the lines of the thread it came from.
- ``event_msg``: ``task_started``, ``task_complete`` (with ``error`` from 0.145), ``turn_aborted``;
  ``item_completed`` with whole items, or ``user_message``, ``agent_message`` and the ``*_end``
  events; ``token_count``.
- ``response_item``: what the model was told and said. Only its calls and their outputs are read
  here: user messages among them are also Codex's own (AGENTS.md, environment, ``<turn_aborted>``),
  and every message that a human or a client sent is told as an event too.
- ``turn_context``: the turn's model and folder.
- ``compacted``, ``world_state``, ``token_usage_record``: nothing that is not told elsewhere.

A turn that another begins after, without an end, was cut by a crash: Codex writes no end for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.codex import limits
from netsky_runtime.codex.bounds import UNREADABLE, bounded, tail
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.members import moment, text
from netsky_runtime.codex.rollout import calls, items, tokens
from netsky_runtime.codex.rollout.lines import Head, Line, Payload, head_of, parse
from netsky_runtime.codex.rollout.turns import OpenTurn
from netsky_runtime.counting import count
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Callable

Data = dict[str, Any]

ERROR_LIMIT = 16 * 1024
_UNTOLD = "The model gave no answer. This Codex does not write down why."
_WORDS = ("user_message", "agent_message")


class RolloutReader:
    """Feed it every line of one file, from the first; it tells what happened."""

    def __init__(self, thread_id: str = "") -> None:
        self.thread_id = thread_id
        """Given, or told by the file's first line."""
        self.head: Head | None = None
        """What the first line says."""
        self._turn: OpenTurn | None = None
        self._sessions: dict[str, tuple[str, calls.Call]] = {}
        self._made = 0
        self._model = ""
        self._usage: Data = {}
        self._limits: Data = {}
        self._at = 0
        self._lines: dict[str, Callable[[Line], list[CodexEvent]]] = {
            "session_meta": self._meta,
            "turn_context": self._context,
            "event_msg": self._message,
            "response_item": self._response,
        }
        self._events: dict[str, Callable[[Payload], list[CodexEvent]]] = {
            "task_started": self._started,
            "turn_started": self._started,
            "task_complete": self._complete,
            "turn_complete": self._complete,
            "turn_aborted": self._aborted,
            "item_started": self._item_begun,
            "item_completed": self._item,
            "user_message": self._user,
            "agent_message": self._agent,
            "agent_reasoning": self._reasoned,
            "context_compacted": self._compacted,
            "token_count": self._tokens,
            "error": self._error,
            "stream_error": self._stream_error,
            "warning": self._warning,
            "thread_rolled_back": self._rolled_back,
        }

    @property
    def turn_id(self) -> str:
        """The turn that has no end yet; empty when there is none."""
        return self._turn.id if self._turn else ""

    def feed(self, line: bytes) -> list[CodexEvent]:
        """Return what a line tells; nothing when it is garbage, or half a line."""
        said = parse(line)
        if said is None:
            return []
        self._at = said.at or self._at
        read = self._lines.get(said.type)
        if read is None:
            return [] if said.type in _SILENT_LINES else [self._unknown(said)]
        try:
            return read(said)
        except UNREADABLE:
            return [self._unknown(said)]

    def _meta(self, line: Line) -> list[CodexEvent]:
        if self.head is not None or (head := head_of(line)) is None:
            return []
        self.head = head
        self.thread_id = self.thread_id or head.thread_id
        if not head.parent_id:
            return []
        return [self._event(EventKind.THREAD_STARTED, {"parent_id": head.parent_id})]

    def _context(self, line: Line) -> list[CodexEvent]:
        before, self._model = self._model, text(line.payload.get("model")) or self._model
        if self._turn is not None:
            self._turn.cwd = text(line.payload.get("cwd"))
        if not before or before == self._model:
            return []
        return [self._event(EventKind.MODEL, {"model": self._model}, self.turn_id)]

    def _message(self, line: Line) -> list[CodexEvent]:
        kind = line.kind
        if kind in items.ENDS:
            return self._ended(items.ended(kind, line.payload), line.payload, "call_id")
        read = self._events.get(kind)
        if read is None:
            return [] if kind in _SILENT_EVENTS else [self._unknown(line)]
        return read(line.payload)

    def _response(self, line: Line) -> list[CodexEvent]:
        kind, payload = line.kind, line.payload
        if kind in calls.CALLS:
            return self._call(payload)
        if kind in calls.OUTPUTS:
            return self._output(payload)
        return []

    def _started(self, payload: Payload) -> list[CodexEvent]:
        turn_id = text(payload.get("turn_id")) or f"turn-{self._at}"
        if turn_id == self.turn_id:
            return []
        told = []
        if self._turn is not None:
            cut = {"status": TurnStatus.INTERRUPTED.value, "error": "", "completed_at": None}
            told.append(self._event(EventKind.TURN_COMPLETED, cut, self._turn.id))
        self._turn = OpenTurn(turn_id)
        data = {"started_at": moment(payload.get("started_at")) or self._at}
        return [*told, self._event(EventKind.TURN_STARTED, data, turn_id)]

    def _complete(self, payload: Payload) -> list[CodexEvent]:
        turn = self._turn
        error = _error_text(payload.get("error")) or (turn.error if turn else "")
        if not error and turn and self._untold_failure(turn, payload):
            error = _UNTOLD
        status = TurnStatus.FAILED if error else TurnStatus.COMPLETED
        # 0.163 tells the kind of an error here alone, others in a line before.
        limited = limits.is_usage_limit(payload.get("error")) or bool(turn and turn.limited)
        return self._over(payload, status, error, limited=limited)

    def _aborted(self, payload: Payload) -> list[CodexEvent]:
        told = []
        turn = self._turn
        if turn and text(payload.get("turn_id")) in ("", turn.id):
            told = [
                self._event(EventKind.ITEM_COMPLETED, calls.cut(call), turn.id, call_id)
                for call_id, call in turn.calls.items()
            ]
        return [*told, *self._over(payload, TurnStatus.INTERRUPTED, "")]

    def _over(
        self, payload: Payload, status: TurnStatus, error: str, *, limited: bool = False
    ) -> list[CodexEvent]:
        turn_id = text(payload.get("turn_id")) or self.turn_id
        if turn_id == self.turn_id:
            self._turn = None
        data = {
            "status": status.value,
            "error": error,
            "completed_at": moment(payload.get("completed_at")) or self._at,
            "usage_limit": limited,
        }
        return [self._event(EventKind.TURN_COMPLETED, data, turn_id)]

    @staticmethod
    def _untold_failure(turn: OpenTurn, payload: Payload) -> bool:
        # 0.120 ends a failed turn like any other (and later versions write ``started_at`` here):
        # no words, and no usage since the model was last told something.
        old = "started_at" not in payload
        return old and not payload.get("last_agent_message") and not turn.heard

    def _item(self, payload: Payload) -> list[CodexEvent]:
        raw = payload["item"]
        return self._ended(items.item(raw), {**payload, "id": raw.get("id")}, "id")

    def _item_begun(self, payload: Payload) -> list[CodexEvent]:
        raw = payload["item"]
        turn_id = text(payload.get("turn_id")) or self.turn_id
        return [self._event(EventKind.ITEM_STARTED, items.item(raw), turn_id, text(raw.get("id")))]

    def _user(self, payload: Payload) -> list[CodexEvent]:
        return self._ended(items.user_message(payload), payload, "")

    def _agent(self, payload: Payload) -> list[CodexEvent]:
        data = {"type": "agent_message", "text": text(payload.get("message"))}
        return self._ended(data, payload, "")

    def _compacted(self, payload: Payload) -> list[CodexEvent]:
        return self._ended({"type": "other", "name": "contextCompaction", "raw": {}}, payload, "")

    def _reasoned(self, payload: Payload) -> list[CodexEvent]:
        """Older formats tell each part of one piece of reasoning by an event of its own."""
        turn, said = self._turn, text(payload.get("text"))
        if turn is None or turn.thought is None:
            told = self._ended({"type": "reasoning", "text": said}, payload, "")
            if turn is not None:
                turn.thought = (told[0].item_id, said)
            return told
        item_id, before = turn.thought
        turn.thought = (item_id, f"{before}\n\n{said}")
        data = {"type": "reasoning", "text": turn.thought[1]}
        return [self._event(EventKind.ITEM_COMPLETED, data, turn.id, item_id)]

    def _ended(self, data: Data, payload: Payload, key: str) -> list[CodexEvent]:
        """Tell an item's end; ``key`` is where the payload keeps the item's id, if anywhere."""
        turn, item_id = self._turn, text(payload.get(key))
        turn_id = text(payload.get("turn_id")) or self.turn_id
        if not item_id:
            # Named as app-server names it in its own history of such a thread.
            self._made += 1
            item_id = f"item-{self._made}"
        if turn is not None and turn_id == turn.id:
            turn.done.add(item_id)
            turn.calls.pop(item_id, None)
            turn.thought = None
            if data["type"] in _WORDS:
                turn.heard = data["type"] == "agent_message"
        return [self._event(EventKind.ITEM_COMPLETED, data, turn_id, item_id)]

    def _call(self, payload: Payload) -> list[CodexEvent]:
        turn = self._turn
        if turn is None:
            return []
        call = calls.begun(payload, turn.cwd)
        turn.calls[call.id] = call
        turn.heard = True
        turn.thought = None
        if call.tool == calls.PLAN_TOOL:
            plan = {"steps": calls.steps(call.arguments)}
            return [self._event(EventKind.PLAN, plan, turn.id)]
        if call.tool == calls.STDIN_TOOL:
            return []
        return [self._event(EventKind.ITEM_STARTED, call.data, turn.id, call.id)]

    def _output(self, payload: Payload) -> list[CodexEvent]:
        turn = self._turn
        call = turn.calls.pop(text(payload.get("call_id")), None) if turn else None
        if turn is None or call is None:
            return []
        turn.heard = False
        if call.tool == calls.PLAN_TOOL:
            return []
        turn_id = turn.id
        if call.tool == calls.STDIN_TOOL:
            turn_id, call = self._sessions.pop(call.session, (turn_id, call))
            if call.tool == calls.STDIN_TOOL:
                return []
        outcome = calls.answered(call, payload.get("output"))
        if outcome.session:
            self._sessions[outcome.session] = (turn_id, outcome.call)
            kind = EventKind.ITEM_STARTED
        else:
            kind = EventKind.ITEM_COMPLETED
            turn.done.add(call.id)
        return [self._event(kind, outcome.call.data, turn_id, call.id)]

    def _tokens(self, payload: Payload) -> list[CodexEvent]:
        told = []
        usage = tokens.usage(payload)
        if usage and usage != self._usage:
            self._usage = usage
            if self._turn is not None:
                self._turn.heard = True
            told.append(self._event(EventKind.USAGE, usage, self.turn_id))
        account = tokens.limits(payload)
        if account and account != self._limits:
            self._limits = account
            raw = {"rateLimits": bounded(account)}
            told.append(self._event(EventKind.RATE_LIMITS, {"raw": raw}))
        return told

    def _error(self, payload: Payload) -> list[CodexEvent]:
        message = _error_text(payload)
        limited = limits.is_usage_limit(payload)
        if self._turn is not None:
            self._turn.error, self._turn.limited = message, limited
        data = {"message": message, "will_retry": False, "usage_limit": limited}
        return [self._event(EventKind.ERROR, data, self.turn_id)]

    def _stream_error(self, payload: Payload) -> list[CodexEvent]:
        data = {"message": _error_text(payload), "will_retry": True}
        return [self._event(EventKind.ERROR, data, self.turn_id)]

    def _warning(self, payload: Payload) -> list[CodexEvent]:
        data = {"message": text(payload.get("message"))}
        return [self._event(EventKind.WARNING, data, self.turn_id)]

    def _rolled_back(self, payload: Payload) -> list[CodexEvent]:
        # What was said stays said: a turn that is taken back has still been consumed.
        turns = count(payload["num_turns"], "turn")
        said = f"The model's memory of the last {turns} was taken back."
        return [self._event(EventKind.WARNING, {"message": said})]

    def _unknown(self, line: Line) -> CodexEvent:
        method = f"{line.type}/{line.kind}" if line.kind else line.type
        turn_id = text(line.payload.get("turn_id")) or self.turn_id
        data = {"method": method, "params": bounded(line.payload)}
        return self._event(EventKind.UNKNOWN, data, turn_id)

    def _event(
        self, kind: EventKind, data: Data, turn_id: str = "", item_id: str = ""
    ) -> CodexEvent:
        return CodexEvent(kind, self.thread_id, self._at, turn_id, item_id, data)


def _error_text(error: Any) -> str:
    if not isinstance(error, dict):
        return text(error)
    message = text(error.get("message"))
    details = text(error.get("additional_details"))
    return tail(f"{message} ({details})" if details else message, ERROR_LIMIT)


_SILENT_LINES = frozenset({"compacted", "world_state", "token_usage_record"})
_SILENT_EVENTS = frozenset(
    {"thread_settings_applied", "thread_name_updated", "agent_reasoning_raw_content"}
)
