"""With no daemon some verbs still write, under the lock, and the next daemon finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.lock import HomeLock

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky


def test_a_message_is_queued_for_the_next_daemon(netsky: Netsky) -> None:
    ran = netsky("send", "manager0", "hello", "--json")
    assert (ran.status, ran.err) == (0, "queued, no daemon\n")
    assert ran.data["status"] == "queued"
    waiting = netsky("inputs", "list", "--json").data
    assert [one["id"] for one in waiting] == [ran.data["input_id"]]
    assert netsky("inputs", "cancel", ran.data["input_id"]).status == 0
    assert netsky("inputs", "list").out == "No inputs wait.\n"


def test_tasks_notes_and_settings_are_written(netsky: Netsky) -> None:
    assert netsky("tasks", "add", "One").out == "t1\n"
    assert netsky("tasks", "add", "Two", "--depends-on", "t1").out == "t2\n"
    assert netsky("tasks", "show", "t2", "--json").data["status"] == "blocked"
    assert netsky("notes", "add", "Because", "--task", "t1").status == 0
    assert netsky("settings", "set", "model", "gpt-x").err == "queued, no daemon\n"
    assert netsky("settings", "get", "model").out == "gpt-x\n"


def test_what_is_wrong_is_refused_offline_as_it_is_by_the_daemon(netsky: Netsky) -> None:
    assert netsky("send", "nobody", "hello").status == 3
    assert netsky("send", "manager0", " ").status == 2
    assert netsky("tasks", "done", "t99").status == 3
    assert netsky("tasks", "add", "One").status == 0
    assert netsky("tasks", "depend", "t1", "t1").status == 2


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("work_dir", "/nonexist", "no folder /nonexist"),
        ("work_dir", "here", "whole paths"),
        ("allowed_roots", "/:/nonexist", "no folder /nonexist"),
        ("codex_bin", "/nope", "no Codex at /nope"),
    ],
)
def test_a_setting_that_names_nothing_is_refused_and_its_default_is_not(
    netsky: Netsky, home: Home, key: str, value: str, words: str
) -> None:
    ran = netsky("settings", "set", key, value)
    assert ran.status == 2
    assert words in ran.err
    assert not home.root.exists()
    assert netsky("settings", "set", key, "").status == 0


def test_a_folder_that_is_there_can_be_set(netsky: Netsky, tmp_path: Path) -> None:
    for key, value in (("work_dir", str(tmp_path)), ("allowed_roots", f"{tmp_path}:/")):
        assert netsky("settings", "set", key, value).status == 0
        assert netsky("settings", "get", key).out == f"{value}\n"


def test_a_home_that_somebody_holds_is_not_written_to(netsky: Netsky, home: Home) -> None:
    home.prepare()
    with HomeLock(home.lock):
        ran = netsky("send", "manager0", "hello")
    assert ran.status == 1
    assert "hint: " in ran.err
