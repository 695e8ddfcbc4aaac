"""Turns, on every runtime."""

from __future__ import annotations

import pytest

from netsky_runtime.codex.base import (
    InputRejected,
    NoActiveTurn,
    ThreadGone,
    ThreadUnavailable,
    TurnRunning,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import RuntimeName, TurnStatus
from tests.contract.rigs import (
    CANCEL,
    Stage,
    approval,
    batch,
    kinds,
    says,
    spec_for,
)


async def test_a_turn_is_told_in_order_from_its_start_to_its_end(stage: Stage) -> None:
    session, told = await stage.start()

    end = await says(session, told, "RUN[echo hi] SAY[good morning]")

    assert end.data["status"] == "completed"
    assert end.data["error"] == ""
    assert isinstance(end.data["completed_at"], int)
    of_turn = [event for event in told.events if event.turn_id == end.turn_id]
    assert of_turn[0].kind is EventKind.TURN_STARTED
    assert of_turn[-1] is end
    items = [e.data["type"] for e in of_turn if e.kind is EventKind.ITEM_COMPLETED]
    assert items == ["user_message", "command", "agent_message"]
    assert {event.thread_id for event in of_turn} == {session.thread_id}


async def test_the_user_message_carries_the_batch_id_and_the_exact_text(stage: Stage) -> None:
    session, told = await stage.start()
    letter = batch('<netsky tag="x">\n  two lines &amp; a tab\t.\nSAY[yes]\n</netsky>')

    await session.submit(letter)
    await told.turn_end()

    [message] = told.items("user_message")
    assert stage.batches_told(told) == ["batch-1"]
    assert message.data["text"] == letter.text


async def test_orders_in_an_escaped_body_are_read_unescaped(stage: Stage) -> None:
    session, told = await stage.start()

    await says(session, told, "SAY[a &lt; b &amp; b &gt; c]")

    assert told.words() == ["a < b & b > c"]


async def test_an_item_is_started_before_it_is_completed(stage: Stage) -> None:
    session, told = await stage.start()

    await says(session, told, "RUN[echo hi] SAY[done]")

    started = [event.item_id for event in told.events if event.kind is EventKind.ITEM_STARTED]
    completed = [event.item_id for event in told.events if event.kind is EventKind.ITEM_COMPLETED]
    [begun] = told.items("command", EventKind.ITEM_STARTED)
    assert started == ([begun.item_id] if stage.rig.reads_rollout else completed)
    assert begun.item_id in completed
    assert begun.data["status"] == "in_progress"
    assert "echo hi" in begun.data["command"]


async def test_a_command_is_told_with_output_and_exit_code(stage: Stage) -> None:
    session, told = await stage.start()

    await says(session, told, f"RUN[{stage.rig.says_hi}] SAY[done]")

    [command] = told.items("command")
    assert "echo hi" in command.data["command"]
    assert command.data["cwd"] == str(stage.rig.project)
    assert (command.data["status"], command.data["exit_code"]) == ("completed", 0)
    assert command.data["output"].endswith("hi\n")


async def test_a_command_that_fails_says_so_and_the_turn_goes_on(stage: Stage) -> None:
    session, told = await stage.start()

    end = await says(session, told, "RUN[exit 3] SAY[done]")

    [command] = told.items("command")
    assert (command.data["status"], command.data["exit_code"]) == ("failed", 3)
    assert end.data["status"] == "completed"


async def test_history_tells_the_same_as_the_events(stage: Stage) -> None:
    session, told = await stage.start()
    assert list(await session.history()) == []

    ends = [await says(session, told, f"SAY[words {number}]", number) for number in (1, 2)]
    turns = await session.history()

    assert [turn.id for turn in turns] == [end.turn_id for end in ends]
    assert [stage.batches(turn) for turn in turns] == [["batch-1"], ["batch-2"]]
    assert [turn.items[-1].text for turn in turns] == ["words 1", "words 2"]
    for turn in turns:
        assert turn.status is TurnStatus.COMPLETED
        assert turn.completed_at is not None
        assert turn.started_at is not None
        assert turn.error == ""


async def test_history_shows_the_turn_that_runs(stage: Stage) -> None:
    session, told = await stage.start()
    await session.submit(batch("HANG"))
    begun = await stage.hanging(told)

    [turn] = await session.history()

    assert (turn.id, turn.status) == (begun.turn_id, TurnStatus.IN_PROGRESS)
    assert turn.completed_at is None
    assert stage.batches(turn) == ["batch-1"]


async def test_the_session_knows_its_running_turn(stage: Stage) -> None:
    session, told = await stage.start()
    assert session.active_turn == ""

    await session.submit(batch("HANG"))
    begun = await told.next(EventKind.TURN_STARTED)
    assert session.active_turn == begun.turn_id
    await stage.rig.until_hanging()
    await session.interrupt(begun.turn_id)
    await told.turn_end()

    assert session.active_turn == ""


async def test_a_busy_thread_takes_no_second_turn(stage: Stage) -> None:
    session, told = await stage.start()
    await session.submit(batch("HANG"))
    begun = await stage.hanging(told)

    with pytest.raises(TurnRunning):
        await session.submit(batch("SAY[second]", 2))
    await session.interrupt(begun.turn_id)
    await told.turn_end()

    [turn] = await session.history()
    assert stage.batches(turn) == ["batch-1"]


async def test_events_wait_for_a_consumer_that_comes_late(stage: Stage) -> None:
    session = await stage.runtime.start(spec_for(stage.rig))
    other, told = await stage.start()

    await session.submit(batch("SAY[early]"))
    await says(other, told, "SAY[meanwhile]", 2)

    seen = []
    async for event in session.events():
        seen.append(event.kind)
        if event.kind is EventKind.TURN_COMPLETED:
            break
    assert EventKind.TURN_STARTED in seen


async def test_two_threads_hear_only_of_themselves(stage: Stage) -> None:
    first, first_told = await stage.start()
    second, second_told = await stage.start()
    assert first.engine_id == second.engine_id

    await first.submit(batch("SAY[one]", 1))
    await second.submit(batch("SAY[two]", 2))
    await first_told.turn_end()
    await second_told.turn_end()
    assert first.thread_id != second.thread_id

    assert first_told.words() == ["one"]
    assert second_told.words() == ["two"]
    for session, told in ((first, first_told), (second, second_told)):
        assert {event.thread_id for event in told.events if event.turn_id} == {session.thread_id}


async def test_a_failure_of_the_model_fails_the_turn_with_its_words(stage: Stage) -> None:
    session, told = await stage.start()

    end = await says(session, told, "FAIL")

    assert end.data["status"] == "failed"
    assert "scripted failure" in end.data["error"]
    assert isinstance(end.data["completed_at"], int)
    errors = [event for event in told.events if event.kind is EventKind.ERROR]
    if not stage.rig.reads_rollout:
        assert errors[-1].data["will_retry"] is False
    [turn] = await session.history()
    assert turn.status is TurnStatus.FAILED


async def test_a_thread_works_again_after_a_failed_turn(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "FAIL")

    end = await says(session, told, "SAY[well again]", 2)

    assert end.data["status"] == "completed"
    assert told.words()[0] == "well again"
    if stage.runtime.name is not RuntimeName.MCP_SERVER:  # there it takes a word of netsky's own
        assert told.words() == ["well again"]
    assert stage.batches_told(told) == [
        "batch-1",
        "batch-2",
    ]


async def test_an_interrupted_turn_has_an_end_time(stage: Stage) -> None:
    session, told = await stage.start()
    await session.submit(batch("HANG"))
    begun = await stage.hanging(told)

    await session.interrupt(begun.turn_id)
    end = await told.turn_end()

    assert (end.turn_id, end.data["status"]) == (begun.turn_id, "interrupted")
    assert isinstance(end.data["completed_at"], int)
    [turn] = await session.history()
    assert turn.status is TurnStatus.INTERRUPTED
    assert turn.completed_at is not None


async def test_nothing_is_interrupted_or_steered_when_no_turn_runs(stage: Stage) -> None:
    session, told = await stage.start()
    end = await says(session, told, "SAY[done]")

    with pytest.raises(NoActiveTurn):
        await session.interrupt(end.turn_id)
    if await stage.steers(session, end.turn_id):
        with pytest.raises(NoActiveTurn):
            await session.steer(batch("SAY[late]", 2), turn_id=end.turn_id)

    [turn] = await session.history()
    assert stage.batches(turn) == ["batch-1"]


async def test_steering_another_turn_than_the_running_one_does_nothing(stage: Stage) -> None:
    session, told = await stage.start()
    earlier = await says(session, told, "SAY[done]")
    await session.submit(batch("HANG", 2))
    begun = await stage.hanging(told, 2)

    if await stage.steers(session, earlier.turn_id):
        with pytest.raises(NoActiveTurn):
            await session.steer(batch("SAY[wrong]", 3), turn_id=earlier.turn_id)
    await session.interrupt(begun.turn_id)
    await told.turn_end()

    assert [stage.batches(turn) for turn in await session.history()] == [["batch-1"], ["batch-2"]]


async def test_a_steered_message_joins_the_turn_and_is_answered(stage: Stage) -> None:
    session, told = await stage.start()
    await session.submit(batch("SLOW1 SAY[first]"))
    begun = await stage.heard(told)

    if not await stage.steers(session, begun.turn_id):
        assert (await told.turn_end()).turn_id == begun.turn_id
        assert told.words() == ["first"]
        return
    await session.steer(batch("SAY[second]", 2), turn_id=begun.turn_id)
    joined = await stage.heard(told, 2)
    end = await told.turn_end()

    assert joined.turn_id == begun.turn_id == end.turn_id
    assert told.words()[-1] == "second"
    [turn] = await session.history()
    assert stage.batches(turn) == ["batch-1", "batch-2"]


async def test_a_steer_that_was_accepted_and_then_stopped_leaves_no_trace(stage: Stage) -> None:
    if not await stage.approves():
        return
    session, told = await stage.start()
    await session.submit(batch("ESC[true] SAY[first]"))
    asked = await approval(told)
    if await stage.steers(session, asked.turn_id):
        await session.steer(batch("SAY[second]", 2), turn_id=asked.turn_id)

    await session.decide(asked.data["request_id"], CANCEL)
    end = await told.turn_end()

    assert end.data["status"] == "interrupted"
    [turn] = await session.history()
    assert stage.batches(turn) == ["batch-1"]
    assert stage.batches_told(told) == ["batch-1"]


async def test_fragments_come_only_to_a_session_that_watches(stage: Stage) -> None:
    session, told = await stage.start()

    await says(session, told, "FLOOD40")
    assert EventKind.DELTA not in kinds(told)
    await session.watch(True)
    for number in range(3, 9):  # a connection of their own may bring them, which is made late
        await says(session, told, "FLOOD40", number)
        if EventKind.DELTA in kinds(told) or stage.rig.reads_rollout:
            break
    assert (EventKind.DELTA in kinds(told)) is not stage.rig.reads_rollout
    await session.watch(False)
    told.events.clear()
    await says(session, told, "FLOOD40", 2)

    assert EventKind.DELTA not in kinds(told)
    assert told.words() == ["".join(f"tok{number} " for number in range(40))]


async def test_usage_is_told_as_totals_of_the_thread(stage: Stage) -> None:
    session, told = await stage.start()

    await says(session, told, "SAY[one]")
    await says(session, told, "SAY[two]", 2)

    totals = [e.data["total_tokens"] for e in told.events if e.kind is EventKind.USAGE]
    assert len(totals) == 2
    assert 0 < totals[0] < totals[1]


async def test_an_input_that_is_too_long_is_rejected_and_not_consumed(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")

    with pytest.raises(InputRejected):
        await session.submit(batch("x" * (1 << 20) + "x", 2))

    end = await says(session, told, "SAY[still here]", 3)
    assert end.data["status"] == "completed"
    assert [stage.batches(turn) for turn in await session.history()] == [["batch-1"], ["batch-3"]]


async def test_a_launch_that_makes_no_sense_is_rejected(stage: Stage) -> None:
    with pytest.raises(InputRejected):
        await stage.start(sandbox="a-box-of-sand")


@pytest.mark.parametrize(
    "thread_id", ["0199aaaa-0000-7000-8000-000000000000", "../../etc/passwd", ""]
)
async def test_a_thread_that_nobody_knows_is_gone(stage: Stage, thread_id: str) -> None:
    with pytest.raises(ThreadGone):
        await stage.resume(thread_id)


async def test_a_thread_that_was_let_go_of_takes_nothing_more(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")

    await session.close()
    await session.close()

    rest = [event async for event in session.events()]
    assert EventKind.SESSION_LOST not in [event.kind for event in rest]
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[two]", 2))
