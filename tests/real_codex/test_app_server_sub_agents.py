"""Codex's own sub-agents, for threads whose launch spec lets them be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.base import Batch, Decision, LaunchSpec
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import DecisionWord
from tests.real_codex.conftest import Bench, Told

if TYPE_CHECKING:
    from netsky_runtime.codex.events import CodexEvent

SPAWN = 'TOOL[multi_agent_v1/spawn_agent {"message": "PATCH SAY[child]"}]ENDTOOL SAY[parent]'


def with_sub_agents(bench: Bench) -> LaunchSpec:
    return bench.spec(config={"features": {"multi_agent": True}}, tools=())


def of_child(told: Told) -> list[CodexEvent]:
    return [event for event in told.events if event.thread_id != told.session.thread_id]


async def patch_question(told: Told) -> dict[str, Any]:
    asked = await told.next(EventKind.APPROVAL_REQUESTED)
    assert asked.thread_id != told.session.thread_id
    assert "+hello from patch" in asked.data["patch"]
    return dict(asked.data)


async def test_a_sub_agents_question_comes_through_its_parent_and_is_answered_there(
    bench: Bench,
) -> None:
    runtime = await bench.opened()
    session = await runtime.start(with_sub_agents(bench))
    told = Told(session)

    await session.submit(Batch(id="batch-1", text=SPAWN, input_ids=()))
    asked = await patch_question(told)
    [started] = [e for e in told.events if e.kind is EventKind.THREAD_STARTED]
    assert started.data == {"parent_id": session.thread_id}
    await session.decide(asked["request_id"], Decision(word=DecisionWord.ACCEPT))
    ended = await told.until(
        lambda event: (
            event.kind is EventKind.TURN_COMPLETED and event.thread_id == started.thread_id
        )
    )

    assert ended.data["status"] == "completed"
    assert (bench.project / "hello.txt").exists()
    assert {event.thread_id for event in of_child(told)} == {started.thread_id}


async def test_a_sub_agents_question_is_asked_again_when_its_parent_is_resumed(
    bench: Bench,
) -> None:
    first = await bench.opened()
    session = await first.start(with_sub_agents(bench))
    told = Told(session)
    await session.submit(Batch(id="batch-1", text=SPAWN, input_ids=()))
    asked = await patch_question(told)
    await first.close(keep_engine=True)

    again = await (await bench.opened()).resume(session.thread_id, with_sub_agents(bench))
    repeated = await patch_question(Told(again))

    assert repeated["request_id"] == asked["request_id"]


async def test_a_sub_agents_question_is_asked_again_through_the_same_runtime(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(with_sub_agents(bench))
    told = Told(session)
    await session.submit(Batch(id="batch-1", text=SPAWN, input_ids=()))
    asked = await patch_question(told)
    await session.close()

    again = await runtime.resume(session.thread_id, with_sub_agents(bench))
    repeated = await patch_question(Told(again))

    assert repeated["request_id"] == asked["request_id"]
    await again.decide(repeated["request_id"], Decision(word=DecisionWord.ACCEPT))


async def test_a_sub_agents_thread_stays_where_it_can_be_resumed_when_its_parent_is_released(
    bench: Bench,
) -> None:
    session = await (await bench.opened()).start(with_sub_agents(bench))
    told = Told(session)
    await session.submit(Batch(id="batch-1", text=SPAWN, input_ids=()))
    asked = await patch_question(told)
    await session.decide(asked["request_id"], Decision(word=DecisionWord.DECLINE))
    ended = {event.thread_id for event in told.events if event.kind is EventKind.TURN_COMPLETED}
    while len(ended) < 2:
        ended.add((await told.turn_end()).thread_id)

    await session.release()

    rollouts = [path.name for path in (bench.root / "codex-home/sessions").rglob("*.jsonl")]
    assert len(rollouts) == 2
    assert all(any(thread_id in name for name in rollouts) for thread_id in ended)
