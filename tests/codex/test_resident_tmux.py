"""netsky's own tmux server and the one connection to it, with cheap programs in the panes."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.codex.base import NoSuchDoor, ThreadUnavailable
from netsky_runtime.codex.resident import bounded, control, processes, watch
from netsky_runtime.codex.resident.control import Block, Control, ControlLost, blocks, quote
from netsky_runtime.codex.resident.pane import Pane
from netsky_runtime.codex.resident.screen import Capture
from netsky_runtime.codex.resident.tmux import TmuxServer
from netsky_runtime.codex.resident.watch import Watch, Watcher
from netsky_runtime.errors import Unhealthy
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.real_tmux

SECONDS = 20


class Inn:
    """A server with its connection, and a watch that is ticked by hand."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.server = TmuxServer(socket=socket, environ=os.environ)
        self.control = Control(tmux=self.server.program(), socket=socket, environ=os.environ)
        self.watch = Watch(control=self.control, clock=ManualClock())

    async def room(self, command: str, *, name: str = "one", mark: str = "m") -> Pane:
        pane, _ = await asyncio.to_thread(
            self.server.make, name, command, cwd="/", options={"@netsky_mark": mark}
        )
        return Pane(pane, session=name, control=self.control)

    async def ended(self, command: str, text: str) -> tuple[Pane, Capture]:
        """Return a pane whose program has ended, with its last words.

        Now and then tmux 3.3a never hears that one has: then another is made.
        """
        for attempt in range(4):
            pane = await self.room(command, name=f"ended{attempt}")
            with suppress(TimeoutError):
                return pane, await self.until_shown(pane, text, dead=True, seconds=SECONDS / 2)
        raise AssertionError(f"tmux heard of no end of {command!r}")

    async def until_shown(
        self, pane: Pane, text: str, *, dead: bool = False, seconds: float = SECONDS
    ) -> Capture:
        async with asyncio.timeout(seconds):
            while True:
                shot = await pane.look()
                if text in shot.plain() and shot.dead is dead:
                    return shot

    async def until_ended(self, process: psutil.Process) -> None:
        """Return when a pane's program has ended: tmux itself may never hear of it."""
        async with asyncio.timeout(SECONDS):
            while processes.lives(process):
                await asyncio.to_thread(self.server.instance)

    async def until_gone(self) -> None:
        async with asyncio.timeout(SECONDS):
            while await asyncio.to_thread(self.server.instance):
                pass

    async def by_hand(self, *words: str) -> None:
        command = [self.server.program(), "-S", str(self.socket), *words]
        await asyncio.to_thread(subprocess.run, command, check=True)

    async def paste(self, pane: Pane, text: str, onto: Capture) -> bool:
        await pane.load(text)
        return await pane.paste(onto=onto)


def ignored(_: Capture) -> None:
    """Care for nothing that a pane shows."""


def failed(reason: str) -> None:
    raise AssertionError(reason)


def yes() -> bool:
    """Say that a pane's program lives."""
    return True


def clients(inn: Inn) -> int:
    """Return how many connections of ours live."""

    def lives(child: psutil.Process) -> bool:
        try:
            command = child.cmdline()
        except psutil.Error:  # it is ending just now
            return False
        return str(inn.socket) in command and "-C" in command

    return sum(map(lives, psutil.Process().children()))


