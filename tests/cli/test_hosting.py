"""What a daemon or a room is started with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime import headless
from netsky_tui import room
from netsky_tui.cli import opening

if TYPE_CHECKING:
    from netsky_runtime.options import Options
    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky


class Started:
    """Stands in for the daemon and the room: keeps what it was started with."""

    def __init__(self) -> None:
        self.options: list[Options] = []
        self.folder_was_there = False

    def room(self, options: Options) -> int:
        self.options.append(options)
        self.folder_was_there = options.cwd.is_dir()
        return 3

    async def headless(self, options: Options, *, narrate: Any) -> int:
        narrate("ready")
        return self.room(options)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    started = Started()
    monkeypatch.setattr(headless, "run_headless", started.headless)
    monkeypatch.setattr(room, "run_room", started.room)
    monkeypatch.setattr(opening, "need_terminal", lambda: None)
    return started


def test_a_headless_daemon_gets_the_home_and_the_runtime_that_were_named(
    netsky: Netsky, started: Started, tmp_path: Path
) -> None:
    ran = netsky("--no-tui", "--home", str(tmp_path / "other"), "--runtime", "scripted")
    (options,) = started.options
    assert (ran.status, ran.out, ran.err) == (3, "", "ready\n")
    assert options.home.root == tmp_path / "other"
    assert options.environ["NETSKY_HOME"] == str(tmp_path / "other")
    assert dict(options.flags) == {"runtime": "scripted"}
    assert not options.demo


def test_without_a_verb_the_room_opens_on_the_home(
    netsky: Netsky, started: Started, home: Home
) -> None:
    assert netsky().status == 3
    (options,) = started.options
    assert (options.home, dict(options.flags), options.cwd) == (home, {}, Path.cwd())


@pytest.mark.parametrize("line", [["demo"], ["demo", "--no-tui"]])
def test_the_demo_plays_in_a_home_of_its_own_and_leaves_nothing(
    netsky: Netsky, started: Started, home: Home, line: list[str]
) -> None:
    assert netsky(*line).status == 3
    (options,) = started.options
    assert options.demo
    assert options.flags["runtime"] == "scripted"
    assert started.folder_was_there
    assert options.home.root != home.root
    # What actors may write to does not contain the home.
    assert not options.home.root.is_relative_to(options.cwd)
    assert not options.cwd.parent.exists()
    assert not home.root.exists()


def test_the_headless_demo_says_where_others_can_attach(netsky: Netsky, started: Started) -> None:
    ran = netsky("demo", "--no-tui")
    assert ran.err.splitlines()[0] == f"home: {started.options[0].home.root}"
