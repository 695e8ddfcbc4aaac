"""Verbs that ask the daemon: what goes over the socket, and what comes back to the shell."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.db import actors, settings
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.records import MAX_BODY_BYTES
from netsky_runtime.settings import Settings
from netsky_runtime.states import ActorStatus
from tests.cli import world

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from tests.cli.conftest import FakeDaemon, Netsky, Seed

SENT = {"message_id": "m-1", "input_id": "i-1", "status": "queued"}
REPLY = {"id": "m-2", "body": "Done: see \x1b[31mREADME"}
ANSWERED = {**SENT, "status": "answered", "reason": "", "reply": REPLY}


def test_send_hands_the_words_to_the_daemon_and_prints_the_message_id(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["send"] = SENT
    ran = netsky("send", "manager0", "hello", "--mode", "steer")
    assert (ran.status, ran.out) == (0, "m-1\n")
    params = {"target": "manager0", "body": "hello", "mode": "steer", "source": "cli"}
    assert daemon.calls == [("send", params)]


def test_send_reads_standard_input_for_a_hyphen(
    netsky: Netsky, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stdin(monkeypatch, b"two\nlines\n")
    daemon.answers["send"] = SENT
    netsky("send", "manager0", "-")
    assert daemon.calls[0][1]["body"] == "two\nlines"


def test_standard_input_beyond_the_limit_is_refused_before_anything_is_sent(
    netsky: Netsky, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stdin(monkeypatch, b"x" * (MAX_BODY_BYTES + 2))
    ran = netsky("send", "manager0", "-")
    assert ran.status == 2
    assert "256 KiB" in ran.err
    assert daemon.calls == []


def test_standard_input_that_is_no_text_is_refused(
    netsky: Netsky, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    _stdin(monkeypatch, b"caf\xe9")
    ran = netsky("send", "manager0", "-")
    assert ran.status == 2
    assert "byte 3" in ran.err


def _stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_waiting_prints_the_reply_and_nothing_that_steers_a_terminal(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers |= {"send": SENT, "wait": ANSWERED}
    ran = netsky("send", "manager0", "hello", "--wait")
    assert (ran.status, ran.out) == (0, "Done: see ␛[31mREADME\n")


def test_waiting_with_json_prints_the_shape_that_scripts_rely_on(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers |= {"send": SENT, "wait": ANSWERED}
    ran = netsky("send", "manager0", "hello", "--wait", "--json")
    assert ran.data == {
        "message_id": "m-1",
        "input_id": "i-1",
        "status": "answered",
        "reply": REPLY,
    }
    assert ran.err == ""


def test_waiting_asks_again_until_the_input_is_settled(netsky: Netsky, daemon: FakeDaemon) -> None:
    states = iter(["queued", "handed", "seen"])

    def wait(_params: dict[str, Any]) -> dict[str, Any]:
        return {**SENT, "reply": None, "status": next(states)} if _more(states) else ANSWERED

    daemon.answers |= {"send": SENT, "wait": wait}
    assert netsky("send", "manager0", "hello", "--wait").status == 0
    asked = [method for method, _ in daemon.calls if method != "status"]
    assert asked == ["send", "wait", "wait", "wait", "wait"]


def _more(states: Any) -> bool:
    return states.__length_hint__() > 0


def test_waiting_in_vain_exits_6_and_still_says_where_the_message_is(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers |= {"send": SENT, "wait": {**SENT, "status": "seen", "reply": None}}
    ran = netsky("send", "manager0", "hello", "--wait", "--timeout", "0.01", "--json")
    assert ran.status == 6
    assert ran.data["status"] == "seen"
    assert ran.error["code"] == "timeout"
    assert "m-1" in ran.error["hint"]


def test_waiting_without_a_codex_says_so_once_and_goes_on(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    states = iter(["queued", "queued"])

    def wait(_params: dict[str, Any]) -> dict[str, Any]:
        return {**SENT, "reply": None, "status": next(states)} if _more(states) else ANSWERED

    runtime = {"name": "app_server", "codex_version": "", "notices": ["None was found."]}
    daemon.answers |= {"send": SENT, "wait": wait, "status": {"runtime": runtime}}
    ran = netsky("send", "manager0", "hello", "--wait", "--json")
    assert (ran.status, ran.data["status"]) == (0, "answered")
    assert ran.err == "The message waits: None was found.\n"
    assert [method for method, _ in daemon.calls][:3] == ["send", "status", "wait"]


def test_waiting_for_an_actor_that_is_parked_says_why(
    netsky: Netsky, daemon: FakeDaemon, seed: Seed
) -> None:
    async def parked(tx: Tx) -> None:
        await world.build(tx)
        await actors.set_status(
            tx, "manager0", ActorStatus.PARKED, reason="its thread is gone", now=world.NOW
        )

    seed(parked)
    daemon.answers |= {"send": SENT, "wait": ANSWERED}
    ran = netsky("send", "manager0", "hello", "--wait", "--json")
    assert ran.err == "The message waits: manager0 is blocked: parked: its thread is gone.\n"


def test_a_failed_turn_keeps_no_message_waiting(
    netsky: Netsky, daemon: FakeDaemon, seed: Seed
) -> None:
    async def failed(tx: Tx) -> None:
        await world.build(tx)
        await tx.execute("DELETE FROM approvals")
        await tx.execute("UPDATE turns SET status = 'failed'")

    seed(failed)
    daemon.answers |= {"send": SENT, "wait": ANSWERED}
    assert netsky("actors", "show", "worker1", "--json").data["health"] == "unhealthy"
    assert netsky("send", "worker1", "hello", "--wait", "--json").err == ""


@pytest.mark.parametrize("status", ["failed", "interrupted", "cancelled", "uncertain"])
def test_waiting_for_an_input_that_got_no_answer_exits_1(
    netsky: Netsky, daemon: FakeDaemon, status: str
) -> None:
    settled = {**SENT, "status": status, "reply": None, "reason": "the model said no"}
    daemon.answers |= {"send": SENT, "wait": settled}
    ran = netsky("send", "manager0", "hello", "--wait", "--json")
    assert ran.status == 1
    assert ran.data["status"] == status
    assert ran.error["hint"]


def test_the_reason_of_a_failure_is_told(netsky: Netsky, daemon: FakeDaemon) -> None:
    failed = {**SENT, "status": "failed", "reply": None, "reason": "the model said no"}
    daemon.answers |= {"send": SENT, "wait": failed}
    assert "the model said no" in netsky("send", "manager0", "hello", "--wait").err


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf"])
def test_a_timeout_that_is_no_time_is_a_usage_error(
    netsky: Netsky, daemon: FakeDaemon, timeout: str
) -> None:
    assert netsky("send", "manager0", "hello", "--wait", "--timeout", timeout).status == 2
    assert daemon.calls == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("There is no actor 'nobody'.", hint="`netsky actors list`."), 3),
        (UsageError("The body is empty."), 2),
        (Conflict("worker1 is stopped."), 1),
    ],
)
def test_what_the_daemon_refuses_is_told_with_its_exit_status(
    netsky: Netsky, daemon: FakeDaemon, error: Any, status: int
) -> None:
    daemon.answers["send"] = error
    ran = netsky("send", "nobody", "hello")
    assert (ran.status, ran.out) == (status, "")
    assert ran.err.startswith(f"error: {error.message}\n")
    assert not error.hint or f"hint: {error.hint}\n" in ran.err


VERBS: list[tuple[list[str], str, dict[str, Any], dict[str, Any], str]] = [
    (
        ["actors", "start-manager", "Docs", "--name", "manager7"],
        "actors.start_manager",
        {"objective": "Docs", "name": "manager7"},
        {"actor_id": "manager7"},
        "manager7\n",
    ),
    (
        ["actors", "start-worker", "Fix it", "Now", "--priority", "P0", "--depends-on", "t1"],
        "actors.start_worker",
        {"title": "Fix it", "body": "Now", "priority": "P0", "depends_on": ["t1"]},
        {"actor_id": None, "task_id": "t2", "status": "blocked"},
        "no worker yet t2 blocked\n",
    ),
    (
        ["actors", "start-worker", "--task", "t4", "--estimate-minutes", "5"],
        "actors.start_worker",
        {"title": "", "body": "", "task_id": "t4", "estimate_minutes": 5},
        {"actor_id": "worker1", "task_id": "t4", "status": "in_progress"},
        "worker1 t4 in_progress\n",
    ),
    (["actors", "stop", "worker1"], "actors.stop", {"actor_id": "worker1"}, {}, ""),
    (
        ["actors", "interrupt", "worker1"],
        "actors.interrupt",
        {"actor_id": "worker1"},
        {"turn_id": "turn-1"},
        "worker1: turn turn-1 interrupted\n",
    ),
    (["actors", "resume", "worker1"], "actors.resume", {"actor_id": "worker1"}, {}, ""),
    (
        ["tasks", "add", "Write", "--body", "It", "--priority", "P1", "--depends-on", "t1"],
        "tasks.add",
        {"title": "Write", "body": "It", "priority": "P1", "depends_on": ["t1"]},
        {"task_id": "t9"},
        "t9\n",
    ),
    (
        ["tasks", "set", "t9", "--status", "in_progress", "--note", "why"],
        "tasks.set",
        {"id": "t9", "status": "in_progress", "note": "why"},
        {},
        "",
    ),
    (["tasks", "depend", "t9", "t8"], "tasks.depend", {"id": "t9", "on": "t8"}, {}, ""),
    (["tasks", "done", "t9"], "tasks.done", {"id": "t9"}, {}, ""),
    (["tasks", "cancel", "t9"], "tasks.cancel", {"id": "t9"}, {}, ""),
    (
        ["inputs", "cancel", "i-1"],
        "inputs.cancel",
        {"input_id": "i-1"},
        {"status": "cancelled"},
        "i-1 cancelled\n",
    ),
    (
        ["inputs", "resolve", "i-1", "resend"],
        "inputs.resolve",
        {"input_id": "i-1", "action": "resend"},
        {"status": "queued"},
        "i-1 queued\n",
    ),
    (
        ["approvals", "decide", "a1", "accept-for-session"],
        "approvals.decide",
        {"id": "a1", "decision": "accept_for_session"},
        {"id": "a1", "status": "accepted_for_session"},
        "a1 accepted_for_session\n",
    ),
    (
        ["approvals", "decide", "a1", "accept", "--answer", '{"q": ["yes"]}'],
        "approvals.decide",
        {"id": "a1", "decision": "accept", "answer": {"q": ["yes"]}},
        {"id": "a1", "status": "answered"},
        "a1 answered\n",
    ),
    (
        ["notes", "add", "Because", "--task", "t1"],
        "notes.add",
        {"body": "Because", "task_id": "t1"},
        {"note_id": "n1"},
        "n1\n",
    ),
    (
        ["settings", "set", "model", "gpt-x"],
        "settings.set",
        {"key": "model", "value": "gpt-x"},
        {},
        "",
    ),
]


NARRATED = {
    "actors.stop": "worker1 is stopped; `netsky actors resume worker1` brings it back\n",
    "actors.resume": "worker1 goes on\n",
}


@pytest.mark.parametrize(("line", "method", "params", "answer", "printed"), VERBS)
def test_a_verb_asks_exactly_what_was_typed(
    netsky: Netsky,
    daemon: FakeDaemon,
    line: list[str],
    method: str,
    params: dict[str, Any],
    answer: dict[str, Any],
    printed: str,
) -> None:
    daemon.answers[method] = answer
    ran = netsky(*line)
    assert (ran.status, ran.out, ran.err) == (0, printed, NARRATED.get(method, ""))
    assert daemon.calls == [(method, params)]


@pytest.mark.parametrize("line", [verb[0] for verb in VERBS])
def test_what_a_verb_asks_has_the_shape_the_daemon_wants(
    netsky: Netsky, daemon: FakeDaemon, line: list[str]
) -> None:
    from netsky_runtime.control import protocol

    daemon.answers = _Anything()
    netsky(*line)
    method, params = daemon.calls[0]
    protocol.parse(method, params)


class _Anything(dict[str, Any]):
    def __missing__(self, _method: str) -> Any:
        return NotFound("Not here.")


def test_a_codex_that_a_stop_has_left_is_told_with_what_to_do(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["actors.stop"] = {"left": "somebody looks at its screen"}

    ran = netsky("actors", "stop", "worker1")

    assert (ran.status, ran.out) == (0, "")
    assert "somebody looks at its screen. Stop worker1 again to end it.\n" in ran.err


def test_a_relative_folder_is_told_from_where_the_operator_stands(
    netsky: Netsky, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon.answers["actors.start_worker"] = {"actor_id": "w", "task_id": "t", "status": "open"}
    netsky("actors", "start-worker", "Fix", "--cwd", "sub")
    assert daemon.calls[0][1]["cwd"] == str(tmp_path / "sub")


@pytest.mark.parametrize(
    "line",
    [
        ["approvals", "decide", "a1", "perhaps"],
        ["approvals", "decide", "a1", "accept", "--answer", "{"],
        ["approvals", "decide", "a1", "accept", "--answer", "[1]"],
        ["actors", "start-worker"],
        ["tasks", "set", "t1"],
        ["tasks", "set", "t1", "--status", "finished"],
        ["inputs", "resolve", "i-1", "pray"],
        ["settings", "set", "sandbox", "none"],
    ],
)
def test_a_wrong_word_is_refused_before_the_daemon_hears_of_it(
    netsky: Netsky, daemon: FakeDaemon, line: list[str]
) -> None:
    ran = netsky(*line)
    assert (ran.status, daemon.calls) == (2, [])


@pytest.mark.parametrize("key", sorted(Settings.model_fields))
def test_an_empty_value_takes_the_default_again(netsky: Netsky, seed: Seed, key: str) -> None:
    async def store(tx: Tx) -> None:
        value = str(Settings.model_fields[key].default) or "something"
        await settings.set_(tx, key, value, now=world.NOW)

    seed(store)
    assert netsky("settings", "set", key, "").status == 0
    (row,) = [row for row in netsky("settings", "list", "--json").data if row["key"] == key]
    assert (row["value"], row["origin"]) == (row["default"], "default")


def test_a_value_that_is_not_valid_is_refused_with_the_way_out(netsky: Netsky) -> None:
    ran = netsky("settings", "set", "sandbox", "none")
    assert "'read-only', 'workspace-write' or 'danger-full-access'" in ran.err
    assert 'hint: Give a valid one; `netsky settings set sandbox ""`' in ran.err


def test_an_unknown_setting_is_not_found(netsky: Netsky, daemon: FakeDaemon) -> None:
    assert netsky("settings", "set", "nonsense", "1").status == 3
    assert netsky("settings", "get", "nonsense").status == 3


@pytest.mark.parametrize(
    "line",
    [
        ["send", "manager0", "hello", "--wait"],
        ["approvals", "decide", "a1", "accept"],
        ["actors", "interrupt", "worker1"],
        ["actors", "stop", "worker1"],
        ["actors", "resume", "worker1"],
        ["actors", "start-manager", "Docs"],
        ["actors", "start-worker", "Fix"],
    ],
)
def test_verbs_that_need_threads_exit_4_without_a_daemon_and_leave_nothing(
    netsky: Netsky, home: Any, line: list[str]
) -> None:
    ran = netsky(*line, "--json")
    assert (ran.status, ran.out) == (4, "")
    assert ran.error["code"] == "no_daemon"
    assert "netsky --no-tui" in ran.error["hint"]
    assert not home.root.exists()


def test_a_stop_with_nothing_to_stop_is_not_told_to_start_something(
    netsky: Netsky, home: Any
) -> None:
    ran = netsky("stop", "--json")
    assert (ran.status, ran.out, ran.error["code"]) == (4, "", "no_daemon")
    assert "Nothing is left to stop" in ran.error["hint"]
    assert not home.root.exists()


def test_a_message_can_let_a_parked_actor_go_on(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers |= {"send": SENT}
    assert netsky("send", "manager0", "hello", "--resume").status == 0
    ((_, params),) = daemon.calls
    assert params["resume"] is True
