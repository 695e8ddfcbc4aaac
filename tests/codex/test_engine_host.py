"""Starting again what keeps dying, with a program that is no Codex."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.app_server.engine import SHORT_LIFE, EngineHost, NoSocketEngine
from netsky_runtime.codex.app_server.stdio import StdioEngine
from netsky_runtime.codex.binary import CodexBinary
from netsky_runtime.errors import Unhealthy
from netsky_runtime.paths import Home
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.records import Engine
    from netsky_runtime.states import EngineState


class Watch(SystemClock):
    """A clock that does not wait long, and remembers how long it was asked to."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.passed = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.passed

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await super().sleep(min(seconds, 0.01))


class NoRow:
    async def load(self) -> Engine | None:
        return None

    async def save(self, engine: Engine) -> None:
        raise AssertionError("nothing was started")

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        raise AssertionError("nothing was started")


class Stand:
    """A home, a script in Codex's place, and the host that starts it."""

    def __init__(self, root: Path) -> None:
        self.program = root / "codex"
        self.home = Home.locate({"NETSKY_HOME": str(root / "home")})
        self.home.prepare()
        self.watch = Watch()
        self.host = EngineHost(
            home=self.home,
            store=NoRow(),
            clock=self.watch,
            ids=CountingIds(),
            environ={"HOME": str(root / "user"), "PATH": os.environ["PATH"]},
            log=lambda level, message, fields: None,
        )

    async def attach(self, script: str, version: str) -> Engine:
        self.program.write_text(f"#!/bin/sh\n{script}\nexit 1\n")
        self.program.chmod(0o755)
        return await self.host.attach(CodexBinary(path=str(self.program), origin="test"), version)


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


async def test_what_keeps_dying_is_started_ever_more_slowly(stand: Stand) -> None:
    async def waits() -> list[float]:
        stand.watch.asked.clear()
        with pytest.raises(NoSocketEngine, match="not today"):
            await stand.attach("echo not today >&2", "0.0.1")
        return [seconds for seconds in stand.watch.asked if seconds >= 0.5]

    assert [await waits() for _ in range(5)] == [[], [], [0.5], [1.0], [2.0]]
    stand.watch.passed += SHORT_LIFE
    assert await waits() == []


async def test_the_codex_home_is_there_before_the_engine_starts(
    stand: Stand, tmp_path: Path
) -> None:
    with pytest.raises(Unhealthy, match="it was there"):
        await stand.attach('test -d "$HOME/.codex" && echo it was there >&2', "0.163.0")
    for made in (tmp_path / "user", tmp_path / "user" / ".codex"):
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


async def test_a_codex_home_that_cannot_be_made_is_named(stand: Stand, tmp_path: Path) -> None:
    (tmp_path / "user").write_text("no folder")
    with pytest.raises(Unhealthy, match=r"CODEX_HOME .* cannot be made: Not a directory"):
        await stand.attach("true", "0.163.0")


async def test_a_codex_that_could_listen_and_does_not_is_quoted_on_one_line(stand: Stand) -> None:
    """It is no case for pipes: what kept it from its socket is wrong with this machine."""
    for words in ("the first time", "the second time"):
        script = f"echo 'Error: no socket,\n  {words}' >&2"
        with pytest.raises(Unhealthy) as caught:
            await stand.attach(script, "0.163.0")
        assert not isinstance(caught.value, NoSocketEngine)
        assert caught.value.message == f"Codex 0.163.0 ended at once: Error: no socket, {words}."
        assert "0.145" not in caught.value.hint


async def test_an_old_codex_that_speaks_no_json_is_told_in_one_sentence(stand: Stand) -> None:
    script = "echo Usage: codex [OPTIONS]\necho it does not know this >&2"
    with pytest.raises(NoSocketEngine) as no_socket:
        await stand.attach(script, "0.100.0")
    pipes = StdioEngine(
        home=stand.home,
        store=NoRow(),
        clock=stand.watch,
        ids=CountingIds(),
        log=lambda level, message, fields: None,
    )
    with pytest.raises(Unhealthy) as caught:
        await pipes.open(
            CodexBinary(path=str(stand.program), origin="test"),
            "0.100.0",
            environ={"PATH": os.environ["PATH"]},
            engine_id="e-1",
            on_request=lambda request_id, method, params: None,
            on_notification=lambda method, params: None,
            on_closed=lambda reason: None,
            why=no_socket.value.message,
        )
    assert caught.value.message == (
        f"Codex 0.100.0 at {stand.program} does not answer: the other side ended the connection; "
        "it wrote: Usage: codex [OPTIONS]; it said: it does not know this."
    )