def refused(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def too_many_files(*_: Any, **__: Any) -> Any:
    refused()


@pytest.fixture
async def inn(tmp_path: Path) -> AsyncIterator[Inn]:
    inn = Inn(tmp_path / "tmux.sock")
    async with AsyncExitStack() as stack:
        stack.callback(inn.server.kill_server)
        stack.push_async_callback(inn.control.close)
        yield inn


async def test_a_pane_shows_what_its_program_says_and_where_the_cursor_is(inn: Inn) -> None:
    pane = await inn.room("printf 'hello \\033[1mbold\\033[0m'; exec cat")

    shot = await inn.until_shown(pane, "hello bold")

    assert "\x1b[1m" in shot.text
    assert (shot.cursor_x, shot.cursor_y, shot.cursor_shown) == (10, 0, True)
    assert (shot.dead, shot.scrolled) == (False, False)


async def test_a_text_of_any_signs_and_lines_is_pasted_as_it_is(inn: Inn, tmp_path: Path) -> None:
    text = "'quotes' \"two\" #{pane_id} $HOME ; \\; `x` é ☃\n\ttab\n" + "long " * 50_000
    target = tmp_path / "typed"
    reading = f"stty raw -echo; printf ready; exec head -c {len(text.encode())} > {target}"
    pane = await inn.room(reading)
    process = psutil.Process(inn.server.panes()[0].pid)

    assert await inn.paste(pane, text, await inn.until_shown(pane, "ready"))
    await inn.until_ended(process)

    assert target.read_text() == text.replace("\n", "\r").replace("\r", "\n")


async def test_nothing_is_pasted_or_pressed_once_the_cursor_has_moved(inn: Inn) -> None:
    pane = await inn.room("exec cat")
    before = await pane.look()
    await inn.by_hand("send-keys", "-t", pane.id, "human")
    await inn.until_shown(pane, "human")

    assert not await inn.paste(pane, "netsky", before)
    assert not await pane.press("C-m", on=before)

    assert (await pane.look()).plain() == "human"


async def test_a_paste_into_a_pane_whose_program_ended_does_not_take_the_server_along(
    inn: Inn,
) -> None:
    pane, dead = await inn.ended("echo last words; exit 3", "last words")
    other = await inn.room("exec cat", name="two")

    living = Capture(
        text="", cursor_x=dead.cursor_x, cursor_y=dead.cursor_y, cursor_shown=dead.cursor_shown
    )
    assert not await inn.paste(pane, "text", living)

    assert not (await other.look()).dead


async def test_the_watch_tells_what_changed_and_nothing_twice(inn: Inn) -> None:
    pane, quiet = await inn.room("exec cat"), await inn.room("exec cat", name="two")
    seen: list[tuple[str, str]] = []
    for each in (pane, quiet):
        inn.watch.add(
            Watcher(
                each.id,
                seen=lambda shot, each=each: seen.append((each.session, shot.plain())),
                gone=lambda reason: seen.append(("gone", reason)),
                silent=lambda reason: seen.append(("silent", reason)),
                lives=yes,
            )
        )
    async with asyncio.timeout(SECONDS):
        while True:  # until a second in which nothing was written
            seen.clear()
            await inn.watch.tick()
            if not seen:
                break
    await pane.press("word", on=await pane.look())
    await inn.until_shown(pane, "word")

    await inn.watch.tick()

    assert seen == [("one", "word")]


async def test_the_watch_tells_of_a_killed_pane_once(inn: Inn) -> None:
    pane = await inn.room("exec cat")
    await inn.room("exec cat", name="two")
    gone: list[str] = []
    inn.watch.add(Watcher(pane.id, seen=ignored, gone=gone.append, silent=gone.append, lives=yes))
    await inn.watch.tick()

    inn.server.kill("one")
    await inn.watch.tick()
    await inn.watch.tick()

    assert gone == ["its pane was killed"]


async def test_the_watch_tells_of_an_end_that_tmux_never_heard_of(
    inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "ALIVE_TICKS", 1)
    pane = await inn.room("echo last words; exec cat")
    await inn.until_shown(pane, "last words")
    living, seen = [True], []
    inn.watch.add(
        Watcher(pane.id, seen=seen.append, gone=failed, silent=failed, lives=lambda: living[0])
    )
    await inn.watch.tick()
    assert not seen[-1].dead

    living[0] = False
    for _ in range(2):
        seen.clear()
        await inn.watch.tick()
        assert [(shot.dead, shot.plain()) for shot in seen] == [(True, "last words")]


async def test_the_watch_tells_of_a_server_that_is_silent_after_some_patience(inn: Inn) -> None:
    pane = await inn.room("exec cat")
    gone: list[str] = []
    silent: list[str] = []
    inn.watch.add(Watcher(pane.id, seen=ignored, gone=gone.append, silent=silent.append, lives=yes))
    await inn.watch.tick()

    inn.server.kill_server()
    for _ in range(3):
        assert silent == []
        await inn.watch.tick()

    assert len(silent) == 1
    assert gone == []


async def test_the_connection_comes_back_with_the_server_and_starts_none(inn: Inn) -> None:
    with pytest.raises(ControlLost):
        await inn.control.ask(["list-sessions"])
    assert inn.server.instance() == ""

    await inn.room("exec cat")
    [said] = await inn.control.ask(["display-message -p here"])
    inn.server.kill_server()
    with pytest.raises(ControlLost):
        await inn.control.ask(["list-sessions"])
    await inn.room("exec cat")

    assert said.text == "here"
    assert (await inn.control.ask(["display-message -p again"]))[0].text == "again"


async def test_a_connection_is_attached_before_it_asks_anything(inn: Inn) -> None:
    await inn.room("exec cat")

    for _ in range(40):  # without care, one of fifteen took its own start for the answer
        said = await inn.control.ask(["list-sessions -F '#{session_name}'"])
        assert [block.text.split() for block in said] == [["netsky-watch", "one"]]
        await inn.control.close()


async def test_a_command_that_fails_spoils_no_other(inn: Inn) -> None:
    await inn.room("exec cat")

    said = await inn.control.ask(
        ["display-message -p one", "no-such-command", "capture-pane -p -t %99", "list-sessions"]
    )

    assert [block.ok for block in said] == [True, False, False, True]
    assert said[0].text == "one"


async def test_who_is_cancelled_over_an_answer_leaves_it_to_nobody(inn: Inn) -> None:
    await inn.room("exec cat")
    await inn.control.ask(["display-message -p warm"])
    loop = asyncio.get_running_loop()
    asking = loop.create_task(inn.control.ask(["run-shell 'sleep 0.2'", "display-message -p old"]))
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])

    [said] = await inn.control.ask(["display-message -p new"])

    assert said.text == "new"


