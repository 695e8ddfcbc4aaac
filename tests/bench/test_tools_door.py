"""What netsky's tools cost a thread behind the MCP door: the start and the memory of a process."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import psutil
import pytest

from netsky_runtime.agents import tools
from netsky_runtime.agents.authority import Role
from netsky_runtime.agents.tools_config import mcp_server_config
from netsky_runtime.paths import Home
from netsky_runtime.wire.process import Child
from tests.tools_door.kit import TOKEN, fake_daemon

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RUNS = 5
MANY = 20
GOAL_START = 0.2
GOAL_START_MANY = 2.5
GOAL_MIB = 24.0
MIB = 1024 * 1024
FLOOR = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {}}), flush=True)
"""
"""The least that a Python can be which answers a client at all."""
ASKED = (
    {
        "jsonrpc": "2.0",
        "id": 0,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}},
    },
    {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}},
)


class Cost(NamedTuple):
    """Seconds until all have answered; MiB that each has alone, and with its share of the rest."""

    start: float
    uss: float
    pss: float

    def __str__(self) -> str:
        return f"{self.start * 1000:5.0f} ms, USS {self.uss:4.1f} MiB, PSS {self.pss:4.1f} MiB"


@pytest.mark.bench
async def test_a_door_is_open_before_codex_waits_and_costs_a_small_python() -> None:
    """Goals: one answers within 0.2 s, twenty at once within 2.5 s; 24 MiB each, shared or not.

    That is more than twice what two busy cores gave: 0.07 s, 0.9 s and 12 MiB.
    """
    async with fake_daemon() as daemon:
        daemon.verbs["tools.list"] = _manager0s
        server = mcp_server_config(home=Home(daemon.path.parent, daemon.path.parent), token=TOKEN)
        told = server["mcp_servers"]["netsky"]
        door = [told["command"], *told["args"]]
        floor = [sys.executable, "-S", "-c", FLOOR]
        one = [await _cost(door, told["env"], 1) for _ in range(RUNS)]
        bare = [await _cost(floor, {}, 1) for _ in range(RUNS)]
        twenty = min([await _cost(door, told["env"], MANY) for _ in range(2)])
        bare_twenty = await _cost(floor, {}, MANY)
    print(f"\none `netsky tools`:   {min(one)}")
    print(f"one bare Python:      {min(bare)}")
    print(f"{MANY} `netsky tools`:    {twenty}, each")
    print(f"{MANY} bare Pythons:      {bare_twenty}, each")
    assert min(one).start < GOAL_START
    assert twenty.start < GOAL_START_MANY
    assert max(min(one).pss, twenty.pss) < GOAL_MIB


async def _manager0s(_params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "tools": [
            {"name": spec.name, "description": spec.description, "schema": spec.schema}
            for spec in tools.specs_for(Role.MANAGER0)
        ]
    }


async def _cost(argv: Sequence[str], env: Mapping[str, str], count: int) -> Cost:
    """Start so many at once; ask each for its greeting and its tools."""
    async with AsyncExitStack() as stack:
        before = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            starting = [group.create_task(_answered(argv, env, stack)) for _ in range(count)]
        start = time.perf_counter() - before
        told = [psutil.Process(task.result().pid).memory_full_info() for task in starting]
    return Cost(
        start,
        sum(memory.uss for memory in told) / count / MIB,
        sum(memory.pss for memory in told) / count / MIB,
    )


async def _answered(argv: Sequence[str], env: Mapping[str, str], stack: AsyncExitStack) -> Child:
    child = await Child.spawn(list(argv), env=dict(env))
    stack.push_async_callback(child.end, grace=20)
    for message in ASKED:
        await child.framing.send(orjson.dumps(message))
    for _ in ASKED:
        assert await child.framing.receive() is not None
    return child
