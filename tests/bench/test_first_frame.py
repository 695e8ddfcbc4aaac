"""How long an operator with a year of history waits for a room that can be used."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.bench import hoard
from tests.support.terminal import Terminal

if TYPE_CHECKING:
    from pathlib import Path

RUNS = 7
TARGET = 2.0
"""Times a bare Textual app's first frame: the issue's goal on the machine it was built on."""
PATIENCE = 60.0
BARE = ("a bare Textual app", "ready")
FRAME = ("to manager0", "Ctrl+Q quit")
USABLE = ("worker1", "Make part", "All tests pass", "to manager0")


class Starts:
    """A program started again and again in a terminal; keeps the best of some seconds."""

    def __init__(self, argv: list[str], environment: dict[str, str], cwd: Path) -> None:
        self._argv, self._environment, self._cwd = argv, environment, cwd
        self.best: dict[tuple[str, ...], float] = {}

    def until(self, *drawn: tuple[str, ...]) -> None:
        """Start it and note when each of these groups of words stands on the screen."""
        before = time.perf_counter()
        with Terminal(self._argv, env=self._environment, cwd=str(self._cwd)) as terminal:
            for words in drawn:
                terminal.until(*words, seconds=PATIENCE)
                taken = time.perf_counter() - before
                self.best[words] = min(taken, self.best.get(words, taken))


@pytest.mark.bench
@pytest.mark.timeout(300)
def test_the_first_frame_with_a_year_of_history_is_there_like_a_bare_app(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir(mode=0o700)
    work.mkdir()
    before = time.perf_counter()
    hoard.fill(home / "meta.db")
    filled = time.perf_counter() - before
    environment = {
        **{key: os.environ[key] for key in ("PATH", "LANG") if key in os.environ},
        "HOME": str(tmp_path),
        "NETSKY_HOME": str(home),
        "AGENT_RUNTIME": "scripted",
        "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
    }
    bare = Starts([sys.executable, "-m", "tests.bench.bare_app"], environment, work)
    netsky = Starts([sys.executable, "-m", "netsky_tui"], environment, work)
    for _ in range(RUNS):  # by turns, so that a busy moment of the machine is busy for both
        bare.until(BARE)
        netsky.until(FRAME, USABLE)
    floor, frame, usable = bare.best[BARE], netsky.best[FRAME], netsky.best[USABLE]
    print(
        f"\nfirst frame: {frame * 1000:.0f} ms, with all lists drawn {usable * 1000:.0f} ms, "
        f"over {hoard.TASKS:,} tasks, {hoard.MESSAGES:,} messages and {hoard.EVENTS:,} events "
        f"(made in {filled:.0f} s); {usable / floor:.2f} times a bare Textual app "
        f"({floor * 1000:.0f} ms; goal {TARGET:g} times)"
    )
    assert usable < TARGET * floor
