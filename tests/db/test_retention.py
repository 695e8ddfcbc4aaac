"""What of events and logs is deleted, what stays for a trace, and that the steps are small."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import settings as how
from hypothesis import strategies as st

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import events, inputs, logs, retention, rows, tasks, turns
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError
from netsky_runtime.housekeeping import DAY_MS, Housekeeping
from netsky_runtime.records import LogRow, Turn
from netsky_runtime.settings import Settings
from netsky_runtime.states import InputStatus, Priority, TaskStatus, TurnStatus
from tests.support.fakes import START_MS, ManualClock
from tests.support.patience import PATIENCE

DAYS = Settings().events_keep_days


@pytest.fixture(autouse=True)
def spare_few(monkeypatch):
    monkeypatch.setitem(retention.SPARED, "events", 2)
    monkeypatch.setitem(retention.SPARED, "logs", 2)


async def prune(database, *, clock=None, **changes) -> int:
    keeping = house(database, clock or ManualClock())
    settings = Settings().model_copy(update=changes)
    return await passing(keeping, keeping.prune(settings))


def house(database, clock) -> Housekeeping:
    return Housekeeping(
        database=database,
        backups=database.path.parent / "backups",
        settings=_never,
        clock=clock,
        log=lambda *_: None,
    )


async def _never():
    raise AssertionError


async def passing(keeping, work):
    """Let its rests pass at once."""

    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    keeping._clock.sleep = at_once
    return await work


def fact(number: int, *, turn="u", kind="item.completed", days: float = 0) -> events.Fact:
    at = START_MS - round(days * DAY_MS)
    return ("th", turn, f"i{number}", kind, "worker1", at, "{}")


async def store(database, facts) -> None:
    await database.write(lambda tx: events.upsert_many(tx, facts))


async def kept(database) -> list[str]:
    return [
        event.item_id for event in await database.read(lambda tx: events.after(tx, 0, limit=999))
    ]


async def test_what_is_older_goes_and_what_is_younger_stays(database):
    ages = [DAYS + 2, DAYS + 1, DAYS + 0.01, DAYS - 0.01, 3, 1, 0]
    await store(database, [fact(n, days=age) for n, age in enumerate(ages)])
    assert await prune(database) == 3
    assert await kept(database) == ["i3", "i4", "i5", "i6"]
    assert await database.read(lambda tx: retention.pruned_to(tx, "events")) == 3


async def test_of_too_many_the_oldest_go_whatever_their_age(database):
    await store(database, [fact(n) for n in range(30)])
    assert await prune(database, events_keep_rows=10) == 20
    assert await kept(database) == [f"i{n}" for n in range(20, 30)]


async def test_the_newest_stay_however_old_a_clock_that_jumped_calls_them(database):
    await store(database, [fact(n) for n in range(5)])
    clock = ManualClock(START_MS + 5_000 * DAY_MS)
    assert await prune(database, clock=clock) == 3
    assert await kept(database) == ["i3", "i4"]


async def test_the_starts_and_ends_of_turns_stay_longer(database):
    kinds = ["turn.started", "item.completed", "usage", "approval.requested", "turn.completed"]
    old = [fact(n, kind=kind, days=5 * DAYS) for n, kind in enumerate(kinds)]
    older = [
        fact(10 + n, turn="v", kind=kind, days=DAYS * retention.LANDMARK_TIMES + 1)
        for n, kind in enumerate(kinds)
    ]
    await store(database, [*older, *old, fact(20), fact(21)])
    await prune(database)
    assert await kept(database) == ["i0", "i3", "i4", "i20", "i21"]


async def running_turn(making):
    turn = Turn(
        thread_id="th",
        id="u",
        actor_id="worker1",
        status=TurnStatus.IN_PROGRESS,
        started_at=1,
    )
    await making.write(lambda tx: turns.start(tx, turn))

    async def end(tx):
        await turns.complete(tx, "th", "u", status=TurnStatus.COMPLETED, completed_at=2)

    return end


async def open_input(making):
    input_id = await making.input(target="worker1")
    await making.write(lambda tx: inputs.see(tx, [input_id], thread_id="th", turn_id="u", now=1))
    return lambda tx: inputs.settle(tx, [input_id], InputStatus.ANSWERED, now=2)


async def uncertain_input(making):
    end = await open_input(making)
    doubt = "UPDATE actor_inputs SET status = 'uncertain'"
    await making.write(lambda tx: rows.many(tx, doubt))

    async def settle(tx):
        await rows.many(tx, "UPDATE actor_inputs SET status = 'seen'")
        await end(tx)

    return settle


async def pending_approval(making):
    asked = """
    INSERT INTO approvals (id, engine_id, request_id, thread_id, turn_id, item_id, actor_id, kind,
        status, created_at)
    VALUES ('a', 'e', '1', 'th', 'u', 'i', 'worker1', 'command', 'pending', 1)
    """
    await making.write(lambda tx: rows.many(tx, asked))
    return lambda tx: rows.many(tx, "UPDATE approvals SET status = 'cancelled'")


async def open_task(making):
    task = await making.write(
        lambda tx: tasks.insert(
            tx,
            title="T",
            body="",
            priority=Priority.P1,
            status=TaskStatus.IN_PROGRESS,
            owner_id="worker1",
            manager_id="manager0",
            estimate_minutes=None,
            now=1,
        )
    )
    end = await open_input(making)
    await making.write(lambda tx: rows.many(tx, "UPDATE messages SET task_id = ?", task.id))
    await making.write(end)
    return lambda tx: rows.many(tx, "UPDATE tasks SET status = 'done', closed_at = 2")


@pytest.mark.parametrize(
    "open_", [running_turn, open_input, uncertain_input, pending_approval, open_task]
)
async def test_the_facts_of_what_is_still_open_stay_until_it_is_over(making, open_):
    database = making.database
    end = await open_(making)
    facts = [fact(1, days=2 * DAYS), fact(2, turn="other", days=2 * DAYS), fact(3), fact(4)]
    await store(database, facts)
    assert await prune(database) == 1
    assert await kept(database) == ["i1", "i3", "i4"]
    await making.write(end)
    assert await prune(database) == 1
    assert await kept(database) == ["i3", "i4"]


async def test_what_stayed_for_something_open_is_looked_at_again_the_next_day(making):
    database = making.database
    end = await open_input(making)
    await store(database, [fact(1, days=2 * DAYS), fact(2), fact(3)])
    clock = ManualClock()
    keeping = house(database, clock)
    assert await passing(keeping, keeping.prune(Settings())) == 0
    await making.write(end)
    assert await keeping.prune(Settings()) == 0
    clock._elapsed += DAY_MS / 1000
    assert await keeping.prune(Settings()) == 1


async def test_logs_go_by_age_and_by_number(database):
    ages = [40, 31, 29, 5, 4, 3, 2, 1]
    lines = [
        LogRow(
            seq=0,
            at=START_MS - age * DAY_MS,
            level="info",
            component="daemon",
            message=f"m{age}",
            fields={},
        )
        for age in ages
    ]
    await database.write(lambda tx: logs.insert_many(tx, lines))
    assert await prune(database) == 2
    assert await prune(database, logs_keep_rows=4) == 2
    left = await database.read(lambda tx: logs.tail(tx, limit=99))
    assert [line.message for line in left] == ["m4", "m3", "m2", "m1"]


async def test_a_writer_beside_it_never_waits_for_more_than_one_step(database):
    """Between two steps everybody else's turn comes."""
    await store(database, [fact(n, days=2 * DAYS) for n in range(2_000)])
    keeping = house(database, ManualClock())
    order = []
    database.on_commit(lambda: order.append("step"))

    async def write_between():
        for number in range(20):
            await store(database, [fact(10_000 + number)])
            order.append("written")

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(passing(keeping, keeping.prune(Settings())))
        group.create_task(write_between())
    first, last = order.index("written"), len(order) - 1 - order[::-1].index("written")
    assert "step" in order[first:last]
    # Which are the newest depends on whether a step or a writer came first.
    left = await kept(database)
    assert {f"i{10_000 + number}" for number in range(20)} <= set(left)
    assert len(left) <= 20 + retention.SPARED["events"]


