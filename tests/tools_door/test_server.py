"""The MCP server of one thread, between a played Codex and a played daemon."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from netsky_runtime.errors import DatabaseError, Refused
from netsky_runtime.tools_door import server as server_module
from netsky_runtime.tools_door.server import MAX_IN_FLIGHT, VERSIONS
from tests.support.patience import PATIENCE
from tests.tools_door.kit import TOKEN, codex, fake_daemon, told


class Held:
    """A verb that answers when it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def __call__(self, params: Mapping[str, Any]) -> dict[str, Any]:
        await self.go.wait()
        return {"text": f"did {params['call_id']}", "success": True}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_known_protocol_version_is_taken_as_it_was_offered(version: str) -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        answer = await client.say("initialize", protocolVersion=version, capabilities={})
    assert answer["jsonrpc"] == "2.0"
    assert answer["result"]["protocolVersion"] == version
    assert answer["result"]["capabilities"] == {"tools": {}}
    assert answer["result"]["serverInfo"]["name"] == "netsky"


@pytest.mark.parametrize("offered", [{"protocolVersion": "2031-01-01"}, {}])
async def test_an_unknown_protocol_version_is_answered_with_the_newest_that_is_known(
    offered: dict[str, Any],
) -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        answer = await client.say("initialize", **offered)
    assert answer["result"]["protocolVersion"] == VERSIONS[0]


async def test_what_models_read_where_they_search_for_tools_names_what_there_is() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        answer = await client.say("initialize")
    words = answer["result"]["instructions"]
    assert "tasks" in words
    assert "workers" in words


async def test_no_daemon_is_needed_to_begin() -> None:
    async with fake_daemon(running=False) as daemon, codex(daemon) as client:
        client.far.write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert "result" in await client.say("initialize")
        assert (await client.say("ping"))["result"] == {}


async def test_the_tools_are_those_the_daemon_names_for_the_token() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        answer = await client.say("tools/list", _meta={"progressToken": 0})
    assert daemon.asked == [("tools.list", {"token": TOKEN})]
    [tool] = answer["result"]["tools"]
    assert tool["name"] == "list_tasks"
    assert tool["description"] == "List the tasks."
    assert tool["inputSchema"] == {"type": "object"}


async def test_every_tool_is_annotated_so_that_codex_0_120_runs_it_without_asking() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        [tool] = (await client.say("tools/list"))["result"]["tools"]
    assert tool["annotations"] == {
        "readOnlyHint": True,
        "destructiveHint": False,
        "openWorldHint": False,
    }


async def test_the_daemon_is_asked_for_the_list_only_once() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        first = await client.say("tools/list")
        second = await client.say("tools/list")
    assert first["result"] == second["result"]
    assert len(daemon.asked) == 1


async def test_a_refused_token_gives_no_tools_and_says_why() -> None:
    async def refuse(_params: Mapping[str, Any]) -> dict[str, Any]:
        raise Refused("The session is over.", hint="`netsky actors list` shows others.")

    async with fake_daemon() as daemon, codex(daemon) as client:
        daemon.verbs.update({"tools.list": refuse, "tools.call": refuse})
        listed = await client.say("tools/list")
        called = await client.call("list_tasks")
    assert listed["error"]["message"] == "The session is over."
    assert called == ("The session is over.", True)


async def test_a_call_is_done_by_the_daemon_and_its_words_are_returned() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        assert await client.call("add_note", body="b") == ("did add_note", False)
    [(method, params)] = daemon.asked
    assert method == "tools.call"
    assert params["token"] == TOKEN
    assert params["tool"] == "add_note"
    assert params["arguments"] == {"body": "b"}


async def test_a_refusal_in_the_daemons_words_is_an_error_for_the_model() -> None:
    async def refuse(_params: Mapping[str, Any]) -> dict[str, Any]:
        return {"text": "t2 is not your task.", "success": False}

    async with fake_daemon() as daemon, codex(daemon) as client:
        daemon.verbs["tools.call"] = refuse
        assert await client.call("update_task", id="t2") == ("t2 is not your task.", True)


CODEX_TELLS = {
    "0.163.0": (
        {
            "callId": "call_5",
            "threadId": "thread-a",
            "x-codex-turn-metadata": {"thread_id": "thread-a", "turn_id": "turn-b"},
        },
        {"call_id": "call_5", "thread_id": "thread-a", "turn_id": "turn-b"},
    ),
    "0.145.0": (
        {
            "threadId": "thread-a",
            "x-codex-turn-metadata": {"session_id": "thread-a", "turn_id": "4"},
            "progressToken": 1,
        },
        {"thread_id": "thread-a", "turn_id": "4"},
    ),
    "0.120.0": (
        {"x-codex-turn-metadata": {"session_id": "thread-a", "turn_id": "2"}},
        {"thread_id": "thread-a", "turn_id": "2"},
    ),
}


