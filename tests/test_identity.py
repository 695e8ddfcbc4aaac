"""The owner's verbs from the wrong hands: a daemon's engine and panes, played by real processes."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.control.protocol import REQUESTS
from netsky_runtime.daemon import Daemon
from netsky_runtime.db import approvals, backup, sessions
from netsky_runtime.errors import Refused
from netsky_runtime.gate import OPEN, TOKENED, check_owner, look
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from netsky_runtime.states import ApprovalStatus, EngineState, RuntimeName
from tests.support.carriers import NETSKY, Carrier, carrier, keep_row
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ASKING = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    file = line.makefile("rw")
    def ask(method, params):
        print(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
              file=file, flush=True)
        while True:
            told = json.loads(file.readline())
            if told.get("id") == 1:
                return told.get("error", {}).get("data", {}).get("code", "done")
    ask("hello", {"protocol": 1})
    asked = json.loads(sys.argv[2])
    print(json.dumps([ask(method, params) for method, params in asked]))
"""
"""Speaks to the socket itself, as any program can that does not use netsky's own."""


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder whose sockets lie beside it: tmux would find no other."""
    with tempfile.TemporaryDirectory(prefix="ns") as short:
        yield Path(short)


@pytest.fixture
def home(root: Path) -> Home:
    return Home.locate({"NETSKY_HOME": str(root / "home")})


def environ(home: Home) -> dict[str, str]:
    """The environment of the owner's own shell: an agent's may be no other."""
    kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
    path = str(Path(__file__).parents[1])
    own = {"HOME": str(home.root.parent), "NETSKY_HOME": str(home.root), "PYTHONPATH": path}
    return {**kept, **own}


@pytest.fixture
def engine(home: Home) -> Iterator[Carrier]:
    with carrier(environ(home)) as engine:
        yield engine


@asynccontextmanager
async def daemon(home: Home) -> AsyncIterator[Daemon]:
    work = home.root.parent / "work"
    work.mkdir(exist_ok=True)
    flags = {"runtime": "scripted"}
    running = await Daemon.host(Options(home=home, cwd=work, environ={}, flags=flags))
    try:
        yield running
    finally:
        await running.stop(keep_engine=True)  # the engine is played, and no engine's end is meant


async def below(engine: Carrier, *command: str, into: Path) -> tuple[int, str]:
    """Run a command as the engine's child; return its exit status and what it says."""
    return await asyncio.to_thread(engine.run, *command, into=into)


async def ask(engine: Carrier, home: Home, asked: list[tuple[str, Any]]) -> list[str]:
    """Ask on the socket itself, below the engine; return what each came to."""
    words = (sys.executable, "-c", ASKING, str(home.control_socket), json.dumps(asked))
    status, said = await below(engine, *words, into=home.root.parent / "said")
    assert status == 0, said
    return list(json.loads(said))


async def test_nothing_of_the_owner_s_is_done_for_what_the_engine_has_started(
    home: Home, engine: Carrier
) -> None:
    await keep_row(home, engine)
    methods = sorted(REQUESTS.keys() - {"hello"})
    async with daemon(home) as running:
        told = await ask(engine, home, [(method, {}) for method in methods])
        refused = {method for method, code in zip(methods, told, strict=True) if code == "refused"}
        assert refused == set(methods) - OPEN - TOKENED
        assert not running.asked_to_stop.is_set()


@pytest.mark.parametrize(
    "line",
    [
        ["send", "manager0", "SAY[done]"],
        ["approvals", "decide", "a1", "accept"],
        ["settings", "set", "sandbox", "danger-full-access"],
        ["actors", "start-manager", "Rule"],
        ["codex", "5", "--prompt", "SAY[done]"],
        ["stop"],
    ],
    ids=" ".join,
)
async def test_the_command_line_is_refused_below_the_engine_and_says_what_to_use(
    home: Home, engine: Carrier, line: list[str]
) -> None:
    await keep_row(home, engine)
    async with daemon(home) as running:
        status, said = await below(engine, *NETSKY, *line, into=home.root.parent / "said")
        assert status == 1, said
        assert "the owner's, and the engine has started process" in said
        assert "netsky's tools and the file bus" in said
        assert not running.asked_to_stop.is_set()
        found = await running.database.read(
            lambda tx: approvals.list_(tx, statuses=list(ApprovalStatus))
        )
        assert found == ()


async def test_what_may_be_looked_at_can_be_looked_at_below_the_engine(
    home: Home, engine: Carrier
) -> None:
    await keep_row(home, engine)
    async with daemon(home):
        for line in (["status", "--json"], ["messages", "list"], ["actors", "list"]):
            status, said = await below(engine, *NETSKY, *line, into=home.root.parent / "said")
            assert status == 0, said


async def test_the_file_bus_takes_the_words_of_what_the_engine_has_started(
    home: Home, engine: Carrier
) -> None:
    await keep_row(home, engine)
    line = ("channel", "send", "agent0", "SAY[read]", "--from", "agentci")
    status, said = await below(engine, *NETSKY, *line, into=home.root.parent / "said")
    assert status == 0, said


