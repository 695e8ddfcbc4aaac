"""The launch command: every value reaches Codex as it is, and no shell."""

from __future__ import annotations

import itertools
import shlex
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime.codex.base import InputRejected, LaunchSpec
from netsky_runtime.codex.resident import launching, processes
from netsky_runtime.codex.resident.command import (
    MAX_TEXT,
    Files,
    check_typable,
    codex_command,
    pane_command,
    toml,
    typable,
)

NOTIFY = Path("/attach/worker1/notify.jsonl")
RECORDER = """#!/bin/sh
for word in "$@"; do printf '%s\\0' "$word"; done > "$RECORD"
"""


def spec_of(**changes: Any) -> LaunchSpec:
    values: dict[str, Any] = {
        "cwd": "/projects/one",
        "instructions": "You are worker1.",
        "sandbox": "danger-full-access",
        "approval_policy": "never",
        "model": "gpt-5.4",
    }
    return LaunchSpec(**(values | changes))


def words(spec: LaunchSpec, *, thread_id: str = "", prompt: bool = True) -> list[str]:
    command = codex_command(spec, codex="codex", notify=NOTIFY, thread_id=thread_id, prompt=prompt)
    return shlex.split(command)


def test_a_new_thread_is_started_with_its_values_and_its_prompt_read_at_exec() -> None:
    command = codex_command(spec_of(), codex="codex", notify=NOTIFY, prompt=True)

    assert command.startswith("codex -m gpt-5.4 -s danger-full-access -a never --no-alt-screen ")
    assert command.endswith(' -- "$(cat "$NETSKY_PROMPT_FILE")"')


def test_without_instructions_codex_is_given_no_words() -> None:
    assert "NETSKY_PROMPT_FILE" not in " ".join(words(spec_of(), prompt=False))


def test_an_old_thread_is_resumed_by_its_id_and_told_nothing() -> None:
    command = words(spec_of(), thread_id="0199-aa")

    assert command[:4] == ["codex", "resume", "-m", "gpt-5.4"]
    assert command[-1] == "0199-aa"
    assert "NETSKY_PROMPT_FILE" not in " ".join(command)


def test_a_model_that_was_not_chosen_is_left_to_codex() -> None:
    assert "-m" not in words(spec_of(model=""))


def test_the_folder_is_trusted_by_configuration() -> None:
    overrides = overrides_of(spec_of(cwd='/odd "folder"/x'))

    assert overrides["projects"] == {'/odd "folder"/x': {"trust_level": "trusted"}}


def test_the_folder_that_a_link_leads_to_is_trusted_too(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)

    trusted = overrides_of(spec_of(cwd=str(link)))["projects"]

    assert list(trusted) == [str(link), str(tmp_path)]


def test_effort_features_and_servers_are_overridden_one_by_one() -> None:
    server = {"command": "netsky", "args": ["tools"], "env": {"TOKEN": "a'b\"c"}}
    overrides = overrides_of(
        spec_of(
            effort="high",
            config={"features": {"goals": False}, "mcp_servers": {"netsky": server}},
        )
    )

    assert overrides["model_reasoning_effort"] == "high"
    assert overrides["features.goals"] is False
    assert overrides["mcp_servers.netsky"] == server


@pytest.mark.parametrize("field", ["model", "sandbox", "approval_policy"])
@pytest.mark.parametrize(
    "poison", ["gpt;touch pwned", "$(touch pwned)", "`touch pwned`", "a'b; touch pwned #", "x\ny"]
)
def test_no_value_is_run_by_the_shell(tmp_path: Path, field: str, poison: str) -> None:
    said = launched(tmp_path, spec_of(cwd=str(tmp_path), **{field: poison}))

    assert poison in said
    assert not (tmp_path / "pwned").exists()


def test_instructions_environment_and_folder_are_run_by_no_shell_either(tmp_path: Path) -> None:
    folder = tmp_path / "it's; touch pwned"
    folder.mkdir()
    instructions = "-not a flag $(touch pwned) `x`\n'quoted' \"twice\" é"

    said = launched(
        tmp_path,
        spec_of(
            cwd=str(folder), instructions=instructions, environment={"ODD": "$(touch pwned)'\n\"x"}
        ),
    )

    assert said[-2:] == ["--", instructions]
    assert not (folder / "pwned").exists()
    assert not (tmp_path / "pwned").exists()


def test_the_companion_runs_beside_codex_and_ends_with_it(tmp_path: Path) -> None:
    alive = tmp_path / "companion's pid"
    companion = ("/bin/sh", "-c", 'echo $$ > "$0"; exec sleep 1000', str(alive))
    recorder = f'while ! [ -s "{alive}" ]; do :; done\n'

    launched(tmp_path, spec_of(cwd=str(tmp_path), companion=companion), before=recorder)

    left = processes.leader(int(alive.read_text()))
    assert left is None or processes._left([left], seconds=5) == []


def test_the_launch_leaves_codexs_exit_code_and_no_script(tmp_path: Path) -> None:
    files = Files(folder=tmp_path / "attach/w")

    launched(tmp_path, spec_of(cwd=str(tmp_path)), code=7)

    assert not files.script.exists()
    assert files.prompt.stat().st_mode & 0o777 == 0o600
    assert files.folder.stat().st_mode & 0o777 == 0o700


