from __future__ import annotations

from typing import Any

import pytest

from netsky_runtime.codex import answers
from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.base import Decision
from netsky_runtime.errors import UsageError
from netsky_runtime.states import ApprovalKind, DecisionWord

ACCEPT, SESSION, DECLINE, CANCEL = DecisionWord
ASKED: dict[str, Any] = {
    "questions": [{"id": "where", "question": "Where?"}, {"id": "when", "question": "When?"}]
}
FORM: dict[str, Any] = {
    "mode": "form",
    "requestedSchema": {
        "type": "object",
        "required": ["name", "colour"],
        "properties": {"name": {"type": "string"}, "colour": {"enum": ["red", "blue"]}},
    },
}


def refusal(method: str, params: dict[str, Any], decision: Decision) -> str:
    """Return what the desk would be told, having seen that sending says the same."""
    event = approvals.requested("1", method, params, at=5)
    told = []
    for attempt in (
        lambda: answers.check(
            kind=ApprovalKind(event.data["kind"]),
            questions=tuple(event.data["questions"]),
            raw=event.data["raw"],
            decision=decision,
        ),
        lambda: approvals.answer(method, params, decision),
    ):
        try:
            attempt()
        except UsageError as error:
            told.append(str(error))
        else:
            told.append("")
    assert told[0] == told[1]
    return told[0]


@pytest.mark.parametrize("given", [None, {}, {"elsewhere": "x"}, {"where": "here", "when": None}])
def test_a_question_left_open_is_named_before_anything_is_stored(given: Any) -> None:
    said = refusal(approvals.USER_INPUT, ASKED, Decision(word=ACCEPT, answer=given))

    assert "needs an answer for" in said
    assert '"when": "<answer>"' in said


@pytest.mark.parametrize(
    "given",
    [
        {"where": "here", "when": ["now", "later"]},
        {"answers": {"where": "here", "when": {"answers": ["now"]}}},
    ],
)
def test_what_passes_is_not_refused_later(given: Any) -> None:
    assert refusal(approvals.USER_INPUT, ASKED, Decision(word=ACCEPT, answer=given)) == ""


@pytest.mark.parametrize("word", [ACCEPT, SESSION])
def test_a_form_says_which_fields_it_needs_and_of_what_kind(word: DecisionWord) -> None:
    said = refusal(approvals.ELICITATION, FORM, Decision(word=word, answer={"age": 3}))

    assert "needs name (string), colour (one of red, blue)." in said
    full = Decision(word=word, answer={"name": "x", "colour": "red"})
    assert refusal(approvals.ELICITATION, FORM, full) == ""


@pytest.mark.parametrize("word", [DECLINE, CANCEL])
@pytest.mark.parametrize(
    ("method", "params"), [(approvals.USER_INPUT, ASKED), (approvals.ELICITATION, FORM)]
)
def test_saying_no_needs_no_content(
    method: str, params: dict[str, Any], word: DecisionWord
) -> None:
    assert refusal(method, params, Decision(word=word)) == ""


@pytest.mark.parametrize("method", [approvals.COMMAND, approvals.FILE_CHANGE, approvals.OLD_PATCH])
def test_what_asks_for_no_words_needs_none(method: str) -> None:
    assert refusal(method, {}, Decision(word=ACCEPT)) == ""


@pytest.mark.parametrize(
    "schema", [None, 5, [], {"required": 5}, {"required": [], "properties": 1}]
)
def test_a_form_of_no_known_shape_needs_nothing(schema: Any) -> None:
    params = {"mode": "form", "requestedSchema": schema}
    assert refusal(approvals.ELICITATION, params, Decision(word=ACCEPT, answer={"a": 1})) == ""
