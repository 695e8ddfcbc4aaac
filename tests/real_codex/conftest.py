"""The real Codex on a scripted model: where it is found, and runtimes over it."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.app_server import AppServerRuntime
from netsky_runtime.codex.base import LaunchSpec, ThreadSession, ToolSpec
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.mcp_server import McpServerRuntime
from netsky_runtime.paths import Home
from netsky_runtime.records import Engine
from netsky_runtime.settings import Settings
from netsky_runtime.states import EngineState
from netsky_runtime.torture.model_server import ModelServer
from tests.support.netsky import Netsky

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 60
"""Seconds until a wait counts as a hang: engines start slowly on a busy machine."""
START_WORKER = ToolSpec(
    name="start_worker",
    description="Start a worker on one concrete task.",
    schema={
        "type": "object",
        "properties": {"title": {"type": "string"}},
        "required": ["title"],
        "additionalProperties": False,
    },
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.real_codex)


@pytest.fixture(scope="session")
def codex_binary() -> Path:
    """Return the Codex that ``make codex`` installed, or the one NETSKY_TEST_CODEX names."""
    return installed("NETSKY_TEST_CODEX", "0.163.0")


@pytest.fixture(scope="session")
def old_codex_binary() -> Path:
    """Return the last Codex with an mcp-server, or the one NETSKY_TEST_OLD_CODEX names."""
    return installed("NETSKY_TEST_OLD_CODEX", "0.153.4")


def installed(variable: str, version: str) -> Path:
    """Return the Codex that a variable names, else the one of this version."""
    named = os.environ.get(variable)
    path = Path(named) if named else REPOSITORY / f".codex/{version}/codex_cli_bin/bin/codex"
    if not path.exists():
        reason = f"no Codex at {path}: run make codex"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def netsky(codex_binary: Path, model: ModelServer, tmp_path: Path) -> Iterator[Netsky]:
    """Return a home of its own whose daemon is to be started; all that it starts is ended."""
    model.write_codex_config(tmp_path / "codex-home")
    here = Netsky(
        tmp_path,
        environ={
            "CODEX_HOME": str(tmp_path / "codex-home"),
            "NETSKY_CODEX_BIN": str(codex_binary),
            "AGENT_CODEX_SANDBOX": "read-only",
        },
    )
    yield here
    model.release()
    here.clean_up()


class MemoryStore:
    """An ``EngineStore`` that forgets with the test."""

    def __init__(self) -> None:
        self.engines: list[Engine] = []

    async def load(self) -> Engine | None:
        running = [e for e in self.engines if e.state is EngineState.RUNNING]
        return running[-1] if running else None

    async def save(self, engine: Engine) -> None:
        self.engines.append(engine)

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        self.engines = [
            replace(e, state=state, end_reason=reason, ended_at=1) if e.id == engine_id else e
            for e in self.engines
        ]


@dataclass
class Bench:
    """A home, a CODEX_HOME, a project, and as many runtimes over them as a test wants."""

    codex: Path
    model: ModelServer
    root: Path
    stack: AsyncExitStack
    store: MemoryStore = field(default_factory=MemoryStore)
    logged: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    codex_home: str = "codex-home"

    @property
    def project(self) -> Path:
        return self.root / "project"

    @property
    def home(self) -> Home:
        return Home.locate({"NETSKY_HOME": str(self.root / "home")})

    @property
    def environ(self) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ}
        # Codex runs commands in a login shell: what the developer's does is slow, and not ours.
        home = {"HOME": str(self.root), "CODEX_HOME": str(self.root / self.codex_home)}
        return {**kept, **home}

    def log(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        self.logged.append((level, message, fields))

    def runtime(self, *, codex: Path | None = None) -> AppServerRuntime:
        """Return a runtime as a netsky of this home would make it; its engine outlives it."""
        clock = SystemClock()
        runtime = AppServerRuntime(
            settings=Settings(codex_bin=str(codex or self.codex), request_seconds=PATIENCE),
            home=self.home,
            store=self.store,
            clock=clock,
            ids=SortableIds(clock),
            environ=self.environ,
            log=self.log,
        )
        self.stack.push_async_callback(runtime.close, keep_engine=True)
        return runtime

    def mcp_runtime(self, **settings: Any) -> McpServerRuntime:
        """Return a runtime over the old Codex's mcp-server, as a netsky would make it."""
        clock = SystemClock()
        known = {"codex_bin": str(self.codex), "request_seconds": PATIENCE, **settings}
        runtime = McpServerRuntime(
            settings=Settings(**known),
            home=self.home,
            store=self.store,
            clock=clock,
            ids=SortableIds(clock),
            environ=self.environ,
            log=self.log,
        )
        self.stack.push_async_callback(runtime.close, keep_engine=False)
        return runtime

    async def opened(self) -> AppServerRuntime:
        runtime = self.runtime()
        await runtime.open()
        return runtime

    def spec(self, **changes: Any) -> LaunchSpec:
        spec = LaunchSpec(
            cwd=str(self.project),
            instructions="You are manager0.",
            sandbox="read-only",
            approval_policy="on-request",
            config={"features": {"multi_agent": False, "goals": False}},
            tools=(START_WORKER,),
        )
        return replace(spec, **changes)

    def other_codex_home(self) -> None:
        """Let runtimes made from now on use another CODEX_HOME."""
        self.codex_home = "other-codex-home"
        self.model.write_codex_config(self.root / self.codex_home)

    def engine(self) -> psutil.Process:
        """Return the process of the engine that runs."""
        running = [e for e in self.store.engines if e.state is EngineState.RUNNING]
        return psutil.Process(running[-1].pid)


