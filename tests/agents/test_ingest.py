"""Facts and log lines on their way to storage that fails for a while."""

import asyncio
import os
import resource
import shutil
import sqlite3
from contextlib import asynccontextmanager, contextmanager
from unittest.mock import patch

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from netsky_runtime import logbook
from netsky_runtime.agents import ingest
from netsky_runtime.agents.ingest import FactWriter
from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import events, logs
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError
from netsky_runtime.logbook import Logbook
from netsky_runtime.supervise import Supervisor
from tests.support.budgets import keeper
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE


class Failing:
    """A database whose next writes fail, once for each error given."""

    def __init__(self, database, *errors):
        self._database = database
        self._errors = list(errors)

    async def write(self, body, **then):
        if self._errors:
            raise self._errors.pop(0)
        return await self._database.write(body, **then)


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
        writer = FactWriter(
            database=failing,
            clock=clock,
            log=lambda *line: lines.append(line),
            budgets=keeper(database, clock),
        )
        async with running(writer.run()), asyncio.timeout(PATIENCE):
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
    assert [message for _, message, _ in lines] == ["facts could not be stored"]  # told once


async def test_a_fact_that_no_row_can_hold_costs_no_other_and_changes_no_order(tmp_path):
    lines = []
    async with opened(tmp_path) as database:
        log = lambda *line: lines.append(line)  # noqa: E731
        writer = FactWriter(
            database=database,
            clock=SystemClock(),
            log=log,
            budgets=keeper(database, SystemClock()),
        )
        for number in range(7):
            text = "\ud800" if number in {2, 5} else "words"
            fact = CodexEvent(
                EventKind.ITEM_COMPLETED, "th", number, "u", f"i{number}", data={"text": text}
            )
            await writer.put("manager0", fact)
        async with running(writer.run()), asyncio.timeout(PATIENCE):
            await writer.flush()
        stored = await database.read(lambda tx: events.recent(tx, "manager0", limit=9))
    assert [event.item_id for event in stored] == ["i0", "i1", "i3", "i4", "i6"]
    assert [line[1] for line in lines] == ["a fact cannot be stored and was left out"] * 2


@given(
    facts=st.lists(st.sampled_from(["fact", "unfit"]), max_size=30),
    faults=st.lists(st.sampled_from([None, "full", "busy", "lost answer"]), max_size=40),
    batch=st.integers(1, 7),
)
@settings(max_examples=60, deadline=None)
def test_whatever_fails_when_every_fact_that_fits_is_stored_once_and_in_order(facts, faults, batch):
    asyncio.run(_all_in_order(facts, faults, batch))


async def _all_in_order(facts, faults, batch):
    clock = ManualClock()
    shelf = Shelf(faults)
    writer = FactWriter(
        database=shelf, clock=clock, log=lambda *_: None, budgets=keeper(shelf, clock)
    )
    with patch.object(ingest, "BATCH", batch), patch.object(ingest, "_store", Shelf.put):
        for number, kind in enumerate(facts):
            fact = CodexEvent(EventKind.ITEM_COMPLETED, "th", number, "u", f"{kind}{number}")
            await writer.put("manager0", fact)
        async with running(writer.run()), asyncio.timeout(PATIENCE):
            flushed = asyncio.ensure_future(writer.flush())
            while not flushed.done():
                await clock.advance(1.0)
            await flushed
    fitting = [f"fact{number}" for number, kind in enumerate(facts) if kind == "fact"]
    assert list(shelf.rows) == fitting


class Shelf:
    """What is left of a database: rows by their key, in the order they first came, and faults."""

    def __init__(self, faults):
        self._faults = list(faults)
        self.rows = {}

    async def write(self, body, *, then):
        fault = self._faults.pop(0) if self._faults else None
        if fault in {"full", "busy"}:
            raise DatabaseError(f"The disk is {fault}.")
        before = dict(self.rows)
        try:
            await body(self)
        except sqlite3.IntegrityError:
            self.rows = before
            raise
        if fault == "lost answer":  # it is stored, and told again
            raise OSError(5, "input/output error")

    async def put(self, *, budgets, batch):
        for _, item_id, _ in batch:
            if item_id.startswith("unfit"):
                raise sqlite3.IntegrityError(item_id)
            self.rows.setdefault(item_id, True)


async def test_whoever_brings_facts_waits_only_when_there_is_no_room_at_all(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "QUEUE_LIMIT", 3)
    async with opened(tmp_path) as database:
        writer = FactWriter(
            database=database,
            clock=SystemClock(),
            log=lambda *_: None,
            budgets=keeper(database, SystemClock()),
        )
        for number in range(3):
            fact = CodexEvent(EventKind.ITEM_COMPLETED, "th", number, "u", f"i{number}")
            async with asyncio.timeout(1):
                await writer.put("manager0", fact)
        late = CodexEvent(EventKind.ITEM_COMPLETED, "th", 3, "u", "i3")
        waiting = asyncio.ensure_future(writer.put("manager0", late))
        await settle()
        assert not waiting.done()
        async with running(writer.run()), asyncio.timeout(PATIENCE):
            await waiting
            await writer.flush()
        stored = await database.read(lambda tx: events.recent(tx, "manager0", limit=9))
    assert [event.item_id for event in stored] == ["i0", "i1", "i2", "i3"]


