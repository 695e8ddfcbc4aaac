"""Codex's own screen in the room's place, and the room in its place again."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.netsky import PATIENCE
from tests.support.pane import PASTE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.conftest import House, Room

CODEX = "Ask Codex to do anything"
"""What an empty composer of Codex shows."""
DETACH = ("\x02", "d")
RUDE = """\
#!/bin/sh
# Codex, whose screen is stopped as by its Ctrl+Z, with its whole group, and then killed.
case "$1" in --remote) stty raw -echo; kill -TSTP 0; kill -KILL $$ ;; esac
exec {codex} "$@"
"""
LAUNCHER = """\
#!/bin/sh
# Codex as npm installs it: a script that starts the real one as its child and waits.
echo $$ > {pid}
{codex} "$@"
exit $?
"""
NOTHING_OF_CODEX = (CODEX, "? for shortcuts", "ctrl-b d: leave Codex working", "/quit")


def warmed(house: House) -> Room:
    """Open a room whose manager0 has a thread."""
    room = house.room()
    room.say("SAY[warm]")
    room.until("manager0 → owner", "warm", "✓ answered")
    return room


def attach(room: Room) -> None:
    """Press the key on the list of actors. Escape goes first and alone, or it would be Alt."""
    room.press("escape")
    room.until("i write")
    room.press("1")
    room.until("a attach")
    room.press("a")


def type_there(room: Room, words: str) -> None:
    """Type a line into Codex's empty composer, and send it off when it stands there."""
    room.until(CODEX)
    room.type(words)
    room.until(words)
    rested = time.monotonic() + PASTE_SECONDS
    while time.monotonic() < rested:
        room.pump()
    room.press("enter")