@pytest.mark.parametrize(
    "line",
    [
        ["send", "manager0", "SAY[done]"],
        ["settings", "set", "sandbox", "danger-full-access"],
        ["stop"],
        ["--no-tui", "--runtime", "scripted"],
    ],
    ids=" ".join,
)
async def test_without_a_daemon_the_command_line_looks_where_it_comes_from_itself(
    home: Home, engine: Carrier, line: list[str]
) -> None:
    async with daemon(home):
        pass
    await keep_row(home, engine)
    words = ("sh", "-c", f"cd {home.root.parent}/work && exec {shlex.join([*NETSKY, *line])}")
    status, said = await below(engine, *words, into=home.root.parent / "said")
    assert status == 1, said
    assert "is the owner's, and the engine has started process" in said
    with closing(sqlite3.connect(home.database)) as database:
        assert database.execute("SELECT count(*) FROM messages").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM settings").fetchone() == (0,)


@pytest.mark.parametrize("damaged", [False, True])
async def test_a_restore_is_refused_below_the_engine_also_where_the_database_cannot_be_read(
    home: Home, engine: Carrier, damaged: bool
) -> None:
    await keep_row(home, engine)
    copy = home.root.parent / "copy.db"
    await asyncio.to_thread(backup.take, home.database, copy)
    if damaged:
        home.database.write_bytes(b"scribbled over" * 1_000)
    before = home.database.read_bytes()
    line = (*NETSKY, "restore", str(copy))
    status, said = await below(engine, *line, into=home.root.parent / "said")
    assert status == 1, said
    assert "to restore is the owner's, and the engine has started process" in said
    assert home.database.read_bytes() == before


@contextmanager
def pane(home: Home, script: str) -> Iterator[Path]:
    """Run a script in a pane of this home's tmux; yield where its words come to."""
    said = home.root.parent / "pane"
    tmux = ["tmux", "-S", str(home.tmux_socket), "-f", "/dev/null"]
    os.mkfifo(said)
    line = f"({script}) >{said} 2>&1; exec sleep 600"
    subprocess.run([*tmux, "new-session", "-d", "sh", "-c", line], env=environ(home), check=True)
    try:
        yield said
    finally:
        subprocess.run([*tmux, "kill-server"], check=True)


async def said_in(pane: Path) -> str:
    return await asyncio.to_thread(pane.read_text)


@pytest.mark.parametrize("how", ["{}", "(sh -c '{} & wait')", "(setsid {} & wait)"])
async def test_a_pane_of_the_home_s_tmux_is_not_the_owner_s_terminal(home: Home, how: str) -> None:
    async with daemon(home) as running:
        stop = f"{shlex.join([*NETSKY, 'stop'])}"
        with pane(home, how.format(stop)) as where:
            assert "netsky's tmux has started process" in await said_in(where)
        assert not running.asked_to_stop.is_set()


async def test_a_pane_of_the_owner_s_own_tmux_is_his(home: Home, root: Path) -> None:
    other = Home.locate({"NETSKY_HOME": str(root / "other")})
    other.prepare()
    async with daemon(home):
        send = shlex.join([*NETSKY, "--home", str(home.root), "notes", "add", "mine"])
        with pane(other, send) as where:
            assert "owner's" not in await said_in(where)


async def token_of(running: Daemon, runtime: RuntimeName) -> str:
    """Give manager0 a session behind a door and return its token."""
    found = await running.database.read(lambda tx: sessions.current(tx, "manager0"))
    if found is None:
        handle = running.handle()
        sent = await handle.call("send", {"target": "manager0", "body": "SAY[warm]"})
        await handle.call("wait", {"input_id": sent["input_id"], "timeout": PATIENCE})
        found = await running.database.read(lambda tx: sessions.current(tx, "manager0"))
        await handle.close()
    assert found is not None
    name = runtime.value
    await running.database.write(
        lambda tx: tx.execute("UPDATE sessions SET runtime = ?, token = 'secret'", (name,))
    )
    return "secret"


async def test_a_token_is_good_where_its_thread_lives_and_taken_from_no_other_carrier(
    home: Home, engine: Carrier
) -> None:
    await keep_row(home, engine)
    async with daemon(home) as running:
        token = await token_of(running, RuntimeName.APP_SERVER)
        asked = [("tools.list", {"token": token}), ("tools.list", {"token": "another"})]
        assert await ask(engine, home, asked) == ["done", "refused"]
        words = [sys.executable, "-c", ASKING, str(home.control_socket), json.dumps(asked)]
        with pane(home, shlex.join(words)) as where:
            assert json.loads(await said_in(where)) == ["refused", "refused"]
        await token_of(running, RuntimeName.RESIDENT)
        assert await ask(engine, home, asked) == ["refused", "refused"]


@pytest.mark.parametrize("state", [EngineState.RUNNING, EngineState.LOST])
@pytest.mark.parametrize("way", ["env -i sleep 600 & echo $!", "(env -i sleep 600 & echo $!)"])
async def test_what_an_engine_has_started_is_no_owner_after_the_engine_s_end(
    home: Home, engine: Carrier, way: str, state: EngineState
) -> None:
    await keep_row(home, engine, state=state)
    pid = int(engine.tell(way))
    engine.kill()
    try:
        async with daemon(home) as running:
            who = await look(pid, home=home, database=running.database)
        with pytest.raises(Refused, match="the engine has started process"):
            check_owner(who, "approvals.decide")
    finally:
        psutil.Process(pid).kill()


async def test_who_cannot_be_told_is_not_taken_for_the_owner(home: Home) -> None:
    async with daemon(home) as running:
        gone = await asyncio.create_subprocess_exec("true")
        await gone.wait()
        who = await look(gone.pid, home=home, database=running.database)
        with pytest.raises(Refused, match="cannot tell who asks"):
            check_owner(who, "stop")