def test_the_launch_files_never_go_through_a_link(tmp_path: Path) -> None:
    files = Files(folder=tmp_path / "attach/w")
    files.folder.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("kept")
    files.prompt.symlink_to(secret)

    launched(tmp_path, spec_of(cwd=str(tmp_path)))

    assert secret.read_text() == "kept"
    assert not files.prompt.is_symlink()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"instructions": "x" * 130_000}, "longer"),
        ({"instructions": "a\0b"}, "NUL"),
        ({"cwd": "/nowhere/at/all"}, "no folder"),
        ({"cwd": "/a\0b"}, "no folder"),
    ],
)
def test_a_launch_that_cannot_succeed_is_refused(changes: dict[str, Any], word: str) -> None:
    with pytest.raises(InputRejected, match=word):
        launching.check(spec_of(**{"cwd": "/", **changes}))


def test_labels_become_names_that_tmux_bears() -> None:
    assert launching.session_name(spec_of(label="worker:1.a b")) == "worker_1_a_b"
    assert launching.session_name(spec_of(label="", mark="ab12")) == "thread-ab12"


@pytest.mark.parametrize(
    "text",
    ["\x1b[201~\rrm -rf", "bell\x07", "a\rb", "\x9b1A", "x" * (MAX_TEXT + 1), "/quit", " !ls", " "],
)
def test_a_text_that_would_become_keys_or_a_command_is_refused(text: str) -> None:
    with pytest.raises(InputRejected):
        check_typable(text)


@pytest.mark.parametrize("text", ["a\n\tb", "x" * MAX_TEXT, "é ☃ 🦀", "<netsky>!/</netsky>"])
def test_any_other_text_is_typed(text: str) -> None:
    check_typable(text)


def test_a_last_word_that_opens_a_list_is_closed_by_a_blank() -> None:
    assert typable("see @file") == "see @file "
    assert typable("$skill") == "$skill "
    assert typable("mail a@b.c now") == "mail a@b.c now"
    assert typable("a@b") == "a@b"


JSON = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(min_size=1), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(value=JSON)
def test_configuration_arrives_as_it_was(value: Any) -> None:
    written = toml(value)

    assert "\n" not in written
    assert tomllib.loads(f"x={written}")["x"] == value


def overrides_of(spec: LaunchSpec) -> dict[str, Any]:
    """Return the overrides by key, their values read as TOML."""
    command = words(spec)
    pairs = [word.split("=", 1) for flag, word in itertools.pairwise(command) if flag == "-c"]
    return {key: tomllib.loads(f"x={value}")["x"] for key, value in pairs}


def launched(root: Path, spec: LaunchSpec, *, before: str = "", code: int = 0) -> list[str]:
    """Launch a Codex that only notes its arguments; return them."""
    codex, record = root / "co dex", root / "record"
    codex.write_text(RECORDER.replace("\n", f"\n{before}", 1) + f"exit {code}\n")
    codex.chmod(0o755)
    environ = {"PATH": "/usr/bin:/bin", "RECORD": str(record), "BASH_FUNC_x%%": "() { :; }"}
    (root / "attach").mkdir(exist_ok=True)
    files = Files(folder=root / "attach/w")
    launching.write_files(files, spec, codex=str(codex), environ=environ, thread_id="")
    done = subprocess.run(
        ["/bin/sh", "-c", pane_command(files.script)],
        env={"TERM": "screen", "TMUX": "x", "TMUX_PANE": "%1"},
        cwd=root,
        check=False,
    )
    assert done.returncode == code
    return record.read_bytes().decode().split("\0")[:-1]


def test_what_codex_says_at_the_ends_of_turns_does_not_grow_for_ever(tmp_path: Path) -> None:
    notify = tmp_path / "notify.jsonl"
    command = codex_command(spec_of(), codex="codex", notify=notify, prompt=False)
    [told] = [word for word in shlex.split(command) if word.startswith("notify=")]
    notifier = tomllib.loads(told)["notify"]

    for line in ("one", "two"):
        subprocess.run([*notifier, line], check=True)
    assert notify.read_text() == "one\ntwo\n"
    notify.write_text("x" * (1 << 20) + "\n")
    subprocess.run([*notifier, "three"], check=True)

    assert notify.read_text() == "three\n"
    notify.unlink()
    first = subprocess.run([*notifier, "four"], check=True, capture_output=True)
    assert first.stderr == b""
    assert notify.read_text() == "four\n"


def test_a_process_that_may_not_be_signalled_is_one_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(process: psutil.Process) -> None:
        raise psutil.AccessDenied(process.pid)

    child = subprocess.Popen(["sleep", "1000"])
    try:
        with monkeypatch.context() as others:
            others.setattr(psutil.Process, "terminate", refused)
            others.setattr(psutil.Process, "kill", refused)
            others.setattr(processes, "KILL_SECONDS", 0.02)
            assert not processes.end([psutil.Process(child.pid)], grace=0)
    finally:
        child.kill()
        child.wait()
