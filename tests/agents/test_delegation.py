"""Who works on what: workers made, dependencies kept, places counted, folders checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import inputs, notes, sessions
from netsky_runtime.errors import Conflict, NetskyError, NotFound, Refused, UsageError
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    InputStatus,
    MessageKind,
    Priority,
    RuntimeName,
    TaskStatus,
)
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


async def test_a_worker_begins_at_once_with_the_text_of_its_task(
    office: Office, people: Society
) -> None:
    started = await office.worker("Paint", body="The fence, green.", priority=Priority.P1)
    assert (started.actor_id, started.task_id) == ("worker1", "t1")
    assert (started.status, started.wake) == (TaskStatus.IN_PROGRESS, {"worker1"})
    task = await people.task("t1")
    assert (task.owner_id, task.manager_id, task.priority) == ("worker1", MANAGER0, Priority.P1)
    [message] = await office.sent_to("worker1")
    assert (message.kind, message.sender, message.task_id) == (MessageKind.TASK, MANAGER0, "t1")
    assert message.body == "Paint\n\nThe fence, green."
    worker = await people.actor("worker1")
    assert (worker.kind, worker.manager_id, worker.cwd) == (
        ActorKind.WORKER,
        MANAGER0,
        str(office.folder),
    )


async def test_a_task_waits_until_all_it_depends_on_is_done(
    office: Office, people: Society
) -> None:
    first, second = await office.worker("one"), await office.add("two")
    third = await office.worker("three", depends_on=[first.task_id, second.id])
    assert (third.status, third.waits_for, third.wake) == (
        TaskStatus.BLOCKED,
        ("t1", "t2"),
        frozenset(),
    )
    assert await office.sent_to(third.actor_id) == []
    assert await office.set("t1", TaskStatus.DONE) == frozenset()
    assert await office.set("t2", TaskStatus.DONE) == {third.actor_id}
    assert (await people.task(third.task_id)).status is TaskStatus.IN_PROGRESS
    assert [message.task_id for message in await office.sent_to(third.actor_id)] == ["t3"]


@pytest.mark.parametrize("ended", [TaskStatus.FAILED, TaskStatus.CANCELLED])
async def test_what_failed_or_was_cancelled_starts_nothing(
    office: Office, people: Society, ended: TaskStatus
) -> None:
    await office.worker("one")
    await office.worker("two", depends_on=["t1"])
    assert await office.set("t1", ended) == {MANAGER0}  # is told that t2 is stuck
    assert (await people.task("t2")).status is TaskStatus.BLOCKED


async def test_dependencies_that_are_done_already_hold_nothing_up(office: Office) -> None:
    await office.add("before", status=TaskStatus.DONE)
    assert (await office.worker("after", depends_on=["t1"])).status is TaskStatus.IN_PROGRESS


async def test_a_cycle_or_an_unknown_dependency_leaves_nothing_behind(
    office: Office, people: Society
) -> None:
    await office.add("one", status=TaskStatus.OPEN)
    await office.worker("two", depends_on=["t1"])
    with pytest.raises(UsageError, match="t1 cannot wait for t2"):
        await office.worker("one", task_id="t1", depends_on=["t2"])
    with pytest.raises(NotFound):
        await office.worker("three", depends_on=["t9"])
    assert (await people.task("t1")).owner_id is None
    with pytest.raises(NotFound):
        await people.task("t3")
    with pytest.raises(NotFound):
        await people.actor("worker2")


async def test_past_the_limit_tasks_wait_and_the_most_urgent_goes_first(
    office: Office, people: Society
) -> None:
    await office.worker("one")
    await office.worker("two")
    later = await office.worker("three", priority=Priority.P3)
    urgent = await office.worker("four", priority=Priority.P0)
    assert [later.status, urgent.status] == [TaskStatus.OPEN, TaskStatus.OPEN]
    assert later.wake == urgent.wake == frozenset()
    assert await office.start_ready() == frozenset()
    assert await office.set("t1", TaskStatus.REPORTED) == {urgent.actor_id}
    assert await office.set("t2", TaskStatus.DONE) == {later.actor_id}
    assert [(await people.task(f"t{n}")).status for n in (3, 4)] == [TaskStatus.IN_PROGRESS] * 2


async def test_a_stopped_worker_takes_no_place(office: Office, people: Society) -> None:
    await office.worker("one")
    await office.worker("two")
    waiting = await office.worker("three")
    await people.set_status("worker1", ActorStatus.STOPPED)
    assert await office.start_ready() == {waiting.actor_id}


async def test_an_unblocked_task_without_a_place_waits_open_and_starts_later(
    office: Office, people: Society
) -> None:
    await office.add("before")
    await office.worker("after", depends_on=["t1"])
    await office.worker("one")
    await office.worker("two")
    assert await office.set("t1", TaskStatus.DONE) == frozenset()
    assert (await people.task("t2")).status is TaskStatus.OPEN
    assert await office.set("t3", TaskStatus.DONE) == {"worker1"}


async def test_a_late_edge_holds_back_a_task_that_waits_for_a_place(
    office: Office, people: Society
) -> None:
    await office.worker("one")
    await office.worker("two")
    await office.worker("three")
    await office.add("late")
    await office.depend("t3", "t4")
    assert await office.set("t1", TaskStatus.DONE) == frozenset()
    assert (await people.task("t3")).status is TaskStatus.BLOCKED
    assert await office.set("t4", TaskStatus.DONE) == {"worker3"}


async def test_a_blocked_task_that_nobody_manages_opens_and_starts_nobody(
    office: Office, people: Society
) -> None:
    await office.add("before")
    await office.add("after", status=TaskStatus.BLOCKED)
    await office.depend("t2", "t1")
    assert await office.set("t1", TaskStatus.DONE) == frozenset()
    after = await people.task("t2")
    assert (after.status, after.owner_id) == (TaskStatus.OPEN, None)


async def test_a_blocked_task_with_a_manager_and_no_worker_gets_one(
    office: Office, people: Society
) -> None:
    await office.add("before")
    await office.add("after", status=TaskStatus.BLOCKED, manager_id=MANAGER0)
    await office.depend("t2", "t1")
    assert await office.set("t1", TaskStatus.DONE) == {"worker1"}
    assert (await people.task("t2")).owner_id == "worker1"


async def test_one_task_that_cannot_begin_is_given_back_and_holds_up_no_other(
    office: Office, people: Society, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    lane = await office.manager("docs")
    await office.add("before")
    await office.worker("lost", depends_on=["t1"], cwd="gone", manager_id=lane.actor_id)
    await office.worker("fine", depends_on=["t1"])
    await people.set_status("worker1", ActorStatus.STOPPED)
    gone.rmdir()
    assert await office.set("t1", TaskStatus.DONE) == {"worker2"}
    lost = await people.task("t2")
    assert (lost.status, lost.owner_id, lost.manager_id) == (TaskStatus.OPEN, None, None)
    [note] = await people.database.read(lambda tx: notes.list_(tx, task_id="t2"))
    assert "There is no folder" in note.body


async def test_an_open_task_can_be_taken_and_is_told_in_its_new_words(
    office: Office, people: Society
) -> None:
    await office.add("vague", body="old words")
    started = await office.worker("Exact", task_id="t1")
    assert started.task_id == "t1"
    assert (await people.task("t1")).title == "Exact"
    [message] = await office.sent_to("worker1")
    assert message.body == "Exact\n\nold words"


async def test_a_task_in_work_is_not_started_again(office: Office) -> None:
    await office.worker("one")
    with pytest.raises(Conflict, match=r"t1 is in_progress.*worker1 has it"):
        await office.worker("one", task_id="t1")
    await office.set("t1", TaskStatus.DONE)
    with pytest.raises(Conflict, match="t1 is done"):
        await office.worker("one", task_id="t1")


async def test_a_task_opened_again_leaves_its_worker_and_can_be_taken(
    office: Office, people: Society
) -> None:
    await office.worker("one")
    assert await office.set("t1", TaskStatus.OPEN) == frozenset()
    task = await people.task("t1")
    assert (task.status, task.owner_id, task.manager_id) == (TaskStatus.OPEN, None, None)
    assert await office.sent_to("worker1") == []
    assert (await office.worker("one", task_id="t1")).actor_id == "worker2"


async def test_a_task_keeps_the_worker_it_has(office: Office, people: Society) -> None:
    await people.hire("worker7", MANAGER0)
    await office.add("one", owner_id="worker7")
    with pytest.raises(UsageError, match="worker7 already"):
        await office.worker("one", task_id="t1", model="other")
    assert (await office.worker("one", task_id="t1")).actor_id == "worker7"


async def test_another_managers_task_is_refused(office: Office) -> None:
    one, two = await office.manager("a"), await office.manager("b")
    await office.add("mine", manager_id=one.actor_id)
    with pytest.raises(Refused, match=f"{one.actor_id} decides"):
        await office.worker("mine", task_id="t1", manager_id=two.actor_id)
    assert (await office.worker("mine", task_id="t1", manager_id=one.actor_id)).task_id == "t1"


@pytest.mark.parametrize(
    ("who", "error"), [("worker1", UsageError), (OWNER, UsageError), ("nobody", NotFound)]
)
async def test_only_managers_have_workers(
    office: Office, who: str, error: type[NetskyError]
) -> None:
    await office.worker("one")
    with pytest.raises(error):
        await office.worker("two", manager_id=who)


async def test_a_stopped_manager_gets_no_workers(office: Office, people: Society) -> None:
    lane = await office.manager()
    await people.set_status(lane.actor_id, ActorStatus.STOPPED)
    with pytest.raises(Conflict, match="is stopped"):
        await office.worker("one", manager_id=lane.actor_id)


async def test_a_door_given_for_an_actor_waits_in_its_session(
    office: Office, people: Society
) -> None:
    await office.worker("resident", runtime=RuntimeName.RESIDENT)
    await office.manager("docs", runtime=RuntimeName.MCP_SERVER)
    await office.worker("plain")
    rows = await people.database.read(sessions.list_current)
    chosen = [(row.actor_id, row.runtime) for row in rows]
    assert chosen == [("worker1", RuntimeName.RESIDENT), ("manager1", RuntimeName.MCP_SERVER)]


async def test_a_model_given_for_a_worker_waits_in_its_session(
    office: Office, people: Society
) -> None:
    await office.add("before")
    await office.worker("chosen", model="gpt-y", depends_on=["t1"])
    await office.worker("plain")
    rows = await people.database.read(sessions.list_current)
    assert [(row.actor_id, row.model) for row in rows] == [("worker1", "gpt-y")]


async def test_folders_are_seen_from_the_managers_and_must_exist_under_an_allowed_root(
    office: Office, people: Society, tmp_path: Path
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "way-out").symlink_to("/")
    (tmp_path / "loop").symlink_to("loop")
    started = await office.worker("one", cwd="site")
    assert (await people.actor(started.actor_id)).cwd == str(office.folder / "site")
    for wrong in ("nowhere", "file", "loop/x", "a\0b", "x" * 300):
        with pytest.raises(UsageError, match="There is no folder"):
            await office.worker("two", cwd=wrong)
    with pytest.raises(UsageError, match="no home folder"):
        await office.worker("two", cwd="~nobody-of-this-name/x")
    for outside in ("/", "..", "way-out"):
        with pytest.raises(UsageError, match=f"outside.*Allowed: {office.folder}"):
            await office.worker("two", cwd=outside)


async def test_a_manager_starts_with_its_objective_from_whoever_started_it(
    office: Office, people: Society
) -> None:
    started = await office.manager("Keep the docs true")
    named = await office.manager("Ship", name="release", started_by=OWNER)
    assert (started.actor_id, started.wake) == ("manager1", {"manager1"})
    assert (named.actor_id, (await people.actor("release")).manager_id) == ("release", MANAGER0)
    assert (await people.actor("manager1")).objective == "Keep the docs true"
    assert [(m.sender, m.body) for m in await office.sent_to("manager1")] == [
        (MANAGER0, "Keep the docs true")
    ]
    assert [(m.sender, m.body) for m in await office.sent_to("release")] == [(OWNER, "Ship")]


@pytest.mark.parametrize("name", ["Docs", "", "a b", "owner", "netsky", "worker5", "x" * 32])
async def test_a_name_that_would_mislead_is_refused(office: Office, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        await office.manager(name=name)


async def test_a_name_is_taken_once(office: Office) -> None:
    await office.manager(name="docs")
    with pytest.raises(Conflict, match="docs"):
        await office.manager(name="docs")


async def test_closing_a_task_takes_back_its_text_when_it_was_not_sent(
    office: Office, people: Society
) -> None:
    await office.worker("one")
    await people.post(MANAGER0, "worker1", "by the way")
    await office.set("t1", TaskStatus.CANCELLED)
    assert [message.body for message in await office.sent_to("worker1")] == ["by the way"]


async def test_closing_a_task_leaves_alone_what_was_sent(office: Office, people: Society) -> None:
    await office.worker("one")
    turning = await people.take("worker1")
    assert turning is not None
    await office.set("t1", TaskStatus.CANCELLED)
    [row] = await people.database.read(lambda tx: inputs.open_for(tx, "worker1"))
    assert row.status is InputStatus.SEEN


async def test_changes_that_the_state_forbids_say_why(office: Office) -> None:
    await office.worker("one")
    await office.worker("two", depends_on=["t1"])
    await office.worker("three")
    await office.worker("four")
    for task_id, status, why in (
        ("t1", TaskStatus.BLOCKED, "only what it depends on"),
        ("t2", TaskStatus.IN_PROGRESS, "waits for t1"),
        ("t2", TaskStatus.OPEN, "waits for t1"),
        ("t4", TaskStatus.IN_PROGRESS, "waits for a free place with worker4"),
    ):
        with pytest.raises(Conflict, match=why):
            await office.set(task_id, status)
    await office.set("t3", TaskStatus.DONE)
    with pytest.raises(Conflict, match="t3 is done already"):
        await office.set("t3", TaskStatus.IN_PROGRESS)