@pytest.fixture
async def bench(codex_binary: Path, model: ModelServer, tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench_over(codex_binary, model, tmp_path) as bench:
        yield bench


@pytest.fixture
async def old_bench(
    old_codex_binary: Path, model: ModelServer, tmp_path: Path
) -> AsyncIterator[Bench]:
    async with bench_over(old_codex_binary, model, tmp_path) as bench:
        yield bench


@asynccontextmanager
async def bench_over(codex: Path, model: ModelServer, root: Path) -> AsyncIterator[Bench]:
    """Give a bench; what its runtimes leave behind is ended after it."""
    async with AsyncExitStack() as stack:
        bench = Bench(codex=codex, model=model, root=root, stack=stack)
        bench.project.mkdir()
        model.write_codex_config(root / "codex-home")
        bench.home.prepare()
        yield bench
    model.release()
    link = bench.home.engine_socket
    short = link.readlink() if link.is_symlink() else None
    for engine in bench.store.engines:
        if engine.state is EngineState.RUNNING and engine.socket:
            with suppress(ProcessLookupError):
                os.killpg(engine.pid, 9)
    if short is not None:  # Codex leaves these behind where it was killed
        short.unlink(missing_ok=True)
        short.with_name(f"{short.name}.lock").unlink(missing_ok=True)


class Told:
    """All that a session has told so far, with waits for what it tells next."""

    def __init__(self, session: ThreadSession) -> None:
        self.session = session
        self.events: list[CodexEvent] = []
        self._source = session.events()

    async def until(self, wanted: Callable[[CodexEvent], bool]) -> CodexEvent:
        """Return the next event that is wanted; what came before it is kept."""
        async with asyncio.timeout(PATIENCE):
            async for event in self._source:
                self.events.append(event)
                if wanted(event):
                    return event
        seen = [event.kind.value for event in self.events]
        raise AssertionError(f"the events ended: {seen}")

    async def next(self, kind: EventKind) -> CodexEvent:
        return await self.until(lambda event: event.kind is kind)

    async def turn_end(self) -> CodexEvent:
        return await self.next(EventKind.TURN_COMPLETED)

    def items(self, item_type: str, kind: EventKind = EventKind.ITEM_COMPLETED) -> list[CodexEvent]:
        """Return the items of a type, told so far."""
        return [e for e in self.events if e.kind is kind and e.data["type"] == item_type]

    def words(self) -> list[str]:
        """Return the agent's messages, told so far."""
        return [event.data["text"] for event in self.items("agent_message")]
