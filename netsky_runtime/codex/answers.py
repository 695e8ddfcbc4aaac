"""Whether a decision carries the content its question asks for: one rule for desk and runtimes.

Pure. What passes here is not refused for its content when it is sent; so it can be asked before
a decision is stored, and again, from the same function, when Codex gets it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from netsky_runtime.errors import UsageError
from netsky_runtime.states import ApprovalKind, DecisionWord

if TYPE_CHECKING:
    from netsky_runtime.codex.base import Decision

_ACCEPTING = (DecisionWord.ACCEPT, DecisionWord.ACCEPT_FOR_SESSION)


def check(
    *, kind: ApprovalKind, questions: Sequence[Any], raw: Mapping[str, Any], decision: Decision
) -> None:
    """Raise ``UsageError``, naming what is missing, when the decision lacks what was asked for.

    ``questions`` and ``raw`` are those of the ``APPROVAL_REQUESTED`` event. Only an accepted
    question or form needs content.
    """
    if decision.word not in _ACCEPTING:
        return
    if kind is ApprovalKind.USER_INPUT:
        _check_questions(questions, decision.answer)
    elif kind is ApprovalKind.ELICITATION:
        _check_form(raw.get("requestedSchema"), decision.answer or {})


def given(questions: Sequence[Any], answer: Mapping[str, Any] | None) -> dict[str, list[str]]:
    """Return the answers by question id, out of every form that people and Codex write them in.

    Questions without an answer are left out.
    """
    ids = question_ids(questions)
    said: Mapping[str, Any] = answer or {}
    full = said.get("answers")
    if isinstance(full, Mapping) and "answers" not in ids:
        said = full
    return {name: _texts(said[name]) for name in ids if said.get(name) is not None}


def question_ids(questions: Sequence[Any]) -> tuple[str, ...]:
    """Return the ids that answers go by."""
    return tuple(str(q["id"]) for q in questions if isinstance(q, Mapping) and "id" in q)


def _check_questions(questions: Sequence[Any], answer: Mapping[str, Any] | None) -> None:
    have = given(questions, answer)
    missing = [name for name in question_ids(questions) if name not in have]
    if missing:
        msg = f"The question needs an answer for {', '.join(missing)}."
        example = json.dumps(dict.fromkeys(missing, "<answer>"), ensure_ascii=False)
        raise UsageError(msg, hint=f"Answer with a JSON object such as {example}.")


def _check_form(schema: Any, content: Mapping[str, Any]) -> None:
    if not isinstance(schema, Mapping):
        return
    required = schema.get("required")
    fields = schema.get("properties")
    missing = [
        _described(str(name), fields)
        for name in (required if isinstance(required, list | tuple) else ())
        if str(name) not in content
    ]
    if missing:
        msg = f"The form needs {', '.join(missing)}."
        raise UsageError(msg, hint="Answer with a JSON object that has these members.")


def _described(name: str, fields: Any) -> str:
    field = fields.get(name) if isinstance(fields, Mapping) else None
    if not isinstance(field, Mapping):
        return name
    choices = field.get("enum")
    if isinstance(choices, list | tuple) and choices:
        return f"{name} (one of {', '.join(map(str, choices))})"
    return f"{name} ({field['type']})" if isinstance(field.get("type"), str) else name


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        value = value.get("answers", [])
    return [str(part) for part in value] if isinstance(value, list | tuple) else [str(value)]
