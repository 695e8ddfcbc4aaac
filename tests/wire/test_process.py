from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.wire.birth import is_same_process, process_started
from netsky_runtime.wire.errors import PeerClosed, WireError
from netsky_runtime.wire.groups import group_alive
from netsky_runtime.wire.process import Child
from tests.support.patience import PATIENCE
from tests.wire.pipes import Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ENV = {"PATH": os.environ["PATH"]}


@asynccontextmanager
async def child(script: str, **options: object) -> AsyncIterator[Child]:
    async with asyncio.timeout(PATIENCE):
        started = await Child.spawn(
            [sys.executable, "-I", "-c", script],
            env=ENV,
            **options,  # type: ignore[arg-type]  # forwarded as they are
        )
        try:
            yield started
        finally:
            await started.end(grace=0.1)


async def line(started: Child) -> str:
    data = await started.framing.receive()
    assert data is not None
    return data.decode()


ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
STUBBORN = """
import signal, sys
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, signal.SIG_IGN)
print('ready', flush=True)
while True: signal.pause()
"""
LAUNCHER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, '-I', '-c', '''%s'''], stdin=subprocess.DEVNULL,
    stdout=subprocess.PIPE, stderr=sys.stderr)
child.stdout.readline()
print(child.pid, flush=True)
%s
"""


async def test_lines_pass_through_a_child_which_ends_when_its_input_is_closed() -> None:
    async with child(ECHO) as started:
        assert started.returncode is None
        await started.framing.send(b'{"n": 1}')
        assert await line(started) == '{"n": 1}'
        assert await started.end() == 0
        assert await started.framing.receive() is None


async def test_a_child_sees_exactly_the_environment_and_folder_it_is_given(tmp_path: Path) -> None:
    script = "import os; print(os.environ.get('ONLY'), 'HOME' in os.environ, os.getcwd())"
    started = await Child.spawn(
        [sys.executable, "-I", "-c", script], env={"ONLY": "this"}, cwd=tmp_path
    )
    assert await line(started) == f"this False {tmp_path}"
    await started.end()


async def test_two_megabytes_of_stderr_that_nobody_reads_do_not_block_the_child() -> None:
    script = """
import sys
for n in range(20_000): sys.stderr.write(f'line {n} ' + 'x' * 100 + '\\n')
sys.stderr.write('no newline ' * 200_000)
sys.stderr.write('the end')
print('done', flush=True)
"""
    async with child(script) as started:
        assert await line(started) == "done"
        await started.exited()
        assert await started.framing.receive() is None
        tail = started.stderr_tail()
        assert tail.endswith("the end")
        assert len(tail) <= 2000


async def test_only_the_last_lines_of_stderr_are_kept() -> None:
    script = "import sys; print(*range(1000), sep='\\n', file=sys.stderr)"
    async with child(script, stderr_lines=3) as started:
        assert await started.framing.receive() is None
        assert started.stderr_tail().split() == ["997", "998", "999"]


async def test_what_a_dying_child_said_is_in_the_error_of_every_waiter() -> None:
    script = "import sys; input(); sys.exit('error: config.toml line 3')"
    async with child(script) as started, asyncio.TaskGroup() as group:
        peer = Heard().peer(started.framing, diagnosis=started.stderr_tail)
        group.create_task(peer.run())
        with pytest.raises(PeerClosed, match=r"ended the connection.* config.toml line 3"):
            await peer.request("initialize", deadline=10)


async def test_a_request_to_a_child_that_is_already_dead_says_why() -> None:
    async with child("import sys; sys.exit('no such model')") as started:
        await started.exited()
        async with asyncio.TaskGroup() as group:
            peer = Heard().peer(started.framing, diagnosis=started.stderr_tail)
            group.create_task(peer.run())
            with pytest.raises(PeerClosed, match="no such model"):
                await peer.request("initialize", deadline=10)


async def test_a_child_that_ignores_sigterm_is_killed() -> None:
    async with child(STUBBORN) as started:
        assert await line(started) == "ready"
        assert await started.end(grace=0.05) == -signal.SIGKILL
        assert not psutil.pid_exists(started.pid)


async def test_a_child_that_ignores_its_input_ends_at_sigterm() -> None:
    script = "import signal; print('ready', flush=True)\nwhile True: signal.pause()"
    async with child(script) as started:
        await line(started)
        assert await started.end(grace=0.05) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("leader", "code"),
    [("sys.stdin.read()", 0), ("import signal; signal.pause()", -signal.SIGTERM), ("", 0)],
    ids=["ends at end of input", "ends at SIGTERM", "ends by itself"],
)
async def test_what_a_launcher_forked_is_ended_with_its_group(leader: str, code: int) -> None:
    async with child(LAUNCHER % (STUBBORN, leader)) as started:
        grandchild = int(await line(started))
        assert is_same_process(grandchild, process_started(grandchild))
        if not leader:
            await started.exited()
        assert await started.end(grace=0.1) == code
        assert not group_alive(started.pid)
        assert not is_same_process(grandchild, 0)
        assert not psutil.pid_exists(grandchild) or (
            psutil.Process(grandchild).status() == psutil.STATUS_ZOMBIE
        )


async def test_a_descendant_outside_the_group_that_holds_the_pipes_does_not_block_the_end() -> None:
    script = """
