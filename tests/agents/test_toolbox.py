"""Tool calls as threads make them: done once, within authority, answered in sentences."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.effects import CLOSED_SHOWN, OPEN_SHOWN
from netsky_runtime.agents.hiring import Limits
from netsky_runtime.agents.launch import new_session
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.codex.base import ToolResult
from netsky_runtime.db import actors, messages, notes, tasks, tool_calls
from netsky_runtime.records import MANAGER0, OWNER, Actor, Message, Session
from netsky_runtime.settings import Settings
from netsky_runtime.states import (
    ActorStatus,
    Direction,
    MessageKind,
    MessageStatus,
    RuntimeName,
    TaskStatus,
)
from tests.support.society import Society, society

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.db.connection import Tx


class Threads:
    """The threads of a small fleet, and what their tool calls come to."""

    def __init__(self, people: Society, folder: Path) -> None:
        self.people = people
        self.woken: list[str] = []
        self._calls = 0
        limits = Limits(max_live_workers=3, work_dir=folder, allowed_roots=(folder.resolve(),))
        self.toolbox = Toolbox(
            database=people.database,
            delegation=Delegation(
                clock=people.clock, ids=people.ids, limits=limits, new_session=self._session
            ),
            clock=people.clock,
            ids=people.ids,
            wake=self.woken.append,
        )

    def _session(
        self, actor: Actor, *, model: str = "", runtime: RuntimeName | None = None
    ) -> Session:
        return new_session(
            actor,
            Settings(),
            runtime=runtime or RuntimeName.SCRIPTED,
            ids=self.people.ids,
            now=self.people.clock.now(),
            model=model,
        )

    async def call(
        self, actor_id: str, tool: str, arguments: Any = None, *, call_id: str = "", **rest: Any
    ) -> ToolResult:
        """Call from the actor's own thread, by default as a new call."""
        self._calls += 1
        return await self.toolbox.call(
            actor_id=actor_id,
            thread_id=f"thread-{actor_id}",
            turn_id="turn1",
            call_id=call_id or f"call{self._calls}",
            tool=tool,
            arguments=rest if arguments is None else arguments,
        )

    async def done(self, actor_id: str, tool: str, **rest: Any) -> str:
        result = await self.call(actor_id, tool, **rest)
        assert result.success, result.text
        return result.text

    async def refused(self, actor_id: str, tool: str, **rest: Any) -> str:
        before = await self.people.all_messages()
        result = await self.call(actor_id, tool, **rest)
        assert not result.success, result.text
        assert await self.people.all_messages() == before
        assert result.text.endswith(".")
        assert "`netsky" not in result.text
        return result.text


@pytest.fixture
async def threads(tmp_path: Path) -> AsyncIterator[Threads]:
    """manager0 with worker1 (t1) and manager1, who has worker2 (t2) and worker3 (t3)."""
    async with society(tmp_path) as people:
        await people.hire("manager1", MANAGER0, cwd=str(tmp_path))
        for number, manager_id in ((1, MANAGER0), (2, "manager1"), (3, "manager1")):
            await people.hire(f"worker{number}", manager_id)
            await people.give(f"worker{number}", manager_id)
        for actor in await people.database.read(actors.list_all):
            if actor.id != OWNER:
                await people.thread(actor.id)
        yield Threads(people, tmp_path)


async def last(threads: Threads) -> Message:
    return (await threads.people.all_messages())[-1]


async def test_start_worker_makes_worker_task_and_input_and_wakes_the_worker(
    threads: Threads,
) -> None:
    await threads.people.database.write(
        lambda tx: tasks.set_status(tx, "t3", TaskStatus.DONE, now=1)
    )
    text = await threads.done(MANAGER0, "start_worker", title="Paint", body="green")
    assert text == "worker4 works on t4 and reports to you."
    assert threads.woken == ["worker4"]
    message = await last(threads)
    assert (message.target, message.kind, message.task_id) == ("worker4", MessageKind.TASK, "t4")


async def test_start_worker_says_what_a_task_waits_for(threads: Threads) -> None:
    paint = {"title": "Paint", "body": "green"}
    text = await threads.done(MANAGER0, "start_worker", **paint, depends_on=["t1", "t2"])
    assert text == "t4 waits for t1, t2 and then begins with worker4."
    text = await threads.done("manager1", "start_worker", **paint)
    assert text.startswith("t5 begins with worker5 as soon as a place is free")
    assert threads.woken == []


