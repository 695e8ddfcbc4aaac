"""Tasks, what they wait for, and plans that would wait for themselves."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import aiosqlite
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsky_runtime.db import migrate, readiness, tasks
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.records import MANAGER0
from netsky_runtime.states import Priority, TaskStatus


async def add(making, title: str = "a task", **fields) -> str:
    return (await making.write(lambda tx: tasks.insert(tx, title=title, now=1, **fields))).id


async def depend(making, task_id: str, on_id: str) -> None:
    await making.write(lambda tx: tasks.add_dependency(tx, task_id, on_id, now=1))


async def set_status(making, task_id: str, status: TaskStatus) -> None:
    await making.write(lambda tx: tasks.set_status(tx, task_id, status, now=9))


async def test_a_task_comes_back_as_it_was_stored(making):
    made = await making.write(
        lambda tx: tasks.insert(
            tx,
            title="a",
            body="b",
            priority=Priority.P0,
            status=TaskStatus.BLOCKED,
            owner_id="worker1",
            manager_id=MANAGER0,
            estimate_minutes=5,
            now=3,
        )
    )
    assert made.id == "t1"
    assert await making.read(lambda tx: tasks.require(tx, "t1")) == made
    assert await making.read(lambda tx: tasks.of_owner(tx, "worker1")) == (made,)


async def test_a_lane_is_read_as_far_as_it_is_shown(making):
    mine = [await add(making, owner_id="worker1", priority=p) for p in (Priority.P2, Priority.P0)]
    theirs = await add(making, manager_id=MANAGER0)
    shut = [await add(making, owner_id="worker1") for _ in range(3)]
    for now, task_id in enumerate(shut):
        await making.write(
            lambda tx, now=now, task_id=task_id: tasks.set_status(
                tx, task_id, TaskStatus.DONE, now=now
            )
        )

    async def ids(read, lane, limit=9):
        return [task.id for task in await making.read(lambda tx: read(tx, lane, limit=limit))]

    assert await ids(tasks.open_in, "worker1") == [mine[1], mine[0]]
    assert await ids(tasks.open_in, None) == [mine[1], mine[0], theirs]
    assert await ids(tasks.open_in, None, 1) == [mine[1]]
    assert await ids(tasks.closed_in, "worker1", 2) == [shut[2], shut[1]]
    assert await ids(tasks.closed_in, MANAGER0) == []


async def test_a_task_without_a_title_is_refused(making):
    with pytest.raises(UsageError, match="no title"):
        await add(making, " ")
    task_id = await add(making)
    with pytest.raises(UsageError, match="needs a title"):
        await making.write(lambda tx: tasks.set_fields(tx, task_id, title="", now=2))


async def test_only_what_is_given_changes(making):
    task_id = await add(making, "old", body="kept")
    await making.write(
        lambda tx: tasks.set_fields(tx, task_id, title="new", priority=Priority.P0, now=7)
    )
    await making.write(
        lambda tx: tasks.assign(tx, task_id, owner_id="worker1", manager_id=MANAGER0, now=8)
    )
    found = await making.read(lambda tx: tasks.require(tx, task_id))
    assert (found.title, found.body, found.priority) == ("new", "kept", Priority.P0)
    assert (found.owner_id, found.manager_id, found.updated_at) == ("worker1", MANAGER0, 8)


async def test_a_task_is_closed_from_its_end_until_it_is_opened_again(making):
    task_id = await add(making)
    for status, closed_at in (
        (TaskStatus.DONE, 9),
        (TaskStatus.OPEN, None),
        (TaskStatus.CANCELLED, 9),
        (TaskStatus.REPORTED, None),
    ):
        await set_status(making, task_id, status)
        found = await making.read(lambda tx: tasks.require(tx, task_id))
        assert (found.status, found.closed_at) == (status, closed_at)


async def test_tasks_are_listed_by_number_from_where_the_page_before_ended(making):
    made = [await add(making) for _ in range(11)]
    await set_status(making, "t10", TaskStatus.DONE)
    listed = await making.read(lambda tx: tasks.list_(tx, limit=2, after_number=8))
    assert [task.id for task in listed] == ["t9", "t10"]
    done = await making.read(lambda tx: tasks.list_(tx, statuses=[TaskStatus.DONE]))
    assert [task.id for task in done] == ["t10"]
    assert [task.id for task in await making.read(tasks.list_)] == made
    assert await making.read(lambda tx: tasks.list_(tx, statuses=[])) == ()


async def test_only_a_done_task_meets_a_dependency(making):
    waits, needed = await add(making), await add(making)
    await depend(making, waits, needed)
    for status in TaskStatus:
        await set_status(making, needed, status)
        unmet = await making.read(lambda tx: tasks.unmet(tx, waits))
        assert unmet == (() if status is TaskStatus.DONE else (needed,))


async def test_what_a_task_needs_is_in_the_order_of_numbers(making):
    made = [await add(making) for _ in range(12)]
    for needed in ("t10", "t2", "t11", "t9"):
        await depend(making, "t1", needed)
    found = await making.read(lambda tx: tasks.require(tx, made[0]))
    assert found.depends_on == ("t2", "t9", "t10", "t11")


@pytest.mark.parametrize("late", [False, True])
async def test_a_blocked_task_starts_when_the_last_need_is_done(making, late):
    waits = await add(making, status=TaskStatus.BLOCKED, manager_id=MANAGER0)
    needed = [await add(making), await add(making)]
    await depend(making, waits, needed[0])
    await set_status(making, needed[0], TaskStatus.DONE)
    ready = await making.read(readiness.waiting)
    assert [task.id for task in ready] == [waits]
    if late:  # an edge that comes after the task could have started holds it back again
        await depend(making, waits, needed[1])
        assert await making.read(readiness.waiting) == ()
        await set_status(making, needed[1], TaskStatus.DONE)
        assert [task.id for task in await making.read(readiness.waiting)] == [waits]


async def test_urgent_tasks_start_first(making):
    common = {"status": TaskStatus.BLOCKED, "manager_id": MANAGER0}
    for priority in (Priority.P2, Priority.P0, Priority.P1, Priority.P0):
        await add(making, priority=priority, **common)
    found = await making.read(readiness.waiting)
    assert [task.id for task in found] == ["t2", "t4", "t3", "t1"]


async def test_a_circle_is_refused_with_its_path(making):
    for _ in range(4):
        await add(making)
    for task_id, on_id in (("t1", "t2"), ("t2", "t3"), ("t3", "t4"), ("t1", "t4")):
        await depend(making, task_id, on_id)
    with pytest.raises(UsageError, match="t4 cannot wait for t2: t4 → t2 → t3 → t4"):
        await depend(making, "t4", "t2")
    with pytest.raises(UsageError, match="t4 cannot wait for t1: t4 → t1 → t4"):
        await depend(making, "t4", "t1")
    with pytest.raises(UsageError, match="t1 cannot wait for t1: t1 → t1"):
        await depend(making, "t1", "t1")
    assert (await making.read(lambda tx: tasks.require(tx, "t4"))).depends_on == ()


async def test_the_same_dependency_twice_is_one(making):
    for _ in range(2):
        await add(making)
    for _ in range(2):
        await depend(making, "t1", "t2")
    assert (await making.read(lambda tx: tasks.require(tx, "t1"))).depends_on == ("t2",)


async def test_a_dependency_on_nothing_is_refused(making):
    await add(making)
    for task_id, on_id in (("t1", "t9"), ("t9", "t1")):
        with pytest.raises(NotFound, match="'t9'"):
            await depend(making, task_id, on_id)


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=20))
def test_no_order_of_edges_makes_a_circle(edges):
    async def add_all() -> None:
        kept: dict[int, set[int]] = {n: set() for n in range(1, 7)}

        def reaches(start: int, goal: int) -> bool:
            return start == goal or any(reaches(near, goal) for near in kept[start])

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "meta.db"
            migrate.prepare(path, backups=path.parent, now=1)
            async with aiosqlite.connect(path, isolation_level=None) as tx:
                tx.row_factory = aiosqlite.Row
                await tx.execute_fetchall("PRAGMA synchronous = OFF")
                for _ in kept:
                    await tasks.insert(tx, title="x", now=1)
                for task, on in edges:
                    if reaches(on, task):
                        with pytest.raises(UsageError, match=f"t{task} cannot wait for t{on}"):
                            await tasks.add_dependency(tx, f"t{task}", f"t{on}", now=1)
                    else:
                        await tasks.add_dependency(tx, f"t{task}", f"t{on}", now=1)
                        kept[task].add(on)
                for task in await tasks.list_(tx):
                    assert {tasks.number(on) for on in task.depends_on} == kept[
                        tasks.number(task.id)
                    ]

    asyncio.run(add_all())


async def test_an_unknown_task_is_named(making):
    for change in (
        lambda tx: tasks.set_status(tx, "t9", TaskStatus.DONE, now=1),
        lambda tx: tasks.set_fields(tx, "t9", title="x", now=1),
        lambda tx: tasks.assign(tx, "t9", owner_id=None, manager_id=None, now=1),
        lambda tx: tasks.require(tx, "t9"),
    ):
        with pytest.raises(NotFound, match="'t9'"):
            await making.write(change)
