"""status, doctor and stop, with a daemon and with something that is none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.clock import iso
from netsky_runtime.db import engines
from netsky_runtime.errors import Conflict, DeadlineExceeded
from netsky_runtime.lock import HomeLock
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName
from netsky_runtime.wire.birth import process_started
from netsky_tui.cli.doctor import home_check, sqlite_check
from tests.cli import world
from tests.support.fakes import START_MS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home
    from tests.cli.conftest import FakeDaemon, Netsky, Seed

READY = {
    "daemon": {"state": "ready", "pid": 1, "epoch": 7, "since": "2026-11-20T14:47:06.483Z"},
    "runtime": {"name": "app_server", "codex_version": "0.163.0", "notices": ["Not logged in."]},
    "counts": {
        "actors": 2,
        "tasks": 3,
        "messages": 4,
        "inputs_pending": 5,
        "approvals_pending": 1,
        "screens_blocked": 1,
        "attention": 3,
        "turns_running": 1,
    },
    "rooms": 1,
}


def test_status_is_what_the_daemon_says(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = READY
    ran = netsky("status", "--json")
    nothing: dict[str, Any] = {
        "paused": None,
        "engine": None,
        "mcp_server": None,
        "residents": False,
        "doors": {},
    }
    assert (ran.status, ran.data, ran.err) == (0, READY | nothing, "")


def test_status_for_people_names_what_waits_for_them(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = READY
    ran = netsky("status")
    assert "ready" in ran.out
    assert "0.163.0" in ran.out
    assert "Not logged in." in ran.err
    assert "3 things wait for you: netsky attention" in ran.err


def test_status_of_a_daemon_that_does_not_answer_is_unhealthy(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["status"] = DeadlineExceeded("Nobody answered.")
    ran = netsky("status", "--json")
    assert ran.status == 5
    assert ran.data["daemon"]["state"] == "unresponsive"


def test_a_daemon_of_another_protocol_is_told_as_it_is(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers["status"] = Conflict("The daemon speaks protocol 2.", hint="Restart it.")
    ran = netsky("status")
    assert (ran.status, ran.out) == (1, "")
    assert "hint: Restart it." in ran.err


def test_a_socket_left_by_a_dead_daemon_is_no_daemon(netsky: Netsky, home: Home) -> None:
    home.prepare()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.control_socket))
    ran = netsky("status", "--json")
    assert (ran.status, ran.data["daemon"]["state"]) == (0, "stopped")
    assert netsky("stop").status == 4


@pytest.mark.parametrize("line", [["actors", "list"], ["status"]])
def test_without_a_daemon_it_is_said_that_nobody_has_looked_since(
    netsky: Netsky, seed: Seed, home: Home, line: list[str]
) -> None:
    seed(world.build)
    assert "this is what was last known" in netsky(*line).err
    assert netsky(*line, "--json").err == ""
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(home.control_socket))
    assert "this is what was last known" in netsky(*line).err


def test_with_a_daemon_the_list_of_actors_is_the_present(
    netsky: Netsky, seed: Seed, daemon: FakeDaemon
) -> None:
    seed(world.build)
    assert netsky("actors", "list").err == ""


def test_a_stop_with_nothing_to_stop_advises_no_start(netsky: Netsky) -> None:
    ran = netsky("stop")
    assert ran.status == 4
    assert "Nothing is left to stop" in ran.err
    assert "Start" not in ran.err


@pytest.fixture
def left(seed: Seed) -> Iterator[subprocess.Popen[bytes]]:
    """An engine that works, as the database knows it, and a turn that runs in it."""
    with subprocess.Popen(["sleep", "600"], start_new_session=True) as process:
        engine = Engine(
            id="e-1",
            runtime=RuntimeName.APP_SERVER,
            state=EngineState.RUNNING,
            pid=process.pid,
            pid_started=process_started(process.pid),
            binary="/codex",
            version="0.163.0",
            codex_home="/codex-home",
            socket="/engine.sock",
            started_at=START_MS,
        )

        async def rows(tx: Tx) -> None:
            await world.build(tx)
            await tx.execute("UPDATE sessions SET runtime = 'app_server'")
            await engines.insert(tx, engine)

        seed(rows)
        yield process
        process.kill()


@pytest.fixture
def tmux(home: Home) -> Iterator[None]:
    """A tmux server where this home's residents live."""
    home.prepare()
    tmux = ["tmux", "-S", str(home.tmux_socket), "-f", os.devnull]
    subprocess.run([*tmux, "new-session", "-d", "sleep 600"], check=True, timeout=30)
    yield
    subprocess.run([*tmux, "kill-server"], check=False, capture_output=True, timeout=30)


