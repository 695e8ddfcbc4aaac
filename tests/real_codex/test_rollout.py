"""The rollouts of real Codexes: followed while they work, read when they are gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.base import Batch
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.rollout import (
    RolloutReader,
    RolloutWatch,
    find_mark,
    find_thread,
    fold,
    read_head,
    read_history,
)
from netsky_runtime.states import TurnStatus
from netsky_runtime.torture.model_server import ModelServer
from tests.real_codex.conftest import PATIENCE, Bench, Told, bench_over

MARK = "q7x2m9kd"


@pytest.fixture(params=["codex_binary", "old_codex_binary"])
async def bench(
    request: pytest.FixtureRequest, model: ModelServer, tmp_path: Path
) -> AsyncIterator[Bench]:
    async with bench_over(request.getfixturevalue(request.param), model, tmp_path) as bench:
        yield bench


@asynccontextmanager
async def watching(home: Path, bench: Bench) -> AsyncIterator[RolloutWatch]:
    watch = RolloutWatch(home, clock=SystemClock(), log=bench.log)
    await watch.open()
    try:
        async with asyncio.timeout(PATIENCE):
            yield watch
    finally:
        await watch.close()
    assert [entry for entry in bench.logged if entry[0] != "info"] == []


async def telling(lines: AsyncIterator[bytes]) -> AsyncIterator[CodexEvent]:
    reader = RolloutReader()
    async for line in lines:
        for event in reader.feed(line):
            yield event


async def until(source: AsyncIterator[CodexEvent], kind: EventKind) -> list[CodexEvent]:
    """Return the events up to the next one of a kind."""
    found: list[CodexEvent] = []
    while not found or found[-1].kind is not kind:
        found.append(await anext(source))
    return found


def batch(text: str, number: int) -> Batch:
    return Batch(id=f"batch-{number}", text=f"<{MARK}> {text}", input_ids=(f"i-{number}",))


async def test_a_thread_is_followed_while_it_works_and_says_what_the_engine_says(
    bench: Bench,
) -> None:
    home = bench.root / bench.codex_home
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    async with watching(home, bench) as watch:
        await session.submit(batch("HANG SAY[ready]", 1))
        await asyncio.to_thread(bench.model.wait_hanging)
        file = find_thread(home, session.thread_id)
        assert file is not None
        source = telling(watch.lines(file))
        begun = await until(source, EventKind.ITEM_COMPLETED)
        # The message is written before the model has answered, by which it can be confirmed.
        assert begun[-1].data["client_id"] == "batch-1"
        assert begun[0].thread_id == session.thread_id
        bench.model.release()
        first = begun + await until(source, EventKind.TURN_COMPLETED)
        await told.turn_end()
        await session.submit(batch("RUN[echo one; exit 3] SAY[ran]", 2))
        both = first + await until(source, EventKind.TURN_COMPLETED)

    await told.turn_end()
    assert fold(both, running=True) == tuple(await session.history())
    assert find_mark(home, MARK, since=0) == (session.thread_id, file)
    head = read_head(file)
    assert head is not None
    assert (head.thread_id, head.parent_id) == (session.thread_id, "")
    assert head.cwd == str(bench.project)


async def test_a_turn_that_a_kill_cut_is_told_as_the_next_engine_tells_it(bench: Bench) -> None:
    home = bench.root / bench.codex_home
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[ready]", 1))
    await told.turn_end()
    await session.submit(batch("HANG", 2))
    await asyncio.to_thread(bench.model.wait_hanging)
    file = find_thread(home, session.thread_id)
    assert file is not None
    assert read_history(file, running=True)[-1].status is TurnStatus.IN_PROGRESS

    os.killpg(bench.engine().pid, 9)
    await told.next(EventKind.SESSION_LOST)
    cut = read_history(file, running=False)
    bench.model.release()
    again = await bench.opened()
    resumed = await again.resume(session.thread_id, bench.spec())

    assert (cut[-1].status, cut[-1].completed_at) == (TurnStatus.INTERRUPTED, None)
    assert cut[-1].items[0].client_id == "batch-2"
    assert cut == tuple(await resumed.history())