@contextmanager
def beside(room: Room, house: House, *words: str) -> Iterator[None]:
    """Run a command while the terminal is read; it has ended well after the block."""
    command = subprocess.Popen(
        [*house.argv, *words],
        env=house.environ,
        cwd=house.work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
        room.watch(lambda: command.poll() is not None)
    finally:
        command.kill()
        assert command.wait(PATIENCE) == 0


def is_whole_and_lives(room: Room) -> None:
    """See that the room is painted from edge to edge, shows what was said, and takes words."""
    shown = room.until("1 actors", "2 tasks", "3 messages", "4 events", "to manager0", "Ctrl+Q")
    *panels, status, keys = shown.splitlines()
    assert [line for line in panels if line[:1] not in {"╭", "│", "╰"}] == []
    assert "● hosting" in status
    assert "a attach" in keys
    assert [words for words in NOTHING_OF_CODEX if words in shown] == []
    room.until("typed in Codex", "SAY[by hand]", "SAY[by wire]")
    room.press("i")
    room.until("Enter send")
    room.say("SAY[home again]")
    room.until("  home again")


@pytest.mark.parametrize("door", ["app_server", "resident"])
def test_the_key_brings_codex_and_the_room_comes_back_whole(house: House, door: str) -> None:
    house.environ["AGENT_RUNTIME"] = door
    room = warmed(house)
    attach(room)
    room.until("• warm")
    type_there(room, "SAY[by hand]")
    room.until("• by hand")
    with beside(room, house, "send", "manager0", "SAY[by wire]", "--wait"):
        room.until("• by wire")  # the daemon in the room works on
    if door == "resident":
        room.press(*DETACH)
    else:
        type_there(room, "/quit")
    room.until("Back from Codex's screen of manager0")

    is_whole_and_lives(room)
    room.quits()
    house.leaves_nothing()


def test_a_screen_that_is_stopped_and_killed_neither_stops_the_room_nor_spoils_the_terminal(
    house: House, codex_binary: Path
) -> None:
    rude = house.root / "rude"
    rude.write_text(RUDE.format(codex=shlex.quote(str(codex_binary))))
    rude.chmod(0o755)
    house.environ["NETSKY_CODEX_BIN"] = str(rude)
    room = warmed(house)
    attach(room)
    room.until("ended by signal 9")
    room.press("i")
    room.until("Enter send")
    room.say("SAY[home again]")
    room.until("  home again")
    room.quits()
    house.leaves_nothing()


def launched(house: House, codex_binary: Path) -> Callable[[], psutil.Process]:
    """Put a launcher before Codex; return what finds the one that was started last."""
    launcher, pid = house.root / "launcher", house.root / "launcher.pid"
    launcher.write_text(
        LAUNCHER.format(pid=shlex.quote(str(pid)), codex=shlex.quote(str(codex_binary)))
    )
    launcher.chmod(0o755)
    house.environ["NETSKY_CODEX_BIN"] = str(launcher)
    return lambda: psutil.Process(int(pid.read_text()))


def test_a_launcher_that_is_killed_takes_the_codex_it_has_started_along(
    house: House, codex_binary: Path
) -> None:
    last = launched(house, codex_binary)
    room = warmed(house)
    attach(room)
    room.until("• warm", CODEX)
    launcher = last()
    (codex,) = launcher.children()
    launcher.kill()
    room.until("ended by signal 9")
    house.until(lambda: not codex.is_running() or codex.status() == psutil.STATUS_ZOMBIE)
    room.press("i")
    room.until("Enter send")
    room.say("SAY[home again]")
    room.until("  home again")
    room.quits()
    house.leaves_nothing()


def test_a_codex_that_is_stopped_as_by_ctrl_z_goes_on_at_once(
    house: House, codex_binary: Path
) -> None:
    last = launched(house, codex_binary)
    room = warmed(house)
    attach(room)
    room.until("• warm", CODEX)
    room.press("\x1a")
    os.killpg(last().pid, signal.SIGSTOP)  # as Codex does it itself, whose version may not

    def hears() -> bool:
        room.type("heard?")  # what was typed while it stood is lost
        return "heard?" in room.text

    room.watch(hears)
    room.press("\x15")  # deletes the line
    type_there(room, "SAY[by hand]")
    room.until("• by hand")
    with beside(room, house, "send", "manager0", "SAY[by wire]", "--wait"):
        room.until("• by wire")
    type_there(room, "/quit")
    room.until("Back from Codex's screen of manager0")

    is_whole_and_lives(room)
    room.quits()
    house.leaves_nothing()


def test_a_stop_from_elsewhere_takes_codex_and_the_room_and_leaves_a_terminal(
    house: House,
) -> None:
    room = warmed(house)
    attach(room)
    room.until("• warm", CODEX)
    with beside(room, house, "stop"):
        room.leaves()
    house.leaves_nothing()


def test_a_window_closed_over_codex_ends_the_room_and_not_the_engine(house: House) -> None:
    room = warmed(house)
    attach(room)
    room.until("• warm", CODEX)
    room.hang_up()
    room.process.wait(PATIENCE)
    house.until(lambda: [p.cmdline()[1] for p in house.processes()] == ["app-server"])
    assert house.run("stop").returncode == 0
    house.leaves_nothing()


def test_a_script_s_actor_has_no_screen_and_the_key_says_so(demo: House) -> None:
    room = demo.open("demo")
    room.until("hosting", "to manager0")
    attach(room)
    room.until("No screen of manager0", "no screen of its own")
    room.press("ctrl+q")
    room.leaves()
    assert demo.empty()


def test_a_resident_s_screen_is_attached_from_the_command_line_and_left(house: House) -> None:
    house.environ["AGENT_RUNTIME"] = "resident"
    house.start()
    house.ask("SAY[warm]")
    screen = house.open("actors", "attach", "manager0")
    screen.until("• warm")
    type_there(screen, "SAY[by hand]")
    screen.until("• by hand")
    screen.press(*DETACH)
    screen.leaves()

    assert "SAY[by hand]" in house.run("messages", "list").stdout
    assert house.ask("SAY[and on]")["reply"]["body"] == "and on"
    house.leaves_nothing()