def test_an_engine_left_working_is_named_without_a_daemon(
    netsky: Netsky, left: subprocess.Popen[bytes]
) -> None:
    told = netsky("status", "--json").data
    assert told["daemon"]["state"] == "stopped"
    since = iso(START_MS)
    assert told["engine"] == {"pid": left.pid, "version": "0.163.0", "since": since}
    words = f"pid {left.pid} works on without netsky, 1 turn running as far as known"
    assert words in netsky("status").out
    assert "netsky stop" in netsky("status").err
    checks = {check["name"]: check for check in netsky("doctor", "--json").data["checks"]}
    assert (checks["engine"]["state"], checks["engine"]["detail"]) == ("warn", words)


@pytest.mark.parametrize(
    ("sandbox", "told"),
    [
        ("workspace-write", "1 turn running as far as known"),
        ("danger-full-access", "1 turn running as far as known, with danger-full-access"),
    ],
)
@pytest.mark.usefixtures("tmux")
def test_what_residents_and_an_mcp_server_go_on_with_is_told_of_each_door(
    netsky: Netsky, seed: Seed, left: subprocess.Popen[bytes], sandbox: str, told: str
) -> None:
    async def moved(tx: Tx) -> None:
        await tx.execute("UPDATE sessions SET runtime = 'resident', sandbox = ?", (sandbox,))
        await tx.execute("UPDATE engines SET runtime = 'mcp_server'")

    seed(moved)
    nothing = f"pid {left.pid} works on without netsky, 0 turns running as far as known"
    residents = f"Codex in tmux works on without netsky, {told}"
    ran = netsky("status")
    assert f"mcp-server:        {nothing}\n" in ran.out
    assert f"residents:         {residents}\n" in ran.out
    assert "`netsky stop` ends what works on: mcp-server, residents." in ran.err
    assert "The next start takes over: residents." in ran.err
    data = netsky("status", "--json").data
    assert (data["engine"], data["mcp_server"]["pid"], data["residents"]) == (None, left.pid, True)
    full_access = sandbox == "danger-full-access"
    assert data["doors"] == {"resident": {"turns": 1, "full_access": full_access}}
    checks = {check["name"]: check["detail"] for check in netsky("doctor", "--json").data["checks"]}
    assert (checks["mcp-server"], checks["residents"]) == (nothing, residents)


@pytest.mark.usefixtures("tmux")
def test_an_engine_is_not_said_to_do_what_residents_do(
    netsky: Netsky, seed: Seed, left: subprocess.Popen[bytes]
) -> None:
    seed(lambda tx: tx.execute("UPDATE sessions SET runtime = 'resident'"))
    engine = f"pid {left.pid} works on without netsky, 0 turns running as far as known"
    assert engine in netsky("status").out


def test_since_when_an_engine_has_not_answered_stands_with_its_process(
    netsky: Netsky, left: subprocess.Popen[bytes], daemon: FakeDaemon
) -> None:
    silent = {**READY["runtime"], "silent_since": iso(START_MS)}
    daemon.answers["status"] = READY | {"runtime": silent}
    assert f"pid {left.pid}, has not answered for " in netsky("status").out
    daemon.answers["status"] = READY
    assert "has not answered" not in netsky("status").out


def test_stop_without_a_daemon_ends_the_engine_that_was_left(
    netsky: Netsky, left: subprocess.Popen[bytes]
) -> None:
    assert netsky("stop", "--keep-engine").status == 4
    assert left.poll() is None
    ran = netsky("stop")
    assert (ran.status, ran.out) == (0, "")
    assert f"pid {left.pid}, is ended" in ran.err
    assert left.wait(timeout=5) == -signal.SIGTERM
    assert netsky("status", "--json").data["engine"] is None
    assert netsky("stop").status == 4


