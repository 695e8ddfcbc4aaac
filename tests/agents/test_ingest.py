"""Facts and log lines on their way to storage that fails for a while."""

import asyncio
from contextlib import asynccontextmanager

import orjson

from netsky_runtime.agents.ingest import FactWriter
from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import events, logs
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError
from netsky_runtime.logbook import Logbook
from netsky_runtime.supervise import Supervisor
from tests.support.fakes import ManualClock


class Failing:
    """A database whose next writes fail, once for each error given."""

    def __init__(self, database, *errors):
        self._database = database
        self._errors = list(errors)

    async def write(self, body):
        if self._errors:
            raise self._errors.pop(0)
        return await self._database.write(body)


@asynccontextmanager
async def opened(tmp_path):
    database = await Database.open(
        tmp_path / "meta.db", backups=tmp_path / "backups", clock=SystemClock()
    )
    try:
        yield database
    finally:
        await database.close()


@asynccontextmanager
async def running(work):
    """Run ``work`` in the background; an error that ends it fails the test."""
    failures = []
    supervisor = Supervisor(report=lambda name, error: failures.append((name, error)))
    supervisor.spawn("work", work)
    try:
        yield
        assert len(supervisor) == 1
    finally:
        await supervisor.close()
    assert not failures


async def test_facts_are_stored_in_order_after_the_database_has_failed_for_a_while(tmp_path):
    lines = []
    clock = ManualClock()
    async with opened(tmp_path) as database:
        failing = Failing(database, DatabaseError("It took too long."), OSError(28, "disk full"))
        writer = FactWriter(database=failing, clock=clock, log=lambda *line: lines.append(line))
        async with running(writer.run()), asyncio.timeout(5):
            for kind in (EventKind.TURN_STARTED, EventKind.TURN_COMPLETED):
                await writer.put("manager0", CodexEvent(kind, "th", 1, "u"))
            assert await clock.pass_next() == 1.0
            assert await clock.pass_next() == 1.0
            await writer.flush()
        stored = await database.read(lambda tx: events.recent(tx, "manager0", limit=9))
    assert [event.kind for event in stored] == [
        EventKind.TURN_STARTED.value,
        EventKind.TURN_COMPLETED.value,
    ]
    assert [message for _, message, _ in lines] == ["facts could not be stored"] * 2


async def test_every_word_of_a_blocked_screen_is_kept_and_none_replaces_anothers(tmp_path):
    """Threads without a name share none, and a thread is blocked more than once."""
    told = [
        ("worker1", "", "A login."),
        ("worker2", "", "Another login."),
        ("worker1", "th", "A dialog."),
        ("worker1", "th", ""),
        ("worker1", "th", "A dialog."),
    ]
    async with opened(tmp_path) as database:
        writer = FactWriter(database=database, clock=SystemClock(), log=lambda *line: None)
        async with running(writer.run()), asyncio.timeout(5):
            for at, (actor, thread, reason) in enumerate(told):
                fact = CodexEvent(EventKind.BLOCKED, thread, at, data={"reason": reason})
                await writer.put(actor, fact)
            await writer.flush()
        stored = await database.read(lambda tx: events.after(tx, 0, limit=9))
    assert [(one.actor_id, one.thread_id, one.data["reason"]) for one in stored] == told


async def test_log_lines_reach_the_database_when_their_file_cannot_be_written(tmp_path):
    book = Logbook(file=tmp_path / "no such folder" / "netsky.jsonl", clock=SystemClock())
    async with opened(tmp_path) as database:
        committed = asyncio.Event()
        database.on_commit(committed.set)
        async with running(book.run(database)), asyncio.timeout(5):
            for message in ("first", "second"):
                committed.clear()
                book("info", message, {})
                await committed.wait()
        stored = await database.read(lambda tx: logs.tail(tx, limit=9))
    assert [row.message for row in stored] == ["first", "second"]


async def test_log_lines_reach_their_file_when_the_database_cannot_be_written(tmp_path):
    file = tmp_path / "netsky.jsonl"
    book = Logbook(file=file, clock=SystemClock())
    async with opened(tmp_path) as database:
        failing = Failing(database, DatabaseError("It took too long."))
        book("info", "first", {})
        await book.flush(failing)
        book("info", "second", {})
        await book.flush(failing)
        stored = await database.read(lambda tx: logs.tail(tx, limit=9))
    assert [row.message for row in stored] == ["second"]
    written = [orjson.loads(line)["message"] for line in file.read_bytes().splitlines()]
    assert written == ["first", "log rows could not be stored", "second"]
