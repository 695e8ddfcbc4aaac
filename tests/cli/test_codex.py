"""``netsky codex``: what it takes, and whom it asks."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.errors import Conflict, DeadlineExceeded
from netsky_runtime.lock import HomeLock
from tests.support.netsky import PATIENCE
from tests.support.netsky import Netsky as Processes

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.paths import Home
    from tests.cli.conftest import FakeDaemon, Netsky

OUTCOME: dict[str, Any] = {
    "actor_id": "worker3",
    "runtime": "mcp_server",
    "thread_id": "new-thread",
    "previous_thread_id": "",
    "reply": "hello",
    "bytes": 5,
    "poisoned": [],
}


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AGENT_CODEX_MODEL", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["0", "--prompt", "x"], "more than 0"),
        (["3"], "Exactly one of --prompt and --drain"),
        (["3", "--prompt", "x", "--drain"], "Exactly one of --prompt and --drain"),
        (["3", "--prompt", "x", "--timeout", "0"], "--timeout"),
        (["three", "--prompt", "x"], "Invalid value for 'N'"),
    ],
)
def test_a_call_that_makes_no_sense_starts_nothing(
    netsky: Netsky, home: Home, arguments: list[str], told: str
) -> None:
    ran = netsky("codex", *arguments)
    assert ran.status == 2
    assert told in ran.err
    assert not home.root.exists()


def test_with_a_daemon_up_the_daemon_does_it(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers["codex.run"] = OUTCOME
    ran = netsky("codex", "3", "--prompt", "hi", "--fresh", "--timeout", "5")
    assert ran.status == 0
    assert ran.out == "hello\n"
    assert "agent3: answered on thread new-thread (5 bytes of reply)\n" in ran.err
    assert daemon.calls[-1] == (
        "codex.run",
        {
            "number": 3,
            "prompt": "hi",
            "drain": False,
            "model": "",
            "fresh": True,
            "timeout": 5.0,
        },
    )
    assert netsky("codex", "3", "--drain", "--json").data == OUTCOME
    assert daemon.calls[-1][1]["prompt"] is None


def test_a_turn_without_words_prints_nothing_as_its_reply(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["codex.run"] = OUTCOME | {"reply": "", "bytes": 0}
    ran = netsky("codex", "3", "--drain")
    assert (ran.status, ran.out) == (0, "")
    assert "(0 bytes of reply)" in ran.err


def test_the_flag_wins_over_the_environment_for_the_model(
    netsky: Netsky, daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.answers["codex.run"] = OUTCOME
    monkeypatch.setenv("AGENT_CODEX_MODEL", "from-environ")
    netsky("codex", "3", "--drain")
    netsky("codex", "3", "--drain", "--model", "from-flag")
    assert [params["model"] for _, params in daemon.calls] == ["from-environ", "from-flag"]


def test_a_thread_that_was_lost_is_said_aloud_with_both_names(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["codex.run"] = OUTCOME | {"previous_thread_id": "old-thread"}
    ran = netsky("codex", "3", "--drain")
    assert "thread old-thread is known to no door any more" in ran.err
    assert "new thread new-thread (was old-thread)" in ran.err
    assert "old-thread" not in ran.out


def test_what_was_passed_over_is_told_with_the_reason(netsky: Netsky, daemon: FakeDaemon) -> None:
    poisoned = [{"file": "1.json", "reason": "text is empty."}]
    daemon.answers["codex.run"] = OUTCOME | {"poisoned": poisoned}
    assert "1.json was passed over: text is empty." in netsky("codex", "3", "--drain").err


@pytest.mark.parametrize(
    ("error", "status"),
    [(DeadlineExceeded("No answer within 1 s."), 6), (Conflict("worker3 is at work."), 1)],
)
def test_what_the_daemon_says_is_the_exit_status(
    netsky: Netsky, daemon: FakeDaemon, error: Exception, status: int
) -> None:
    daemon.answers["codex.run"] = error  # type: ignore[assignment]
    assert netsky("codex", "3", "--drain").status == status


def test_without_a_daemon_the_command_is_one_for_as_long_as_the_turn_takes(
    netsky: Netsky, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_RUNTIME", "scripted")
    threads = []
    for word in ("one", "two"):
        ran = netsky(
            "codex", "3", "--prompt", f"SAY[<netsky-reply>{word}</netsky-reply>]", "--json"
        )
        assert ran.status == 0
        assert ran.data["reply"] == word
        assert "starting " not in ran.err  # a door that this turn need not go through
        threads.append(ran.data["thread_id"])
        assert not home.control_socket.exists()
    assert threads[0] == threads[1]
    inbox = home.channels / "manager0" / "inbox"
    answers = [json.loads(path.read_text()) for path in sorted(inbox.iterdir())]
    assert [(a["from"], a["text"]) for a in answers] == [("agent3", "one"), ("agent3", "two")]
    assert netsky("channel", "send", "agent3", "SAY[three]").status == 0
    assert netsky("codex", "3", "--drain", "--json").data["reply"] == "three"
    assert netsky("codex", "3", "--drain").status == 3
    assert netsky("codex", "3", "--prompt", "HANG", "--timeout", "0.3").status == 6


def test_calls_for_several_sidecars_at_once_take_their_turns_on_the_home(tmp_path: Path) -> None:
    here = Processes(tmp_path / "several", environ={"AGENT_RUNTIME": "scripted"})
    calls = {
        number: subprocess.Popen(
            [*here.argv, "codex", str(number), "--prompt", f"SAY[{number}]", "--json"],
            env=here.environ,
            cwd=here.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in (1, 2, 3)
    }
    for number, call in calls.items():
        out, err = call.communicate(timeout=PATIENCE)
        assert call.returncode == 0, err
        assert json.loads(out)["reply"] == str(number)
    inbox = here.home / "channels" / "manager0" / "inbox"
    assert len(list(inbox.iterdir())) == 3


def test_a_home_that_another_netsky_holds_all_the_time_is_given_up(
    netsky: Netsky, home: Home
) -> None:
    home.prepare()
    with HomeLock(home.lock):
        ran = netsky("codex", "3", "--prompt", "hi", "--timeout", "0.3")
    assert ran.status == 1
    assert "waits until another netsky has done its turn" in ran.err
    assert "Another netsky" in ran.err