def test_a_home_that_somebody_holds_keeps_its_engine(
    netsky: Netsky, left: subprocess.Popen[bytes], home: Home
) -> None:
    with HomeLock(home.lock):
        ran = netsky("stop")
    assert ran.status == 1
    assert left.poll() is None


def test_a_process_that_only_bears_the_engines_number_is_left_alone(
    netsky: Netsky, left: subprocess.Popen[bytes], seed: Seed
) -> None:
    async def earlier(tx: Tx) -> None:
        await tx.execute("UPDATE engines SET pid_started = pid_started - 3600")

    seed(earlier)
    assert netsky("status", "--json").data["engine"] is None
    assert netsky("stop").status == 4
    assert left.poll() is None


def test_stop_returns_when_the_daemon_has_ended(netsky: Netsky, daemon: FakeDaemon) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:

        def stop(_params: dict[str, Any]) -> dict[str, Any]:
            process.kill()
            return {}

        daemon.answers |= {"status": READY | {"daemon": {"pid": process.pid}}, "stop": stop}
        ran = netsky("stop", "--json")
    assert (ran.status, ran.data) == (0, {"pid": process.pid, "state": "stopped"})
    assert daemon.calls == [("status", {}), ("stop", {"keep_engine": False})]


def test_stop_can_leave_the_engine_working(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers |= {"status": READY | {"daemon": {"pid": 2**22 + 1}}, "stop": {}}
    ran = netsky("stop", "--keep-engine")
    assert ran.status == 0
    assert daemon.calls[-1] == ("stop", {"keep_engine": True})
    assert "engine works on" in ran.err


def test_the_doctor_reports_what_the_daemon_found(netsky: Netsky, daemon: FakeDaemon) -> None:
    codex = {"name": "codex", "state": "warn", "detail": "not logged in", "hint": "codex login"}
    door = {"door": "app_server", "open": True, "taken": True}
    daemon.answers["doctor"] = {"checks": [codex], "doors": [door]}
    ran = netsky("doctor", "--json")
    assert ran.status == 0
    assert codex in ran.data["checks"]
    assert ran.data["doors"] == [door]
    assert "codex: codex login" in netsky("doctor").out


def test_the_doctor_works_without_a_daemon_and_touches_nothing(
    netsky: Netsky, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSKY_CODEX_BIN", str(_codex(tmp_path, "echo codex-cli 0.163.0")))
    ran = netsky("doctor", "--json")
    states = {check["name"]: check["state"] for check in ran.data["checks"]}
    assert ran.status == 0
    assert ran.data["ok"] is True
    doors = {"door app_server", "door mcp_server", "door resident"}
    allowed = {"containment", "containment of resident", "containment of sidecar"}
    looked_at = {"python", "sqlite", "home", "database", "daemon", "codex"}
    assert states.keys() == looked_at | doors | allowed
    assert not home.root.exists()


def test_the_doctor_tells_each_door_and_which_one_new_actors_get(
    netsky: Netsky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSKY_CODEX_BIN", str(_codex(tmp_path, "echo codex-cli 0.163.0")))
    doors = {door["door"]: door for door in netsky("doctor", "--json").data["doors"]}
    assert [door["open"] for door in doors.values()] == [False, False, True]
    assert doors["resident"]["taken"]
    assert doors["app_server"]["reason"]
    told = netsky("doctor").out
    assert "new actors get it (auto)" in told
    assert "can do whatever you can" in told
    monkeypatch.setenv("AGENT_RUNTIME", "mcp_server")
    ran = netsky("doctor")
    assert ran.status == 5
    assert "settings set runtime auto" in ran.out


def test_a_bad_setting_is_the_doctors_finding(
    netsky: Netsky, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_CODEX_SANDBOX", "none")
    ran = netsky("doctor", "--json")
    check = {check["name"]: check for check in ran.data["checks"]}["settings"]
    assert (ran.status, check["state"]) == (5, "fail")
    assert "AGENT_CODEX_SANDBOX" in check["detail"]


def test_a_codex_that_is_missing_or_broken_fails_with_what_to_do(
    netsky: Netsky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for binary, name in (
        (tmp_path / "nothing", "codex"),
        (_codex(tmp_path, "echo garbage"), "door resident"),
    ):
        monkeypatch.setenv("NETSKY_CODEX_BIN", str(binary))
        ran = netsky("doctor", "--json")
        check = {check["name"]: check for check in ran.data["checks"]}[name]
        assert (ran.status, check["state"]) == (5, "fail")
        assert check["hint"]


def test_what_several_checks_ask_for_is_said_once(netsky: Netsky, daemon: FakeDaemon) -> None:
    doors = [
        {"name": name, "state": "fail", "detail": "shut", "hint": "Install it."}
        for name in ("door app_server", "door resident")
    ]
    daemon.answers["doctor"] = {"checks": doors, "doors": []}
    ran = netsky("doctor")
    assert ran.status == 5
    assert ran.out.splitlines()[-1] == "door app_server, door resident: Install it."


def test_who_waits_for_a_silent_codex_is_told_so(
    netsky: Netsky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NETSKY_CODEX_BIN", str(_codex(tmp_path, "echo codex-cli 0.163.0")))
    assert netsky("doctor").err == ""
    monkeypatch.setattr("netsky_tui.cli.doctor.SLOW", 0.0)
    ran = netsky("doctor", "--json")
    assert ran.err.startswith("no answer yet")
    assert ran.data["ok"]


def test_a_script_needs_no_codex(netsky: Netsky, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETSKY_CODEX_BIN", "/nowhere/codex")
    monkeypatch.setenv("AGENT_RUNTIME", "scripted")
    ran = netsky("doctor", "--json")
    codex = {check["name"]: check for check in ran.data["checks"]}["codex"]
    assert (ran.status, codex["state"]) == (0, "warn")
    assert codex["hint"] == "Correct NETSKY_CODEX_BIN."


def _codex(folder: Path, script: str) -> Path:
    path = folder / "codex"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("version", "has_race"),
    [
        ("3.40.1", True),
        ("3.44.5", True),
        ("3.44.6", False),
        ("3.50.6", True),
        ("3.50.7", False),
        ("3.51.2", True),
        ("3.51.3", False),
        ("3.52.0", False),
    ],
)
def test_sqlite_is_judged_by_the_releases_that_have_the_fix(version: str, has_race: bool) -> None:
    assert ("WAL-reset race" in sqlite_check(version).detail) is has_race


@pytest.mark.parametrize("line", [["status"], ["tasks", "list"], ["events", "tail", "-f"]])
def test_a_home_nobody_can_look_at_is_unhealthy(netsky: Netsky, line: list[str]) -> None:
    ran = netsky("--home", "/" + "x" * 300, *line)
    assert (ran.status, ran.out) == (5, "")
    assert "NETSKY_HOME" in ran.err


@pytest.mark.parametrize(
    "line",
    [["status"], ["doctor"], ["tasks", "list"], ["send", "manager0", "hello"], ["--no-tui"]],
)
def test_a_home_that_is_no_folder_is_an_error_of_every_verb(
    netsky: Netsky, tmp_path: Path, line: list[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("no folder")
    for home in (file, file / "below"):
        ran = netsky("--home", str(home), *line)
        assert (ran.status, ran.out) == (5, "")
        error, hint = ran.err.splitlines()
        assert error == f"error: The home {home} cannot be: {file} is not a folder."
        assert "NETSKY_HOME" in hint


def test_a_home_that_is_open_to_others_or_no_folder_is_told(home: Home) -> None:
    home.root.mkdir(mode=0o755)
    home.root.chmod(0o755)
    assert home_check(home).state == "warn"
    home.root.rmdir()
    home.root.write_text("")
    assert home_check(home).state == "fail"


def test_a_home_where_actors_may_write_is_warned_of_before_the_first_start(home: Home) -> None:
    exposed = home_check(home)
    assert exposed.state == "warn"
    assert "does not exist yet" in exposed.detail
    assert "keep the home elsewhere" in exposed.hint
    elsewhere = home_check(type(home).locate({"NETSKY_HOME": "/no-netsky-here"}))
    assert (elsewhere.state, elsewhere.hint) == ("ok", "")
