"""What turns took: each once, however often and in whatever order it is told."""

import asyncio
import itertools
import sqlite3
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import budgets, migrate, rows, spending, tasks
from netsky_runtime.db.connection import Database
from netsky_runtime.fact_records import Usage
from netsky_runtime.states import Priority, TaskStatus
from tests.db.making import Making

NUMBERS = itertools.count()


def used(thread_id, turn_id, total, at, actor_id="worker1"):
    return Usage(
        thread_id=thread_id,
        turn_id=turn_id,
        actor_id=actor_id,
        input_tokens=total,
        cached_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        total_tokens=total,
        context_window=None,
        updated_at=at,
    )


async def shares(tx, thread_id):
    found = await rows.many(
        tx, "SELECT turn_id, tokens FROM spending WHERE thread_id = ?", thread_id
    )
    told = {row["turn_id"]: row["tokens"] for row in found}
    actors = await rows.many(
        tx, "SELECT actor_id, sum(tokens) AS n FROM spending GROUP BY actor_id"
    )
    for row in actors:  # the sums that are kept are those of the shares
        assert await spending.of_actor(tx, row["actor_id"]) == row["n"]
    return told


async def tell(making, *facts):
    async def body(tx):
        for fact in facts:
            await spending.tell(tx, fact)

    await making.write(body)


@pytest.fixture
def spine(tmp_path):
    """A database and a loop of its own to use it from a test that hypothesis drives."""
    with asyncio.Runner() as runner:
        clock = SystemClock()
        opened = Database.open(tmp_path / "meta.db", backups=tmp_path / "b", clock=clock)
        database = runner.run(opened)
        yield runner, database
        runner.run(database.close())


@st.composite
def told(draw):
    """Draw a thread's turns as totals after each response, then the facts as they may arrive."""
    turns = draw(st.lists(st.lists(st.integers(0, 1_000), min_size=1, max_size=3), max_size=5))
    facts, total, at = [], 0, 0
    expected = {}
    for number, responses in enumerate(turns):
        before = total
        for tokens in responses:
            total, at = total + tokens, at + draw(st.integers(0, 3))
            facts.append((f"t{number:02}", total, at))
        expected[f"t{number:02}"] = total - before
        at += 1
    if facts:  # a resume tells the last total again, later
        facts += [
            (facts[-1][0], facts[-1][1], at + after)
            for after in draw(st.lists(st.integers(1, 9), max_size=2))
        ]
        facts += draw(st.lists(st.sampled_from(facts), max_size=6))
    return draw(st.permutations(facts)), expected


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(told())
def test_whatever_the_order_and_repetition_of_facts_each_turn_counts_once(spine, drawn):
    runner, database = spine
    facts, expected = drawn
    thread_id = f"th{next(NUMBERS)}"

    async def body(tx):
        for turn_id, total, at in facts:
            await spending.tell(tx, used(thread_id, turn_id, total, at))
        return await shares(tx, thread_id)

    assert runner.run(database.write(body)) == expected


async def test_a_counter_that_begins_anew_is_counted_by_itself(making: Making):
    await tell(
        making,
        used("th", "t1", 900, 1),
        used("th", "t2", 100, 2),
        used("th", "t3", 250, 3),
    )
    assert await making.write(lambda tx: shares(tx, "th")) == {"t1": 900, "t2": 100, "t3": 150}


async def test_a_clock_that_is_set_back_counts_nothing_twice(making: Making):
    await tell(
        making,
        used("th", "t1", 100_000, 10_000),
        used("th", "t2", 150_000, 9_000),
        used("th", "t2", 160_000, 9_001),
        used("th", "t1", 100_000, 9_002),
        used("th", "a3", 161_000, 9_003),
    )
    assert await making.write(lambda tx: shares(tx, "th")) == {
        "t1": 100_000,
        "t2": 60_000,
        "a3": 1_000,
    }
    assert await making.write(lambda tx: spending.of_actor(tx, "worker1")) == 161_000