@given(ages=st.lists(st.integers(0, 60), max_size=40), gaps=st.sets(st.integers(1, 40)))
@how(max_examples=25, deadline=None)
def test_the_place_of_an_age_is_found_with_gaps_in_the_numbers(tmp_path_factory, ages, gaps):
    """As a scan from end to end would find it."""

    async def body() -> None:
        path = tmp_path_factory.mktemp("home") / "meta.db"
        database = await Database.open(path, backups=path.parent, clock=SystemClock())
        try:
            facts = [fact(n, days=age) for n, age in enumerate(sorted(ages, reverse=True))]
            await store(database, facts)
            delete = "DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?))"
            await database.write(lambda tx: rows.many(tx, delete, str(sorted(gaps))))
            before = START_MS - 30 * DAY_MS
            found = await database.read(
                lambda tx: retention.frontier(tx, "events", before=before, keep_rows=10**9)
            )
            older = "SELECT coalesce(max(seq), 0) FROM events WHERE at < ?"
            last = await database.read(lambda tx: rows.value(tx, older, before))
            first = "SELECT coalesce(min(seq), 1) FROM events"
            oldest = await database.read(lambda tx: rows.value(tx, first))
            newest = await database.read(events.last_seq)
        finally:
            await database.close()
        spared = newest - retention.SPARED["events"]
        assert found == min(last, spared) if last else found < oldest

    asyncio.run(body())