@pytest.mark.parametrize(("meta", "origin"), CODEX_TELLS.values(), ids=CODEX_TELLS.keys())
async def test_what_codex_tells_of_a_call_goes_to_the_daemon(
    meta: dict[str, Any], origin: dict[str, str]
) -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        await client.say("tools/call", name="list_tasks", _meta=meta)
    [(_, params)] = daemon.asked
    assert {key: params[key] for key in origin} == origin
    assert params["arguments"] == {}


@pytest.mark.parametrize("meta", [{}, None, {"callId": 5, "x-codex-turn-metadata": "no"}])
async def test_two_calls_that_codex_tells_nothing_of_are_two_calls(meta: Any) -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        for _ in range(2):
            await client.say("tools/call", name="list_tasks", arguments={}, _meta=meta)
    first, second = (params for _, params in daemon.asked)
    assert first["call_id"]
    assert first["call_id"] != second["call_id"]
    assert "turn_id" not in first
    assert "thread_id" not in first


@pytest.mark.parametrize(
    "params", [{}, {"name": 5}, {"name": ""}, {"name": "add_note", "arguments": ["b"]}]
)
async def test_a_call_of_the_wrong_shape_is_an_error_and_reaches_nobody(
    params: dict[str, Any],
) -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        answer = await client.say("tools/call", **params)
    assert answer["error"]["code"] == -32602
    assert daemon.asked == []


async def test_a_method_that_is_not_offered_is_unknown() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        answer = await client.say("resources/list")
    assert answer["error"]["code"] == -32601
    assert "resources/list" in answer["error"]["message"]


async def test_garbage_is_passed_over() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        client.far.write(b"not json", b"[1, 2]", b"{}", b'{"id": null, "method": "ping"}', b"\xff")
        client.far.write({"jsonrpc": "2.0", "id": "x", "method": "ping", "params": [1]})
        assert (await client.say("ping"))["result"] == {}


async def test_a_call_that_was_cancelled_is_not_answered_and_the_next_one_is() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        held = daemon.verbs["tools.call"] = Held()
        cancelled = client.ask("tools/call", name="list_tasks", arguments={})
        await daemon.until_asked(1)
        client.far.write(
            {
                "jsonrpc": "2.0",
                "method": "notifications/cancelled",
                "params": {"requestId": cancelled},
            },
            {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": []}},
        )
        held.go.set()
        following = client.ask("ping")
        answer = await client.far.read()
    assert answer["id"] == following


async def test_calls_of_one_thread_do_not_wait_for_each_other() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        held = daemon.verbs["tools.call"] = Held()
        slow = client.ask("tools/call", name="list_tasks", arguments={})
        await daemon.until_asked(1)
        assert (await client.say("ping"))["result"] == {}
        held.go.set()
        assert told(await client.answer(slow))[1] is False


async def test_more_calls_at_once_than_there_is_room_for_are_refused() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        held = daemon.verbs["tools.call"] = Held()
        waiting = [client.ask("tools/call", name="list_tasks") for _ in range(MAX_IN_FLIGHT)]
        await daemon.until_asked(MAX_IN_FLIGHT)
        refused = await client.say("tools/call", name="list_tasks")
        held.go.set()
        answers = [await client.answer(request_id) for request_id in waiting]
    assert "error" in refused
    assert all("result" in answer for answer in answers)


async def test_a_daemon_that_is_not_there_yet_is_waited_for() -> None:
    async with fake_daemon(running=False) as daemon, codex(daemon) as client:
        asked = client.ask("tools/call", name="list_tasks", arguments={})
        pauses = [await client.clock.pass_next() for _ in range(6)]
        await client.clock.until_sleeping()
        await daemon.start()
        await client.clock.pass_next()
        assert told(await client.answer(asked)) == ("did list_tasks", False)
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


async def test_a_call_whose_daemon_died_is_asked_again_under_the_same_id() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        daemon.verbs["tools.call"] = Held()
        asked = client.ask("tools/call", name="add_note", arguments={"body": "b"})
        await daemon.until_asked(1)
        await daemon.stop()
        await client.clock.pass_next()
        held = daemon.verbs["tools.call"] = Held()
        held.go.set()
        daemon.path.unlink()
        await daemon.start()
        await client.clock.pass_next()
        answer = await client.answer(asked)
    (_, first), (_, second) = daemon.asked
    assert first == second
    assert told(answer) == (f"did {first['call_id']}", False)


async def test_a_broken_connection_is_made_anew_for_the_next_call() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        await client.call("list_tasks")
        await daemon.drop()
        asked = client.ask("tools/call", name="list_tasks", arguments={})
        async with asyncio.TaskGroup() as group:
            # It may find out before it asks, and then makes no pause, or only by asking.
            passing = group.create_task(client.clock.pass_next())
            assert told(await client.answer(asked)) == ("did list_tasks", False)
            passing.cancel()
        assert daemon.clients == 1


async def test_one_connection_serves_all_calls() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        waiting = [client.ask("tools/call", name="list_tasks") for _ in range(5)]
        for request_id in waiting:
            await client.answer(request_id)
        assert daemon.clients == 1


async def test_a_daemon_that_stays_away_is_told_so_that_the_model_can_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_module, "CALL_SECONDS", 0.01)
    monkeypatch.setattr(server_module, "LIST_SECONDS", 0.01)
    async with fake_daemon(running=False) as daemon, codex(daemon) as client:
        listed = await client.say("tools/list")
        text, wrong = await client.call("start_worker")
    assert "netsky could not be reached" in listed["error"]["message"]
    assert "No daemon runs" in listed["error"]["message"]
    assert wrong
    assert "start_worker was not done" in text
    assert "end your turn" in text


