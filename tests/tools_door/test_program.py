"""``netsky tools`` as Codex starts it: a process on two pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from netsky_runtime.agents.tools_config import mcp_server_config
from netsky_runtime.paths import Home
from netsky_runtime.wire.process import Child
from tests.tools_door.kit import TOKEN, TOOL, FakeDaemon, fake_daemon

HEAVY = {
    "pydantic",
    "pydantic_core",
    "textual",
    "rich",
    "typer",
    "aiosqlite",
    "sqlite3",
    "websockets",
    "psutil",
    "libtmux",
    "watchfiles",
    "importlib.metadata",
    "netsky_runtime.agents",
    "netsky_runtime.db",
    "netsky_runtime.control.protocol",
    "netsky_tui",
}
PROBE = """
import runpy, sys
try:
    runpy.run_module("netsky_runtime.tools_door", run_name="__main__", alter_sys=True)
finally:
    sys.stderr.write("\\n" + " ".join(sorted(sys.modules)))
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}},
}


class Program:
    """The process, its input and the JSON it writes."""

    def __init__(self, child: Child) -> None:
        self.child = child

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.child.framing.send(orjson.dumps(message))

    async def read(self) -> dict[str, Any]:
        line = await self.child.framing.receive()
        assert line is not None, self.child.stderr_tail()
        return orjson.loads(line)


@asynccontextmanager
async def started(daemon: FakeDaemon, *, cwd: Path | None = None) -> AsyncIterator[Program]:
    """Start it as the configuration for Codex says, with no more environment than that gives."""
    config = mcp_server_config(home=Home(daemon.path.parent, daemon.path.parent), token=TOKEN)
    server = config["mcp_servers"]["netsky"]
    env = {**server["env"], "PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"}
    child = await Child.spawn([server["command"], *server["args"]], env=env, cwd=cwd)
    try:
        yield Program(child)
    finally:
        await child.end()


async def test_a_thread_is_given_its_tools_and_has_them_called() -> None:
    async with fake_daemon() as daemon, started(daemon) as program:
        await program.send(
            INITIALIZE,
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"},
        )
        answers = {answer["id"]: answer for answer in [await program.read(), await program.read()]}
        params = {"name": "list_tasks", "arguments": {}, "_meta": {"callId": "call_1"}}
        await program.send({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params})
        called = await program.read()
    assert answers[0]["result"]["protocolVersion"] == "2025-06-18"
    assert [tool["name"] for tool in answers[1]["result"]["tools"]] == ["list_tasks"]
    assert called["result"]["content"] == [{"type": "text", "text": "did list_tasks"}]
    assert [params["token"] for _, params in daemon.asked] == [TOKEN, TOKEN]


async def test_it_ends_with_its_input_and_says_nothing_of_it() -> None:
    async with fake_daemon() as daemon, started(daemon) as program:
        await program.send(INITIALIZE)
        await program.read()
        assert await program.child.end(grace=20) == 0
        assert program.child.stderr_tail() == ""


async def test_it_ends_with_its_input_also_when_nobody_reads_what_it_says() -> None:
    async def long(_params: Mapping[str, Any]) -> dict[str, Any]:
        return {"tools": [{**TOOL, "description": "x" * 1_000_000}]}

    async with fake_daemon() as daemon, started(daemon) as program:
        daemon.verbs["tools.list"] = long
        for number in range(30):
            await program.send({"jsonrpc": "2.0", "id": number, "method": "tools/list"})
        await program.read()  # and never again
        assert await program.child.end(grace=20) == 0
        assert program.child.stderr_tail() == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_it_ends_on_a_signal_also_in_the_middle_of_a_call(number: signal.Signals) -> None:
    async with fake_daemon(running=False) as daemon, started(daemon) as program:
        await program.send(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tasks"}},
            INITIALIZE,
        )
        await program.read()
        os.kill(program.child.pid, number)
        assert await program.child.exited() == 0
        assert program.child.stderr_tail() == ""


async def test_modules_of_the_threads_folder_are_never_loaded(tmp_path: Path) -> None:
    """The folder is the agent's to write, and this process runs outside of its sandbox."""
    for name in ("asyncio", "orjson", "json", "netsky_runtime"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('loaded from the folder')")
    async with fake_daemon() as daemon, started(daemon, cwd=tmp_path) as program:
        await program.send(INITIALIZE)
        assert "result" in await program.read()


def _run(*argv: str, stdin: bytes | None = b"", **env: str) -> subprocess.CompletedProcess[bytes]:
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    return subprocess.run(
        [sys.executable, *argv],
        env={**kept, **env},
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=60,
        check=False,
    )


def test_it_imports_nothing_heavy(tmp_path: Path) -> None:
    done = _run("-c", PROBE, NETSKY_HOME=str(tmp_path), NETSKY_TOOLS_TOKEN=TOKEN)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stderr.decode().splitlines()[-1].split())
    assert "netsky_runtime.wire.peer" in loaded
    assert HEAVY & loaded == set()


@pytest.mark.parametrize(
    "argv", [["-m", "netsky_runtime.tools_door"], ["-m", "netsky_tui", "tools"]]
)
def test_without_a_token_it_says_what_it_is(argv: list[str], tmp_path: Path) -> None:
    done = _run(*argv, NETSKY_HOME=str(tmp_path))
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"NETSKY_TOOLS_TOKEN is not set" in done.stderr


def test_at_a_shell_it_says_that_there_is_nothing_to_type(tmp_path: Path) -> None:
    env = {"NETSKY_HOME": str(tmp_path), "NETSKY_TOOLS_TOKEN": TOKEN}
    done = _run("-m", "netsky_tui", "tools", stdin=None, **env)
    assert done.returncode == 2
    assert b"nothing to type" in done.stderr
    assert TOKEN.encode() not in done.stderr


@pytest.mark.parametrize("before", [[], ["--home"]])
def test_netsky_tools_is_the_same_program(before: list[str], tmp_path: Path) -> None:
    """Spelled with an option it goes through the command line, and serves all the same."""
    options = [*before, str(tmp_path)] if before else []
    child = subprocess.Popen(
        [sys.executable, "-m", "netsky_tui", *options, "tools"],
        env={**os.environ, "NETSKY_HOME": str(tmp_path), "NETSKY_TOOLS_TOKEN": TOKEN},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(INITIALIZE).encode() + b"\n")
    child.stdin.flush()
    answer = json.loads(child.stdout.readline())
    rest, told = child.communicate(timeout=60)
    assert answer["result"]["serverInfo"]["name"] == "netsky"
    assert (rest, told, child.returncode) == (b"", b"", 0)
