from __future__ import annotations

from typing import Any

import pytest

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.approvals import answer, available, requested
from netsky_runtime.codex.base import Decision, ToolResult
from netsky_runtime.errors import UsageError
from netsky_runtime.states import DecisionWord
from tests.codex.recorded import VERSIONS, notifications, requests

ACCEPT, SESSION, DECLINE, CANCEL = DecisionWord
NEW, OLD = (0, 169, 0), (0, 120, 0)


def said(method: str, params: dict[str, Any], word: DecisionWord, **more: Any) -> Any:
    version = more.pop("version", NEW)
    return answer(method, params, Decision(word=word, **more), version=version).result


@pytest.mark.parametrize("version", VERSIONS)
def test_a_command_question_has_all_it_takes_to_decide(version: str) -> None:
    [asked] = requests(version, "command approval accepted")

    event = requested(str(asked["id"]), asked["method"], asked["params"], at=5)

    assert event.data["request_id"] == "0"
    assert event.data["kind"] == "command"
    assert "touch /home/operator/project/a" in event.data["command"]
    assert event.data["cwd"] == "/home/operator/project"
    assert event.data["reason"] == "needs to write outside the workspace"
    assert set(event.data["available_decisions"]) >= {"accept", "decline", "cancel"}
    assert event.data["raw"] == asked["params"]
    assert event.thread_id
    assert event.turn_id
    assert event.item_id


@pytest.mark.parametrize("version", VERSIONS)
def test_a_patch_question_gets_the_patch_of_its_item(version: str) -> None:
    mark = "file change approval accepted"
    [asked] = requests(version, mark)
    [changes] = [
        m["params"]["item"]["changes"]
        for m in notifications(version, mark)
        if m["method"] == "item/started" and m["params"]["item"]["id"] == asked["params"]["itemId"]
    ]

    event = requested("2", asked["method"], asked["params"], at=5, changes=changes)

    assert event.data["kind"] == "file_change"
    assert "+hello from patch\n" in event.data["patch"]
    assert "+++ /home/operator/project/hello.txt\n" in event.data["patch"]


@pytest.mark.parametrize(
    ("word", "wire"),
    [(ACCEPT, "accept"), (SESSION, "acceptForSession"), (DECLINE, "decline"), (CANCEL, "cancel")],
)
@pytest.mark.parametrize("method", [approvals.COMMAND, approvals.FILE_CHANGE])
def test_a_decision_is_one_word(method: str, word: DecisionWord, wire: str) -> None:
    assert said(method, {}, word) == {"decision": wire}


@pytest.mark.parametrize(
    ("word", "version", "wire"),
    [
        (ACCEPT, OLD, "approved"),
        (SESSION, OLD, "approved_for_session"),
        (DECLINE, OLD, "denied"),
        (DECLINE, NEW, {"denied": {"rejection": "declined by the operator"}}),
        (CANCEL, NEW, "abort"),
    ],
)
@pytest.mark.parametrize("method", [approvals.OLD_COMMAND, approvals.OLD_PATCH])
def test_the_older_questions_have_older_words(
    method: str, word: DecisionWord, version: tuple[int, ...], wire: object
) -> None:
    assert said(method, {}, word, version=version) == {"decision": wire}


def test_the_older_questions_are_read_too() -> None:
    command = {
        "conversationId": "t",
        "callId": "c",
        "command": ["bash", "-lc", "rm x"],
        "cwd": "/p",
    }
    patch = {
        "conversationId": "t",
        "callId": "c",
        "fileChanges": {
            "/p/a": {"type": "add", "content": "one\n"},
            "/p/b": {"type": "update", "unified_diff": "@@ -1 +1 @@\n-a\n+b\n"},
        },
    }

    run = requested("0", approvals.OLD_COMMAND, command, at=5)
    change = requested("1", approvals.OLD_PATCH, patch, at=5)

    assert (run.thread_id, run.item_id, run.data["command"]) == ("t", "c", "rm x")
    assert "+one\n" in change.data["patch"]
    assert "--- /p/b\n+++ /p/b\n@@ -1 +1 @@\n-a\n+b\n" in change.data["patch"]


