"""Approvals, on every runtime."""

from __future__ import annotations

import pytest

from netsky_runtime.codex.base import ApprovalGone
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import TurnStatus
from tests.contract.rigs import (
    ACCEPT,
    ACCEPT_FOR_SESSION,
    CANCEL,
    DECLINE,
    Stage,
    approval,
    batch,
    kinds,
    says,
)


async def test_a_question_is_an_event_or_stands_on_codexs_own_screen(stage: Stage) -> None:
    session, told = await stage.start()

    await session.submit(batch("ESC[echo yes] SAY[done]"))
    asks = stage.runtime.capabilities.approvals
    asked = await told.next(EventKind.APPROVAL_REQUESTED if asks else EventKind.BLOCKED)

    if not asks:
        assert asked.data["reason"]
        assert "echo yes" in asked.data["screen"]
    await session.interrupt(session.active_turn)
    assert (await told.turn_end()).data["status"] == "interrupted"
    assert told.words() == []


async def test_a_command_approval_says_all_that_is_needed_to_decide(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("ESC[echo yes] SAY[done]"))
    asked = await approval(told)

    assert asked.data["kind"] == "command"
    assert "echo yes" in asked.data["command"]
    assert asked.data["cwd"] == str(stage.rig.project)
    assert asked.data["reason"] == "needs to write outside the workspace"
    assert {"accept", "decline", "cancel"} <= set(asked.data["available_decisions"])
    assert isinstance(asked.data["request_id"], str)
    assert asked.turn_id
    assert asked.item_id in [item.item_id for item in told.items("command", EventKind.ITEM_STARTED)]


async def test_an_approval_is_held_until_somebody_decides(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("ESC[echo yes] SAY[done]"))
    asked = await approval(told)
    [turn] = await session.history()
    assert turn.status is TurnStatus.IN_PROGRESS
    assert session.active_turn == asked.turn_id
    assert not told.items("command")

    await session.decide(asked.data["request_id"], ACCEPT)
    resolved = await told.next(EventKind.APPROVAL_RESOLVED)
    end = await told.turn_end()

    assert resolved.data["request_id"] == asked.data["request_id"]
    [command] = told.items("command")
    assert (command.data["status"], command.data["exit_code"]) == ("completed", 0)
    assert end.data["status"] == "completed"
    assert told.words() == ["done"]


async def test_the_thread_says_that_it_waits_for_an_approval(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("ESC[echo yes] SAY[done]"))
    asked = await approval(told)
    await session.decide(asked.data["request_id"], ACCEPT)
    await told.turn_end()

    states = [
        (event.data["status"], list(event.data["flags"]))
        for event in told.events
        if event.kind is EventKind.THREAD_STATUS
    ]
    assert ("active", ["waitingOnApproval"]) in states
    assert states[-1] == ("idle", [])


async def test_a_declined_command_is_not_run_and_the_turn_goes_on(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("ESC[echo no] SAY[done]"))
    asked = await approval(told)
    await session.decide(asked.data["request_id"], DECLINE)
    end = await told.turn_end()

    [command] = told.items("command")
    assert command.data["status"] == "declined"
    assert command.data["exit_code"] is None
    assert end.data["status"] == "completed"
    assert told.words() == ["done"]


async def test_cancelling_an_approval_stops_the_turn_on_purpose(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("ESC[echo no] SAY[done]"))
    asked = await approval(told)
    await session.decide(asked.data["request_id"], CANCEL)
    end = await told.turn_end()

    assert end.data["status"] == "interrupted"
    assert isinstance(end.data["completed_at"], int)
    assert told.words() == []
    [command] = told.items("command")
    assert command.data["status"] == "declined"


async def test_what_was_accepted_for_the_session_is_not_asked_again(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("PATCH SAY[one]"))
    asked = await approval(told)
    assert "accept_for_session" in asked.data["available_decisions"]
    await session.decide(asked.data["request_id"], ACCEPT_FOR_SESSION)
    await told.turn_end()
    told.events.clear()

    end = await says(session, told, "PATCH SAY[two]", 2)

    assert EventKind.APPROVAL_REQUESTED not in kinds(told)
    assert end.data["status"] == "completed"


