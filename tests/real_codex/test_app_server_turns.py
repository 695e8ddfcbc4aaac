"""Turns of one thread on the real Codex, at the level of the runtime."""

from __future__ import annotations

import pytest

from netsky_runtime.codex.base import (
    ApprovalGone,
    Batch,
    Decision,
    InputRejected,
    NoActiveTurn,
    ThreadGone,
    ToolResult,
    TurnRunning,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import DecisionWord, TurnStatus
from tests.real_codex.conftest import Bench, Told


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


async def test_a_turn_says_what_the_model_said_and_carries_the_batch_id(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch("hello SAY[good morning]"))
    end = await told.turn_end()

    assert end.data == {
        "status": "completed",
        "usage_limit": False,
        "error": "",
        "completed_at": end.data["completed_at"],
    }
    [heard] = told.items("user_message")
    assert heard.data["client_id"] == "batch-1"
    assert heard.turn_id == end.turn_id
    assert told.words() == ["good morning"]
    [usage] = [event for event in told.events if event.kind is EventKind.USAGE]
    assert usage.data["total_tokens"] == 120
    assert session.active_turn == ""


async def test_history_tells_the_same_as_the_events(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    assert await session.history() == ()

    await session.submit(batch("RUN[echo one two] SAY[done]"))
    end = await told.turn_end()
    [turn] = await session.history()

    assert turn.id == end.turn_id
    assert turn.status is TurnStatus.COMPLETED
    assert turn.completed_at is not None
    assert [(item.type, item.client_id) for item in turn.items if item.type == "user_message"] == [
        ("user_message", "batch-1")
    ]
    assert turn.items[-1].text == "done"


async def test_a_command_is_told_with_its_output_and_exit_code(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch("RUN[echo one two; exit 3] SAY[done]"))
    while not told.items("command"):  # on 0.145 a command may end after its turn did
        await told.next(EventKind.ITEM_COMPLETED)

    [command] = told.items("command")
    assert "echo one two" in command.data["command"]
    assert "one two\n" in command.data["output"]  # a login shell may have words of its own
    assert command.data["exit_code"] == 3
    assert command.data["cwd"] == str(bench.project)


@pytest.mark.parametrize(
    ("word", "happens"), [(DecisionWord.ACCEPT, True), (DecisionWord.DECLINE, False)]
)
async def test_a_command_waits_for_the_decision_and_obeys_it(
    bench: Bench, word: DecisionWord, happens: bool
) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    made = bench.project / "made"

    await session.submit(batch(f"ESC[touch {made}] SAY[done]"))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    assert not made.exists()
    assert asked["kind"] == "command"
    assert f"touch {made}" in asked["command"]
    assert asked["cwd"] == str(bench.project)
    assert asked["reason"] == "needs to write outside the workspace"
    assert {"accept", "decline", "cancel"} <= set(asked["available_decisions"])

    await session.decide(asked["request_id"], Decision(word=word))
    resolved = await told.next(EventKind.APPROVAL_RESOLVED)
    await told.turn_end()
    while not told.items("command"):  # on a busy machine it may end after its turn did
        await told.next(EventKind.ITEM_COMPLETED)

    assert resolved.data["request_id"] == asked["request_id"]
    assert made.exists() is happens
    assert told.words() == ["done"]
    with pytest.raises(ApprovalGone):
        await session.decide(asked["request_id"], Decision(word=word))


async def test_cancelling_an_approval_interrupts_the_turn(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch("ESC[true] SAY[done]"))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    await session.decide(asked["request_id"], Decision(word=DecisionWord.CANCEL))

    assert (await told.turn_end()).data["status"] == "interrupted"


@pytest.mark.parametrize(
    ("word", "happens"), [(DecisionWord.ACCEPT, True), (DecisionWord.DECLINE, False)]
)
async def test_a_patch_is_shown_before_it_is_decided(
    bench: Bench, word: DecisionWord, happens: bool
) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    made = bench.project / "hello.txt"

    await session.submit(batch("PATCH SAY[done]"))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    assert asked["kind"] == "file_change"
    assert asked["patch"] == (f"--- /dev/null\n+++ {made}\n@@ -0,0 +1,1 @@\n+hello from patch\n")

    await session.decide(asked["request_id"], Decision(word=word))
    await told.turn_end()

    assert made.exists() is happens
    [change] = told.items("file_change")
    assert change.data["status"] == ("completed" if happens else "declined")


async def test_a_tool_call_is_answered_and_the_model_reads_the_answer(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch('TOOL[start_worker {"title": "fix it"}]ENDTOOL SAY[started]'))
    call = (await told.next(EventKind.TOOL_REQUESTED)).data
    assert (call["tool"], call["arguments"]) == ("start_worker", {"title": "fix it"})
    await session.answer_tool(call["call_id"], ToolResult(text="worker1 started"))
    await told.turn_end()

    [item] = told.items("tool_call")
    assert (item.data["result"], item.data["success"]) == ("worker1 started", True)
    assert "worker1 started" in str(bench.model.requests[-1]["input"])
    with pytest.raises(ApprovalGone):
        await session.answer_tool(call["call_id"], ToolResult(text="again"))


async def test_a_running_turn_can_be_steered_but_not_started_again(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch("HANG SAY[first]"))
    bench.model.wait_hanging()
    turn_id = (await told.next(EventKind.TURN_STARTED)).turn_id
    assert session.active_turn == turn_id
    with pytest.raises(TurnRunning):
        await session.submit(batch("SAY[too early]", 2))
    with pytest.raises(NoActiveTurn):
        await session.steer(batch("SAY[late]", 3), turn_id="0199aaaa-0000-7000-8000-000000000000")
    await session.steer(batch("SAY[second]", 4), turn_id=turn_id)
    bench.model.release()
    await told.turn_end()

    assert [event.data["client_id"] for event in told.items("user_message")] == [
        "batch-1",
        "batch-4",
    ]
    assert told.words()[-1] == "second"
    with pytest.raises(NoActiveTurn):
        await session.steer(batch("SAY[late]", 5), turn_id=turn_id)


async def test_an_interrupted_turn_ends_with_a_time_and_the_thread_goes_on(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch("HANG SAY[never]"))
    bench.model.wait_hanging()
    turn_id = (await told.next(EventKind.TURN_STARTED)).turn_id
    await session.interrupt(turn_id)
    end = await told.turn_end()
    assert end.data["status"] == "interrupted"
    with pytest.raises(NoActiveTurn):
        await session.interrupt(turn_id)

    await session.submit(batch("SAY[here again]", 2))
    await told.turn_end()
    assert told.words() == ["here again"]
    first, second = await session.history()
    assert first.status is TurnStatus.INTERRUPTED
    assert first.completed_at is not None
    assert second.status is TurnStatus.COMPLETED


async def test_a_failed_turn_says_why(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)

    await session.submit(batch("FAIL"))
    end = await told.turn_end()

    assert end.data["status"] == "failed"
    assert "scripted failure" in end.data["error"]
    [error] = [e for e in told.events if e.kind is EventKind.ERROR and not e.data["will_retry"]]
    assert error.turn_id == end.turn_id


async def test_an_input_codex_will_never_take_is_rejected(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())

    with pytest.raises(InputRejected, match="maximum length"):
        await session.submit(batch("x" * 1_100_000))
    with pytest.raises(InputRejected, match="bogus"):
        await runtime.start(bench.spec(sandbox="bogus"))
    with pytest.raises(ThreadGone):
        await runtime.resume("0199aaaa-0000-7000-8000-000000000000", bench.spec())


async def test_live_text_is_told_only_while_somebody_watches(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[unwatched words]"))
    await told.turn_end()
    assert not [event for event in told.events if event.kind is EventKind.DELTA]

    await session.watch(True)
    # Joining takes effect soon: turns go on until one is seen live.
    for number in range(2, 50):
        await session.submit(batch("SAY[watched words] FLOOD200", number))
        await told.turn_end()
        if any(event.kind is EventKind.DELTA for event in told.events):
            break
    live = [event for event in told.events if event.kind is EventKind.DELTA]
    assert live[0].data["stream"] == "agent_message"
    assert "tok" in live[0].data["text"]
    assert session.thread_id == live[0].thread_id