async def test_a_finished_task_starts_what_waited_and_says_so(threads: Threads) -> None:
    await threads.done(MANAGER0, "start_worker", title="Paint", body="green", depends_on=["t1"])
    text = await threads.done(MANAGER0, "update_task", id="t1", status="done")
    assert text.startswith('t1 P2 done "paint"')
    assert text.endswith("Now begin: worker4.")
    assert threads.woken == ["worker4"]


async def test_start_manager_is_manager0s(threads: Threads) -> None:
    text = await threads.done(MANAGER0, "start_manager", objective="Docs", name="docs")
    assert text == "docs has its objective and reports to you."
    assert threads.woken == ["docs"]
    refusal = await threads.refused("manager1", "start_manager", objective="Docs")
    assert "You have no tool 'start_manager'" in refusal


async def test_a_repeated_call_answers_from_the_record_and_does_nothing_again(
    threads: Threads,
) -> None:
    first = await threads.call("worker1", "add_note", call_id="same", body="decided")
    again = await threads.call("worker1", "add_note", call_id="same", body="decided otherwise")
    assert first == again
    assert len(await threads.people.database.read(notes.list_)) == 1


async def test_two_calls_that_race_have_one_effect(threads: Threads) -> None:
    asked = {"title": "Paint", "body": "green", "depends_on": ["t1"]}
    results = await asyncio.gather(
        *(threads.call(MANAGER0, "start_worker", asked, call_id="same") for _ in range(5))
    )
    assert len(set(results)) == 1
    assert [actor.id for actor in await threads.people.database.read(actors.list_all)][-2:] == [
        "worker3",
        "worker4",
    ]


async def test_a_refusal_is_remembered_too(threads: Threads) -> None:
    first = await threads.call("worker1", "update_task", call_id="same", id="t9", note="x")
    assert not first.success
    for _number in range(4, 10):
        await threads.people.give("worker1", MANAGER0)
    assert (await threads.people.task("t9")).owner_id == "worker1"
    again = await threads.call("worker1", "update_task", call_id="same", id="t9", note="x")
    assert again == first


async def test_the_record_holds_what_was_asked_and_answered(threads: Threads) -> None:
    await threads.call("worker1", "add_note", call_id="one", body="decided")
    row = await threads.people.database.read(
        lambda tx: tool_calls.get(tx, "thread-worker1", "turn1", "one")
    )
    assert row is not None
    assert (row.actor_id, row.tool, row.arguments) == ("worker1", "add_note", {"body": "decided"})
    assert (row.success, row.text) == (True, "Kept as n1 with t1.")


async def test_a_refused_call_leaves_no_part_of_its_effect(threads: Threads) -> None:
    text = await threads.refused("worker1", "update_task", id="t1", note="all fine", status="done")
    assert "A worker cannot set t1 to done: manager0 decides that." in text
    assert await threads.people.database.read(notes.list_) == ()
    await threads.refused(
        MANAGER0, "start_worker", title="Paint", body="green", depends_on=["t1", "t99"]
    )
    assert len(await threads.people.database.read(tasks.list_)) == 3


async def test_whoever_is_woken_finds_the_work_committed(threads: Threads) -> None:
    seen: list[bool] = []
    threads.toolbox = Toolbox(
        database=threads.people.database,
        delegation=threads.toolbox._effects._delegation,
        clock=threads.people.clock,
        ids=threads.people.ids,
        wake=lambda _actor: seen.append(revision != threads.people.database.revision),
    )
    revision = threads.people.database.revision
    await threads.done(MANAGER0, "send_message", to="worker1", body="go on")
    assert seen == [True]


async def test_a_worker_works_on_its_own_task_only(threads: Threads) -> None:
    await threads.done("worker2", "update_task", id="t2", status="reported", note="ready")
    assert (await threads.people.task("t2")).status is TaskStatus.REPORTED
    assert "not your task" in await threads.refused("worker2", "update_task", id="t3", note="x")
    assert "not your task" in await threads.refused("worker2", "add_note", task_id="t3", body="x")
    assert "decided by manager1" in await threads.refused(
        "worker2", "update_task", id="t2", priority="P0"
    )
    assert "no tool 'start_worker'" in await threads.refused(
        "worker2", "start_worker", title="x", body="y"
    )


