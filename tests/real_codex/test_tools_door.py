"""netsky's tools behind the MCP server that a real Codex starts for a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from netsky_runtime.agents import tools
from netsky_runtime.agents.authority import Role
from netsky_runtime.agents.tools_config import mcp_server_config
from netsky_runtime.codex.base import Batch, LaunchSpec, ThreadRuntime
from netsky_runtime.tools_door.server import INSTRUCTIONS
from tests.real_codex.conftest import Bench, Told
from tests.tools_door.kit import TOKEN, TOOL, fake_daemon

CALL = "TOOL[mcp__netsky/list_tasks {}]ENDTOOL SAY[looked]"


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


def sandboxed(bench: Bench) -> LaunchSpec:
    """Return the spec of a thread whose own commands reach no socket."""
    return bench.spec(tools=(), sandbox="workspace-write", approval_policy="never")


def with_tools(spec: LaunchSpec, bench: Bench) -> LaunchSpec:
    """Return the spec with the tools door in it, as a launch puts it there."""
    door = mcp_server_config(home=bench.home, token=TOKEN)
    return replace(spec, config={**spec.config, **door})


def told_to_model(bench: Bench) -> str:
    """Return what tools have told the model, at its last request."""
    items = bench.model.requests[-1]["input"]
    return str([item["output"] for item in items if item["type"] == "function_call_output"])


def shown_to_model(bench: Bench) -> dict[str, Any]:
    """Return the tools of the model's last request, by name or type."""
    tools = bench.model.requests[-1]["tools"]
    return {tool.get("name") or tool["type"]: tool for tool in tools}


async def calls_once(bench: Bench, runtime: ThreadRuntime) -> None:
    """Have the first turn of a new thread call a tool; check who was told what, and how often."""
    async with fake_daemon(socket=bench.home.control_socket) as daemon:
        session = await runtime.start(with_tools(sandboxed(bench), bench))
        told = Told(session)
        await session.submit(batch(CALL))
        end = await told.turn_end()

    [asked] = [params for method, params in daemon.asked if method == "tools.call"]
    assert asked == {
        "token": TOKEN,
        "tool": "list_tasks",
        "arguments": {},
        "call_id": asked["call_id"],
        "thread_id": session.thread_id,
        "turn_id": end.turn_id,
    }
    # The model's own id: whoever repeats the call, repeats that.
    assert asked["call_id"].startswith("call_")
    assert "did list_tasks" in told_to_model(bench)
    assert end.data["status"] == "completed"
    assert told.words() == ["looked"]
    [item] = told.items("mcp_call")
    assert (item.data["server"], item.data["tool"]) == ("netsky", "list_tasks")
    await session.close()


async def test_a_sandboxed_thread_of_the_app_server_has_its_tool_called_once(bench: Bench) -> None:
    await calls_once(bench, await bench.opened())
    space = shown_to_model(bench)["mcp__netsky"]
    assert [tool["name"] for tool in space["tools"]] == [TOOL["name"]]


async def test_a_sandboxed_thread_of_the_mcp_server_has_its_tool_called_once(
    old_bench: Bench,
) -> None:
    runtime = old_bench.mcp_runtime()
    await runtime.open()
    await calls_once(old_bench, runtime)


async def test_a_model_that_must_search_for_tools_is_told_of_netskys_and_finds_them_all_at_once(
    bench: Bench,
) -> None:
    """Codex hides MCP tools from models that can search: 0.145 and later, for all it knows well."""

    async def every_tool(_params: Mapping[str, Any]) -> dict[str, Any]:
        specs = tools.specs_for(Role.MANAGER0)
        return {
            "tools": [
                {"name": s.name, "description": s.description, "schema": s.schema} for s in specs
            ]
        }

    runtime = await bench.opened()
    async with fake_daemon(socket=bench.home.control_socket) as daemon:
        daemon.verbs["tools.list"] = every_tool
        spec = replace(with_tools(sandboxed(bench), bench), model="gpt-5.5")
        session = await runtime.start(spec)
        told = Told(session)
        # As the instructions of a thread behind this door advise.
        await session.submit(batch('TOOL[tool_search {"query": "netsky"}]ENDTOOL SAY[found]'))
        await told.turn_end()
    shown = shown_to_model(bench)
    assert "mcp__netsky" not in shown
    assert f"netsky: {INSTRUCTIONS}" in shown["tool_search"]["description"]
    [found] = [
        item for item in bench.model.requests[-1]["input"] if item["type"] == "tool_search_output"
    ]
    [space] = found["tools"]
    assert space["name"] == "mcp__netsky"
    assert {tool["name"] for tool in space["tools"]} == set(tools.TOOLS)
    await session.close()


async def test_tools_are_added_to_a_thread_that_is_resumed_where_it_was_not_loaded(
    bench: Bench,
) -> None:
    """As when a thread moves here from another door. One that is loaded keeps what it has."""
    first = await bench.opened()
    session = await first.start(sandboxed(bench))
    told = Told(session)
    await session.submit(batch("SAY[without]"))
    await told.turn_end()
    assert "mcp__netsky" not in shown_to_model(bench)
    await session.close()
    await first.close(keep_engine=False)

    async with fake_daemon(socket=bench.home.control_socket):
        second = await bench.opened()
        resumed = await second.resume(session.thread_id, with_tools(sandboxed(bench), bench))
        told = Told(resumed)
        await resumed.submit(batch(CALL, 2))
        await told.turn_end()
        assert "did list_tasks" in told_to_model(bench)
        await resumed.close()


async def test_a_call_whose_daemon_is_killed_is_answered_by_the_next_one_under_the_same_id(
    bench: Bench,
) -> None:
    async def never(_params: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    runtime = await bench.opened()
    socket = bench.home.control_socket
    async with fake_daemon(socket=socket) as killed:
        killed.verbs["tools.call"] = never
        session = await runtime.start(with_tools(sandboxed(bench), bench))
        told = Told(session)
        await session.submit(batch(CALL))
        await killed.until_asked(2)
    socket.unlink()
    async with fake_daemon(socket=socket) as following:
        await told.turn_end()
    [again] = following.asked
    assert again == killed.asked[-1]
    assert "did list_tasks" in told_to_model(bench)
    assert told.words() == ["looked"]
    await session.close()
