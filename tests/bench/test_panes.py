"""What it costs to watch fifty resident panes, beside asking for each with a client of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from functools import partial
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.resident import processes
from netsky_runtime.codex.resident.control import Control
from netsky_runtime.codex.resident.screen import Capture, read
from netsky_runtime.codex.resident.tmux import TmuxServer
from netsky_runtime.codex.resident.watch import TICK_SECONDS, Watch, Watcher
from tests.codex import screens

if TYPE_CHECKING:
    from pathlib import Path

PANES = 50
TICKS = 10
GOAL_MS = 10.0
GOAL_CORE = 0.02


@pytest.mark.bench
async def test_fifty_panes_are_watched_in_one_round_trip(tmp_path: Path) -> None:
    """Goal: under 10 ms a tick and, at one tick a second, under 2 % of a core, tmux included."""
    screen = tmp_path / "screen"
    screen.write_text(screens.capture("0.163.0-approval").text.replace("\n", "\r\n"))
    server = TmuxServer(socket=tmp_path / "tmux.sock", environ=os.environ)
    control = Control(tmux=server.program(), socket=tmp_path / "tmux.sock", environ=os.environ)
    watch = Watch(control=control, clock=SystemClock())
    seen: list[Capture] = []

    def look(shot: Capture) -> None:
        read(shot)
        seen.append(shot)

    try:
        made = [
            server.make(
                f"w{number}", f"cat {screen}; exec cat", cwd="/", options={"@netsky_mark": "m"}
            )
            for number in range(PANES)
        ]
        panes = [pane for pane, _ in made]
        for pane, pid in made:
            lives = partial(processes.lives, psutil.Process(pid))
            watch.add(Watcher(pane, seen=look, gone=_fail, silent=_fail, lives=lives))
        tmux = psutil.Process(int(server.instance().partition("-")[0]))
        still = await _ticks(watch, seen, tmux, control, [])
        busy = await _ticks(watch, seen, tmux, control, panes)
        forked = _forked(tmp_path / "tmux.sock", panes)
    finally:
        await control.close()
        server.kill_server()
    print(f"\n{PANES} panes, nothing changes: {still[0]:.1f} ms a tick, {still[1]:.2%} of a core")
    print(f"{PANES} panes, all change:     {busy[0]:.1f} ms a tick, {busy[1]:.2%} of a core")
    print(f"{PANES} forked capture-pane:   {forked:.1f} ms")
    assert busy[0] < GOAL_MS
    assert busy[1] < GOAL_CORE


def _fail(reason: str) -> None:
    pytest.fail(reason)


async def _ticks(
    watch: Watch, seen: list[Capture], tmux: psutil.Process, control: Control, panes: list[str]
) -> tuple[float, float]:
    """Return the median milliseconds of a tick, and the share of a core that ticking costs.

    ``panes`` are written to before each tick. The processor time is netsky's and tmux's.
    """
    await asyncio.sleep(2 * TICK_SECONDS)
    await watch.tick()
    walls, cores = [], []
    for _ in range(TICKS):
        await asyncio.sleep(TICK_SECONDS / 2)
        if panes:
            await control.ask([f"send-keys -t {pane} x" for pane in panes])
            await asyncio.sleep(TICK_SECONDS / 2)
        seen.clear()
        wall, own, its = time.perf_counter(), time.process_time(), _cpu(tmux)
        await watch.tick()
        walls.append((time.perf_counter() - wall) * 1000)
        cores.append(time.process_time() - own + _cpu(tmux) - its)
        assert len(seen) == len(panes)
    return sorted(walls)[TICKS // 2], sum(cores) / TICKS / TICK_SECONDS


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _forked(socket: Path, panes: list[str]) -> float:
    start = time.perf_counter()
    for pane in panes:
        subprocess.run(
            ["tmux", "-S", str(socket), "capture-pane", "-p", "-e", "-t", pane],
            check=True,
            capture_output=True,
        )
    return (time.perf_counter() - start) * 1000
