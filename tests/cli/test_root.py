from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import netsky_runtime
from netsky_runtime import errors
from netsky_runtime.errors import NetskyError, UsageError
from netsky_tui.cli.exits import Exit, status_of
from netsky_tui.cli.invocation import Invocation, take_common

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky


def test_the_version_is_told(netsky: Netsky) -> None:
    assert netsky("--version").out == f"netsky {netsky_runtime.__version__}\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("failed", 1),
        ("usage", 2),
        ("not_found", 3),
        ("no_daemon", 4),
        ("unhealthy", 5),
        ("timeout", 6),
        ("refused", 1),
        ("conflict", 1),
        ("daemon_running", 1),
    ],
)
def test_every_error_has_one_exit_status(code: str, status: int) -> None:
    assert status_of(errors.BY_CODE[code]("It did not work.")) == status


def test_an_error_of_a_kind_nobody_foresaw_has_failed() -> None:
    class StrangeError(NetskyError):
        code = "strange"

    assert status_of(StrangeError("Strange.")) is Exit.FAILED


@pytest.mark.parametrize(
    "line",
    [
        ["nonsense"],
        ["tasks", "nonsense"],
        ["send"],
        ["send", "manager0", "hello", "--mode", "shout"],
        ["send", "manager0", "hello", "--timeout", "soon", "--wait"],
        ["status", "--nonsense"],
        ["--home"],
        ["--runtime", "scripted", "status"],
        ["--no-tui", "status"],
    ],
)
def test_a_wrong_command_line_says_what_is_wrong_and_what_to_do(
    netsky: Netsky, line: list[str]
) -> None:
    ran = netsky(*line)
    assert (ran.status, ran.out) == (2, "")
    error, hint = ran.err.splitlines()
    assert error.startswith("error: ")
    assert error.endswith((".", "?", ")"))
    assert hint.startswith("hint: ")


@pytest.mark.parametrize(
    ("line", "suggested"),
    [
        (["bogus"], ""),
        (["sned"], " Did you mean 'send'?"),
        (["stat"], " Did you mean 'status'?"),
        (["tasks", "lst"], " Did you mean 'list'?"),
    ],
)
def test_only_names_that_are_close_are_suggested(
    netsky: Netsky, line: list[str], suggested: str
) -> None:
    said = netsky(*line).err.splitlines()[0]
    assert said == f"error: No such command '{line[-1]}'.{suggested}"


def test_with_json_a_usage_error_is_an_object_on_stderr(netsky: Netsky) -> None:
    ran = netsky("tasks", "nonsense", "--json")
    assert ran.status == 2
    assert ran.error["code"] == "usage"
    assert ran.error["hint"] == "See `netsky tasks --help`."


def test_the_room_needs_a_terminal_and_says_how_to_do_without(netsky: Netsky) -> None:
    ran = netsky()
    assert ran.status == 2
    assert "--no-tui" in ran.err


def test_the_home_can_be_named_anywhere_on_the_line(tmp_path: Path) -> None:
    for line in (["--home", "/x", "status"], ["status", "--home", "/x"], ["--home=/x", "status"]):
        assert take_common(line, strict=True) == ({"--home": "/x"}, ["status"])
    given = {"--home": str(tmp_path / "there")}
    here = Invocation.build(given, {"NETSKY_HOME": "/elsewhere"})
    assert here.home.root == tmp_path / "there"
    assert here.environ["NETSKY_HOME"] == str(tmp_path / "there")


def test_words_after_two_hyphens_are_left_alone() -> None:
    line = ["send", "manager0", "--", "--home", "sweet"]
    assert take_common(line, strict=True) == ({}, line)


def test_an_option_without_its_value_is_an_error_but_not_while_completing() -> None:
    with pytest.raises(UsageError, match="--home needs a value"):
        take_common(["status", "--home"], strict=True)
    assert take_common(["status", "--home"], strict=False) == ({}, ["status"])


def test_a_reader_that_goes_away_ends_it_quietly(home: Home) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "netsky_tui", "settings", "list"]
    with os.fdopen(write, "wb") as closed:
        done = subprocess.run(
            command, stdout=closed, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_module_runs_like_the_script() -> None:
    command = [sys.executable, "-m", "netsky_tui", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == f"netsky {netsky_runtime.__version__}\n"
