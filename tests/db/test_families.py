"""Actors, sessions, engines, turns and the smaller tables."""

from __future__ import annotations

import sqlite3

import pytest

from netsky_runtime.db import (
    actors,
    daemon_row,
    engines,
    logs,
    notes,
    sessions,
    settings,
    tool_calls,
    turns,
    usage,
)
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.fact_records import ToolCall, Usage
from netsky_runtime.records import MANAGER0, OWNER, Engine, LogRow, Thread, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    EngineState,
    RuntimeName,
    SessionState,
    ToolsDoor,
    TurnStatus,
)
from tests.db.making import actor, session


async def test_a_name_is_taken_once(making):
    with pytest.raises(Conflict, match="already an actor 'worker1'"):
        await making.actor(actor("worker1"))


async def test_an_actor_needs_a_manager_that_is_there(making):
    with pytest.raises(sqlite3.IntegrityError):
        await making.actor(actor("worker2", manager_id="ghost"))


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        (ActorKind.MANAGER, [], "manager1"),
        (ActorKind.WORKER, ["worker9", "worker10"], "worker11"),
        (ActorKind.WORKER, ["worker7b", "worker-8", "workers9"], "worker2"),
        (ActorKind.WORKER, ["worker99999999999999999999"], "worker100000000000000000000"),
    ],
)
async def test_the_next_name_is_free(making, kind, names, expected):
    for name in names:
        await making.actor(actor(name))
    assert await making.read(lambda tx: actors.next_name(tx, kind)) == expected
    await making.actor(actor(expected, kind))


async def test_the_first_manager_is_number_nought(database):
    assert await database.read(lambda tx: actors.next_name(tx, ActorKind.MANAGER)) == MANAGER0
    assert await database.read(lambda tx: actors.next_name(tx, ActorKind.WORKER)) == "worker1"


async def test_why_an_actor_is_parked_is_kept_only_while_it_is(making):
    for status, kept in ((ActorStatus.PARKED, "why"), (ActorStatus.ACTIVE, "")):
        await making.write(
            lambda tx, status=status: actors.set_status(tx, "worker1", status, reason="why", now=7)
        )
        found = await making.read(lambda tx: actors.require(tx, "worker1"))
        assert (found.status, found.park_reason, found.updated_at) == (status, kept, 7)


async def test_an_actor_is_changed_and_listed(making):
    await making.write(lambda tx: actors.set_cwd(tx, "worker1", "/w", now=3))
    found = {each.id: each for each in await making.read(actors.list_all)}
    assert list(found) == [OWNER, MANAGER0, "worker1"]
    assert (found["worker1"].cwd, found["worker1"].updated_at) == ("/w", 3)


async def test_an_unknown_actor_is_named(making):
    for change in (
        lambda tx: actors.require(tx, "ghost"),
        lambda tx: actors.set_status(tx, "ghost", ActorStatus.ACTIVE, now=1),
        lambda tx: actors.set_cwd(tx, "ghost", "", now=1),
    ):
        with pytest.raises(NotFound, match="no actor 'ghost'"):
            await making.write(change)


async def test_an_actor_has_one_session_at_a_time(making):
    first = await making.session(session("s-1", "worker1", config={"a": [1]}))
    with pytest.raises(Conflict, match="worker1 has a session already"):
        await making.session(session("s-2", "worker1"))
    assert await making.read(lambda tx: sessions.current(tx, "worker1")) == first
    await making.write(lambda tx: sessions.end(tx, "s-1", reason="over", now=4))
    await making.write(lambda tx: sessions.end(tx, "s-1", reason="again", now=5))
    assert await making.read(lambda tx: sessions.current(tx, "worker1")) is None
    second = await making.session(session("s-2", "worker1"))
    assert await making.read(sessions.list_current) == (second,)


async def test_a_session_that_is_over_stays_as_it_ended(making):
    await making.session(session("s-1", "worker1"))
    await making.write(lambda tx: sessions.end(tx, "s-1", reason="over", now=4))
    for change in (
        lambda tx: sessions.set_state(tx, "s-1", SessionState.LIVE),
        lambda tx: sessions.bind_thread(
            tx, "s-1", thread_id="th", engine_id="e", tools_door=ToolsDoor.DYNAMIC, now=1
        ),
        lambda tx: sessions.unbind_thread(tx, "s-1"),
    ):
        with pytest.raises(NotFound, match="or it is over"):
            await making.write(change)


