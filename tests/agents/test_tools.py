"""The table of tools: plain schemas that agree with what is checked, and who has what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from netsky_runtime.agents import tools
from netsky_runtime.agents.authority import Role
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.states import Priority, TaskStatus

every_tool = pytest.mark.parametrize("tool", tools.TOOLS.values(), ids=lambda tool: tool.name)
PLAIN = {
    "type",
    "enum",
    "items",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "pattern",
    "description",
}
SAMPLES: dict[str, Any] = {"string": "x", "integer": 5, "array": ["t1"]}


def sample(schema: dict[str, Any]) -> Any:
    return schema["enum"][0] if "enum" in schema else SAMPLES[schema["type"]]


def test_the_table_is_the_one_agreed() -> None:
    shapes = {}
    for tool in tools.TOOLS.values():
        schema = tool.spec().schema
        shapes[tool.name] = [
            key if key in schema["required"] else f"{key}?" for key in schema["properties"]
        ]
    assert shapes == {
        "start_manager": ["name?", "objective"],
        "start_worker": [
            "title",
            "body",
            "task_id?",
            "cwd?",
            "model?",
            "priority?",
            "estimate_minutes?",
            "depends_on?",
        ],
        "list_tasks": [],
        "update_task": ["id", "status?", "priority?", "note?"],
        "send_message": ["to", "body"],
        "add_note": ["body", "task_id?"],
        "ask_owner": ["question"],
    }


def test_each_role_has_its_tools() -> None:
    names = {role: {spec.name for spec in tools.specs_for(role)} for role in Role}
    shared = {"list_tasks", "update_task", "send_message", "add_note", "ask_owner"}
    assert names == {
        Role.WORKER: shared,
        Role.MANAGER: shared | {"start_worker"},
        Role.MANAGER0: shared | {"start_worker", "start_manager"},
        Role.SIDECAR: set(),
    }


@every_tool
def test_schemas_are_plain_json(tool: tools.Tool) -> None:
    schema = tool.spec().schema
    assert set(schema) == {"type", "properties", "required", "additionalProperties"}
    assert "$ref" not in json.dumps(schema)
    assert "null" not in json.dumps(schema)
    for value in schema["properties"].values():
        assert set(value) <= PLAIN
        assert value["type"] in SAMPLES


@every_tool
def test_what_a_schema_allows_is_accepted_and_what_it_requires_is_needed(tool: tools.Tool) -> None:
    schema = tool.spec().schema
    full = {key: sample(value) for key, value in schema["properties"].items()}
    tool.arguments.model_validate(full)
    tool.arguments.model_validate({key: full[key] for key in schema["required"]})
    for key in schema["required"]:
        with pytest.raises(UsageError, match=key):
            tools.parse(
                Role.MANAGER0, tool.name, {other: full[other] for other in full if other != key}
            )
    with pytest.raises(UsageError, match="surprise"):
        tools.parse(Role.MANAGER0, tool.name, {**full, "surprise": 1})


def test_enumerations_are_those_of_the_records() -> None:
    properties = tools.TOOLS["update_task"].spec().schema["properties"]
    assert properties["status"]["enum"] == list(TaskStatus)
    assert properties["priority"]["enum"] == list(Priority)


def test_limits_stand_in_the_schema_as_they_are_checked() -> None:
    title = tools.TOOLS["start_worker"].spec().schema["properties"]["title"]
    body = {"body": "b"}
    tools.parse(Role.MANAGER, "start_worker", {"title": "x" * title["maxLength"], **body})
    with pytest.raises(UsageError, match="title"):
        tools.parse(Role.MANAGER, "start_worker", {"title": "x" * (title["maxLength"] + 1), **body})


def test_null_means_left_out() -> None:
    parsed = tools.parse(
        Role.MANAGER,
        "start_worker",
        {"title": " t ", "body": "b", "task_id": None, "depends_on": None, "priority": None},
    )
    assert parsed == tools.StartWorker(title="t", body="b")


def test_every_bad_argument_is_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        tools.parse(Role.MANAGER, "start_worker", {"title": "  ", "priority": "P9"})
    text = str(caught.value)
    assert all(word in text for word in ("title:", "body:", "priority:", "It takes: title, body"))


@pytest.mark.parametrize("arguments", [None, "words", [1], 7])
def test_arguments_that_are_no_object_are_refused_in_a_sentence(arguments: object) -> None:
    with pytest.raises(UsageError, match="add_note was called with wrong arguments"):
        tools.parse(Role.WORKER, "add_note", arguments)


@pytest.mark.parametrize("name", ["start_worker", "rm_rf", ""])
def test_a_tool_that_a_role_has_not_is_refused_with_those_it_has(name: str) -> None:
    with pytest.raises(NotFound, match="You have: list_tasks, update_task, send_message"):
        tools.parse(Role.WORKER, name, {})
