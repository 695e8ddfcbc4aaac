"""What an actor reads after a crash cut its turn."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from netsky_runtime.agents.recovery import QUOTE, SHOWN, compose, recovery_text
from netsky_runtime.records import MANAGER0, MAX_BODY_BYTES, Actor, Message, Task
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    Direction,
    MessageKind,
    MessageStatus,
    Source,
    TaskStatus,
)
from tests.support.society import society

if TYPE_CHECKING:
    from pathlib import Path

WORKER = Actor(
    id="worker1",
    kind=ActorKind.WORKER,
    status=ActorStatus.ACTIVE,
    manager_id=MANAGER0,
    created_at=0,
    updated_at=0,
)
MANAGER = replace(WORKER, id="manager1", kind=ActorKind.MANAGER, objective="Ship the docs")
TASK = Task(
    id="t4",
    title="Paint the fence",
    status=TaskStatus.IN_PROGRESS,
    owner_id="worker1",
    created_at=0,
    updated_at=0,
)
CAUSE = Message(
    id="m-1",
    source=Source.ACTOR,
    direction=Direction.INBOUND,
    kind=MessageKind.TASK,
    sender=MANAGER0,
    target="worker1",
    body="Paint the\nfence green",
    status=MessageStatus.ROUTED,
    created_at=0,
)


def test_a_worker_is_told_its_task_and_what_was_cut() -> None:
    text = compose(WORKER, [TASK], [CAUSE])
    assert "- task from manager0: “Paint the fence green”" in text
    assert "- t4 in_progress: Paint the fence" in text
    assert "do nothing twice" in text


def test_a_manager_is_told_its_objective_and_its_open_tasks() -> None:
    text = compose(MANAGER, [TASK, replace(TASK, id="t5", title="Roof")], [CAUSE, CAUSE])
    assert "Your objective: “Ship the docs”" in text
    assert "- t5 in_progress: Roof" in text
    assert "list_tasks" in text
    assert "answers all of it" in text


def test_of_very_many_open_tasks_the_most_urgent_are_named() -> None:
    text = compose(MANAGER, [replace(TASK, id=f"t{n}") for n in range(SHOWN + 1)], [CAUSE])
    assert f"- t{SHOWN - 1} in_progress" in text
    assert f"- t{SHOWN} in_progress" not in text
    assert "less urgent ones, which are left out" in text


def test_however_much_was_cut_the_text_stays_a_message() -> None:
    wide = "&🛰" * 10_000
    causes = [replace(CAUSE, body=wide)] * 1_000
    text = compose(
        replace(MANAGER, objective=wide), [replace(TASK, title=wide)] * (SHOWN + 1), causes
    )
    assert len(text.encode()) <= MAX_BODY_BYTES
    assert text.count("- task from manager0: “&🛰") == SHOWN
    assert f"- and {1_000 - SHOWN} more, which are left out here" in text


def test_long_messages_are_quoted_in_part() -> None:
    text = compose(WORKER, [], [replace(CAUSE, body="x" * 10_000)])
    assert "x" * QUOTE + "…”" in text
    assert len(text) < 2 * QUOTE + 400
    assert "no open task" in text


async def test_the_text_is_made_from_what_is_stored(tmp_path: Path) -> None:
    async with society(tmp_path) as people:
        worker = await people.hire("worker1", MANAGER0)
        await people.give("worker1", MANAGER0)
        cut = await people.take("worker1")
        await people.post("worker1", MANAGER0, "half way", kind=MessageKind.REPORT)
        heard = await people.take(MANAGER0)
        assert cut is not None
        assert heard is not None
        manager0 = await people.actor(MANAGER0)
        for actor, turning, quoted in (
            (worker, cut, "- task from manager0: “words”"),
            (manager0, heard, "- report from worker1: “half way”"),
        ):
            text = await people.database.read(
                lambda tx, actor=actor, turning=turning: recovery_text(tx, actor, turning.inputs)
            )
            assert quoted in text
            assert "- t1 in_progress: paint" in text


def test_an_actor_whose_conversation_was_lost_is_told_which_and_what_it_had_been_handed() -> None:
    text = compose(WORKER, [TASK], [CAUSE], lost_thread="th-old")
    assert "conversation th-old was lost" in text
    assert "may have begun with" in text
    assert "- task from manager0: “Paint the fence green”" in text
    assert "do nothing twice" in text
    assert "crash" not in text