async def test_a_call_that_was_asked_and_not_answered_may_have_been_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        await client.call("list_tasks")
        monkeypatch.setattr(server_module, "CALL_SECONDS", 0.01)
        daemon.verbs["tools.call"] = Held()
        text, wrong = await client.call("start_worker")
    assert wrong
    assert "start_worker may have been done" in text
    assert "list_tasks" in text


@pytest.mark.parametrize(("name", "why"), [("x" * 200, "too long"), ("file/x", "Not a directory")])
async def test_a_socket_that_cannot_be_used_is_named_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    monkeypatch.setattr(server_module, "CALL_SECONDS", 0.01)
    async with fake_daemon(running=False) as daemon:
        daemon.path.with_name("file").write_text("")
        daemon.path = daemon.path.parent / name
        async with codex(daemon) as client:
            text, wrong = await client.call("start_worker")
    assert wrong
    assert why in text
    assert "start_worker was not done" in text


async def test_a_daemon_that_is_stopped_in_its_tracks_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It lets clients in and says nothing, not even hello."""
    monkeypatch.setattr(server_module, "CALL_SECONDS", 0.01)
    async with fake_daemon(running=False) as daemon, codex(daemon) as client:
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(daemon.path))
            silent.listen()
            text, wrong = await client.call("start_worker")
    assert wrong
    assert "start_worker was not done" in text


async def test_a_daemon_that_is_not_well_is_asked_again_under_the_same_id() -> None:
    async def full(_params: Mapping[str, Any]) -> dict[str, Any]:
        raise DatabaseError("The disk is full.")

    async with fake_daemon() as daemon, codex(daemon) as client:
        daemon.verbs["tools.call"] = full
        asked = client.ask("tools/call", name="add_note", arguments={"body": "b"})
        await client.clock.until_sleeping()
        held = daemon.verbs["tools.call"] = Held()
        held.go.set()
        await client.clock.pass_next()
        answer = await client.answer(asked)
    (_, first), (_, second) = daemon.asked
    assert first == second
    assert told(answer) == (f"did {first['call_id']}", False)


async def test_a_daemon_of_another_protocol_is_named_without_advice_for_people() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        daemon.protocol = 99
        text, wrong = await client.call("list_tasks")
    assert wrong
    assert text.startswith("Another protocol. list_tasks was not done.")
    assert "kill" not in text


async def test_a_second_request_under_an_id_that_is_waited_for_is_passed_over() -> None:
    async with fake_daemon() as daemon, codex(daemon) as client:
        held = daemon.verbs["tools.call"] = Held()
        asked = client.ask("tools/call", name="list_tasks", arguments={})
        await daemon.until_asked(1)
        client.far.write({"jsonrpc": "2.0", "id": asked, "method": "ping"})
        held.go.set()
        assert told(await client.answer(asked))[1] is False
        assert (await client.say("ping"))["result"] == {}


async def test_arguments_that_are_too_deep_to_be_handed_on_are_refused_and_the_next_are_not() -> (
    None
):
    deep = "[" * 300 + "]" * 300
    params = f'{{"name": "add_note", "arguments": {{"body": {deep}}}}}'
    async with fake_daemon() as daemon, codex(daemon) as client:
        client.far.write(f'{{"id": 77, "method": "tools/call", "params": {params}}}'.encode())
        text, wrong = told(await client.answer(77))
        assert wrong
        assert "cannot be written" in text
        assert await client.call("add_note", body="b") == ("did add_note", False)


async def test_arguments_of_a_megabyte_are_handed_on_whole() -> None:
    body = "é" * 500_000
    async with fake_daemon() as daemon, codex(daemon) as client:
        assert await client.call("add_note", body=body) == ("did add_note", False)
    assert daemon.asked[0][1]["arguments"] == {"body": body}


async def test_a_client_that_leaves_in_the_middle_of_a_call_ends_the_server() -> None:
    # At its end ``codex`` waits for the end of the server.
    async with asyncio.timeout(PATIENCE), fake_daemon() as daemon, codex(daemon) as client:
        daemon.verbs["tools.call"] = Held()
        client.ask("tools/call", name="list_tasks", arguments={})
        await daemon.until_asked(1)
