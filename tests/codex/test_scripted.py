"""What the scripted runtime adds to the contract: its clock, its files, its orders."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.base import (
    AnswerLost,
    Batch,
    Decision,
    InputRejected,
    LaunchSpec,
    ThreadSession,
    ThreadUnavailable,
    ToolResult,
    ToolSpec,
    TurnRunning,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.errors import Unhealthy, UsageError
from netsky_runtime.states import DecisionWord, TurnStatus
from tests.support.fakes import CountingIds, ManualClock, settle
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.codex.scripted.orders import Script

TOOL = ToolSpec(name="add_note", description="Keep words.", schema={"type": "object"})
ACCEPT = Decision(word=DecisionWord.ACCEPT)


class Lab:
    """Runtimes over one directory, one hand-moved clock and one source of ids."""

    def __init__(self, directory: Path, stack: AsyncExitStack) -> None:
        self.directory = directory
        self.clock = ManualClock()
        self.ids = CountingIds()
        self._stack = stack

    async def opened(self, script: Script | None = None) -> ScriptedRuntime:
        runtime = ScriptedRuntime(
            directory=self.directory,
            clock=self.clock,
            ids=self.ids,
            script=script or OrdersInText(),
        )
        self._stack.push_async_callback(runtime.close, keep_engine=False)
        await runtime.open()
        return runtime

    def lines(self, session: ThreadSession) -> list[dict[str, Any]]:
        path = self.directory / f"{session.thread_id}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with AsyncExitStack() as stack:
        yield Lab(tmp_path / "threads", stack)


def spec(**changes: Any) -> LaunchSpec:
    given: dict[str, Any] = {
        "cwd": "/project",
        "instructions": "You are manager0.",
        "sandbox": "workspace-write",
        "approval_policy": "on-request",
        "tools": (TOOL,),
    }
    return LaunchSpec(**{**given, **changes})


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"b-{number}", text=text, input_ids=(f"i-{number}",))


async def until(session: ThreadSession, kind: EventKind) -> list[CodexEvent]:
    """Return the events up to the next of this kind."""
    seen = []
    async with asyncio.timeout(PATIENCE):
        async for event in session.events():
            seen.append(event)
            if event.kind is kind:
                return seen
    raise AssertionError(f"the events ended without {kind}: {seen}")


def completed(events: list[CodexEvent], item_type: str) -> list[CodexEvent]:
    return [
        event
        for event in events
        if event.kind is EventKind.ITEM_COMPLETED and event.data["type"] == item_type
    ]


def words(events: list[CodexEvent]) -> list[str]:
    return [event.data["text"] for event in completed(events, "agent_message")]


async def test_the_first_events_come_before_submit_returns(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())

    await session.submit(batch("HANG"))

    async with asyncio.timeout(0):  # nothing is left to wait for
        kinds = [(await anext(session.events())).kind for _ in range(4)]
    assert kinds == [
        EventKind.THREAD_STATUS,
        EventKind.TURN_STARTED,
        EventKind.ITEM_STARTED,
        EventKind.ITEM_COMPLETED,
    ]


async def test_the_same_text_is_told_the_same_way_every_time(tmp_path: Path) -> None:
    told = []
    for name in ("first", "second"):
        async with AsyncExitStack() as stack:
            session = await (await Lab(tmp_path / name, stack).opened()).start(spec())
            await session.watch(True)
            await session.submit(batch("RUN[pytest -q] RUN[git push] FLOOD30 PATCH[src/a.py]"))
            events = await until(session, EventKind.APPROVAL_REQUESTED)
            await session.decide(events[-1].data["request_id"], ACCEPT)
            told.append(events + await until(session, EventKind.TURN_COMPLETED))

    assert told[0] == told[1]


async def test_a_slow_turn_takes_exactly_its_time_on_the_clock(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("SLOW3 SAY[done]"))

    await lab.clock.advance(2.9)
    assert session.active_turn
    await lab.clock.advance(0.1)
    assert not session.active_turn

    [turn] = await session.history()
    assert turn.completed_at is not None
    assert turn.started_at is not None
    assert turn.completed_at - turn.started_at == 3_000


async def test_a_turn_that_hangs_never_ends_by_itself(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("HANG SAY[done]"))

    await lab.clock.advance(1_000_000)
    assert session.active_turn
    await session.interrupt(session.active_turn)

    events = await until(session, EventKind.TURN_COMPLETED)
    assert words(events) == []


async def test_a_steer_ends_the_wait_of_a_turn_that_hangs(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("HANG SAY[first]"))

    await session.steer(batch("SAY[second]", 2), turn_id=session.active_turn)

    assert words(await until(session, EventKind.TURN_COMPLETED)) == ["second"]


async def test_a_turn_can_be_interrupted_before_it_has_done_anything(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    async with asyncio.TaskGroup() as group:
        group.create_task(session.submit(batch("SAY[too fast]")))
        group.create_task(_interrupt_at_once(session))

    events = await until(session, EventKind.TURN_COMPLETED)
    assert events[-1].data["status"] == "interrupted"
    await settle()
    assert words(events) == []


async def _interrupt_at_once(session: ThreadSession) -> None:
    await session.interrupt(session.active_turn)


async def test_a_cancelled_submit_has_begun_its_turn_or_nothing(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    async with asyncio.TaskGroup() as group:
        submitting = group.create_task(session.submit(batch("SAY[heard]")))
        await asyncio.sleep(0)
        submitting.cancel()

    assert words(await until(session, EventKind.TURN_COMPLETED)) == ["heard"]
    [turn] = await session.history()
    assert turn.items[0].client_id == "b-1"


async def test_a_flood_is_deltas_with_a_fact_after_every_tenth(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.watch(True)
    await session.submit(batch("FLOOD100"))

    events = await until(session, EventKind.TURN_COMPLETED)

    assert len(completed(events, "reasoning")) == 10
    text = "".join(event.data["text"] for event in events if event.kind is EventKind.DELTA)
    assert [text] == words(events)
    assert text.startswith("tok0 tok1 ")
    assert text.endswith("tok99 ")


async def test_a_rejected_submit_consumes_nothing_however_often_it_is_tried(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    for number in range(3):
        with pytest.raises(InputRejected):
            await session.submit(batch("ERR[reject] SAY[never]", number))

    assert list(await session.history()) == []


async def test_an_unavailable_thread_takes_the_same_text_the_next_time(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    for number in range(2):
        with pytest.raises(ThreadUnavailable):
            await session.submit(batch("ERR[unavailable 2] SAY[at last]", number))
    assert list(await session.history()) == []

    await session.submit(batch("ERR[unavailable 2] SAY[at last]", 3))

    assert words(await until(session, EventKind.TURN_COMPLETED)) == ["at last"]


async def test_a_lost_answer_is_in_history_only_when_it_was_consumed(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())

    with pytest.raises(AnswerLost) as lost:
        await session.submit(batch("ERR[lost] SAY[one]", 1))
    assert not lost.value.connected
    assert list(await session.history()) == []
    with pytest.raises(AnswerLost) as lost:
        await session.submit(batch("ERR[lost-consumed] SAY[two]", 2))
    assert lost.value.connected
    assert words(await until(session, EventKind.TURN_COMPLETED)) == ["two"]

    [turn] = await session.history()
    assert [item.client_id for item in turn.items if item.client_id] == ["b-2"]


async def test_a_failing_order_does_not_hide_that_a_turn_runs(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("HANG"))

    with pytest.raises(TurnRunning):
        await session.submit(batch("ERR[reject]", 2))


async def test_an_engine_dies_on_order_in_the_middle_of_its_turns(lab: Lab) -> None:
    runtime = await lab.opened()
    bystander, victim = await runtime.start(spec()), await runtime.start(spec())
    await bystander.submit(batch("SLOW5 SAY[never said]"))
    await victim.submit(batch("RUN[ls] DIE SAY[never said]", 2))

    for session in (bystander, victim):
        events = await until(session, EventKind.SESSION_LOST)
        assert EventKind.TURN_COMPLETED not in [event.kind for event in events]
    await lab.clock.advance(100)
    await runtime.open()

    for session in (bystander, victim):
        [turn] = await (await runtime.resume(session.thread_id, spec())).history()
        assert (turn.status, turn.completed_at) == (TurnStatus.INTERRUPTED, None)
        assert "never said" not in [item.text for item in turn.items]


async def test_nobody_dies_of_an_order_that_a_recovery_quotes(lab: Lab) -> None:
    runtime = await lab.opened()
    session = await runtime.start(spec())
    await session.submit(batch("DIE SAY[one]"))
    await until(session, EventKind.SESSION_LOST)
    await runtime.open()
    again = await runtime.resume(session.thread_id, spec())

    await again.submit(batch("You were cut. It was about: DIE. SAY[recovered]", 2))

    assert words(await until(again, EventKind.TURN_COMPLETED)) == ["recovered"]


async def test_a_question_is_answered_in_words(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("USER[which colour?] SAY[thanks]"))
    asked = (await until(session, EventKind.APPROVAL_REQUESTED))[-1].data
    assert asked["kind"] == "user_input"
    [question] = asked["questions"]
    assert question["question"] == "which colour?"
    assert "accept_for_session" not in asked["available_decisions"]

    with pytest.raises(UsageError):
        await session.decide(asked["request_id"], ACCEPT)
    answer = Decision(word=DecisionWord.ACCEPT, answer={question["id"]: "blue"})
    await session.decide(asked["request_id"], answer)

    assert words(await until(session, EventKind.TURN_COMPLETED)) == ["thanks\nanswer: blue"]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ("TOOL[fly_away {}]ENDTOOL", "unsupported call: fly_away"),
        ("TOOL[add_note {oops]ENDTOOL", "no JSON object"),
        ("TOOL[add_note [1]]ENDTOOL", "no JSON object"),
    ],
)
async def test_a_call_that_cannot_be_made_fails_and_asks_nobody(
    lab: Lab, call: str, why: str
) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch(call))

    events = await until(session, EventKind.TURN_COMPLETED)

    [item] = completed(events, "tool_call")
    assert item.data["success"] is False
    assert why in item.data["result"]
    assert EventKind.TOOL_REQUESTED not in [event.kind for event in events]


async def test_two_sessions_of_one_thread_hear_the_same(lab: Lab) -> None:
    runtime = await lab.opened()
    first = await runtime.start(spec())
    await first.submit(batch("SAY[one]"))
    await until(first, EventKind.TURN_COMPLETED)
    second = await runtime.resume(first.thread_id, spec())

    await second.submit(batch("ASK[ls] SAY[two]", 2))
    asked = (await until(second, EventKind.APPROVAL_REQUESTED))[-1].data
    await first.decide(asked["request_id"], ACCEPT)

    for session in (first, second):
        events = await until(session, EventKind.TURN_COMPLETED)
        assert words(events) == ["two"]
        assert EventKind.APPROVAL_RESOLVED in [event.kind for event in events]


async def test_a_fact_is_on_disk_before_anybody_hears_of_it(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("RUN[ls] HANG"))
    events = session.events()

    async with asyncio.timeout(PATIENCE):
        async for event in events:
            if event.kind is EventKind.ITEM_COMPLETED:
                assert event.item_id in [line.get("id") for line in lab.lines(session)]
            if event.data.get("type") == "command" and event.data["status"] == "completed":
                break


async def test_a_line_that_was_cut_in_the_middle_is_dropped(lab: Lab) -> None:
    first = await lab.opened()
    session = await first.start(spec())
    await session.submit(batch("SAY[one]"))
    await until(session, EventKind.TURN_COMPLETED)
    await first.close(keep_engine=False)
    path = lab.directory / f"{session.thread_id}.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"kind":"turn","id":"thr')

    again = await (await lab.opened()).resume(session.thread_id, spec())
    [turn] = await again.history()
    assert turn.status is TurnStatus.COMPLETED
    await again.submit(batch("SAY[two]", 2))
    await until(again, EventKind.TURN_COMPLETED)

    third = await (await lab.opened()).resume(session.thread_id, spec())
    assert [turn.items[-1].text for turn in await third.history()] == ["one", "two"]


async def test_a_file_that_is_garbage_makes_its_thread_unavailable(lab: Lab) -> None:
    runtime = await lab.opened()
    (lab.directory / "thread-9.jsonl").write_bytes(b"\x00\xff garbage\n")

    with pytest.raises(ThreadUnavailable, match="cannot be read"):
        await runtime.resume("thread-9", spec())


async def test_a_disk_that_takes_nothing_loses_the_engine_and_says_why(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("SLOW1 SAY[never]"))
    path = lab.directory / f"{session.thread_id}.jsonl"
    path.unlink()
    path.mkdir()

    await lab.clock.advance(2)

    events = await until(session, EventKind.SESSION_LOST)
    assert "cannot be written" in events[-1].data["reason"]
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[more]", 2))


async def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    runtime = ScriptedRuntime(
        directory=tmp_path / "file" / "threads",
        clock=ManualClock(),
        ids=CountingIds(),
        script=OrdersInText(),
    )

    with pytest.raises(Unhealthy) as caught:
        await runtime.open()
    assert caught.value.hint


async def test_ids_that_start_anew_never_overwrite_a_thread(lab: Lab) -> None:
    session = await (await lab.opened()).start(spec())
    await session.submit(batch("SAY[one]"))
    await until(session, EventKind.TURN_COMPLETED)
    lab.ids = CountingIds()

    other = await (await lab.opened()).start(spec())

    assert other.thread_id != session.thread_id


async def test_an_engine_that_is_kept_goes_on_for_the_next_open(lab: Lab) -> None:
    runtime = await lab.opened()
    session = await runtime.start(spec())
    await session.submit(batch("SLOW3 SAY[still working]"))
    turn_id = session.active_turn
    await runtime.close(keep_engine=True)

    await runtime.open()
    again = await runtime.resume(session.thread_id, spec())
    assert (again.engine_id, again.active_turn) == (session.engine_id, turn_id)
    await lab.clock.advance(3)

    assert words(await until(again, EventKind.TURN_COMPLETED)) == ["still working"]


async def test_closing_leaves_no_task_behind(lab: Lab) -> None:
    runtime = await lab.opened()
    before = asyncio.all_tasks()
    sessions = [await runtime.start(spec()) for _ in range(5)]
    for text, session in zip(
        ("HANG", "SLOW9", "ASK[x]", "TOOL[add_note {}]ENDTOOL", "PATCH"), sessions, strict=True
    ):
        await session.submit(batch(text))
    assert asyncio.all_tasks() != before

    await runtime.close(keep_engine=False)

    assert asyncio.all_tasks() == before
    assert lab.clock.sleepers == 0


async def test_a_thread_that_lacks_a_tool_that_is_asked_for_says_so(lab: Lab) -> None:
    runtime = await lab.opened()
    session = await runtime.start(spec(tools=()))
    await session.submit(batch("SAY[one]"))
    await until(session, EventKind.TURN_COMPLETED)

    again = await runtime.resume(session.thread_id, spec())

    assert again.differences == ("the thread was started without add_note",)


async def test_a_broken_script_fails_its_turn_and_nothing_else(lab: Lab) -> None:
    class Broken:
        def plan(self, prompt: object) -> Any:
            raise LookupError("no idea")
            yield

    heard: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
    runtime = await lab.opened(Broken())
    session = await runtime.start(spec())
    await session.submit(batch("anything"))

    events = await until(session, EventKind.TURN_COMPLETED)
    await settle()

    assert events[-1].data["status"] == "failed"
    assert "no idea" in events[-1].data["error"]
    assert [type(context["exception"]) for context in heard] == [LookupError]


async def test_many_threads_work_at_once(lab: Lab) -> None:
    runtime = await lab.opened()
    sessions = [await runtime.start(spec()) for _ in range(100)]
    for number, session in enumerate(sessions):
        await session.submit(batch(f"SLOW1 TOOL[add_note {{}}]ENDTOOL SAY[{number}]", number))
    await lab.clock.advance(1)

    async with asyncio.timeout(PATIENCE):
        for number, session in enumerate(sessions):
            asked = (await until(session, EventKind.TOOL_REQUESTED))[-1].data
            await session.answer_tool(asked["call_id"], ToolResult(text="ok"))
            events = await until(session, EventKind.TURN_COMPLETED)
            assert words(events) == [f"{number}\ntool: ok"]