async def test_a_session_learns_its_thread_and_may_forget_it(making):
    await making.session(session("s-1", "worker1"))
    await making.write(
        lambda tx: sessions.bind_thread(
            tx, "s-1", thread_id="th", engine_id="e", tools_door=ToolsDoor.DYNAMIC, now=3
        )
    )
    await making.write(
        lambda tx: sessions.set_state(tx, "s-1", SessionState.LIVE, differences="model")
    )
    bound = await making.read(lambda tx: sessions.current(tx, "worker1"))
    assert (bound.thread_id, bound.engine_id, bound.state) == ("th", "e", SessionState.LIVE)
    assert bound.differences == "model"
    thread = await making.read(lambda tx: sessions.get_thread(tx, "th"))
    assert (thread.session_id, thread.actor_id, thread.resync) == ("s-1", "worker1", False)
    await making.write(
        lambda tx: sessions.set_state(tx, "s-1", SessionState.LOST, engine_id="e2", reason="gone")
    )
    lost = await making.read(lambda tx: sessions.current(tx, "worker1"))
    assert (lost.engine_id, lost.differences, lost.end_reason) == ("e2", "model", "gone")
    await making.write(lambda tx: sessions.set_state(tx, "s-1", SessionState.LIVE))
    assert (await making.read(lambda tx: sessions.current(tx, "worker1"))).end_reason == ""
    await making.write(lambda tx: sessions.unbind_thread(tx, "s-1"))
    fresh = await making.read(lambda tx: sessions.current(tx, "worker1"))
    assert (fresh.thread_id, fresh.engine_id) == ("", "")
    assert fresh.state is SessionState.STARTING


async def test_a_thread_with_a_gap_is_marked_until_it_is_filled(making):
    await making.session(session("s-1", "worker1"))
    thread = Thread(
        id="th",
        actor_id="worker1",
        session_id="s-1",
        runtime=RuntimeName.SCRIPTED,
        created_at=1,
    )
    for _ in range(2):
        await making.write(lambda tx: sessions.insert_thread(tx, thread))
    for marked in (True, False):
        await making.write(lambda tx, marked=marked: sessions.set_resync(tx, "th", marked))
        found = await making.read(lambda tx: sessions.get_thread(tx, "th"))
        assert found.resync is marked


async def test_the_running_engine_is_the_last_that_has_not_ended(making):
    def engine(engine_id: str, started_at: int) -> Engine:
        return Engine(
            id=engine_id,
            runtime=RuntimeName.APP_SERVER,
            state=EngineState.RUNNING,
            pid=1,
            pid_started=1.5,
            binary="codex",
            version="1",
            codex_home="h",
            socket="s",
            started_at=started_at,
        )

    async def running() -> Engine | None:
        return await making.read(lambda tx: engines.running(tx, RuntimeName.APP_SERVER))

    assert await running() is None
    for number in (1, 2):
        await making.write(lambda tx, n=number: engines.insert(tx, engine(f"e-{n}", n)))
    assert await running() == engine("e-2", 2)
    await making.write(
        lambda tx: engines.end(tx, "e-2", state=EngineState.LOST, reason="died", now=9)
    )
    assert await running() == engine("e-1", 1)


def turn(turn_id: str, started_at: int = 5, **fields) -> Turn:
    known = {"thread_id": "th", "actor_id": "worker1", "status": TurnStatus.IN_PROGRESS}
    return Turn(**{**known, "id": turn_id, "started_at": started_at, **fields})


async def test_a_turn_that_is_over_is_not_started_again(making):
    await making.write(lambda tx: turns.start(tx, turn("t-1")))
    await making.write(
        lambda tx: turns.complete(
            tx, "th", "t-1", status=TurnStatus.FAILED, completed_at=9, error="no", final_text="x"
        )
    )
    await making.write(lambda tx: turns.start(tx, turn("t-1", 4)))
    found = await making.read(lambda tx: turns.get(tx, "th", "t-1"))
    over = {"status": TurnStatus.FAILED, "completed_at": 9, "error": "no", "final_text": "x"}
    assert found == turn("t-1", 4, **over)
    assert await making.read(turns.running) == ()


async def test_running_turns_are_found_and_past_ones_listed_newest_first(making):
    for number in (1, 2, 3):
        await making.write(lambda tx, n=number: turns.start(tx, turn(f"t-{n}", n)))
    await making.write(
        lambda tx: turns.complete(tx, "th", "t-2", status=TurnStatus.INTERRUPTED, completed_at=None)
    )
    assert [each.id for each in await making.read(turns.running)] == ["t-1", "t-3"]
    own = await making.read(lambda tx: turns.running(tx, "worker1"))
    assert [each.id for each in own] == ["t-1", "t-3"]
    assert await making.read(lambda tx: turns.running(tx, MANAGER0)) == ()
    last = await making.read(lambda tx: turns.list_for_actor(tx, "worker1", limit=2))
    assert [each.id for each in last] == ["t-3", "t-2"]