async def test_a_server_that_hangs_is_given_up(inn: Inn) -> None:
    await inn.room("exec cat")

    with pytest.raises(ControlLost, match=r"0\.05 s"):
        await inn.control.ask(["run-shell 'sleep 5'"], seconds=0.05)


async def test_a_server_that_is_stopped_holds_nobody_and_is_asked_again_later(
    inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inn.room("exec cat")
    await inn.control.ask(["display-message -p warm"])
    server = int(inn.server.instance().partition("-")[0])
    try:
        os.kill(server, signal.SIGSTOP)
        async with asyncio.timeout(SECONDS):
            with monkeypatch.context() as short:
                short.setattr(control, "ANSWER_SECONDS", 0.2)
                with pytest.raises(ControlLost, match="take a text"):
                    await inn.control.load("text" * 100_000, buffer="b")
            for _ in range(2):  # one that is connected, and one that cannot connect
                with pytest.raises(ControlLost, match=r"0\.2 s"):
                    await inn.control.ask(["display-message -p here"], seconds=0.2)
            await inn.control.close()
    finally:
        os.kill(server, signal.SIGCONT)

    [said] = await inn.control.ask(["display-message -p again"])
    assert said.text == "again"
    assert clients(inn) == 1


async def test_whoever_is_cancelled_over_a_long_answer_keeps_nobody_from_closing(inn: Inn) -> None:
    pane = await inn.room("seq -f %0190g 1 45; exec cat")
    await inn.until_shown(pane, "45")
    loop = asyncio.get_running_loop()
    asking = loop.create_task(inn.control.ask([f"capture-pane -p -t {pane.id}"] * 300))
    await asyncio.sleep(0)  # what comes now, 2.5 MB, nobody reads
    asking.cancel()
    await asyncio.wait([asking])
    await inn.by_hand("set-option", "-t", "=one:", "@seen", "1")

    async with asyncio.timeout(SECONDS):
        await inn.control.close()

    assert clients(inn) == 0


async def test_a_client_that_cannot_be_started_is_a_lost_connection(
    inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inn.room("exec cat")

    with monkeypatch.context() as full:
        full.setattr(asyncio.get_running_loop(), "subprocess_exec", too_many_files)
        with pytest.raises(ControlLost):
            await inn.control.ask(["display-message -p here"])
        with pytest.raises(ControlLost):
            await inn.control.load("text", buffer="b")

    assert len(await inn.control.ask(["display-message -p here"])) == 1


async def test_the_watching_session_goes_with_its_connection_and_disturbs_no_size(
    inn: Inn,
) -> None:
    pane = await inn.room("exec cat")
    size = "display-message -p -t one '#{window_width}x#{window_height}'"

    assert (await inn.control.ask([size]))[0].text == "200x50"
    await inn.control.close()

    assert [found.session for found in inn.server.panes()] == ["one"]
    assert len((await inn.control.ask(["list-sessions"]))[0].text.splitlines()) == 2
    assert not (await pane.look()).dead


async def test_who_watches_takes_nobody_along_while_others_come_and_go(inn: Inn) -> None:
    await inn.room("exec cat")
    server = inn.server.instance()

    for _ in range(20):  # without care, two of five took the server along
        await inn.control.ask(["display-message -p here"])
        others = (inn.by_hand("set-option", "-t", "=one:", "@seen", "1") for _ in range(3))
        await asyncio.gather(inn.control.close(), *others)

    assert inn.server.instance() == server


async def test_a_watching_session_that_was_left_behind_is_taken_over(inn: Inn) -> None:
    await inn.room("exec cat")
    await inn.control.ask(["display-message -p here"])
    [watching] = [p for p in psutil.Process().children() if "-C" in p.cmdline()]
    watching.kill()
    following = Control(tmux=inn.server.program(), socket=inn.socket, environ=os.environ)

    [said] = await following.ask(["list-sessions -F '#{session_name}'"])
    assert said.text.split() == ["netsky-watch", "one"]
    await following.close()

    command = [inn.server.program(), "-S", str(inn.socket), "has-session", "-t", "=netsky-watch"]
    assert (await asyncio.to_thread(subprocess.run, command, capture_output=True)).returncode == 1


async def test_a_server_that_has_lost_its_last_session_has_no_panes(inn: Inn) -> None:
    await inn.room("exec cat")
    await inn.by_hand("set-option", "-s", "exit-empty", "off", ";", "kill-session", "-t", "=one")

    assert inn.server.panes() == []


async def test_a_server_that_goes_while_it_is_asked_has_no_panes(inn: Inn) -> None:
    for _ in range(20):  # one asking in ten meets the end itself
        await inn.room("exec cat")
        asked = (asyncio.to_thread(inn.server.panes) for _ in range(4))
        _, *told = await asyncio.gather(inn.by_hand("kill-session", "-t", "=one"), *asked)
        assert all(len(panes) <= 1 for panes in told)
        await inn.until_gone()


async def test_panes_are_found_again_by_what_they_were_marked_with(inn: Inn) -> None:
    odd = {"@netsky_mark": "a b;", "@netsky_thread": ""}
    await asyncio.to_thread(inn.server.make, "one", "exec cat", cwd="/", options=odd)
    await inn.by_hand("new-session", "-d", "-s", "his")
    inn.server.name_thread("one", "0199")

    [found] = inn.server.panes()

    assert (found.session, found.mark) == ("one", "a b;")
    assert (found.thread_id, found.dead) == ("0199", False)


async def test_no_command_waits_for_ever_and_no_server_that_hangs_is_taken_for_none(
    inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inn.server.panes() == []
    await inn.room("exec cat")
    server = int(inn.server.instance().partition("-")[0])
    commands = [
        inn.server.panes,
        inn.server.instance,
        partial(inn.server.kill, "one"),
        partial(inn.server.make, "two", "exec cat", cwd="/", options={}),
    ]
    try:
        os.kill(server, signal.SIGSTOP)
        with monkeypatch.context() as short:
            short.setattr(bounded, "COMMAND_SECONDS", 0.1)
            async with asyncio.timeout(SECONDS):
                for command in commands:
                    with pytest.raises(ThreadUnavailable, match=r"within 0\.1 s"):
                        await asyncio.to_thread(command)
    finally:
        os.kill(server, signal.SIGCONT)


async def test_a_server_that_nobody_may_ask_is_not_taken_for_none(
    inn: Inn, monkeypatch: pytest.MonkeyPatch
) -> None:
    await inn.room("exec cat")

    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", refused)
        with pytest.raises(ThreadUnavailable, match="Too many open files"):
            inn.server.panes()

    elsewhere = TmuxServer(socket=inn.socket / "below", environ=os.environ)
    with pytest.raises(ThreadUnavailable, match=r"does not tell its panes: .*Not a directory"):
        elsewhere.panes()


def test_without_tmux_the_operator_is_told_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NoSuchDoor, match="apt install tmux"):
        TmuxServer(socket=tmp_path / "s", environ={"PATH": str(tmp_path)}).program()


def test_tmux_that_went_away_while_its_server_may_carry_panes_opens_no_other_door(
    tmp_path: Path,
) -> None:
    (tmp_path / "s").touch()

    with pytest.raises(Unhealthy, match="still work"):
        TmuxServer(socket=tmp_path / "s", environ={"PATH": str(tmp_path)}).program()


def test_a_screen_that_looks_like_an_answer_ends_none() -> None:
    answer = (
        "%begin 10 1 1\n%end 9 1 1\n%begin 9 9 9\n%end 10 1 1\n%window-add @1\n"
        "%begin 11 2 1\n%end 11 2 1\n%begin 12 3 1\nbad\n%error 12 3 1\n"
        "%begin 12 4 1\nlast\n%end 12 4 1\n"
    )

    assert blocks(answer, "last") == [
        Block(True, 10, "%end 9 1 1\n%begin 9 9 9"),
        Block(True, 11, ""),
        Block(False, 12, "bad"),
    ]


def test_a_word_with_a_line_break_is_no_word() -> None:
    assert quote("a'b") == "'a'\\''b'"
    with pytest.raises(ValueError, match="line"):
        quote("a\nkill-server")