async def test_a_manager_keeps_to_its_lane_and_manager0_goes_everywhere(threads: Threads) -> None:
    assert "outside your lane" in await threads.refused(
        "manager1", "update_task", id="t1", status="done"
    )
    await threads.done("manager1", "update_task", id="t2", status="failed", priority="P1")
    await threads.done(MANAGER0, "update_task", id="t3", status="cancelled", note="not needed")
    statuses = [(await threads.people.task(f"t{n}")).status for n in (1, 2, 3)]
    assert statuses == [TaskStatus.IN_PROGRESS, TaskStatus.FAILED, TaskStatus.CANCELLED]


async def test_an_update_with_nothing_to_change_is_refused(threads: Threads) -> None:
    assert "Give status, priority or note." in await threads.refused(
        MANAGER0, "update_task", id="t1"
    )


async def test_tasks_are_listed_for_whoever_may_see_them(threads: Threads) -> None:
    seen = {
        actor_id: [
            line.split()[0] for line in (await threads.done(actor_id, "list_tasks")).split("\n")
        ]
        for actor_id in (MANAGER0, "manager1", "worker2")
    }
    assert seen == {MANAGER0: ["t1", "t2", "t3"], "manager1": ["t2", "t3"], "worker2": ["t2"]}


async def test_a_listed_task_says_who_what_and_how_urgent(threads: Threads) -> None:
    await threads.done(
        MANAGER0,
        "start_worker",
        title="Paint",
        body="green",
        priority="P0",
        estimate_minutes=30,
        depends_on=["t1", "t2"],
    )
    listed = (await threads.done(MANAGER0, "list_tasks")).split("\n")
    assert listed[0] == (
        't4 P0 blocked "Paint" worker=worker4 manager=manager0 depends_on=t1,t2 estimate=30min'
    )


async def test_a_long_list_shows_the_urgent_and_the_latest_and_says_what_is_left_out(
    threads: Threads,
) -> None:
    async def many(tx: Tx) -> None:
        for _ in range(OPEN_SHOWN):
            await tasks.insert(tx, title="open", now=1)
        for _ in range(CLOSED_SHOWN + 4):
            await tasks.insert(tx, title="closed", status=TaskStatus.DONE, now=1)

    await threads.people.database.write(many)
    listed = (await threads.done(MANAGER0, "list_tasks")).split("\n")
    assert len(listed) == OPEN_SHOWN + CLOSED_SHOWN + 2
    assert listed[-2:] == [
        f"Left out: open tasks less urgent than these {OPEN_SHOWN}.",
        f"Left out: tasks closed before the last {CLOSED_SHOWN}.",
    ]
    mine = (await threads.done("manager1", "list_tasks")).split("\n")
    assert [line.split()[0] for line in mine] == ["t2", "t3"]


async def test_messages_go_down_to_workers_with_their_task(threads: Threads) -> None:
    assert await threads.done("manager1", "send_message", to="worker2", body="and blue") == (
        "Sent to worker2."
    )
    message = await last(threads)
    assert (message.sender, message.target, message.body) == ("manager1", "worker2", "and blue")
    assert (message.kind, message.task_id) == (MessageKind.TEXT, "t2")
    assert (message.thread_id, message.turn_id) == ("thread-manager1", "turn1")
    assert threads.woken == ["worker2"]


async def test_a_worker_that_is_sent_on_has_its_task_in_progress_again(threads: Threads) -> None:
    await threads.done("worker2", "update_task", id="t2", status="reported")
    await threads.done("manager1", "send_message", to="worker2", body="not yet: the back too")
    assert (await threads.people.task("t2")).status is TaskStatus.IN_PROGRESS


async def test_a_message_cannot_make_a_worker_begin_before_its_task_may(threads: Threads) -> None:
    await threads.done(MANAGER0, "start_worker", title="Paint", body="green", depends_on=["t1"])
    assert await threads.refused(MANAGER0, "send_message", to="worker4", body="hurry") == (
        "worker4 has not begun: t4 waits for t1. Write to it once it works."
    )


async def test_only_manager0_writes_to_the_owner(threads: Threads) -> None:
    await threads.done(MANAGER0, "send_message", to=OWNER, body="half way")
    message = await last(threads)
    assert (message.target, message.direction) == (OWNER, Direction.OUTBOUND)
    assert threads.woken == []
    for actor_id in ("manager1", "worker2"):
        assert "Only manager0 writes to the owner." in await threads.refused(
            actor_id, "send_message", to=OWNER, body="hello"
        )


