from __future__ import annotations

from typing import Any

import pytest

from netsky_runtime.clock import iso
from netsky_runtime.control import protocol
from netsky_runtime.control.vocabulary import error_from_wire, error_to_wire
from netsky_runtime.errors import BY_CODE, NetskyError, NotFound, UsageError
from netsky_runtime.states import DecisionWord, InputMode, Priority, Source, TaskStatus


def test_every_verb_has_a_shape_and_words_become_enums() -> None:
    sent = protocol.parse("send", {"target": "manager0", "body": "hi", "mode": "steer"})
    assert sent == protocol.Send(target="manager0", body="hi", mode=InputMode.STEER)
    assert sent.source is Source.CLI
    task = protocol.parse("tasks.set", {"id": "t1", "status": "done", "priority": "P0"})
    assert (task.status, task.priority, task.title) == (TaskStatus.DONE, Priority.P0, None)
    decided = protocol.parse("approvals.decide", {"id": "a1", "decision": "accept"})
    assert decided.decision is DecisionWord.ACCEPT
    worker = protocol.parse("actors.start_worker", {"title": "x", "depends_on": ["t1", "t2"]})
    assert worker.depends_on == ("t1", "t2")
    assert protocol.parse("stop", {}) == protocol.Stop(keep_engine=False)
    assert protocol.parse("watch", {"actor_id": None}).actor_id is None


@pytest.mark.parametrize(
    ("method", "params", "told"),
    [
        ("send", {"target": "manager0"}, "send: body: Field required."),
        ("send", {"target": "", "body": "x"}, r"send: target: must not be empty\."),
        ("send", {"target": "a", "body": "x", "mode": "shout"}, "send: mode: .*'queue'"),
        ("send", {"target": "a", "body": "x", "colour": 1}, "send: colour: Extra inputs"),
        ("wait", {"input_id": "i", "timeout": -1}, "wait: timeout: .*greater than or equal to 0"),
        ("wait", {"input_id": "i", "timeout": float("nan")}, "wait: timeout: "),
        ("tasks.add", {"title": ""}, r"tasks\.add: title: must not be empty\."),
        ("tasks.add", {"title": "x", "priority": "P9"}, "tasks.add: priority: .*'P0'"),
        ("tasks.add", {"title": "x", "estimate_minutes": 0}, "tasks.add: estimate_minutes: "),
        ("inputs.resolve", {"input_id": "i", "action": "burn"}, "action: .*'resend' or 'drop'"),
        ("messages.read", {"ids": "m1"}, "messages.read: ids: "),
        ("messages.read", {"ids": ["m1", 2]}, "messages.read: ids.1: "),
        ("status", {"x": 1}, "status: x: Extra inputs"),
    ],
)
def test_a_request_of_the_wrong_shape_names_what_is_wrong(
    method: str, params: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        protocol.parse(method, params)


def test_an_unknown_request_is_named() -> None:
    with pytest.raises(NotFound, match=r"There is no request 'tasks\.eat'"):
        protocol.parse("tasks.eat", {})


@pytest.mark.parametrize("code", BY_CODE)
def test_errors_keep_class_code_message_and_hint_across_the_wire(code: str) -> None:
    error = BY_CODE[code]("What happened.", hint="What to do.")
    _, message, data = error_to_wire(error)
    back = error_from_wire(message, data)
    assert type(back) is type(error)
    assert (back.code, back.message, back.hint) == (code, "What happened.", "What to do.")


@pytest.mark.parametrize("data", [None, "text", {}, {"code": "from_the_future"}])
def test_an_error_of_an_unknown_kind_is_still_an_error(data: object) -> None:
    back = error_from_wire("Odd.", data)
    assert type(back) is NetskyError
    assert back.message == "Odd."
    assert back.code == ("from_the_future" if data == {"code": "from_the_future"} else "failed")


def test_times_are_read_as_utc_to_the_millisecond() -> None:
    assert iso(1_763_600_000_123) == "2025-11-20T00:53:20.123Z"
