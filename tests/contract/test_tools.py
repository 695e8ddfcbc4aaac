"""Dynamic tools, on every runtime."""

from __future__ import annotations

import pytest

from netsky_runtime.codex.base import ApprovalGone, ToolResult
from netsky_runtime.codex.events import EventKind
from tests.contract.rigs import Stage, batch, says

CALL = 'TOOL[note_down {"body": "milk &amp; bread"}]ENDTOOL SAY[noted]'


async def test_a_tool_call_waits_for_its_answer(stage: Stage) -> None:
    if not await stage.carries_tools():
        return
    session, told = await stage.start()

    await session.submit(batch(CALL))
    asked = await told.next(EventKind.TOOL_REQUESTED)
    assert asked.data["tool"] == "note_down"
    assert asked.data["arguments"] == {"body": "milk & bread"}
    assert session.active_turn == asked.turn_id
    await session.answer_tool(asked.data["call_id"], ToolResult(text="kept as n1"))
    end = await told.turn_end()

    [call] = told.items("tool_call")
    assert (call.data["tool"], call.data["status"]) == ("note_down", "completed")
    assert (call.data["success"], call.data["result"]) == (True, "kept as n1")
    assert end.data["status"] == "completed"
    assert told.words()[-1].startswith("noted")


async def test_a_tool_that_refuses_is_told_as_failed_and_the_turn_goes_on(stage: Stage) -> None:
    if not await stage.carries_tools():
        return
    session, told = await stage.start()

    await session.submit(batch(CALL))
    asked = await told.next(EventKind.TOOL_REQUESTED)
    result = ToolResult(text="no authority", success=False)
    await session.answer_tool(asked.data["call_id"], result)
    end = await told.turn_end()

    [call] = told.items("tool_call")
    assert (call.data["status"], call.data["success"]) == ("failed", False)
    assert end.data["status"] == "completed"


async def test_a_tool_call_is_answered_once(stage: Stage) -> None:
    if not await stage.carries_tools():
        return
    session, told = await stage.start()
    await session.submit(batch(CALL))
    asked = await told.next(EventKind.TOOL_REQUESTED)
    await session.answer_tool(asked.data["call_id"], ToolResult(text="kept"))
    await told.turn_end()

    for call_id in (asked.data["call_id"], "nobody-called", ""):
        with pytest.raises(ApprovalGone):
            await session.answer_tool(call_id, ToolResult(text="again"))


async def test_an_unanswered_call_is_repeated_with_its_id_to_the_next_session(
    stage: Stage,
) -> None:
    if not await stage.carries_tools():
        return
    session, told = await stage.start()
    await session.submit(batch(CALL))
    first = await told.next(EventKind.TOOL_REQUESTED)
    await session.close()

    again, told = await stage.resume(session.thread_id)
    second = await told.next(EventKind.TOOL_REQUESTED)
    assert (second.data, second.turn_id) == (first.data, first.turn_id)
    await again.answer_tool(second.data["call_id"], ToolResult(text="kept"))
    end = await told.turn_end()

    assert end.data["status"] == "completed"


async def test_two_calls_of_one_turn_have_different_ids(stage: Stage) -> None:
    if not await stage.carries_tools():
        return
    session, told = await stage.start()
    await session.submit(batch(f"{CALL} {CALL}"))
    ids = []
    for _ in range(2):
        asked = await told.next(EventKind.TOOL_REQUESTED)
        ids.append(asked.data["call_id"])
        await session.answer_tool(asked.data["call_id"], ToolResult(text="kept"))
    await told.turn_end()

    assert len(set(ids)) == 2


async def test_tools_are_still_there_for_the_next_netsky(stage: Stage) -> None:
    if not await stage.carries_tools():
        return
    session, told = await stage.start()
    await says(session, told, "SAY[one]")
    await stage.restart(keep_engine=False)

    again, told = await stage.resume(session.thread_id)
    await again.submit(batch(CALL, 2))
    asked = await told.next(EventKind.TOOL_REQUESTED)
    await again.answer_tool(asked.data["call_id"], ToolResult(text="kept"))
    end = await told.turn_end()

    assert end.data["status"] == "completed"
