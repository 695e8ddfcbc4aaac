"""A process that carries threads, played by a shell: what it starts descends from an agent."""

from __future__ import annotations

import shlex
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import engines
from netsky_runtime.db.connection import Database
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName
from netsky_runtime.wire.birth import process_started

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from netsky_runtime.paths import Home

NETSKY = (sys.executable, "-m", "netsky_tui")


class Carrier:
    """Runs shell lines, one after the other, as Codex runs an agent's commands."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid
        self.started = process_started(process.pid)

    def tell(self, line: str) -> str:
        """Run a line and return the next line that is printed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip()

    def kill(self) -> None:
        """End it alone, as a crash would: what it has started goes on."""
        self._process.kill()
        self._process.wait()

    def run(self, *command: str, into: Path) -> tuple[int, str]:
        """Run a command; return its exit status and all that it has printed."""
        words = shlex.join(command)
        status = self.tell(f"{words} </dev/null >{shlex.quote(str(into))} 2>&1; echo $?")
        return int(status), into.read_text()


@contextmanager
def carrier(environ: Mapping[str, str]) -> Iterator[Carrier]:
    """Start one in a session of its own; all that it has started is ended after it."""
    with subprocess.Popen(
        ["sh"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=dict(environ),
    ) as process:
        try:
            yield Carrier(process)
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
            process.kill()


async def keep_row(
    home: Home,
    of: Carrier,
    *,
    runtime: RuntimeName = RuntimeName.APP_SERVER,
    state: EngineState = EngineState.RUNNING,
) -> None:
    """Let the home know the carrier as its engine, one that has ended if the state says so."""
    home.prepare()
    clock = SystemClock()
    database = await Database.open(home.database, backups=home.backups, clock=clock)
    engine = Engine(
        id="e-1",
        runtime=runtime,
        state=state,
        pid=of.pid,
        pid_started=of.started,
        binary="/codex",
        version="0.163.0",
        codex_home="/codex-home",
        socket=str(home.engine_socket),
        started_at=clock.now(),
        ended_at=None if state is EngineState.RUNNING else clock.now(),
    )
    try:
        await database.write(lambda tx: engines.insert(tx, engine))
    finally:
        await database.close()