async def test_usage_is_the_newest_total_of_each_thread(making):
    def total(thread_id: str, turn_id: str, tokens: int, at: int, window: int | None = 9) -> Usage:
        return Usage(
            thread_id=thread_id,
            turn_id=turn_id,
            actor_id="worker1",
            input_tokens=tokens,
            cached_tokens=1,
            output_tokens=2,
            reasoning_tokens=3,
            total_tokens=tokens + 2,
            context_window=window,
            updated_at=at,
        )

    await making.session(session("s-1", "worker1"))
    for thread_id in ("th", "th2"):
        thread = Thread(
            id=thread_id,
            actor_id="worker1",
            session_id="s-1",
            runtime=RuntimeName.SCRIPTED,
            created_at=1,
        )
        await making.write(lambda tx, thread=thread: sessions.insert_thread(tx, thread))
    told = [total("th", "a", 10, 1), total("th", "b", 30, 3), total("th2", "c", 5, 2)]
    repeated = [total("th", "b", 30, 3, None), total("th", "b", 20, 2)]
    for row in told + repeated:
        await making.write(lambda tx, row=row: usage.upsert(tx, row))
    assert await making.read(lambda tx: usage.of_actor(tx, "worker1")) == (told[1], told[2])
    sums = await making.read(usage.totals)
    assert (sums.input_tokens, sums.total_tokens, sums.cached_tokens) == (35, 39, 2)


async def test_a_tool_call_is_recorded_once(making):
    call = ToolCall(
        thread_id="th",
        turn_id="t",
        call_id="c",
        actor_id="worker1",
        tool="add_note",
        arguments={"body": "ü"},
        success=False,
        text="no",
        created_at=1,
    )
    assert await making.read(lambda tx: tool_calls.get(tx, "th", "t", "c")) is None
    await making.write(lambda tx: tool_calls.insert(tx, call))
    assert await making.read(lambda tx: tool_calls.get(tx, "th", "t", "c")) == call
    with pytest.raises(sqlite3.IntegrityError):
        await making.write(lambda tx: tool_calls.insert(tx, call))


async def test_notes_are_kept_in_order(making):
    for body in ("one", "two", "three"):
        await making.write(lambda tx, b=body: notes.insert(tx, author=OWNER, body=b, now=1))
    found = await making.read(lambda tx: notes.list_(tx, limit=2))
    assert [(note.id, note.body) for note in found] == [("n2", "two"), ("n3", "three")]
    assert await making.read(lambda tx: notes.list_(tx, task_id="t1")) == ()
    with pytest.raises(UsageError, match="empty"):
        await making.write(lambda tx: notes.insert(tx, author=OWNER, body=" ", now=1))


async def test_log_lines_keep_their_order_and_their_fields(making):
    lines = [
        LogRow(seq=0, at=n, level="info", component="c", message=str(n), fields={"n": n})
        for n in range(3)
    ]
    await making.write(lambda tx: logs.insert_many(tx, lines))
    found = await making.read(lambda tx: logs.tail(tx, limit=2))
    assert [(line.seq, line.message, line.fields) for line in found] == [
        (2, "1", {"n": 1}),
        (3, "2", {"n": 2}),
    ]


async def test_a_log_field_of_any_kind_is_stored(making, path):
    line = LogRow(seq=0, at=1, level="info", component="c", message="m", fields={"path": path})
    await making.write(lambda tx: logs.insert_many(tx, [line]))
    (found,) = await making.read(lambda tx: logs.tail(tx, limit=1))
    assert found.fields == {"path": str(path)}


async def test_the_last_value_of_a_setting_counts(making):
    for value in ("a", "b"):
        await making.write(lambda tx, v=value: settings.set_(tx, "model", v, now=1))
    assert await making.read(settings.get_all) == {"model": "b"}


async def test_every_daemon_takes_the_next_epoch(making):
    assert await making.read(daemon_row.current) is None
    for epoch in (1, 2):
        taken = await making.write(lambda tx, e=epoch: daemon_row.take_epoch(tx, 100 + e, 5))
        assert taken == epoch
    row = await making.read(daemon_row.current)
    assert (row.epoch, row.pid, row.started_at) == (2, 102, 5)
