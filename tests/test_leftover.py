"""What works on without netsky is seen, and ended when it is told to."""

import os
import signal
import subprocess
from dataclasses import replace

import pytest

from netsky_runtime import leftover
from netsky_runtime.agents.launch import new_session
from netsky_runtime.clock import SystemClock
from netsky_runtime.db import actors, engines, sessions, turns
from netsky_runtime.db.connection import Database
from netsky_runtime.paths import Home
from netsky_runtime.records import Actor, Engine, Turn
from netsky_runtime.settings import Settings
from netsky_runtime.states import ActorKind, ActorStatus, EngineState, RuntimeName, TurnStatus
from netsky_runtime.wire.birth import process_started
from tests.support.fakes import CountingIds, ManualClock

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


@pytest.fixture
def server(process):
    """The mcp-server that netsky knows to be this process."""
    return Engine(
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


async def test_an_mcp_server_that_a_killed_netsky_left_in_a_turn_is_ended_and_is_no_engine(
    home, database, process, server
):
    await database.write(lambda tx: engines.insert(tx, server))
    assert await database.read(leftover.working) is None
    assert await database.read(leftover.server) == server
    await database.close()
    ended = await leftover.end(home, ENVIRON)
    assert ended == leftover.Ended(engine=None, residents=False, server=server)
    assert process.wait(30) == -signal.SIGTERM
    assert await leftover.end(home, ENVIRON) == leftover.Ended(engine=None, residents=False)


async def test_the_turns_of_what_is_ended_are_known_as_stopped_and_no_others(
    home, database, server
):
    doors = {"worker1": RuntimeName.MCP_SERVER, "worker2": RuntimeName.RESIDENT}

    async def crew(tx):
        await engines.insert(tx, server)
        for actor_id, door in doors.items():
            worker = Actor(
                id=actor_id,
                kind=ActorKind.WORKER,
                status=ActorStatus.ACTIVE,
                created_at=1,
                updated_at=1,
            )
            await actors.insert(tx, worker)
            made = new_session(worker, Settings(), runtime=door, ids=CountingIds(), now=1)
            thread_id = f"thread of {actor_id}"
            await sessions.insert(tx, replace(made, id=actor_id, thread_id=thread_id))
            turn = Turn(
                thread_id=thread_id,
                id="turn",
                actor_id=actor_id,
                status=TurnStatus.IN_PROGRESS,
                started_at=1,
            )
            await turns.start(tx, turn)

    await database.write(crew)
    await leftover.end_all(
        home, ENVIRON, database=database, clock=SystemClock(), log=lambda *_: None
    )
    running = await database.read(turns.running)
    assert {turn.actor_id: turn.error for turn in running} == {
        "worker1": turns.STOPPED,
        "worker2": "",
    }
