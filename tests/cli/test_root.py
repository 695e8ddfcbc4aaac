from __future__ import annotations

import os
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import typer

import netsky_runtime
from netsky_runtime import errors
from netsky_runtime.errors import NetskyError, UsageError
from netsky_tui.cli import root
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


def test_a_home_of_a_user_who_does_not_exist_is_told_in_a_sentence(netsky: Netsky) -> None:
    ran = netsky("--home", "~nobody-of-this-name/x", "status")
    assert ran.status == 2
    assert "no home folder" in ran.err


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


NETSKY = typer.main.get_command(root.build(completion=False))
NOUNS = {name for name, command in NETSKY.commands.items() if hasattr(command, "commands")}
VERBS = {
    (noun, *verb): command
    for noun, top in NETSKY.commands.items()
    for verb, command in (
        {(name,): found for name, found in top.commands.items()} if noun in NOUNS else {(): top}
    ).items()
}


@pytest.mark.parametrize("noun", ["", *sorted(NOUNS)])
def test_no_summary_in_a_list_of_verbs_is_cut(netsky: Netsky, noun: str) -> None:
    ran = netsky(*noun.split(), "--help")
    assert ran.status == 0
    assert "..." not in ran.out.partition("Commands:")[2]


@pytest.mark.parametrize("line", VERBS, ids=" ".join)
def test_the_help_of_a_verb_explains_each_of_its_words(
    netsky: Netsky, line: tuple[str, ...]
) -> None:
    assert [word.name for word in VERBS[line].params if not word.help] == []
    ran = netsky(*line, "--help")
    assert (ran.status, ran.err) == (0, "")
    assert VERBS[line].help.splitlines()[0] in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("verb", "example"),
    [
        (line, example.strip())
        for line, command in VERBS.items()
        for example in (command.epilog or "").splitlines()[2:]
    ],
)
def test_an_example_in_a_help_is_a_command_line_that_the_verb_takes(
    verb: tuple[str, ...], example: str
) -> None:
    program, *words = shlex.split(example.rpartition("| ")[2])
    _, words = take_common(words, strict=True)
    noun = words[: 2 if words[0] in NOUNS else 1]
    assert (program, tuple(noun)[:1]) == ("netsky", verb[:1])
    VERBS[tuple(noun)].make_context(" ".join(noun), words[len(noun) :])
