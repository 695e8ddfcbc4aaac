"""The verbs about doors to Codex: which one an actor has, another one for it, and its screen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.events import EventKind
from netsky_runtime.db import events, sessions
from netsky_runtime.errors import Refused
from netsky_runtime.records import Session
from netsky_runtime.states import RuntimeName, SessionState, ToolsDoor
from netsky_tui.cli import opening
from netsky_tui.terminal import screen
from tests.cli import world

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from tests.cli.conftest import FakeDaemon, Netsky, Seed

SCREEN: dict[str, Any] = {
    "command": ["codex", "--remote", "unix:///e.sock", "resume", "th-1"],
    "environment": {"CODEX_HOME": "/codex/home"},
    "cwd": "/no/such/folder",
    "runtime": "app_server",
}


async def taken_over(tx: Tx) -> None:
    await world.build(tx)
    await sessions.insert(
        tx,
        Session(
            id="s-2",
            actor_id="manager0",
            runtime=RuntimeName.RESIDENT,
            state=SessionState.LIVE,
            cwd="/src",
            sandbox="danger-full-access",
            approval_policy="never",
            tag="tag",
            token="secret-token",
            previous_thread_id="th-old",
            started_at=world.NOW,
        ),
    )
    await sessions.bind_thread(
        tx, "s-2", thread_id="th-new", engine_id="", tools_door=ToolsDoor.MCP, now=world.NOW
    )
    await sessions.set_blocked(tx, "s-2", "a dialog that netsky does not know", now=world.NOW)
    shown = json.dumps({"reason": "a dialog", "screen": "1. Try it\n2. Keep \x1b[31mit\n"})
    told = ("th-new", "", "screen", EventKind.BLOCKED, "manager0", world.NOW, shown)
    await events.upsert_many(tx, [told])


def test_actors_are_listed_with_their_door(netsky: Netsky, seed: Seed) -> None:
    seed(world.build)
    head, *rows = netsky("actors", "list").out.splitlines()
    assert "RUNTIME" in head
    (worker,) = [row for row in rows if row.startswith("worker1")]
    assert "scripted" in worker.split()


def test_an_actor_is_shown_with_its_threads_and_what_blocks_its_screen(
    netsky: Netsky, seed: Seed
) -> None:
    seed(taken_over)
    shown = netsky("actors", "show", "manager0")
    told = dict(line.split(":", 1) for line in shown.out.splitlines() if ":" in line)
    assert told["runtime"].strip() == "resident"
    assert told["thread"].strip() == "th-new"
    assert told["previous thread"].strip() == "th-old"
    assert told["screen blocked"].strip() == "a dialog that netsky does not know"
    assert "screen:\n    1. Try it\n    2. Keep " in shown.out
    assert "\x1b" not in shown.out
    found = netsky("actors", "show", "manager0", "--json").data
    assert found["screen"].startswith("1. Try it\n")
    session = found["session"]
    assert session["previous_thread_id"] == "th-old"
    assert session["blocked_at"].endswith("Z")


def test_the_token_of_a_session_is_shown_to_nobody(netsky: Netsky, seed: Seed) -> None:
    seed(taken_over)
    for line in (["actors", "list"], ["actors", "show", "manager0"]):
        ran = netsky(*line, "--json")
        assert ran.status == 0
        assert "secret-token" not in ran.out


@pytest.mark.parametrize(
    ("line", "method", "answer"),
    [
        (["start-manager", "Docs"], "actors.start_manager", {"actor_id": "manager1"}),
        (
            ["start-worker", "Fix"],
            "actors.start_worker",
            {"actor_id": "worker1", "task_id": "t1", "status": "in_progress"},
        ),
    ],
)
def test_an_actor_is_started_behind_the_door_that_was_named(
    netsky: Netsky, daemon: FakeDaemon, line: list[str], method: str, answer: dict[str, Any]
) -> None:
    daemon.answers[method] = answer
    assert netsky("actors", *line, "--runtime", "resident").status == 0
    assert netsky("actors", *line, "--runtime=auto").status == 0
    (_, named), (_, auto) = daemon.calls
    assert named["runtime"] == "resident"
    assert "runtime" not in auto


def test_an_actor_is_moved(netsky: Netsky, daemon: FakeDaemon) -> None:
    moved = {"actor_id": "worker3", "runtime": "resident", "thread_id": "th-1"}
    daemon.answers["actors.move"] = moved
    ran = netsky("actors", "move", "worker3", "--runtime", "resident", "--interrupt")
    assert (ran.status, ran.out) == (0, "worker3 is on resident now, with thread th-1\n")
    assert daemon.calls == [
        ("actors.move", {"actor_id": "worker3", "runtime": "resident", "interrupt": True})
    ]
    assert netsky("actors", "move", "worker3", "--runtime", "resident", "--json").data == moved


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["actors", "move", "worker3"], "Where is it to move?"),
        (["actors", "move", "worker3", "--runtime", "tmux"], "no runtime 'tmux'"),
        (["actors", "list", "--runtime", "resident"], "starts a daemon or an actor"),
        (["tasks", "list", "--runtime", "resident"], "starts a daemon or an actor"),
    ],
)
def test_a_door_that_makes_no_sense_is_a_usage_error(
    netsky: Netsky, daemon: FakeDaemon, line: list[str], words: str
) -> None:
    ran = netsky(*line)
    assert ran.status == 2
    assert words in ran.err
    assert daemon.calls == []


def test_a_move_that_cannot_be_is_told_with_its_reason(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers["actors.move"] = Refused("It knows only its own threads.", hint="Use resident.")
    ran = netsky("actors", "move", "worker3", "--runtime", "mcp_server")
    assert ran.status == 1
    assert "It knows only its own threads." in ran.err
    assert "Use resident." in ran.err


class Replaced(Exception):
    """The process has become the other program."""


def test_attach_becomes_codex_and_says_so(
    netsky: Netsky,
    daemon: FakeDaemon,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    became: list[Any] = []

    def become(file: str, arguments: list[str], environment: dict[str, str]) -> None:
        became.append((file, arguments, environment, Path.cwd()))
        raise Replaced

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "need_terminal", lambda *_, **__: None)
    monkeypatch.setattr(os, "execvpe", become)
    work = tmp_path / "work"
    work.mkdir()
    daemon.answers["actors.terminal"] = {**SCREEN, "cwd": str(work)}
    with pytest.raises(Replaced):
        netsky("actors", "attach", "worker3")
    ((file, arguments, environment, cwd),) = became
    assert (file, list(arguments)) == ("codex", SCREEN["command"])
    assert environment["CODEX_HOME"] == "/codex/home"
    assert environment["PATH"] == os.environ["PATH"]
    assert cwd == work
    (line,) = capsys.readouterr().err.splitlines()
    assert "worker3" in line
    assert "app_server" in line


def test_attach_needs_a_terminal_and_asks_nobody_without(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    ran = netsky("actors", "attach", "worker3")
    assert ran.status == 2
    assert "terminal" in ran.err
    assert daemon.calls == []


def test_attach_says_which_program_is_missing(
    netsky: Netsky, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "need_terminal", lambda *_, **__: None)
    daemon.answers["actors.terminal"] = {**SCREEN, "command": ["/no/such/codex"]}
    ran = netsky("actors", "attach", "worker3")
    assert ran.status == 5
    assert "/no/such/codex" in ran.err


def test_tmux_within_tmux_is_let_in_and_the_keys_to_leave_it_are_told() -> None:
    outer = {"TMUX": "/tmp/tmux-0/default,1,0", "TMUX_PANE": "%1", "TERM": "tmux-256color"}
    resident = {**SCREEN, "runtime": "resident", "command": ["tmux", "-S", "/s", "attach"]}
    within = screen("worker3", resident, outer)
    assert within.environment == {"TERM": "tmux-256color", "CODEX_HOME": "/codex/home"}
    assert "Ctrl+B Ctrl+B D" in within.told
    alone = screen("worker3", resident, {"TERM": "xterm"})
    assert "Ctrl+B D" in alone.told
    remote = screen("worker3", SCREEN, outer)
    assert remote.environment["TMUX"] == outer["TMUX"]


def test_a_screen_stays_where_it_is_when_the_actors_folder_has_gone(tmp_path: Path) -> None:
    assert screen("worker3", SCREEN, {}).cwd == ""
    assert screen("worker3", {**SCREEN, "cwd": str(tmp_path)}, {}).cwd == str(tmp_path)


def test_who_attaches_to_nobody_is_told_that_before_anything_of_the_terminal(
    netsky: Netsky, daemon: FakeDaemon, seed: Seed
) -> None:
    seed(world.build)
    ran = netsky("actors", "attach", "worker9")
    assert ran.status == 3
    assert "There is no actor 'worker9'." in ran.err
    assert "terminal" not in ran.err
    assert "terminal" in netsky("actors", "attach", "worker1").err
