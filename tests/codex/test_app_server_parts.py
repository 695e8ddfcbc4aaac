"""The small pure parts of the app-server runtime."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.app_server import failures
from netsky_runtime.codex.app_server.launch import differences, resume_params, start_params
from netsky_runtime.codex.app_server.stderr_log import StderrLog
from netsky_runtime.codex.base import (
    AnswerLost,
    InputRejected,
    LaunchSpec,
    NoActiveTurn,
    ThreadGone,
    ThreadUnavailable,
    ToolSpec,
)
from netsky_runtime.codex.binary import (
    CodexBinary,
    codex_home,
    find,
    version_in,
    version_of,
    version_tuple,
)
from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError, WireError
from tests.codex.recorded import VERSIONS, answers

if TYPE_CHECKING:
    from pathlib import Path

SPEC = LaunchSpec(
    cwd="/home/operator/project",
    instructions="You are worker1.",
    sandbox="read-only",
    approval_policy="on-request",
    config={"features": {"multi_agent": False}},
    tools=(ToolSpec(name="add_note", description="Add a note.", schema={"type": "object"}),),
)


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_the_named_codex_goes_before_the_one_on_path(tmp_path: Path) -> None:
    named = program(tmp_path / "named/codex", "")
    on_path = program(tmp_path / "bin/codex", "")
    environ = {"PATH": str(on_path.parent)}

    assert find(str(named), environ).path == str(named)
    assert find("", environ) == CodexBinary(path=str(on_path), origin="PATH")
    assert find(str(on_path), environ).origin == "the setting codex_bin"
    environ["NETSKY_CODEX_BIN"] = str(on_path)
    assert find(str(on_path), environ).origin == "NETSKY_CODEX_BIN"
    assert find("codex", environ).path == str(on_path)


def test_without_any_codex_the_hint_is_a_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(CodexMissing) as missing:
        find("", {"PATH": str(tmp_path)})

    assert f"{sys.executable} -m pip install openai-codex-cli-bin" in missing.value.hint


def test_the_package_is_found_when_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codex = program(tmp_path / "codex_cli_bin/bin/codex", "")
    (tmp_path / "codex_cli_bin/__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    found = find("", {"PATH": ""})

    assert (found.path, found.origin) == (str(codex), "the package openai-codex-cli-bin")


def test_a_named_codex_that_cannot_be_executed_is_named(tmp_path: Path) -> None:
    plain = tmp_path / "codex"
    plain.touch(mode=0o644)

    with pytest.raises(CodexMissing, match=str(plain)):
        find(str(plain), {"PATH": ""})


async def test_the_version_is_what_the_program_says(tmp_path: Path) -> None:
    codex = program(tmp_path / "codex", "echo codex-cli 0.163.0-alpha.2")

    said = await version_of(CodexBinary(path=str(codex), origin="test"), environ={})

    assert said == "0.163.0-alpha.2"
    assert version_tuple(said) == (0, 163, 0)


async def test_a_program_that_tells_no_version_is_no_codex(tmp_path: Path) -> None:
    other = program(tmp_path / "codex", "echo I am a teapot >&2")

    with pytest.raises(Unhealthy, match="I am a teapot"):
        await version_of(CodexBinary(path=str(other), origin="test"), environ={})


def test_the_packages_tools_come_last_on_path(tmp_path: Path) -> None:
    codex = program(tmp_path / "bin/codex", "")
    (tmp_path / "codex-path").mkdir()

    env = CodexBinary(path=str(codex), origin="test").environment({"PATH": "/usr/bin", "A": "1"})

    assert env == {"PATH": f"/usr/bin{os.pathsep}{tmp_path / 'codex-path'}", "A": "1"}


@pytest.mark.parametrize(
    ("text", "version"),
    [("codex-cli 0.120.0", "0.120.0"), ("0.163.0 (Debian 12.0.0)", "0.163.0"), ("none", "")],
)
def test_a_version_is_found_in_what_is_said(text: str, version: str) -> None:
    assert version_in(text) == version


def test_codex_home_is_named_or_under_home(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    assert codex_home({"CODEX_HOME": str(tmp_path / "link")}) == str(tmp_path)
    assert codex_home({"HOME": str(tmp_path)}) == str(tmp_path / ".codex")


@pytest.mark.parametrize(("version", "typed"), [((0, 120, 0), False), ((0, 145, 0), True)])
def test_a_tool_has_a_type_where_the_version_wants_one(
    version: tuple[int, ...], typed: bool
) -> None:
    [tool] = start_params(SPEC, version=version)["dynamicTools"]

    assert ("type" in tool) is typed
    assert (tool["name"], tool["inputSchema"]) == ("add_note", {"type": "object"})


def test_resuming_offers_no_tools_and_leaves_unset_things_to_codex() -> None:
    params = resume_params(SPEC)

    assert "dynamicTools" not in params
    assert "model" not in params
    assert params["config"] == {"features": {"multi_agent": False}}
    assert SPEC.config == {"features": {"multi_agent": False}}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_thread_that_came_back_the_same_has_no_differences(version: str) -> None:
    started = answers(version, "handshake")[-1]

    assert differences(SPEC, started) == ()


def test_what_codex_does_not_tell_is_no_difference() -> None:
    assert differences(SPEC, {}) == ()


def test_every_difference_is_a_sentence() -> None:
    answer: dict[str, Any] = {
        "model": "gpt-5.4",
        "reasoningEffort": "low",
        "sandbox": {"type": "workspaceWrite"},
        "approvalPolicy": {"granular": {}},
        "cwd": "/home/operator/elsewhere",
    }
    spec = LaunchSpec(
        cwd="/home/operator/project",
        instructions="",
        sandbox="read-only",
        approval_policy="never",
        model="gpt-6",
        effort="high",
    )

    assert differences(spec, answer) == (
        "Model is gpt-5.4, asked for was gpt-6.",
        "Reasoning effort is low, asked for was high.",
        "Sandbox is workspace-write, asked for was read-only.",
        "Approval policy is granular, asked for was never.",
        "Working folder is /home/operator/elsewhere, asked for was /home/operator/project.",
    )


DRAINING = RpcError(-32600, "Server is draining", {"reason": "serverShuttingDown"})
NO_THREAD = RpcError(-32600, "thread not found: 0199")
TOO_LARGE = RpcError(-32602, "Input exceeds the maximum", {"input_error_code": "input_too_large"})
NO_TURN = RpcError(-32600, "no active turn to steer")
STALE = RpcError(-32600, "expected active turn id `a` but found `b`")
INTERNAL = RpcError(-32603, "something broke inside")
NO_ROLLOUT = RpcError(-32600, "no rollout found for thread id 0199")
HELD = RpcError(-32600, "thread 0199 already has an active writer")
REMOVED = RpcError(-32600, "failed to resolve rollout path `/x/0199.jsonl`: file does not exist")
BUSY = RpcError(-32001, "Server overloaded; retry later.")
CUT = PeerClosed("It ended.", sent=True)
UNSENT = PeerClosed("It had ended.", sent=False)
SILENT = RequestTimedOut("Nobody answered.", sent=True)


@pytest.mark.parametrize(
    ("meaning", "error", "kind"),
    [
        (failures.submitting, TOO_LARGE, InputRejected),
        (failures.submitting, NO_THREAD, ThreadUnavailable),
        (failures.submitting, DRAINING, ThreadUnavailable),
        (failures.submitting, BUSY, ThreadUnavailable),
        (failures.submitting, UNSENT, ThreadUnavailable),
        (failures.submitting, INTERNAL, AnswerLost),
        (failures.submitting, CUT, AnswerLost),
        (failures.submitting, SILENT, AnswerLost),
        (failures.steering, NO_TURN, NoActiveTurn),
        (failures.steering, STALE, NoActiveTurn),
        (failures.steering, CUT, AnswerLost),
        (failures.interrupting, RpcError(-32600, "no active turn to interrupt"), NoActiveTurn),
        (failures.interrupting, NO_THREAD, NoActiveTurn),
        (failures.interrupting, SILENT, ThreadUnavailable),
        (failures.starting, RpcError(-32600, "unknown variant `bogus`"), InputRejected),
        (failures.starting, DRAINING, ThreadUnavailable),
        (failures.starting, CUT, ThreadUnavailable),
        (failures.resuming, NO_ROLLOUT, ThreadGone),
        (failures.resuming, REMOVED, ThreadGone),
        (failures.resuming, HELD, ThreadUnavailable),
        (failures.resuming, DRAINING, ThreadUnavailable),
        (failures.resuming, INTERNAL, ThreadUnavailable),
    ],
)
def test_a_failure_means_what_the_design_says(meaning: Any, error: WireError, kind: type) -> None:
    assert type(meaning(error)) is kind


@pytest.mark.parametrize("meaning", [failures.submitting, failures.steering])
@pytest.mark.parametrize(("error", "connected"), [(CUT, False), (SILENT, True), (INTERNAL, True)])
def test_a_lost_answer_says_whether_it_may_still_be_taken(
    meaning: Any, error: WireError, connected: bool
) -> None:
    lost = meaning(error)

    assert isinstance(lost, AnswerLost)
    assert lost.connected is connected


def test_a_log_over_its_cap_moves_aside_and_the_writer_goes_on(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "engine-stderr.log", cap=1000)
    with log.open() as engine:
        engine.write(b"x" * 900)
        assert not log.trim()
        engine.write(b"y" * 900)
        assert log.trim()
        engine.write(b"last words")

    assert log.path.read_bytes() == b"last words"
    assert (tmp_path / "engine-stderr.old.log").read_bytes() == b"x" * 100 + b"y" * 900
    assert log.tail() == "last words"
    assert log.path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "engine-stderr.old.log").stat().st_mode & 0o077 == 0


def test_only_what_is_said_from_a_mark_on_is_quoted_and_without_colours(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "engine-stderr.log")
    with log.open() as engine:
        engine.write(b"of an engine before\n")
        mark = log.size()
        assert log.tail(mark) == ""
        engine.write(b"\x1b[2mnow\x1b[0m \x1b[31mERROR\x1b[0m\n")
    assert log.tail(mark) == "now ERROR"
    assert log.tail(10_000) == "of an engine before\nnow ERROR"  # it was cut since


def test_a_log_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    log = StderrLog(tmp_path / "none.log")

    assert log.tail() == ""
    assert not log.trim()