def test_permissions_are_granted_as_asked_or_not_at_all() -> None:
    params = {"permissions": {"network": {"enabled": True}}, "threadId": "t", "turnId": "u"}

    assert said(approvals.PERMISSIONS, params, ACCEPT) == {
        "permissions": {"network": {"enabled": True}},
        "scope": "turn",
    }
    assert said(approvals.PERMISSIONS, params, SESSION)["scope"] == "session"
    assert said(approvals.PERMISSIONS, params, DECLINE)["permissions"] == {}
    cancelled = answer(approvals.PERMISSIONS, params, Decision(word=CANCEL))
    assert (cancelled.result["permissions"], cancelled.interrupt) == ({}, True)


QUESTIONS = {"questions": [{"id": "where", "question": "Where?"}, {"id": "when", "question": "?"}]}


@pytest.mark.parametrize(
    "given",
    [
        {"where": "here", "when": ["now", "later"]},
        {"answers": {"where": "here", "when": ["now", "later"]}},
        {"answers": {"where": {"answers": ["here"]}, "when": {"answers": ["now", "later"]}}},
    ],
    ids=["plain", "wrapped", "as Codex has it"],
)
def test_answers_to_questions_are_taken_in_every_plausible_form(given: dict[str, Any]) -> None:
    assert said(approvals.USER_INPUT, QUESTIONS, ACCEPT, answer=given) == {
        "answers": {"where": {"answers": ["here"]}, "when": {"answers": ["now", "later"]}}
    }


def test_a_question_without_its_answer_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="needs an answer for when"):
        said(approvals.USER_INPUT, QUESTIONS, ACCEPT, answer={"where": "here"})
    assert said(approvals.USER_INPUT, QUESTIONS, DECLINE) == {"answers": {}}
    assert answer(approvals.USER_INPUT, QUESTIONS, Decision(word=CANCEL)).interrupt


def test_a_form_is_filled_declined_or_cancelled() -> None:
    form = {"mode": "form", "requestedSchema": {"type": "object", "required": ["name"]}}

    filled = said(approvals.ELICITATION, form, ACCEPT, answer={"name": "x"})
    assert filled == {"action": "accept", "content": {"name": "x"}, "_meta": None}
    assert said(approvals.ELICITATION, form, DECLINE)["action"] == "decline"
    assert said(approvals.ELICITATION, form, CANCEL)["action"] == "cancel"
    with pytest.raises(UsageError, match="needs name"):
        said(approvals.ELICITATION, form, ACCEPT)


def test_a_form_can_be_accepted_for_the_session_only_where_it_offers_that() -> None:
    lasting = {"mode": "form", "message": "Allow?", "_meta": {"persist": ["session", "always"]}}

    assert SESSION in available(approvals.ELICITATION, lasting)
    assert said(approvals.ELICITATION, lasting, SESSION)["_meta"] == {"persist": "session"}
    assert SESSION not in available(approvals.ELICITATION, {"mode": "form"})


def test_what_codex_lists_is_what_can_be_said_and_declining_always_can() -> None:
    params = {"availableDecisions": ["accept", {"acceptWithExecpolicyAmendment": {}}, "cancel"]}

    assert available(approvals.COMMAND, params) == (ACCEPT, DECLINE, CANCEL)
    assert available(approvals.FILE_CHANGE, {}) == (ACCEPT, SESSION, DECLINE, CANCEL)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_tool_call_is_told_with_its_arguments(version: str) -> None:
    [asked] = requests(version, "dynamic tool call")

    event = approvals.tool_requested(asked["params"], at=5)

    assert (event.data["tool"], event.data["arguments"]) == ("start_worker", {"title": "fix bug"})
    assert event.data["call_id"] == event.item_id != ""
    assert approvals.tool_answer(ToolResult(text="no", success=False)) == {
        "contentItems": [{"type": "inputText", "text": "no"}],
        "success": False,
    }