async def test_a_flush_waits_for_no_fact_that_came_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr(ingest, "BATCH", 2)
    async with opened(tmp_path) as database:
        busy = Busy(database)
        writer = FactWriter(
            database=busy,
            clock=SystemClock(),
            log=lambda *_: None,
            budgets=keeper(database, SystemClock()),
        )
        busy.writer = writer
        await writer.put("manager0", CodexEvent(EventKind.ITEM_COMPLETED, "th", 0, "u", "first"))
        async with running(writer.run()), asyncio.timeout(PATIENCE):
            await writer.flush()
            assert len(writer) > 0
            busy.ends = True
            await writer.flush()
        stored = await database.read(lambda tx: events.recent(tx, "manager0", limit=99))
    assert [event.item_id for event in stored] == ["first", *busy.came]


class Busy:
    """A database to which others have something new with every commit."""

    ends = False

    def __init__(self, database):
        self._database = database
        self.came = []

    async def write(self, body, **then):
        result = await self._database.write(body, **then)
        if not self.ends:
            self.came.append(f"i{len(self.came)}")
            await self.writer.put(
                "manager0", CodexEvent(EventKind.ITEM_COMPLETED, "th", 0, "u", self.came[-1])
            )
        return result


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
        writer = FactWriter(
            database=database,
            clock=SystemClock(),
            log=lambda *line: None,
            budgets=keeper(database, SystemClock()),
        )
        async with running(writer.run()), asyncio.timeout(PATIENCE):
            for at, (actor, thread, reason) in enumerate(told):
                fact = CodexEvent(EventKind.BLOCKED, thread, at, data={"reason": reason})
                await writer.put(actor, fact)
            await writer.flush()
        stored = await database.read(lambda tx: events.after(tx, 0, limit=9))
    assert [(one.actor_id, one.thread_id, one.data["reason"]) for one in stored] == told


async def test_log_lines_reach_the_database_when_their_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    book = Logbook(file=tmp_path / "file" / "netsky.jsonl", clock=ManualClock())
    async with opened(tmp_path) as database:
        for message in ("first", "second"):
            book("info", message, {})
            await book.flush(database)
        stored = await database.read(lambda tx: logs.tail(tx, limit=9))
        assert [row.message for row in stored] == ["first", "second"]
        (tmp_path / "file").unlink()
        await book.flush(database)
    assert written(tmp_path / "file" / "netsky.jsonl") == ["first", "second"]


async def test_a_log_folder_that_is_gone_is_made_again(tmp_path):
    file = tmp_path / "logs" / "netsky.jsonl"
    book = Logbook(file=file, clock=SystemClock())
    async with opened(tmp_path) as database:
        for message in ("first", "second"):
            book("info", message, {})
            await book.flush(database)
            assert written(file) == [message]
            shutil.rmtree(file.parent)


async def test_a_half_written_log_is_taken_back_and_written_whole_when_there_is_room(tmp_path):
    file = tmp_path / "netsky.jsonl"
    book = Logbook(file=file, clock=SystemClock())
    async with opened(tmp_path) as database:
        book("info", "first", {})
        await book.flush(database)
        before = file.read_bytes()
        book("info", "second " * 100, {})
        with no_file_larger_than(len(before) + 100):
            await book._to_file()
        assert file.read_bytes() == before
        await book.flush(database)
    assert [message.split()[0] for message in written(file)] == ["first", "second"]


@contextmanager
def no_file_larger_than(size):
    """What is left of a disk, for this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_log_lines_reach_their_file_at_once_and_the_database_when_it_can_be_written(tmp_path):
    file = tmp_path / "netsky.jsonl"
    book = Logbook(file=file, clock=SystemClock())
    async with opened(tmp_path) as database:
        failing = Failing(database, DatabaseError("It took too long."))
        book("info", "first", {})
        await book.flush(failing)
        assert written(file) == ["first"]
        book("info", "second", {})
        await book.flush(failing)
        stored = await database.read(lambda tx: logs.tail(tx, limit=9))
    assert [row.message for row in stored] == ["first", "second"]
    assert written(file) == ["first", "second"]


async def test_what_a_log_cannot_keep_is_counted_and_the_newest_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(logbook, "QUEUE_LIMIT", 3)
    book = Logbook(file=tmp_path / "netsky.jsonl", clock=SystemClock())
    async with opened(tmp_path) as database:
        for number in range(5):
            book("info", f"line {number}", {})
        await book.flush(database)
        await book.flush(database)
        stored = await database.read(lambda tx: logs.tail(tx, limit=9))
    assert [row.message for row in stored] == [
        "line 2",
        "line 3",
        "line 4",
        "log lines were dropped",
    ]
    assert stored[-1].fields == {"lines": 2}


async def test_a_line_with_the_name_of_a_file_that_is_no_text_is_kept_all_the_same(tmp_path):
    name = os.fsdecode(b"caf\xe9")
    book = Logbook(file=tmp_path / "netsky.jsonl", clock=SystemClock())
    async with opened(tmp_path) as database:
        book("warning", f"lost {name}", {"file": name, "size": 2**70})
        await book.flush(database)
        (row,) = await database.read(lambda tx: logs.tail(tx, limit=9))
    assert row.message == "lost caf\\udce9"
    assert "udce9" in row.fields["file"]
    assert written(tmp_path / "netsky.jsonl") == [row.message]


def written(file):
    return [orjson.loads(line)["message"] for line in file.read_bytes().splitlines()]
