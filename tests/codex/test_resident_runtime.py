"""The resident door over a program that only looks like Codex."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.base import (
    HistoryUnavailable,
    LaunchSpec,
    NoSuchDoor,
    StillWriting,
    ThreadUnavailable,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.resident import ResidentRuntime, bounded, processes, typing
from netsky_runtime.codex.resident.command import PROMPT_VARIABLE
from netsky_runtime.codex.resident.control import Control
from netsky_runtime.codex.resident.following import Following
from netsky_runtime.codex.resident.pane import Pane
from netsky_runtime.codex.resident.resident import Resident
from netsky_runtime.codex.resident.screen import CODE_TOLD, read
from netsky_runtime.codex.resident.tmux import TmuxServer
from netsky_runtime.errors import Unhealthy
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings
from tests.codex import screens
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.resident.screen import Capture
    from netsky_runtime.codex.resident.session import ResidentSession

pytestmark = pytest.mark.real_tmux

THREAD = "01a00000-0000-7000-8000-000000000001"
SECONDS = 20
REST_SECONDS = 0.01
"""Between two looks: each is a question to tmux, which has other work."""
PROGRAM = '#!/bin/sh\n[ "$1" = --version ] && { echo codex-cli 0.163.0; exit; }\nexec cat\n'


def resident_door(
    tmp_path: Path, clock: Clock, *, program: str = PROGRAM, path: str = os.environ["PATH"]
) -> ResidentRuntime:
    codex = tmp_path / "codex"
    codex.write_text(program)
    codex.chmod(0o755)
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    home.prepare()
    return ResidentRuntime(
        settings=Settings(codex_bin=str(codex)),
        home=home,
        clock=clock,
        ids=SortableIds(clock),
        environ={"PATH": path, "CODEX_HOME": str(tmp_path / "codex-home")},
        log=lambda *_: None,
    )


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ResidentRuntime]:
    runtime = resident_door(tmp_path, SystemClock())
    await runtime.open()
    yield runtime
    await runtime.close(keep_engine=False)


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[ResidentRuntime]:
    """A door whose time passes by hand."""
    runtime = resident_door(tmp_path, clock)
    await runtime.open()
    yield runtime
    await runtime.close(keep_engine=False)


@pytest.fixture
def server(tmp_path: Path) -> TmuxServer:
    return TmuxServer(socket=tmp_path / "home/tmux.sock", environ=os.environ)


def written(tmp_path: Path) -> None:
    """Write the rollout of the thread, as Codex would have."""
    day = tmp_path / "codex-home/sessions/2026/01/01"
    day.mkdir(parents=True)
    meta = {"type": "session_meta", "payload": {"id": THREAD}}
    (day / f"rollout-2026-01-01T00-00-00-{THREAD}.jsonl").write_text(json.dumps(meta) + "\n")


def refused(*_: Any, **__: Any) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


async def refused_too(*_: Any, **__: Any) -> Any:
    refused()


async def loss(session: ResidentSession, clock: ManualClock) -> str:
    """Let time pass until the session is lost, and return why."""
    loop = asyncio.get_running_loop()

    async def reason() -> str:
        events = [event async for event in session.events()]
        assert events[-1].kind is EventKind.SESSION_LOST
        return str(events[-1].data["reason"])

    waiting = loop.create_task(reason())
    async with asyncio.timeout(SECONDS):
        while not waiting.done():
            await clock.advance(1)
            await asyncio.wait([waiting], timeout=0.01)
    return waiting.result()


def spec_in(folder: Path) -> LaunchSpec:
    return LaunchSpec(
        cwd=str(folder),
        instructions="",
        sandbox="read-only",
        approval_policy="never",
        mark="tag",
        label="worker1",
    )


async def test_a_thread_that_cannot_be_looked_for_just_now_is_not_gone(
    runtime: ResidentRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, real = tmp_path / "codex-home/sessions", os.scandir

    def refused(folder: Path) -> Any:
        if folder == home:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(folder)

    with monkeypatch.context() as full:
        full.setattr(os, "scandir", refused)
        with pytest.raises(ThreadUnavailable, match="cannot be searched"):
            await runtime.resume(THREAD, spec_in(tmp_path))
        with pytest.raises(HistoryUnavailable, match="cannot be searched"):
            await runtime.find("tag", since=0)

    assert await runtime.find("tag", since=0) == ""


async def test_a_thread_whose_rollout_cannot_be_read_gets_no_pane_that_stays(
    runtime: ResidentRuntime, server: TmuxServer, tmp_path: Path
) -> None:
    day = tmp_path / "codex-home/sessions/2026/01/01"
    day.mkdir(parents=True)
    (day / f"rollout-2026-01-01T00-00-00-{THREAD}.jsonl").symlink_to("nowhere")

    with pytest.raises(ThreadUnavailable, match="cannot be read"):
        await runtime.resume(THREAD, spec_in(tmp_path))

    assert server.panes() == []


async def test_a_pane_out_of_sight_lives_on_and_its_thread_is_found_in_it_again(
    timed: ResidentRuntime,
    clock: ManualClock,
    server: TmuxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(tmp_path)
    marks = {"@netsky_mark": "tag", "@netsky_thread": THREAD}
    pane, pid = server.make("worker1", "exec cat", cwd="/", options=marks)
    session = await timed.resume(THREAD, spec_in(tmp_path))

    with monkeypatch.context() as full:
        full.setattr(asyncio.get_running_loop(), "subprocess_exec", refused_too)
        reason = await loss(session, clock)

    assert "out of sight" in reason
    assert psutil.Process(pid).is_running()
    again = await timed.resume(THREAD, spec_in(tmp_path))
    assert again.thread_id == THREAD
    assert [(found.pane, found.pid) for found in server.panes()] == [(pane, pid)]
    os.kill(pid, signal.SIGKILL)
    assert await loss(again, clock) == "Codex has ended: its process was killed by signal 9."


async def test_what_outlives_its_tmux_server_is_ended(
    timed: ResidentRuntime, clock: ManualClock, server: TmuxServer, tmp_path: Path
) -> None:
    written(tmp_path)
    marks = {"@netsky_mark": "tag", "@netsky_thread": THREAD}
    stubborn = "trap '' HUP; while :; do sleep 1; done"
    _, pid = server.make("worker1", stubborn, cwd="/", options=marks)
    process = psutil.Process(pid)
    session = await timed.resume(THREAD, spec_in(tmp_path))

    os.kill(int(server.instance().partition("-")[0]), signal.SIGKILL)
    assert "with its tmux server" in await loss(session, clock)

    await asyncio.to_thread(psutil.wait_procs, [process], timeout=SECONDS)
    assert not process.is_running()


async def test_a_name_is_looked_for_by_one_job_at_a_time(
    timed: ResidentRuntime,
    clock: ManualClock,
    server: TmuxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asking = "printf '\\033[?25l'; while :; do echo pick one; sleep 0.1; done"
    server.make("worker1", asking, cwd="/", options={"@netsky_mark": "tag"})
    starting = asyncio.get_running_loop().create_task(timed.start(spec_in(tmp_path)))
    async with asyncio.timeout(SECONDS):
        while not starting.done():
            await clock.advance(1)
            await asyncio.wait([starting], timeout=0.01)
    assert starting.result().thread_id == ""
    shown, asked, may = [], [], threading.Event()
    real = Resident.seen

    def seen(home: Resident, shot: Capture, *, look_again: Callable[[], None]) -> None:
        shown.append(shot)
        real(home, shot, look_again=look_again)

    def slow(leader: psutil.Process, *, mark: str) -> None:
        asked.append(leader)
        may.wait(SECONDS)

    monkeypatch.setattr(Resident, "seen", seen)
    monkeypatch.setattr(processes, "open_rollout", slow)
    try:
        async with asyncio.timeout(SECONDS):
            while len(shown) < 4:
                await clock.advance(1)
                await asyncio.to_thread(server.instance)
        assert len(asked) == 1
    finally:
        may.set()


@pytest.mark.parametrize("error", [OSError(errno.EIO, "no"), asyncio.CancelledError()])
async def test_whatever_goes_wrong_after_a_pane_was_launched_leaves_none(
    error: BaseException,
    runtime: ResidentRuntime,
    server: TmuxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(tmp_path)

    async def fail(*_: Any, **__: Any) -> None:
        assert [found.thread_id for found in server.panes()] == [THREAD]
        raise error

    monkeypatch.setattr(Following, "go_on", fail)
    with pytest.raises(type(error)):
        await runtime.resume(THREAD, spec_in(tmp_path))

    assert server.panes() == []


async def test_whoever_is_cancelled_while_a_pane_is_made_leaves_none(
    runtime: ResidentRuntime,
    server: TmuxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(tmp_path)
    going, may = threading.Event(), threading.Event()
    real = TmuxServer.make

    def slow(*given: Any, **more: Any) -> Any:
        going.set()
        may.wait(SECONDS)
        return real(*given, **more)

    monkeypatch.setattr(TmuxServer, "make", slow)
    resuming = asyncio.get_running_loop().create_task(runtime.resume(THREAD, spec_in(tmp_path)))
    await asyncio.to_thread(going.wait, SECONDS)
    resuming.cancel()
    await asyncio.wait([resuming], timeout=SECONDS)
    assert resuming.cancelled()
    may.set()
    monkeypatch.setattr(Following, "go_on", refused_too)
    with pytest.raises(OSError, match="Too many"):
        await runtime.resume(THREAD, spec_in(tmp_path))

    assert server.panes() == []


async def test_a_pane_whose_process_does_not_end_may_still_write(
    runtime: ResidentRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)

    with monkeypatch.context() as stuck:
        stuck.setattr(processes, "end", lambda members, **_: False)
        stuck.setattr(Following, "go_on", refused_too)
        with pytest.raises(StillWriting, match="does not end"):
            await runtime.resume(THREAD, spec_in(tmp_path))


async def test_a_machine_without_tmux_has_no_such_door(tmp_path: Path) -> None:
    runtime = resident_door(tmp_path, SystemClock(), path=str(tmp_path))

    with pytest.raises(NoSuchDoor, match="no tmux"):
        await runtime.open()


async def test_a_server_that_hangs_does_not_keep_a_stop_from_ending_its_panes(
    tmp_path: Path, server: TmuxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path)
    runtime = resident_door(tmp_path, SystemClock())
    await runtime.open()
    prompt = tmp_path / "home/attach/worker1/prompt.md"
    command = f"{PROMPT_VARIABLE}={prompt} exec cat"
    _, pid = server.make("worker1", command, cwd="/", options={"@netsky_mark": "tag"})
    process, hung = psutil.Process(pid), int(server.instance().partition("-")[0])
    os.kill(hung, signal.SIGSTOP)
    try:
        monkeypatch.setattr(bounded, "COMMAND_SECONDS", 0.1)
        with pytest.raises(Unhealthy, match="do not end"):
            await runtime.close(keep_engine=False)
        assert not processes.lives(process)
    finally:
        monkeypatch.undo()
        os.kill(hung, signal.SIGCONT)
        server.kill_server()


ASKING = "printf '\\033[?25lpick one'; exec cat"
"""A dialog, which no turn waits in."""


def place(server: TmuxServer, command: str) -> psutil.Process:
    """Make the pane of worker1, as a netsky before has left it."""
    _, pid = server.make("worker1", command, cwd="/", options={"@netsky_mark": "tag"})
    return psutil.Process(pid)


async def until(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not await asyncio.to_thread(seen):  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(REST_SECONDS)


async def until_shown(
    server: TmuxServer, tmp_path: Path, wanted: Callable[[Capture], bool]
) -> None:
    """Wait until the only pane shows what is wanted."""
    socket = tmp_path / "home/tmux.sock"
    control = Control(tmux=server.program(), socket=socket, environ=os.environ)
    pane = Pane(server.panes()[0].pane, session="worker1", control=control)
    try:
        async with asyncio.timeout(SECONDS):
            while not wanted(await pane.look()):  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(REST_SECONDS)
    finally:
        await control.close()


async def test_the_pane_of_a_stopped_actor_is_ended_with_its_processes_and_no_other(
    runtime: ResidentRuntime, server: TmuxServer
) -> None:
    process = place(server, ASKING)
    server.make("worker10", ASKING, cwd="/", options={"@netsky_mark": "other"})

    assert await runtime.vacate("worker1") == ""
    assert await runtime.vacate("worker1") == ""

    assert [found.session for found in server.panes()] == ["worker10"]
    assert not processes.lives(process)


async def test_a_door_that_was_not_opened_yet_ends_the_pane_of_a_stopped_actor_too(
    tmp_path: Path, server: TmuxServer
) -> None:
    runtime = resident_door(tmp_path, SystemClock())
    assert await runtime.vacate("worker1") == ""
    process = place(server, ASKING)

    assert await runtime.vacate("worker1") == ""

    assert not processes.lives(process)
    await runtime.close(keep_engine=False)


@pytest.fixture
def human(server: TmuxServer, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody at the screen of worker1, whose pane shows a dialog."""
    place(server, ASKING)
    socket = str(tmp_path / "home/tmux.sock")
    command = [server.program(), "-S", socket, "-C", "attach-session", "-t", "=worker1"]
    sitting = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    yield sitting
    sitting.kill()
    sitting.communicate(timeout=SECONDS)