async def test_what_was_accepted_once_is_asked_again(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    for number in (1, 2):
        await session.submit(batch("ESC[echo yes] SAY[done]", number))
        asked = await approval(told)
        await session.decide(asked.data["request_id"], ACCEPT)
        await told.turn_end()

    requests = [e for e in told.events if e.kind is EventKind.APPROVAL_REQUESTED]
    assert len({event.data["request_id"] for event in requests}) == 2


async def test_a_patch_approval_shows_the_patch(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("PATCH SAY[done]"))
    asked = await approval(told)
    assert asked.data["kind"] == "file_change"
    assert f"+++ {stage.rig.project}/hello.txt\n" in asked.data["patch"]
    assert "\n+hello from patch\n" in asked.data["patch"]
    await session.decide(asked.data["request_id"], ACCEPT)
    await told.turn_end()

    [change] = told.items("file_change")
    assert change.data["status"] == "completed"
    [made] = change.data["changes"]
    assert (made["path"], made["kind"]) == (f"{stage.rig.project}/hello.txt", "add")
    diffs = [event.data["diff"] for event in told.events if event.kind is EventKind.DIFF]
    assert "+hello from patch" in diffs[-1]


async def test_a_declined_patch_is_told_as_declined(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()

    await session.submit(batch("PATCH SAY[done]"))
    asked = await approval(told)
    await session.decide(asked.data["request_id"], DECLINE)
    end = await told.turn_end()

    [change] = told.items("file_change")
    assert change.data["status"] == "declined"
    assert end.data["status"] == "completed"


async def test_nobody_is_asked_when_the_policy_is_never(stage: Stage) -> None:
    session, told = await stage.start(approval_policy="never")

    end = await says(session, told, "ESC[echo yes] SAY[done]")

    assert EventKind.APPROVAL_REQUESTED not in kinds(told)
    assert end.data["status"] == "completed"


async def test_an_approval_is_answered_once(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("ESC[echo yes] SAY[done]"))
    asked = await approval(told)
    await session.decide(asked.data["request_id"], ACCEPT)
    await told.turn_end()

    for request_id in (asked.data["request_id"], "12345", ""):
        with pytest.raises(ApprovalGone):
            await session.decide(request_id, DECLINE)


async def test_an_interrupted_turn_takes_its_approval_with_it(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("ESC[echo yes] SAY[done]"))
    asked = await approval(told)

    await session.interrupt(asked.turn_id)
    end = await told.turn_end()
    resolved = await told.next(EventKind.APPROVAL_RESOLVED)

    assert end.data["status"] == "interrupted"
    assert resolved.data["request_id"] == asked.data["request_id"]
    with pytest.raises(ApprovalGone):
        await session.decide(asked.data["request_id"], ACCEPT)


async def test_a_pending_approval_is_repeated_with_its_id_to_the_next_session(
    stage: Stage,
) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("ESC[echo yes] SAY[done]"))
    first = await approval(told)
    await session.close()

    again, told = await stage.resume(session.thread_id)
    second = await approval(told)
    assert again.engine_id == session.engine_id
    assert again.active_turn == first.turn_id
    for key in ("request_id", "kind", "command", "cwd", "reason", "available_decisions"):
        assert second.data[key] == first.data[key]
    assert (second.turn_id, second.item_id) == (first.turn_id, first.item_id)
    await again.decide(second.data["request_id"], ACCEPT)
    end = await told.turn_end()

    assert end.data["status"] == "completed"
    assert told.words() == ["done"]


async def test_a_pending_patch_is_repeated_with_the_patch(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("PATCH SAY[done]"))
    first = await approval(told)
    await session.close()

    _, told = await stage.resume(session.thread_id)
    second = await approval(told)

    assert second.data["request_id"] == first.data["request_id"]
    assert second.data["patch"] == first.data["patch"]
