"""A whole crew whose tools are behind the MCP door, on real Codexes, through daemon and CLI."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.errors import Refused
from netsky_runtime.torture.model_server import ModelServer
from tests.support.den import MODELS
from tests.support.netsky import Netsky

KEPT = json.dumps({"body": "kept by the worker"})
# An E in other letters: the model's orders end at the first end that it reads.
LOOK = "RUN[env | tee seen-$CODEX_THREAD_ID]"
TASK = f"{LOOK} TOOL[mcp__netsky/add_note {KEPT}]ENDTOOL SAY[hello from below]"
START = json.dumps({"title": "Greet", "body": TASK}).replace("]ENDTOOL", "]\\u0045NDTOOL")
DOOR = "netsky_runtime.tools_door"
"""How the command line of a door ends; Codex's own has more behind it."""
READING = (
    ("status",),
    ("doctor",),
    ("actors", "list"),
    ("actors", "show", "worker1"),
    ("messages", "list"),
    ("events", "tail", "--limit", "1000"),
    ("logs", "tail", "--limit", "1000"),
)


@pytest.fixture(params=["mcp_server", "resident"])
def crew(
    request: pytest.FixtureRequest,
    codex_binary: Path,
    old_codex_binary: Path,
    model: ModelServer,
    tmp_path: Path,
) -> Iterator[Netsky]:
    """Return a home whose actors go through a door that carries no tools; its daemon runs.

    The mcp-server is the last that there was, the resident Codex one of today.
    """
    model.write_codex_config(tmp_path / "codex-home")
    old = request.param == "mcp_server"
    binary, version = (old_codex_binary, "0.153.4") if old else (codex_binary, "0.163.0")
    here = Netsky(
        tmp_path,
        environ={
            "CODEX_HOME": str(tmp_path / "codex-home"),
            "NETSKY_CODEX_BIN": str(binary),
            "AGENT_RUNTIME": request.param,
            "AGENT_CODEX_MODEL": MODELS[version],
            "AGENT_CODEX_SANDBOX": "workspace-write",
            "AGENT_CODEX_APPROVAL": "never",
        },
    )
    here.start()
    yield here
    model.release()
    here.clean_up()