async def test_a_pane_at_which_somebody_sits_is_not_ended_until_he_has_left(
    runtime: ResidentRuntime, server: TmuxServer, human: subprocess.Popen[bytes]
) -> None:
    await until(lambda: server.panes()[0].attached)

    assert await runtime.vacate("worker1") == "somebody looks at its screen"
    assert [found.session for found in server.panes()] == ["worker1"]

    human.kill()
    await until(lambda: not server.panes()[0].attached)
    assert await runtime.vacate("worker1") == ""
    assert server.panes() == []


@pytest.mark.parametrize(
    ("screen", "why"),
    [
        ("busy", "a turn runs"),
        ("approval", "a turn runs"),
        ("typed", "somebody's words"),
        ("side", "a side conversation"),
        ("side-busy", "a side conversation"),
    ],
)
async def test_a_pane_that_shows_a_turn_or_somebodys_words_is_not_ended(
    screen: str,
    why: str,
    runtime: ResidentRuntime,
    server: TmuxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = screens.capture(f"0.163.0-{screen}")
    (tmp_path / "screen").write_text(shown.text)
    at = f"\\033[{shown.cursor_y + 1};{shown.cursor_x + 1}H"
    cursor = "\\033[?25h" if shown.cursor_shown else "\\033[?25l"
    process = place(server, f"stty -echo; cat {tmp_path}/screen; printf '{cursor}{at}'; exec cat")
    await until_shown(server, tmp_path, lambda capture: read(capture).look is read(shown).look)
    monkeypatch.setattr(typing, "SETTLE_SECONDS", 0)

    assert why in await runtime.vacate("worker1")

    assert processes.lives(process)


async def test_a_pane_that_is_attached_to_again_is_not_ended(
    runtime: ResidentRuntime, server: TmuxServer, tmp_path: Path
) -> None:
    written(tmp_path)
    process = place(server, ASKING)
    server.name_thread("worker1", THREAD)
    session = await runtime.resume(THREAD, spec_in(tmp_path))

    assert await runtime.vacate("worker1") == "it is attached to again"

    assert processes.lives(process)
    await session.close()


async def test_a_codex_whose_end_tmux_never_heard_of_is_lost_with_its_last_words(
    timed: ResidentRuntime,
    clock: ManualClock,
    server: TmuxServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written(tmp_path)
    # So it looks: tmux takes the pane for living, and its process is no more.
    place(server, f"printf 'boom\\n{CODE_TOLD} 3\\n'; exec cat")
    server.name_thread("worker1", THREAD)
    await until_shown(server, tmp_path, lambda capture: CODE_TOLD in capture.plain())
    session = await timed.resume(THREAD, spec_in(tmp_path))
    monkeypatch.setattr(processes, "lives", lambda _: False)

    assert await loss(session, clock) == "Codex has ended with code 3: boom."

    await until(lambda: server.panes() == [])
