"""The command line as an operator types it, in this process."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.control.feed import Feed
from netsky_runtime.control.server import ControlServer
from netsky_runtime.db.connection import Database, Tx
from netsky_runtime.errors import NetskyError
from netsky_runtime.paths import Home
from netsky_tui.cli import main
from tests.control.kit import OWNERS_ONLY
from tests.support.fakes import START_MS, ManualClock

if TYPE_CHECKING:
    from pathlib import Path

NOW = START_MS
WELL = {"runtime": {"name": "app_server", "codex_version": "0.163.0", "notices": []}}


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command line left behind."""

    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> dict[str, str]:
        """The error object of a ``--json`` command."""
        return json.loads(self.err.splitlines()[-1])["error"]


Netsky = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name in ("AGENT_RUNTIME", "NETSKY_CODEX_BIN", "NO_COLOR", "_NETSKY_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETSKY_HOME", str(tmp_path / "home"))
    return Home.locate()


@pytest.fixture
def netsky(home: Home, capsys: pytest.CaptureFixture[str]) -> Netsky:
    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        status = main(list(arguments))
        said = capsys.readouterr()
        return Ran(status, said.out, said.err)

    return run


Answer = dict[str, Any] | NetskyError | Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(slots=True)
class FakeDaemon:
    """The real control socket, with answers that a test writes down."""

    answers: dict[str, Answer]
    calls: list[tuple[str, dict[str, Any]]]

    async def __call__(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        self.calls.append((method, dict(params)))
        answer = self.answers[method]
        if isinstance(answer, NetskyError):
            raise answer
        return answer(dict(params)) if callable(answer) else answer


class NoFacts:
    """The database and the live text of a daemon that has nothing to say unasked."""

    revision = 0

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Nothing is ever written."""

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Nothing ever changes."""


@pytest.fixture
def daemon(home: Home) -> Iterator[FakeDaemon]:
    """A daemon on the home, in a thread of its own, as the verbs run a loop of their own."""
    fake = FakeDaemon({"status": WELL}, [])
    started: Future[Callable[[], None]] = Future()

    async def serve() -> None:
        home.prepare()
        end = asyncio.Event()
        nothing = NoFacts()
        feed = Feed(database=nothing, live=nothing, clock=SystemClock())
        identity = {"pid": os.getpid(), "epoch": 1, "version": "0"}
        server = ControlServer(
            home.control_socket,
            gate=OWNERS_ONLY,
            dispatch=fake,
            feed=feed,
            identity=lambda: identity,
        )
        await server.start()
        loop = asyncio.get_running_loop()
        started.set_result(lambda: loop.call_soon_threadsafe(end.set))
        await end.wait()
        await server.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    stop = started.result(timeout=5)
    yield fake
    stop()
    thread.join(timeout=5)


Seed = Callable[[Callable[[Tx], Awaitable[Any]]], Any]


@pytest.fixture
def seed(home: Home) -> Seed:
    """Write rows into the home's database, as a daemon would have."""

    def write(body: Callable[[Tx], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            home.prepare()
            database = await Database.open(
                home.database, backups=home.backups, clock=ManualClock(NOW)
            )
            try:
                return await database.write(body)
            finally:
                await database.close()

        return asyncio.run(run())

    return write
