"""Starting again what keeps dying, with a program that is no Codex."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.app_server.binary import CodexBinary
from netsky_runtime.codex.app_server.engine import SHORT_LIFE, EngineHost, NoSocketEngine
from netsky_runtime.paths import Home
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.records import Engine, EngineState


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


async def test_what_keeps_dying_is_started_ever_more_slowly(tmp_path: Path) -> None:
    program = tmp_path / "codex"
    program.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    program.chmod(0o755)
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    home.prepare()
    watch = Watch()
    host = EngineHost(
        home=home,
        store=NoRow(),
        clock=watch,
        ids=CountingIds(),
        environ={"HOME": str(tmp_path)},
        log=lambda level, message, fields: None,
    )

    async def waits() -> list[float]:
        watch.asked.clear()
        with pytest.raises(NoSocketEngine, match="not today"):
            await host.attach(CodexBinary(path=str(program), origin="test"), "0.0.1")
        return [seconds for seconds in watch.asked if seconds >= 0.5]

    assert [await waits() for _ in range(5)] == [[], [], [0.5], [1.0], [2.0]]
    watch.passed += SHORT_LIFE
    assert await waits() == []