async def test_what_an_actor_and_a_task_have_used_is_looked_up_and_not_added_up(making: Making):
    async def plan(tx):
        found = await rows.many(tx, f"EXPLAIN QUERY PLAN {budgets._OF}", 0, "worker1")
        return " ".join(row["detail"] for row in found)

    found = await making.write(plan)
    assert "SEARCH s USING PRIMARY KEY (scope=? AND subject=?)" in found
    assert "SEARCH s USING COVERING INDEX spending_by_day" in found
    assert "SCAN s" not in found


async def test_usage_of_no_turn_is_in_the_share_of_the_next_one(making: Making):
    await tell(making, used("th", "t1", 100, 1), used("th", "", 180, 2), used("th", "t2", 200, 3))
    assert await making.write(lambda tx: shares(tx, "th")) == {"t1": 100, "t2": 100}


async def test_the_threads_of_sub_agents_count_for_their_actor(making: Making):
    await tell(
        making,
        used("th", "t1", 100, 1),
        used("child", "c1", 40, 2),
        used("other", "o1", 7, 3, actor_id="manager0"),
    )
    assert await making.write(lambda tx: spending.of_actor(tx, "worker1")) == 140
    assert await making.write(lambda tx: spending.of_actor(tx, "manager0")) == 7


async def test_a_turn_counts_for_the_task_in_hand_when_it_is_first_heard_of(making: Making):
    async def take(tx, status, worker="worker1"):
        return await tasks.insert(
            tx,
            title="T",
            body="",
            priority=Priority.P2,
            status=status,
            owner_id=worker,
            manager_id="manager0",
            estimate_minutes=None,
            now=1,
        )

    await tell(making, used("th", "t0", 5, 1))
    first = await making.write(lambda tx: take(tx, TaskStatus.IN_PROGRESS))
    await tell(making, used("th", "t1", 105, 2))
    await making.write(lambda tx: tasks.set_status(tx, first.id, TaskStatus.DONE, now=3))
    second = await making.write(lambda tx: take(tx, TaskStatus.IN_PROGRESS))
    await tell(making, used("th", "t1", 125, 4), used("th", "t2", 225, 5))
    assert await making.write(lambda tx: spending.of_task(tx, first.id)) == 120
    assert await making.write(lambda tx: spending.of_task(tx, second.id)) == 100


async def test_a_day_has_the_turns_first_heard_of_since_it_began(making: Making):
    await tell(
        making,
        used("th", "t1", 100, 1_000),
        used("th", "t2", 150, 1_999),
        used("th", "t2", 190, 2_001),
        used("th", "t3", 200, 2_000),
    )
    assert await making.write(lambda tx: spending.since(tx, 2_000)) == 10
    assert await making.write(lambda tx: spending.since(tx, 0)) == 200


def test_what_was_used_before_there_were_budgets_is_counted_from_the_totals_of_then(tmp_path):
    path, steps = tmp_path / "old.db", migrate.shipped()
    migrate.prepare(path, backups=tmp_path / "b", now=1, migrations=steps[:6])
    told = [("th", "t1", 100, 1), ("th", "t2", 250, 2), ("th", "t3", 80, 3), ("th", "", 90, 4)]
    with closing(sqlite3.connect(path)) as old:
        old.executemany("INSERT INTO usage VALUES (?, ?, 'worker1', 0, 0, 0, 0, ?, NULL, ?)", told)
        old.commit()
    migrate.prepare(path, backups=tmp_path / "b", now=2)
    with closing(sqlite3.connect(path)) as new:
        found = new.execute("SELECT turn_id, tokens FROM spending ORDER BY at").fetchall()
        spent = new.execute("SELECT * FROM spent").fetchall()
    assert found == [("t1", 100), ("t2", 150), ("t3", 80)]
    assert spent == [("actor", "worker1", 330)]
