"""How long an operator waits for a one-shot verb."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 9
TARGET = 0.35
"""Seconds for ``netsky status`` without a daemon."""
FLOOR = "import typer, asyncio, aiosqlite"


def _best(command: list[str], environment: dict[str, str]) -> float:
    taken = []
    for _ in range(RUNS):
        before = time.perf_counter()
        subprocess.run(command, env=environment, capture_output=True, check=True)
        taken.append(time.perf_counter() - before)
    return min(taken)


@pytest.mark.bench
def test_status_without_a_daemon_is_there_at_once(tmp_path: Path) -> None:
    environment = os.environ | {"NETSKY_HOME": str(tmp_path / "home")}
    netsky = [sys.executable, "-m", "netsky_tui"]
    subprocess.run([*netsky, "tasks", "add", "x"], env=environment, capture_output=True, check=True)
    floor = _best([sys.executable, "-c", FLOOR], environment)
    status = _best([*netsky, "status"], environment)
    print(
        f"\nnetsky status, no daemon: {status * 1000:.0f} ms (target {TARGET * 1000:.0f} ms), "
        f"{status / floor:.2f} times a Python that imports typer and aiosqlite"
    )
    assert status < TARGET
