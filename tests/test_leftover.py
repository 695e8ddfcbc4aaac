"""What works on without netsky is seen, and ended when it is told to."""

import os
import signal
import subprocess

import pytest

from netsky_runtime import leftover
from netsky_runtime.db import engines
from netsky_runtime.db.connection import Database
from netsky_runtime.paths import Home
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName
from netsky_runtime.wire.process import process_started
from tests.support.fakes import ManualClock

ENVIRON = {"PATH": os.environ["PATH"], "TERM": "dumb"}


@pytest.fixture
def home(tmp_path):
    made = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    made.prepare()
    return made


@pytest.fixture
async def database(home):
    opened = await Database.open(home.database, backups=home.backups, clock=ManualClock())
    yield opened
    await opened.close()


@pytest.fixture
def tmux(home):
    """A tmux server where this home's residents live, with somebody in it."""

    def run(*words):
        command = ["tmux", "-S", str(home.tmux_socket), "-f", "/dev/null", *words]
        return subprocess.run(command, env=ENVIRON, capture_output=True, timeout=30).returncode

    assert run("new-session", "-d", "sleep 600") == 0
    yield run
    run("kill-server")


async def test_residents_that_live_in_tmux_are_seen_and_ended(home, database, tmux):
    await database.close()
    assert leftover.residents(home)
    ended = await leftover.end(home, ENVIRON)
    assert ended == leftover.Ended(engine=None, residents=True)
    assert not leftover.residents(home)
    assert tmux("has-session") != 0


async def test_where_nothing_was_left_nothing_is_ended(home, database):
    assert not leftover.residents(home)
    await database.close()
    assert await leftover.end(home, ENVIRON) == leftover.Ended(engine=None, residents=False)


@pytest.fixture
def process():
    """A process in a group of its own, as Codex's is."""
    started = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield started
    started.kill()
    started.wait(30)


async def test_an_mcp_server_that_a_killed_netsky_left_in_a_turn_is_ended_and_is_no_engine(
    home, database, process
):
    server = Engine(
        id="e-1",
        runtime=RuntimeName.MCP_SERVER,
        state=EngineState.RUNNING,
        pid=process.pid,
        pid_started=process_started(process.pid),
        binary="codex",
        version="0.153.4",
        codex_home="",
        socket="",
        started_at=1,
    )
    await database.write(lambda tx: engines.insert(tx, server))
    assert await database.read(leftover.working) is None
    assert await database.read(leftover.server) == server
    await database.close()
    ended = await leftover.end(home, ENVIRON)
    assert ended == leftover.Ended(engine=None, residents=False, server=server)
    assert process.wait(30) == -signal.SIGTERM
    assert await leftover.end(home, ENVIRON) == leftover.Ended(engine=None, residents=False)
