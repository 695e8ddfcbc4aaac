"""What twenty threads on one mcp-server weigh, beside twenty mcp-servers with a thread each."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.codex.base import Batch
from netsky_runtime.torture.model_server import ModelServer
from tests.real_codex.conftest import Bench, MemoryStore, Told, bench_over, installed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from netsky_runtime.codex.mcp_server import McpServerRuntime

THREADS = 20
GOAL = 0.5
"""Share of what twenty processes weigh."""


@dataclass(frozen=True, slots=True)
class Weight:
    """Memory in MB."""

    own: float
    """USS: what would be free again if they ended."""
    shared: float
    """PSS: what is shared, as the binary is, counts in parts."""


@pytest.mark.bench
@pytest.mark.real_codex
@pytest.mark.timeout(300)
async def test_twenty_threads_of_one_process_beside_twenty_processes(tmp_path: Path) -> None:
    """Goal: one process weighs less than half of twenty. Each thread has had a turn."""
    codex = installed("NETSKY_TEST_OLD_CODEX", "0.153.4")
    with ModelServer() as model:
        async with bench_over(codex, model, tmp_path) as bench:
            runtime = bench.mcp_runtime()
            await runtime.open()
            empty = weigh([bench])
            for _ in range(THREADS):
                await have_a_turn(runtime, bench)
            one = weigh([bench])
            await runtime.close(keep_engine=False)

            apart = [replace(bench, store=MemoryStore()) for _ in range(THREADS)]
            for each in apart:
                runtime = each.mcp_runtime()
                await runtime.open()
                await have_a_turn(runtime, each)
            many = weigh(apart)
    per_thread = (one.own - empty.own) / THREADS
    print(f"\nan mcp-server without a thread:         {in_words(empty)}")
    print(f"{THREADS} threads on one, one turn each:      {in_words(one)}")
    print(f"{THREADS} mcp-servers with a thread each:     {in_words(many)}")
    print(f"one more thread: {per_thread:.1f} MB; one more process: {many.own / THREADS:.1f} MB")
    assert one.own < GOAL * many.own
    assert one.shared < GOAL * many.shared


async def have_a_turn(runtime: McpServerRuntime, bench: Bench) -> None:
    session = await runtime.start(bench.spec(tools=()))
    told = Told(session)
    await session.submit(Batch(id="b-1", text="SAY[ready]", input_ids=("i-1",)))
    await told.turn_end()


def weigh(benches: Iterable[Bench]) -> Weight:
    """Return what the benches' processes weigh, with those that they have started."""
    leaders = [bench.engine() for bench in benches]
    everyone = [*leaders, *(child for each in leaders for child in each.children(recursive=True))]
    own = shared = 0.0
    for process in everyone:
        with suppress(psutil.NoSuchProcess):  # what Codex runs for a moment, such as git
            memory = process.memory_full_info()
            own += memory.uss / 1e6
            shared += (memory.pss if psutil.LINUX else memory.uss) / 1e6
    return Weight(own, shared)


def in_words(weight: Weight) -> str:
    return f"{weight.own:5.0f} MB of its own, {weight.shared:5.0f} MB with its part of the shared"