@pytest.mark.parametrize("keep", [0, 1, 7])
async def test_a_copy_is_taken_every_day_and_the_newest_are_kept(database, keep):
    clock = ManualClock()
    keeping = house(database, clock)
    settings = Settings(backup_keep=keep)
    for day in range(9):
        took = await keeping.back_up(settings)
        assert (took is not None) == bool(keep)
        clock._elapsed += 3_600
        assert await keeping.back_up(settings) is None, day
        clock._elapsed += DAY_MS / 1000
    folder = database.path.parent / "backups"
    assert len(list(folder.glob("meta-*.db"))) == min(keep, 9)


async def test_a_clock_that_was_ahead_once_leaves_one_copy_a_day(database):
    clock = ManualClock()
    keeping, settings = house(database, clock), Settings(backup_keep=2)
    ahead = 70 * 365 * DAY_MS / 1000
    clock._elapsed += ahead
    of_the_future = await keeping.back_up(settings)
    clock._elapsed -= ahead
    for day in range(3):
        taken = await keeping.back_up(settings)
        assert taken is not None, day
        assert taken.exists()
        clock._elapsed += 600
        assert await keeping.back_up(settings) is None, day
        clock._elapsed += DAY_MS / 1000
    assert not of_the_future.exists()


async def test_a_failure_is_told_once_and_tried_again(database):
    lines = []
    clock = ManualClock()

    async def broken():
        raise DatabaseError("It took too long.")

    keeping = Housekeeping(
        database=database,
        backups=database.path.parent / "backups",
        settings=broken,
        clock=clock,
        log=lambda *line: lines.append(line),
    )
    running = asyncio.ensure_future(keeping.run())
    async with asyncio.timeout(PATIENCE):
        for _ in range(4):
            await clock.pass_next()
        await clock.until_sleeping()
    running.cancel()
    await asyncio.wait([running])
    assert [message for _, message, _ in lines] == ["housekeeping failed"]
