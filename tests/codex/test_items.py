from __future__ import annotations

import pytest

from netsky_runtime.codex.app_server.items import item, message_text, patch
from netsky_runtime.codex.bounds import OUTPUT_LIMIT, PATCH_LIMIT, bounded, head, tail


def test_a_command_keeps_the_tail_of_its_output_within_the_limit() -> None:
    raw = {
        "type": "commandExecution",
        "id": "c1",
        "command": "make",
        "cwd": "/home/operator/project",
        "status": "inProgress",
        "aggregatedOutput": "a" * OUTPUT_LIMIT + "é" * 10,
        "exitCode": 2,
        "durationMs": 7,
    }

    data = item(raw)

    assert data["status"] == "in_progress"
    assert (data["exit_code"], data["duration_ms"]) == (2, 7)
    assert data["output"].endswith("é" * 10)
    assert len(data["output"].encode()) == OUTPUT_LIMIT


@pytest.mark.parametrize(
    "text",
    ["", "short", "é" * OUTPUT_LIMIT, "🙂" * OUTPUT_LIMIT, "\ud800" * 9000],
)
def test_a_tail_is_never_over_the_limit_and_is_whole_characters(text: str) -> None:
    kept = tail(text)

    assert len(kept.encode("utf-8", "replace")) <= OUTPUT_LIMIT
    assert kept.replace("?", "") in text


def test_a_text_that_fits_is_its_own_tail_and_head() -> None:
    text = "x" * OUTPUT_LIMIT

    assert tail(text) is text
    assert head(text) is text


def test_a_cut_diff_says_how_much_is_missing() -> None:
    raw = {
        "type": "fileChange",
        "changes": [{"path": "big", "kind": {"type": "add"}, "diff": "y" * (PATCH_LIMIT + 5)}],
    }

    assert "[netsky: 5 more characters are not shown]" in item(raw)["changes"][0]["diff"]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (
            {"path": "/p/new", "kind": {"type": "add"}, "diff": "one\ntwo\n"},
            "--- /dev/null\n+++ /p/new\n@@ -0,0 +1,2 @@\n+one\n+two\n",
        ),
        (
            {"path": "/p/old", "kind": {"type": "delete"}, "diff": "one\n"},
            "--- /p/old\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-one\n",
        ),
        (
            {
                "path": "/p/f",
                "kind": {"type": "update", "move_path": None},
                "diff": "@@ -1 +1 @@\n-a\n+b",
            },
            "--- /p/f\n+++ /p/f\n@@ -1 +1 @@\n-a\n+b\n",
        ),
        (
            {
                "path": "/p/f",
                "kind": {"type": "update", "move_path": "/p/g"},
                "diff": "@@ -1 +1 @@\n-a\n+b\n",
            },
            "--- /p/f\n+++ /p/g\n@@ -1 +1 @@\n-a\n+b\n",
        ),
        (
            {"path": "/p/f", "kind": "update", "diff": "--- /p/f\n+++ /p/f\n@@ -1 +1 @@\n-a\n+b\n"},
            "--- /p/f\n+++ /p/f\n@@ -1 +1 @@\n-a\n+b\n",
        ),
        (
            {"path": "/p/list", "kind": {"type": "add"}, "diff": "--- a yaml document\n"},
            "--- /dev/null\n+++ /p/list\n@@ -0,0 +1,1 @@\n+--- a yaml document\n",
        ),
    ],
    ids=["add", "delete", "update", "move", "already whole", "content posing as a patch"],
)
def test_changes_read_as_one_unified_patch(change: dict[str, object], wanted: str) -> None:
    assert patch([change]) == wanted


def test_a_user_message_of_several_parts_names_what_is_no_text() -> None:
    content = [{"type": "text", "text": "look"}, {"type": "localImage", "path": "/p/i.png"}]

    assert message_text(content) == "look\n[localImage]"
    assert message_text(None) == ""


def test_a_tool_calls_result_is_its_text() -> None:
    raw = {
        "type": "dynamicToolCall",
        "tool": "start_worker",
        "arguments": {"title": "x"},
        "status": "completed",
        "contentItems": [{"type": "inputText", "text": "worker1"}, {"type": "inputImage"}],
        "success": True,
    }

    data = item(raw)

    assert (data["type"], data["tool"], data["success"]) == ("tool_call", "start_worker", True)
    assert data["result"] == "worker1\n[inputImage]"


def test_an_item_nobody_knows_is_kept_raw_with_long_strings_cut() -> None:
    data = item(
        {"type": "imageGeneration", "id": "i", "result": "z" * 100_000, "more": [1, {"a": None}]}
    )

    assert (data["type"], data["name"]) == ("other", "imageGeneration")
    assert len(data["raw"]["result"]) < OUTPUT_LIMIT + 100
    assert data["raw"]["more"] == [1, {"a": None}]


def test_a_raw_value_that_never_ends_is_cut_in_depth() -> None:
    deep: object = "bottom"
    for _ in range(100):
        deep = {"in": deep}

    kept, depth = bounded(deep), 0
    while isinstance(kept, dict):
        kept, depth = kept["in"], depth + 1

    assert (kept, depth) == (None, 8)


@pytest.mark.parametrize(
    "kind",
    [
        "userMessage",
        "agentMessage",
        "reasoning",
        "commandExecution",
        "fileChange",
        "dynamicToolCall",
        "mcpToolCall",
        "webSearch",
        "plan",
        "",
        "somethingNew",
    ],
)
def test_an_item_with_nothing_but_its_type_is_no_error(kind: str) -> None:
    assert item({"type": kind})["type"]
