"""What it costs to know who asks, once for each connection."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.daemon import Daemon
from netsky_runtime.gate import look
from netsky_runtime.options import Options
from netsky_runtime.paths import Home
from tests.support.carriers import carrier, keep_row

if TYPE_CHECKING:
    from pathlib import Path

CHECKS = 300
DEEP = 12
"""Shells between the engine and who asks."""
TARGET = 0.005
"""Seconds, in the median: the issue's goal on the machine it was built on."""


@pytest.mark.bench
async def test_a_caller_deep_below_the_engine_is_known_within_milliseconds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    with carrier({"PATH": "/usr/bin:/bin"}) as engine:
        await keep_row(home, engine)
        nest = "n() { if [ $1 -gt 0 ]; then (n $(($1 - 1))); else sleep 600 & echo $!; wait; fi; }"
        pid = int(await asyncio.to_thread(engine.tell, f"{nest}; n {DEEP} &"))
        flags = {"runtime": "scripted"}
        daemon = await Daemon.host(Options(home=home, cwd=work, environ={}, flags=flags))
        try:
            took = []
            for _ in range(CHECKS):
                began = time.perf_counter()
                who = await look(pid, home=home, database=daemon.database)
                took.append(time.perf_counter() - began)
            assert who.carrier == "the engine"
        finally:
            await daemon.stop(keep_engine=True)
    middle, slow = statistics.median(took), statistics.quantiles(took, n=100)[98]
    with capsys.disabled():
        print(f"\nwho asks, {DEEP} shells deep: {middle * 1e3:.2f} ms, p99 {slow * 1e3:.2f} ms")
    assert middle < TARGET