async def test_words_to_a_manager_that_does_not_work_climb_and_the_sender_is_told(
    threads: Threads,
) -> None:
    await threads.people.set_status("manager1", ActorStatus.STOPPED)
    text = await threads.done("worker2", "send_message", to="manager1", body="stuck")
    assert text == "Sent to manager0 (manager1 is stopped)."
    assert (await last(threads)).target == MANAGER0


@pytest.mark.parametrize("to", ["worker3", "worker1", "manager0", "worker2", "nobody"])
async def test_a_worker_writes_to_its_manager_and_to_nobody_else(threads: Threads, to: str) -> None:
    await threads.refused("worker2", "send_message", to=to, body="hello")


async def test_a_stopped_worker_gets_no_messages(threads: Threads) -> None:
    await threads.people.set_status("worker1", ActorStatus.STOPPED)
    text = await threads.refused(MANAGER0, "send_message", to="worker1", body="hello")
    assert text == "worker1 is stopped and takes no messages."


async def test_over_long_words_are_refused_with_the_limit(threads: Threads) -> None:
    text = await threads.refused("worker2", "send_message", to="manager1", body="x" * 300_000)
    assert "256 KiB" in text


@pytest.mark.parametrize(
    ("asker", "asked"), [("worker2", "manager1"), ("manager1", MANAGER0), (MANAGER0, OWNER)]
)
async def test_a_question_goes_one_step_up_and_stays_visible(
    threads: Threads, asker: str, asked: str
) -> None:
    text = await threads.done(asker, "ask_owner", question="red or green?")
    question = await last(threads)
    assert text.startswith(f"Question {question.id} went to {asked}.")
    assert (question.kind, question.target) == (MessageKind.QUESTION, asked)
    assert (question.status, question.turn_id) == (MessageStatus.ROUTED, "turn1")
    assert threads.woken == ([] if asked == OWNER else [asked])
    still_open = await threads.people.database.read(lambda tx: messages.open_questions(tx, asker))
    assert still_open == (question,)


async def test_notes_stay_with_the_task(threads: Threads) -> None:
    assert await threads.done("worker2", "add_note", body="blue is out") == "Kept as n1 with t2."
    assert await threads.done(MANAGER0, "add_note", body="owner likes green") == "Kept as n2."
    assert await threads.done("manager1", "add_note", body="x", task_id="t3") == (
        "Kept as n3 with t3."
    )
    kept = await threads.people.database.read(notes.list_)
    assert [(note.author, note.task_id) for note in kept] == [
        ("worker2", "t2"),
        (MANAGER0, None),
        ("manager1", "t3"),
    ]


async def test_a_thread_speaks_only_for_its_own_actor(threads: Threads) -> None:
    for thread_id in ("thread-worker1", "thread-nobody"):
        result = await threads.toolbox.call(
            actor_id=MANAGER0,
            thread_id=thread_id,
            turn_id="turn1",
            call_id="call",
            tool="list_tasks",
            arguments={},
        )
        assert result == ToolResult(text="This thread does not speak for manager0.", success=False)


async def test_a_stopped_actor_has_no_tools(threads: Threads) -> None:
    await threads.people.set_status("worker1", ActorStatus.STOPPED)
    assert await threads.refused("worker1", "list_tasks") == "worker1 is stopped. End your turn."


@pytest.mark.parametrize("arguments", [["not", "an object"], {"body": 5}, {}, {"bdoy": "x"}])
async def test_bad_arguments_are_answered_with_a_sentence(threads: Threads, arguments: Any) -> None:
    result = await threads.call("worker1", "add_note", arguments)
    assert not result.success
    assert result.text.startswith("add_note was called with wrong arguments: ")
    assert result.text.endswith("It takes: body, task_id.")


async def test_a_manager_begins_also_when_whoever_had_it_started_has_left(threads: Threads) -> None:
    """As a thread's MCP server does, that is ended with its Codex in the middle of a call."""
    database, go = threads.people.database, asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(database.write(lambda _tx: go.wait()))
        called = group.create_task(threads.call(MANAGER0, "start_manager", objective="docs"))
        await asyncio.sleep(0)  # it waits for the writer
        called.cancel()
        go.set()
    await database.write(_nothing)  # behind it
    assert called.cancelled()
    assert threads.woken == ["manager2"]


async def _nothing(_tx: Tx) -> None:
    """Write nothing."""
