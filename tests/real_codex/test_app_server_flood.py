"""A netsky that stands still in a flood loses no fact."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import pytest

from netsky_runtime.codex.base import Batch
from tests.real_codex.conftest import PATIENCE, REPOSITORY, Bench, Told

FLOOD = 150_000
"""Fragments: three times what an engine queues for a client before it drops it."""


class Client:
    """The stopped netsky: a process, spoken to in lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, bench: Bench, *, watch: bool) -> Client:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.support.flooded_client",
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        client = cls(process)
        bench.stack.push_async_callback(client.end)
        await client.write(
            codex=str(bench.codex),
            home=str(bench.home.root),
            environ=bench.environ,
            cwd=str(bench.project),
            watch=watch,
        )
        return client

    async def write(self, **message: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        await self.process.stdin.drain()

    async def read(self) -> Any:
        assert self.process.stdout
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        return json.loads(line)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    async def end(self) -> None:
        if self.process.returncode is None:
            self.signal(signal.SIGKILL)
        await self.process.wait()


@pytest.mark.timeout(240)
@pytest.mark.parametrize("watch", [False, True], ids=["unwatched", "watched"])
async def test_a_stopped_netsky_finds_every_fact_of_the_flood(bench: Bench, watch: bool) -> None:
    client = await Client.start(bench, watch=watch)
    thread_id = (await client.read())["thread"]
    await client.write(submit="SAY[so that the thread can be joined]")
    assert "running" in await client.read()
    assert (await client.read())["ended"]["status"] == "completed"
    witness = await bench.opened()  # adopts the client's engine
    told = Told(await witness.resume(thread_id, bench.spec(tools=())))

    await client.write(submit=f"HANG FLOOD{FLOOD}")
    assert "running" in await client.read()
    bench.model.wait_hanging()
    client.signal(signal.SIGSTOP)
    bench.model.release()
    await told.turn_end()  # the whole flood has passed the client by
    client.signal(signal.SIGCONT)
    heard = await client.read()

    words = sum(len(f"tok{number} ") for number in range(FLOOD))
    assert heard["ended"]["status"] == "completed"
    assert heard["letters"] == words
    facts = {kind: n for kind, n in heard["kinds"].items() if kind != "delta"}
    ended = {"turn.started": 1, "turn.completed": 1, "usage": 1}
    assert ended.items() <= facts.items()
    assert facts["item.started"] == facts["item.completed"] == 2
    assert "resync" not in facts
    await client.write(submit="SAY[and on it goes]")
    assert "running" in await client.read()
    assert (await client.read())["letters"] == len("and on it goes")


async def test_many_small_turns_keep_their_order(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    for number in range(10):
        text = f"SAY[{number}]"
        await session.submit(Batch(id=f"batch-{number}", text=text, input_ids=()))
        await told.turn_end()

    assert told.words() == [str(number) for number in range(10)]
