"""Which commands are certain enough for a rule, against what real shells make of them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netsky_runtime.codex import commands
from netsky_runtime.codex.commands import Held

SHELLS = [shell for shell in ("bash", "sh", "dash", "zsh") if shutil.which(shell)]
PRINT = "import sys; sys.stdout.buffer.write(b'\\0'.join(map(lambda w: w.encode(), sys.argv[1:])))"

SPECIAL = [*"|&;<>()$`\\\"'*?[]#~=%!{}^\n\t\r\x00\u00a0\u2028é"]


def argv_of(shell: str, text: str) -> list[str]:
    """Return the words that a shell executes ``text`` as, by putting a program before them.

    Only for a command whose first word is an ordinary argument of that program.
    """
    script = f"{shlex.quote(sys.executable)} -c {shlex.quote(PRINT)} {text}"
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, check=True, timeout=20, cwd="/"
    )
    return done.stdout.decode().split("\0")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pytest", ["pytest"]),
        ("pytest -x  tests/db ", ["pytest", "-x", "tests/db"]),
        ("pytest -k 'a and (b | c)'", ["pytest", "-k", "a and (b | c)"]),
        ('pytest -k "it is; > not"', ["pytest", "-k", "it is; > not"]),
        ("pytest a'b'\"c\"d ''", ["pytest", "abcd", ""]),
        ("make CFLAGS=-O2", ["make", "CFLAGS=-O2"]),
        ("echo 'é \\ $HOME'", ["echo", "é \\ $HOME"]),
    ],
)
def test_plain_words_and_plain_quotes_are_understood(text: str, words: list[str]) -> None:
    assert list(commands.split(text)) == words
    for shell in SHELLS:
        assert argv_of(shell, text) == words


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "''",
        "pytest && rm -rf x",
        "pytest; rm x",
        "pytest | tee x",
        "pytest & rm",
        "pytest > x",
        "pytest 2>&1",
        "pytest < x",
        "pytest $HOME",
        "pytest ${HOME}",
        "pytest $(id)",
        "pytest `id`",
        'pytest "$HOME"',
        'pytest "`id`"',
        'pytest "a\\"b"',
        'pytest "a!b"',
        "pytest tests/*",
        "pytest test_?.py",
        "pytest [ab]",
        "pytest {a,b}",
        "pytest ~/x",
        "make X=~/x",
        "pytest\nrm x",
        "pytest 'a\nb'",
        "pytest\trm",
        "pytest # all",
        "X=1 pytest",
        '"X=1" pytest',
        "pytest \\\nrm",
        "py\\test",
        "(pytest)",
        "! pytest",
        "time pytest",
        "eval 'pytest; rm x'",
        "if pytest",
        "-x",
        "'-x' pytest",
        "+x",
        "'+x' pytest",
        "test -v 'a[$(id)]'",
        "printf -v 'a[$(id)]' x",
        "command eval 'pytest; rm x'",
        "exec pytest",
        "cd sub",
        "pytest 'open",
        'pytest "open',
        "pytest =ls",
        "pytest ''=ls",
        "pytest \x00",
        "pytest 'a\u202eb'",
        "pytést",
    ],
)
def test_whatever_could_be_more_than_one_plain_command_is_held(text: str) -> None:
    with pytest.raises(Held):
        commands.split(text)


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            ["pytest", "-x", " ", "  ", "a=b", "'", '"', "''", "'a b'", '"c;d"', "./t"]
        ),
        st.sampled_from(SPECIAL),
        st.text(max_size=4),
    ),
    max_size=12,
).map("".join)


@given(PIECES)
@example("pytest 'a'\"b\"")
@settings(max_examples=400, deadline=None)
def test_nothing_with_a_special_character_outside_of_quotes_is_understood(text: str) -> None:
    try:
        words = commands.split(text)
    except Held:
        return
    bare = "".join(part for at, part in enumerate(_outside(text)) if at % 2 == 0)
    assert not set(bare) & set("|&;<>()$`\\*?[]#~!{}^\n\t\r\x00")
    assert all(word.isprintable() for word in words)
    assert shlex.split(text) == list(words)


def _outside(text: str) -> list[str]:
    """Return the text cut at its quoted parts: every second one was quoted."""
    parts, part, quote = [], "", ""
    for char in text:
        if char in "'\"" and quote in ("", char):
            parts.append(part)
            part, quote = "", "" if quote else char
        else:
            part += char
    return [*parts, part]


PLAIN = st.lists(
    st.sampled_from(
        ["pytest", "-x", " ", " ", "a=b", "''", "'a b'", '"c;d"', "./t", "'$x'", "+@%:,", '"&& x"']
    ),
    min_size=1,
    max_size=9,
).map("".join)


@given(st.one_of(PLAIN, PIECES))
@settings(max_examples=50, deadline=None)
def test_every_shell_executes_the_words_that_were_understood(text: str) -> None:
    try:
        words = commands.split(text)
    except Held:
        return
    for shell in SHELLS:
        assert argv_of(shell, text) == list(words)
        syntax = subprocess.run(
            [shell, "-n", "-c", text], capture_output=True, check=False, timeout=20
        )
        assert syntax.returncode == 0, (shell, text, syntax.stderr)


def test_a_first_word_is_the_program_and_never_a_keyword(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -c {shlex.quote(PRINT)} "$0" "$@"\n')
    tool.chmod(0o755)
    text = f"{tool} 'a b' --rootdir=/ \"c\""
    for shell in SHELLS:
        done = subprocess.run([shell, "-c", text], capture_output=True, check=True, timeout=20)
        assert done.stdout.decode().split("\0") == list(commands.split(text))


@pytest.mark.parametrize("shell", SHELLS)
def test_whatever_a_shell_does_itself_with_its_words_is_held(shell: str, tmp_path: Path) -> None:
    listing = {
        "bash": "compgen -b; compgen -k",
        "zsh": "print -l ${(k)builtins} ${(k)reswords}",
    }.get(shell, "")
    done = subprocess.run([shell, "-c", listing], capture_output=True, check=True, timeout=20)
    assert not done.stderr
    known = {*done.stdout.decode().split(), "eval", "test", "printf", "."}
    for word in known - {"echo", "pwd", "true", "false"}:
        with pytest.raises(Held):
            commands.split(f"{word} -v 'a[$(touch {tmp_path}/own)]' x")


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("word", ["echo", "pwd", "true", "false"])
def test_what_is_understood_of_a_shell_s_own_carries_out_no_substitution(
    shell: str, word: str, tmp_path: Path
) -> None:
    for option in ("", "-v ", "-n ", "-e "):
        text = f"{word} {option}'a[$(touch own)]' '`touch own`'"
        assert commands.split(text)[0] == word
        subprocess.run([shell, "-c", text], capture_output=True, check=False, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "raw",
    [
        {"command": "/bin/bash -lc 'pytest -x'"},
        {"command": "bash -c 'pytest -x'"},
        {"command": "/usr/bin/zsh -lc 'pytest -x'", "kind": "command", "environmentId": "local"},
        {"command": ["/bin/sh", "-lc", "pytest -x"]},
        {"codex_command": ["/bin/bash", "-lc", "pytest -x"]},
        {"command": "pytest -x"},
        {"command": ["pytest", "-x"]},
        {"command": "pytest -x", "kind": "command", "cwd": "/w"},
    ],
)
def test_the_known_wrappers_are_taken_off(raw: dict[str, object]) -> None:
    assert commands.executed(raw) == ("pytest", "-x")


@pytest.mark.parametrize(
    "raw",
    [
        {"command": "/bin/bash -lc 'pytest && rm x'"},
        {"command": "/bin/bash -lc pytest\\ -x"},
        {"command": "/bin/bash -lc 'pytest -k \"$X\"'"},
        {"command": "pytest -x", "kind": "writeStdin"},
        {"command": "pytest -x", "approvalId": "u-1"},
        {"command": "pytest -x", "networkApprovalContext": {"host": "example.org"}},
        {"command": "pytest -x", "additionalPermissions": {"network": {"enabled": True}}},
        {"command": "pytest -x", "environmentId": "cloud"},
        {"command": None},
        {"command": []},
        {"command": ["pytest", 1]},
        {"command": ["pytest", "a\nb"]},
        {},
    ],
)
def test_what_is_no_certain_command_is_held(raw: dict[str, object]) -> None:
    with pytest.raises(Held):
        commands.executed(raw)


def test_another_wrapper_is_part_of_the_command() -> None:
    wrapped = commands.executed({"command": ["python", "-c", "pytest -x"]})
    assert wrapped == ("python", "-c", "pytest -x")
    assert commands.executed({"command": "/opt/bin/bash -lc 'pytest'"})[0] == "/opt/bin/bash"
    assert commands.executed({"command": ["bash", "-lc", "pytest", "x"]})[0] == "bash"


def test_only_the_shell_is_left_out_of_what_is_shown() -> None:
    assert commands.shown(["/bin/bash", "-lc", "a && b"]) == "a && b"
    assert commands.shown(["python", "-c", "a b"]) == "python -c 'a b'"
    assert commands.shown("as it is") == "as it is"
    assert commands.shown("/bin/bash -lc 'a && b'") == "a && b"
    assert commands.shown("/bin/bash -lc \"a 'b c'\"") == "a 'b c'"
    assert commands.shown('/bin/bash -lc "echo \\$HOME"') == '/bin/bash -lc "echo \\$HOME"'
    assert commands.shown(None) == ""