def rows(netsky: Netsky, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{netsky.home}/meta.db?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


def tokens(netsky: Netsky) -> dict[str, str]:
    """Return the token of each actor's session, over or not."""
    return dict(rows(netsky, "SELECT actor_id, token FROM sessions"))


def messages(netsky: Netsky) -> list[dict[str, Any]]:
    told = netsky.run("messages", "list", "--json").stdout
    return [json.loads(line) for line in told.splitlines()]


def at_work(netsky: Netsky) -> Netsky:
    """Have manager0 start a worker, and wait until the owner was told of its report."""
    told = netsky.ask(f"{LOOK} TOOL[mcp__netsky/start_worker {START}]ENDTOOL SAY[started]")
    assert told["reply"]["body"] == "started"
    netsky.until(lambda: [m["kind"] for m in messages(netsky)].count("reply") == 2)
    return netsky


def call(netsky: Netsky, token: str, tool: str, **arguments: Any) -> dict[str, Any]:
    """Call a tool as whoever holds a token could."""

    async def body() -> dict[str, Any]:
        daemon = await RemoteHandle.connect(netsky.home / "netsky.sock", client="tools")
        asked = {"token": token, "call_id": f"by-{tool}", "tool": tool, "arguments": arguments}
        try:
            return await daemon.call("tools.call", asked)
        finally:
            await daemon.close()

    return asyncio.run(body())


def test_a_worker_started_through_the_door_works_on_its_own_door_and_its_report_comes_back(
    crew: Netsky, model: ModelServer
) -> None:
    netsky = at_work(crew)
    assert rows(netsky, "SELECT actor_id, tool, success FROM tool_calls ORDER BY created_at") == [
        ("manager0", "start_worker", 1),
        ("worker1", "add_note", 1),
    ]
    [task] = netsky.json("tasks", "list")
    assert (task["owner"], task["manager"], task["status"]) == ("worker1", "manager0", "reported")
    [note] = netsky.json("notes", "list")
    assert (note["author"], note["task_id"], note["body"]) == (
        "worker1",
        task["id"],
        "kept by the worker",
    )
    [report] = [m for m in messages(netsky) if m["kind"] == "report"]
    assert (report["sender"], report["target"]) == ("worker1", "manager0")
    assert "hello from below" in report["body"]
    assert "hello from below" in str(model.requests[-1]["input"])
    actors = {actor["id"]: actor["session"] for actor in netsky.json("actors", "list")}
    door = netsky.environ["AGENT_RUNTIME"]
    assert {actors["manager0"]["runtime"], actors["worker1"]["runtime"]} == {door}
    assert actors["manager0"]["thread_id"] != actors["worker1"]["thread_id"]
    netsky.leaves_nothing()


def test_a_token_does_what_its_actor_may_and_only_while_its_session_lasts(crew: Netsky) -> None:
    netsky = at_work(crew)
    token = tokens(netsky)["worker1"]
    refused = call(netsky, token, "start_worker", title="More", body="of them")
    assert not refused["success"]
    assert "no tool 'start_worker'" in refused["text"]
    assert call(netsky, token, "list_tasks")["success"]

    netsky.json("actors", "stop", "worker1")
    with pytest.raises(Refused, match="over"):
        call(netsky, token, "add_note", body="from beyond")
    assert len(netsky.json("tasks", "list")) == 1
    assert len(netsky.json("notes", "list")) == 1


def test_a_thread_has_its_tools_again_after_netsky_was_killed(crew: Netsky) -> None:
    """The resident Codex has lived on, and so has its door; the other goes on in the engine."""
    netsky = at_work(crew)
    before = {actor["id"]: actor["session"] for actor in netsky.json("actors", "list")}
    netsky.kill()
    netsky.start()
    assert (
        netsky.ask("TOOL[mcp__netsky/list_tasks {}]ENDTOOL SAY[again]")["reply"]["body"] == "again"
    )
    latest = "SELECT actor_id, tool, success FROM tool_calls ORDER BY created_at DESC LIMIT 1"
    assert rows(netsky, latest) == [("manager0", "list_tasks", 1)]
    after = {actor["id"]: actor["session"] for actor in netsky.json("actors", "list")}
    assert after["manager0"]["thread_id"] == before["manager0"]["thread_id"]
    goes_on_at = {"mcp_server": "app_server", "resident": "resident"}
    assert after["manager0"]["runtime"] == goes_on_at[before["manager0"]["runtime"]]
    lines = command_lines(netsky)
    assert any(line.endswith(DOOR) for line in lines)
    assert not any(token in line for token in tokens(netsky).values() for line in lines)


def test_a_token_is_in_no_command_line_file_row_or_answer(crew: Netsky) -> None:
    """But in its session's row, and in the environment of whoever uses it."""
    netsky = at_work(crew)
    secrets = tokens(netsky)
    assert secrets.keys() == {"manager0", "worker1"}
    assert all(secrets.values())

    lines = command_lines(netsky)
    assert sum(line.endswith(DOOR) for line in lines) == 2
    seen = {"command lines": "\n".join(lines).encode(errors="surrogateescape")}
    seen |= {f"file {path}": path.read_bytes() for path in files(netsky)}
    seen |= {f"table {name}": text.encode() for name, text in tables(netsky)}
    for verb in READING:
        told = netsky.run(*verb, "--json")
        assert told.stdout, verb
        seen[" ".join(verb)] = (told.stdout + told.stderr).encode()
    looks = [path.read_text() for path in netsky.work.glob("seen-*")]
    assert ["CODEX_THREAD_ID=" in look for look in looks] == [True, True]
    assert [
        (actor, place)
        for place, text in seen.items()
        for actor, secret in secrets.items()
        if secret.encode() in text
    ] == []


def command_lines(netsky: Netsky) -> list[str]:
    """Return those of all processes of this home."""
    lines = []
    for process in netsky.processes():
        with suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    return lines


def files(netsky: Netsky) -> Iterator[Path]:
    """Yield all that netsky and Codex have written, but for the database, which has tables."""
    for path in netsky.root.rglob("*"):
        readable = path.is_file() and os.access(path, os.R_OK)
        if readable and not path.name.startswith("meta.db"):
            yield path


def tables(netsky: Netsky) -> Iterator[tuple[str, str]]:
    """Yield each table with all that is in it, a session's token alone left out."""
    names = [name for (name,) in rows(netsky, "SELECT name FROM sqlite_master WHERE type='table'")]
    for name in names:
        columns = [row[1] for row in rows(netsky, f"PRAGMA table_info('{name}')")]
        kept = [c for c in columns if (name, c) != ("sessions", "token")]
        yield name, str(rows(netsky, f"SELECT {', '.join(kept)} FROM '{name}'"))
