"""The whole runtime over a stand-in for Codex that does what no real one does on request."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.app_server import AppServerRuntime
from netsky_runtime.codex.base import Batch, LaunchSpec, ThreadUnavailable, Unsupported
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings
from tests.support import fake_codex
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.records import Engine
    from netsky_runtime.states import EngineState

CODEX = """\
import json, sys
if sys.argv[1:] == ["--version"]:
    print("codex-cli 0.120.0"); sys.exit()
if "--listen" in sys.argv:
    sys.exit("no such option")
def say(**message):
    print(json.dumps(message), flush=True)
threads = 0
asked = 0
for line in sys.stdin:
    message = json.loads(line)
    method, params = message.get("method"), message.get("params") or {}
    if "id" not in message:
        continue
    result = {}
    if method == "initialize":
        result = {"userAgent": "netsky/0.120.0 (stand-in)"}
    elif method == "account/read":
        asked += 1
        if asked > 1:
            continue
        result = {"account": None, "requiresOpenaiAuth": True}
    elif method == "thread/start":
        threads += 1
        result = {"thread": {"id": f"t{threads}"}}
    elif method == "thread/read":
        result = {"thread": {"id": params["threadId"], "status": {"type": "idle"}}}
    elif method == "turn/start":
        thread = params["threadId"]
        if threads > 1:
            say(method="item/completed", params={"threadId": "t1", "turnId": 7, "item": "?"})
            say(method="item/commandExecution/requestApproval", id=9,
                params={"threadId": "t1", "turnId": ["u"], "command": "x"})
        turn = {"id": "u1", "status": "completed"}
        say(method="turn/completed", params={"threadId": thread, "turn": turn})
        result = {"turn": turn}
    say(id=message["id"], result=result)
"""
SPEC = LaunchSpec(
    cwd="/", instructions="", sandbox="read-only", approval_policy="never", config={}, tools=()
)
BATCH = Batch(id="b", text="hello", input_ids=())


class Rows:
    def __init__(self) -> None:
        self.engines: list[Engine] = []

    async def load(self) -> Engine | None:
        return None

    async def save(self, engine: Engine) -> None:
        self.engines.append(engine)

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        assert engine_id in {engine.id for engine in self.engines}


class Stand:
    def __init__(self, root: Path, program: Path) -> None:
        home = Home.locate({"NETSKY_HOME": str(root / "home")})
        home.prepare()
        self.rows = Rows()
        self.logged: list[str] = []
        clock = SystemClock()
        self.runtime = AppServerRuntime(
            settings=Settings(codex_bin=str(program)),
            home=home,
            store=self.rows,
            clock=clock,
            ids=SortableIds(clock),
            environ={"HOME": str(root), "PATH": os.environ["PATH"]},
            log=lambda level, message, fields: self.logged.append(message),
        )


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """Return a runtime over an old Codex, which speaks on its pipes only."""
    program = tmp_path / "codex"
    program.write_text(f"#!{sys.executable} -S\n{CODEX}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    async with standing(tmp_path, program) as stand:
        yield stand


@asynccontextmanager
async def standing(root: Path, program: Path) -> AsyncIterator[Stand]:
    stand = Stand(root, program)
    async with asyncio.timeout(PATIENCE):
        await stand.runtime.open()
    yield stand
    for engine in stand.rows.engines:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(engine.pid).kill()
    await stand.runtime.close(keep_engine=False)


async def until(events: AsyncIterator[CodexEvent], kind: EventKind) -> CodexEvent:
    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if event.kind is kind:
                return event
    raise AssertionError(f"the events ended before {kind}")


async def test_a_message_of_a_strange_shape_ends_no_thread(stand: Stand) -> None:
    one, two = [await stand.runtime.start(SPEC) for _ in range(2)]

    await two.submit(BATCH)

    await until(two.events(), EventKind.TURN_COMPLETED)
    told = one.events()
    raw = await until(told, EventKind.UNKNOWN)
    assert raw.data["method"] == "item/completed"
    await one.submit(BATCH)
    await until(told, EventKind.TURN_COMPLETED)
    strange = "a message of Codex has another shape than is known"
    assert stand.logged.count(strange) == 2  # once a method, however often it came
    assert "refused a request of Codex" in stand.logged


async def test_who_asks_for_news_does_not_wait_for_an_engine_that_hangs(stand: Stand) -> None:
    async with asyncio.timeout(PATIENCE):  # the request itself has 30 s
        first = await stand.runtime.info()
        again = await stand.runtime.info()
        more = await stand.runtime.info()

    told = [n for n in first.notices if "not logged in" in n]
    assert told
    assert first.notices == again.notices == more.notices


async def test_an_engine_that_is_killed_is_lost_by_that_and_not_by_what_it_said_before(
    stand: Stand,
) -> None:
    session = await stand.runtime.start(SPEC)
    [engine] = stand.rows.engines
    os.killpg(engine.pid, signal.SIGKILL)
    lost = await until(session.events(), EventKind.SESSION_LOST)
    assert lost.data["reason"].startswith("Its process was killed by signal 9. ")
    assert "It said" not in lost.data["reason"]


async def test_the_engine_is_ended_though_its_reader_had_failed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise AssertionError("a bug of netsky")

    session = await stand.runtime.start(SPEC)
    monkeypatch.setattr("netsky_runtime.codex.app_server.hub.notification", broken)
    with suppress(Exception):
        await session.submit(BATCH)
    await until(session.events(), EventKind.SESSION_LOST)

    with pytest.raises(AssertionError, match="a bug of netsky"):
        await stand.runtime.close(keep_engine=False)

    [engine] = stand.rows.engines
    assert not psutil.pid_exists(engine.pid)


@pytest.mark.parametrize(("version", "carried"), [("0.145.0", False), ("0.153.4", True)])
async def test_tool_calls_are_carried_where_a_joined_screen_leaves_them_alone(
    tmp_path: Path, version: str, carried: bool
) -> None:
    program = fake_codex.install(tmp_path / "bin", version=version)
    async with standing(tmp_path, program) as stand:
        assert stand.runtime.capabilities.tools is carried
        session = await stand.runtime.start(SPEC)
        assert session.terminal()[-2:] == ("resume", session.thread_id)


async def test_without_a_socket_no_screen_can_join_and_answer_tool_calls(stand: Stand) -> None:
    session = await stand.runtime.start(SPEC)

    assert stand.runtime.capabilities.tools
    with pytest.raises(Unsupported, match="no socket"):
        session.terminal()


async def test_a_thread_that_its_engine_loads_again_is_not_said_to_be_released(
    tmp_path: Path,
) -> None:
    program = fake_codex.install(tmp_path / "bin")  # it lists each thread as loaded for ever
    async with standing(tmp_path, program) as stand:
        session = await stand.runtime.start(SPEC)
        with pytest.raises(ThreadUnavailable, match="loaded the thread again"):
            await session.release()
        await session.submit(BATCH)
        await until(session.events(), EventKind.TURN_COMPLETED)
