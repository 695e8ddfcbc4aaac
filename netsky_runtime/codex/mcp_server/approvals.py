"""Codex's elicitations as approval events, and a human's decision as the answer it expects.

Pure functions. An approval is an ``elicitation/create`` with members of Codex's own, and wants
``{"decision": …}``, not the result that MCP would have; seen on 0.120, 0.145 and 0.153.4. Why
Codex asks and which answers it lists is only in the event that comes before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex import answers, commands
from netsky_runtime.codex.events import CodexEvent, EventKind, well_formed
from netsky_runtime.codex.mcp_server import normalise
from netsky_runtime.codex.patches import unified
from netsky_runtime.codex.rollout import items
from netsky_runtime.states import ApprovalKind, DecisionWord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.codex.base import Decision
    from netsky_runtime.wire.peer import RequestId

METHOD: Final = "elicitation/create"

_KINDS = {"exec-approval": ApprovalKind.COMMAND, "patch-approval": ApprovalKind.FILE_CHANGE}
_WORDS = {
    DecisionWord.ACCEPT: "approved",
    DecisionWord.ACCEPT_FOR_SESSION: "approved_for_session",
    DecisionWord.DECLINE: "denied",
    DecisionWord.CANCEL: "abort",
}
_ACTIONS = {
    DecisionWord.ACCEPT: "accept",
    DecisionWord.DECLINE: "decline",
    DecisionWord.CANCEL: "cancel",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """An elicitation that is held until somebody answers it."""

    id: RequestId
    params: Mapping[str, Any]
    announced: Mapping[str, Any]
    """The event that came before it; empty when none did."""

    @property
    def kind(self) -> ApprovalKind:
        """What is asked for; what is not one of Codex's own approvals is an elicitation."""
        return _KINDS.get(str(self.params.get("codex_elicitation")), ApprovalKind.ELICITATION)

    @property
    def turn_id(self) -> str:
        """The turn it holds."""
        return str(self.announced.get("turn_id") or self.params.get("codex_event_id") or "")

    @property
    def item_id(self) -> str:
        """The command or patch it is about."""
        return call_of(self.params)

    @property
    def questions(self) -> list[Any]:
        """What an elicitation wants to know."""
        if self.kind is not ApprovalKind.ELICITATION:
            return []
        question = {
            "id": "content",
            "header": "",
            "question": str(self.params.get("message") or ""),
            "schema": self.params.get("requestedSchema"),
            "url": self.params.get("url"),
        }
        return [question]

    @property
    def available(self) -> tuple[DecisionWord, ...]:
        """What a human can say. Declining is always taken, also when Codex does not list it."""
        if self.kind is ApprovalKind.ELICITATION:
            return tuple(_ACTIONS)
        listed = self.announced.get("available_decisions")
        if not isinstance(listed, list):
            return tuple(DecisionWord)
        return tuple(w for w in DecisionWord if _WORDS[w] in listed or w is DecisionWord.DECLINE)


def thread_of(params: Mapping[str, Any]) -> str:
    """Return the thread that asks."""
    return str(params.get("threadId") or "")


def call_of(params: Mapping[str, Any]) -> str:
    """Return the call an approval is about."""
    return str(params.get("codex_call_id") or "")


def requested(question: Question, *, at: int) -> CodexEvent:
    """Return the ``APPROVAL_REQUESTED`` event of a held question. Raises ``UNREADABLE``."""
    params, announced = question.params, question.announced
    data = {
        "request_id": str(question.id),
        "method": METHOD,
        "kind": question.kind.value,
        "command": commands.shown(params.get("codex_command")),
        "cwd": items.path_of(params.get("codex_cwd")),
        "reason": _reason(question),
        "patch": unified(items.changes(params.get("codex_changes"))),
        "questions": question.questions,
        "available_decisions": [word.value for word in question.available],
        "raw": {**params, "event": dict(announced)} if announced else dict(params),
    }
    return well_formed(
        CodexEvent(
            EventKind.APPROVAL_REQUESTED,
            thread_of(params),
            at,
            question.turn_id,
            question.item_id,
            data,
        )
    )


def declined(question: Question, *, at: int) -> list[CodexEvent]:
    """Return the end of a command that was not run: of that Codex tells nothing here."""
    if question.announced.get("type") != normalise.COMMAND_ASKED:
        return []
    over = {"type": "exec_command_end", "status": "declined", "exit_code": None}
    told = {"id": question.turn_id, "msg": {**question.announced, **over}}
    return normalise.events(told, thread_of(question.params), at)


def answer(question: Question, decision: Decision) -> dict[str, Any]:
    """Return the reply that says this decision.

    Raises ``UsageError`` when the question needs content and the decision has none.
    """
    answers.check(
        kind=question.kind,
        questions=question.questions,
        raw=question.params,
        decision=decision,
    )
    if question.kind is not ApprovalKind.ELICITATION:
        return {"decision": _WORDS[decision.word]}
    # MCP knows no consent for a whole session: what is accepted is accepted once.
    action = _ACTIONS.get(decision.word, "accept")
    content = {"content": dict(decision.answer or {})} if action == "accept" else {}
    return {"action": action, **content}


def _reason(question: Question) -> str:
    said = question.announced.get("reason") or question.params.get("codex_reason")
    if not said and question.kind is ApprovalKind.ELICITATION:
        said = question.params.get("message")
    return str(said or "")
