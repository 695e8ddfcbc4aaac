"""How soon a line of a rollout is known, and how long a big rollout takes to read."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.rollout import RolloutWatch, read_history
from tests.codex import rollout_files

if TYPE_CHECKING:
    from pathlib import Path

APPENDS = 50
LATENCY_MS = 100
"""Goal for nine of ten lines."""
SIZE = 50_000_000
READ_SECONDS = 3.0
"""Of processor time."""
FOLLOWED = 50
_THREAD = re.compile(rb"01a1fe(?=..-)")


def ignore(level: str, message: str, fields: dict[str, Any]) -> None:
    """Nothing is logged here."""


@pytest.mark.bench
async def test_a_line_is_known_soon_after_it_was_written(tmp_path: Path) -> None:
    watch = RolloutWatch(tmp_path, clock=SystemClock(), log=ignore)
    await watch.open()
    files = [tmp_path / "sessions" / f"rollout-{n}.jsonl" for n in range(FOLLOWED)]
    for file in files:
        file.write_bytes(b"first\n")
    follows = [watch.lines(file) for file in files]
    for follow in follows:
        await anext(follow)
    waited = []
    async with asyncio.TaskGroup() as group:
        for number in range(APPENDS):
            task = group.create_task(follows[number % FOLLOWED].__anext__())
            await asyncio.sleep(0.03 + 0.007 * (number % 5))
            begun = time.perf_counter()
            with files[number % FOLLOWED].open("ab") as out:
                out.write(b"line\n")
            await task
            waited.append(1000 * (time.perf_counter() - begun))
    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(3)
    idle = 100 * (time.process_time() - cpu) / (time.perf_counter() - begun)
    await watch.close()

    slow = statistics.quantiles(waited, n=10)[-1]
    print(
        f"\n{FOLLOWED} rollouts followed: a line is known {statistics.median(waited):.0f} ms after"
        f" it was written (9 of 10: {slow:.0f} ms); nothing to do costs {idle:.1f} % of a core"
    )
    assert slow < LATENCY_MS


@pytest.mark.bench
def test_a_big_rollout_is_read_in_a_moment(tmp_path: Path) -> None:
    first, _, rest = rollout_files.path("0.163.0-app").read_bytes().partition(b"\n")
    file = tmp_path / "rollout.jsonl"
    with file.open("wb") as out:
        out.write(first + b"\n")
        for number in range(SIZE // len(rest)):
            out.write(_THREAD.sub(b"%06x" % number, rest))
    begun = time.process_time()
    turns = read_history(file, running=False)
    took = time.process_time() - begun

    print(
        f"\na rollout of {SIZE // 1_000_000} MB, {len(turns)} turns:"
        f" read in {took:.2f} s of processor time"
    )
    assert took < READ_SECONDS
