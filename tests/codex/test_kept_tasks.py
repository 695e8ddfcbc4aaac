"""What works at a door for as long as it is open goes on after an error that nobody foresaw."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime import supervise
from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.app_server import live
from netsky_runtime.codex.app_server import runtime as app_server
from netsky_runtime.codex.binary import CodexBinary
from netsky_runtime.codex.mcp_server.door import Door
from netsky_runtime.codex.mcp_server.tool import Offer
from netsky_runtime.codex.resident.house import House
from netsky_runtime.codex.resident.tmux import TmuxServer
from netsky_runtime.codex.resident.watch import Watch
from netsky_runtime.codex.rollout import RolloutWatch
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings
from tests.real_codex.conftest import MemoryStore
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


class Broken:
    """What fails the first two times it is called, and then waits for ever."""

    def __init__(self) -> None:
        self.calls = 0
        self.again = asyncio.Event()
        self.lines: list[tuple[str, str]] = []

    def log(self, level: str, _message: str, fields: Any) -> None:
        if level == "error":
            self.lines.append((level, fields["error"]))

    async def __call__(self, *_args: Any, **_more: Any) -> Any:
        self.calls += 1
        if self.calls <= supervise.SEVERAL:
            raise KeyError(f"bug {self.calls}")
        self.again.set()
        await asyncio.Event().wait()


@pytest.fixture
async def broken(monkeypatch: pytest.MonkeyPatch) -> Broken:
    monkeypatch.setattr(supervise, "FIRST_REST_SECONDS", 0.0)
    return Broken()


async def goes_on(broken: Broken, troubles: Callable[[], Sequence[str]]) -> None:
    """Wait until it is begun again; ``troubles`` tell by then that it ends again and again."""
    assert troubles() == []
    async with asyncio.timeout(PATIENCE):
        await broken.again.wait()
    assert broken.lines == [("error", "KeyError('bug 1')"), ("error", "KeyError('bug 2')")]
    (told,) = troubles()
    assert "ends again and again by an error" in told
    assert told.endswith("KeyError: 'bug 2'")


async def test_live_text_is_subscribed_to_again(
    tmp_path: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "connect", broken)
    text = live.LiveText(
        tmp_path / "socket",
        deliver=lambda _method, _params: None,
        deadline=1.0,
        clock=SystemClock(),
        log=broken.log,
    )
    text.watch("th", True)
    try:
        await goes_on(broken, text.troubles)
    finally:
        await text.close()


async def test_what_an_engine_says_is_still_trimmed(
    tmp_path: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_server.AppServerRuntime, "_keep_trimmed", broken)
    monkeypatch.setattr(app_server.AppServerRuntime, "_open", nothing)
    clock = SystemClock()
    runtime = app_server.AppServerRuntime(
        settings=Settings(),
        home=home(tmp_path),
        store=MemoryStore(),
        clock=clock,
        ids=SortableIds(clock),
        environ={},
        log=broken.log,
    )
    await runtime.open()
    try:
        await goes_on(broken, runtime.troubles)
    finally:
        await runtime.close(keep_engine=True)


async def test_an_mcp_server_is_still_asked_whether_it_lives(
    broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Door, "_feel_pulse", broken)
    door = Door(engine_id="e", seconds=1.0, turn_seconds=1.0, clock=SystemClock(), log=broken.log)
    unasked: Any = None
    door.opened(unasked, Offer())
    try:
        await goes_on(broken, door.troubles)
    finally:
        await door.close()


async def test_panes_are_still_looked_at(
    tmp_path: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Watch, "run", broken)
    place = home(tmp_path)
    house = House(
        tmux=TmuxServer(socket=place.tmux_socket, environ=os.environ),
        binary=CodexBinary(path=tmp_path / "codex", origin="a test"),
        home=place,
        clock=SystemClock(),
        environ={"CODEX_HOME": str(tmp_path / "codex-home")},
        log=broken.log,
    )
    await house.open()
    try:
        await goes_on(broken, house.troubles)
    finally:
        await house.close()


@pytest.mark.parametrize("task", ["_watch", "_look"])
async def test_rollouts_are_still_followed(
    tmp_path: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr(RolloutWatch, task, broken)
    watch = RolloutWatch(tmp_path, clock=SystemClock(), log=broken.log)
    await watch.open()
    try:
        await goes_on(broken, watch.troubles)
    finally:
        await watch.close()


async def nothing(_runtime: object) -> None:
    """Open nothing."""


def home(folder: Path) -> Home:
    made = Home.locate({"NETSKY_HOME": str(folder / "home")})
    made.prepare()
    return made