import subprocess, sys
child = subprocess.Popen(['sleep', '60'], start_new_session=True)
print(child.pid, flush=True)
"""
    async with child(script) as started:
        escaped = int(await line(started))
        assert await started.end(grace=0.1) == 0
        os.kill(escaped, signal.SIGKILL)


async def test_a_child_in_our_own_group_is_ended_alone() -> None:
    async with child(STUBBORN, new_session=False) as started:
        await line(started)
        assert os.getpgid(started.pid) == os.getpgrp()
        assert await started.end(grace=0.05) == -signal.SIGKILL


async def test_ending_twice_and_at_the_same_time_is_ending_once() -> None:
    async with child(STUBBORN) as started, asyncio.TaskGroup() as group:
        await line(started)
        both = [group.create_task(started.end(grace=0.05)) for _ in range(2)]
        assert [await one for one in both] == [-signal.SIGKILL] * 2
        assert await started.end() == -signal.SIGKILL


async def test_a_cancelled_caller_does_not_stop_the_ending() -> None:
    async with child(STUBBORN) as started, asyncio.TaskGroup() as group:
        await line(started)
        ending = group.create_task(started.end(grace=0.1))
        await asyncio.sleep(0)
        ending.cancel()
        assert await started.exited() == -signal.SIGKILL


def test_a_loop_that_ends_in_the_middle_of_an_ending_leaves_no_process() -> None:
    async def leave() -> int:
        started = await Child.spawn([sys.executable, "-I", "-c", STUBBORN], env=ENV)
        await line(started)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await started.end(grace=60)
        return started.pid

    pid = asyncio.run(leave())
    _, alive = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], 5)
    assert not alive


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["/no/such/program"], "could not be started: No such file"),
        (["/"], "could not be started: Permission denied"),
    ],
)
async def test_what_cannot_be_started_is_told_in_one_sentence(argv: list[str], reason: str) -> None:
    with pytest.raises(WireError, match=reason):
        await Child.spawn(argv, env=ENV)


async def test_a_folder_that_does_not_exist_is_named() -> None:
    with pytest.raises(WireError, match="could not be started in /no/such/folder"):
        await Child.spawn([sys.executable], env=ENV, cwd="/no/such/folder")


async def test_what_a_child_said_is_quoted_without_colours_and_its_end_is_told() -> None:
    said = "\\x1b[2mat\\x1b[0m \\x1b[31mERROR\\x1b[0m"
    script = f"import sys; print('{said}', file=sys.stderr); sys.exit(3)"
    async with child(script) as started:
        await started.exited()
        assert await started.fate() == "It ended with code 3."
        assert await started.framing.receive() is None
        assert started.stderr_tail() == "at ERROR"
