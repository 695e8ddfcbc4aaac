"""What waits for what: edges that come late or go, and nothing left waiting in vain unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import inputs, notes, readiness, tasks
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import ActorStatus, InputStatus, MessageKind, TaskStatus
from tests.support.office import Office
from tests.support.society import Society, society

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[Society]:
    async with society(tmp_path) as made:
        yield made


@pytest.fixture
def office(people: Society, tmp_path: Path) -> Office:
    return Office(people, tmp_path)


async def test_a_task_whose_worker_has_not_heard_of_it_can_still_be_held_back(
    office: Office, people: Society
) -> None:
    await office.worker("Paint")
    await office.add("late")
    await office.depend("t1", "t2")
    assert (await people.task("t1")).status is TaskStatus.BLOCKED
    assert await office.sent_to("worker1") == []
    assert await office.set("t2", TaskStatus.DONE) == {"worker1"}
    assert (await people.task("t1")).status is TaskStatus.IN_PROGRESS
    assert [message.task_id for message in await office.sent_to("worker1")] == ["t1"]


@pytest.mark.parametrize("status", [TaskStatus.IN_PROGRESS, TaskStatus.REPORTED])
async def test_a_task_that_has_begun_cannot_wait_any_more(
    office: Office, people: Society, status: TaskStatus
) -> None:
    await office.worker("Paint")
    await people.take("worker1")
    await people.database.write(lambda tx: tasks.set_status(tx, "t1", status, now=1))
    await office.add("late")
    with pytest.raises(Conflict, match="t1 has begun already"):
        await office.depend("t1", "t2")
    task = await people.task("t1")
    assert (task.status, task.depends_on) == (status, ())


async def test_a_late_edge_to_what_is_done_holds_nothing_back(
    office: Office, people: Society
) -> None:
    await office.worker("Paint")
    await people.take("worker1")
    await office.add("before", status=TaskStatus.DONE)
    await office.depend("t1", "t2")
    task = await people.task("t1")
    assert (task.status, task.depends_on) == (TaskStatus.IN_PROGRESS, ("t2",))


async def test_a_circle_is_refused_with_its_path(office: Office) -> None:
    for number in range(1, 4):
        await office.add(f"task {number}")
    await office.depend("t3", "t2")
    await office.depend("t2", "t1")
    with pytest.raises(UsageError, match="t1 cannot wait for t3: t1 → t3 → t2 → t1"):
        await office.depend("t1", "t3")


async def test_an_edge_that_goes_lets_the_task_begin(office: Office, people: Society) -> None:
    await office.add("never")
    await office.worker("after", depends_on=["t1"])
    assert await office.undepend("t2", "t1") == {"worker1"}
    assert (await people.task("t2")).status is TaskStatus.IN_PROGRESS
    with pytest.raises(NotFound, match="t2 does not depend on t1"):
        await office.undepend("t2", "t1")


async def test_what_was_done_and_is_open_again_holds_back_what_has_not_begun(
    office: Office, people: Society
) -> None:
    await office.add("before", status=TaskStatus.DONE)
    await office.add("after")
    await office.depend("t2", "t1")
    assert (await people.task("t2")).status is TaskStatus.OPEN
    await office.set("t1", TaskStatus.OPEN)
    assert (await people.task("t2")).status is TaskStatus.BLOCKED
    await office.set("t1", TaskStatus.DONE)
    assert (await people.task("t2")).status is TaskStatus.OPEN


@pytest.mark.parametrize("ended", [TaskStatus.FAILED, TaskStatus.CANCELLED])
async def test_whoever_manages_a_task_that_waits_in_vain_is_told_at_once(
    office: Office, people: Society, ended: TaskStatus
) -> None:
    await office.manager(name="docs")
    await office.add("before")
    await office.worker("after", manager_id="docs", depends_on=["t1"])
    assert await office.set("t1", ended) == {"docs"}
    told = (await people.to("docs"))[-1]
    assert (told.kind, told.sender, told.task_id) == (MessageKind.REPORT, "netsky", "t2")
    assert f"t2 “after” cannot begin: it waits for t1, which was {ended}" in told.body
    assert "netsky tasks depend t2 t1 --remove" in told.body
    (note,) = await people.database.read(lambda tx: notes.list_(tx, task_id="t2"))
    assert note.body == told.body
    assert await people.database.read(readiness.in_vain) == {"t2": ("t1",)}


async def test_whoever_closes_a_task_is_not_written_to_about_what_is_stuck_behind_it(
    office: Office, people: Society
) -> None:
    await office.add("before")
    await office.worker("after", depends_on=["t1"])
    assert await office.set("t1", TaskStatus.FAILED, by=MANAGER0) == frozenset()
    assert [m for m in await people.to(MANAGER0) if m.kind is MessageKind.REPORT] == []


async def test_a_stuck_task_that_no_active_manager_has_is_told_to_the_owner(
    office: Office, people: Society
) -> None:
    await office.add("before")
    await office.worker("after", depends_on=["t1"])
    await people.set_status(MANAGER0, ActorStatus.PARKED)
    assert await office.set("t1", TaskStatus.CANCELLED, by="docs") == frozenset()
    assert "t2 “after” cannot begin" in (await people.to(OWNER))[-1].body


@pytest.mark.parametrize("way", ["remove", "open", "cancel"])
async def test_a_stuck_task_goes_on_or_ends_by_the_ways_that_are_named(
    office: Office, people: Society, way: str
) -> None:
    await office.add("before")
    await office.worker("after", depends_on=["t1"])
    await office.set("t1", TaskStatus.FAILED)
    if way == "remove":
        assert await office.undepend("t2", "t1") == {"worker1"}
    elif way == "open":
        await office.set("t1", TaskStatus.OPEN)
        assert await office.set("t1", TaskStatus.DONE) == {"worker1"}
    else:
        await office.set("t2", TaskStatus.CANCELLED)
    assert await people.database.read(readiness.in_vain) == {}


async def test_a_task_is_taken_back_once_and_only_before_it_was_sent(
    office: Office, people: Society
) -> None:
    await office.worker("Paint")

    async def sent(tx) -> list[str]:
        (item,) = await inputs.open_for(tx, "worker1")
        await inputs.attempt(tx, {item.id: "words"}, batch_id="b-1", thread_id="th-1")
        return [item.id]

    (input_id,) = await people.database.write(sent)
    await office.add("late")
    with pytest.raises(Conflict):
        await office.depend("t1", "t2")
    row = await people.database.read(lambda tx: inputs.require(tx, input_id))
    assert row.status is InputStatus.QUEUED
