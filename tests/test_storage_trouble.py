"""A daemon under which the disk fails: it says so, lies to nobody, and recovers by itself."""

from __future__ import annotations

import asyncio
import os
import resource
import sqlite3
from contextlib import closing, contextmanager

import pytest

from netsky_runtime import storage_watch
from netsky_runtime.db import events, inputs, trouble
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import DatabaseError
from netsky_runtime.states import InputStatus
from netsky_runtime.supervise import Supervisor
from tests.support.fakes import ManualClock
from tests.test_daemon import daemon, until

PATIENCE = 20.0
SMALL_FILES = 16_384
"""Bytes: logs and the scripted threads are smaller; the database's log is written behind it."""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(trouble, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(storage_watch, "STEADY_SECONDS", 0.05)
    monkeypatch.setattr(storage_watch, "LOOK_SECONDS", 0.05)


@contextmanager
def no_room():
    """Let the disk take no byte more of the database, as a quota does: for this whole process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_FILES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def notices(running) -> list[tuple[str, str]]:
    told = []
    running.feed.notice = lambda level, text: told.append((level, text))
    running.storage._tell = running.feed.notice
    return told


async def send(running, text: str):
    return await running.handle().call("send", {"target": "manager0", "body": text})


async def waiting_approvals(running) -> int:
    return (await running.handle().call("status"))["counts"]["approvals_pending"]


async def storage(running):
    return (await running.handle().call("status"))["storage"]


async def in_trouble(running, state: str = "trouble") -> None:
    async with asyncio.timeout(PATIENCE):
        while (await storage(running))["state"] != state:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.01)


async def test_a_disk_that_takes_nothing_is_told_once_refuses_input_and_loses_nothing_that_runs(
    tmp_path,
):
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        told = notices(running)
        sent = await send(running, "ASK[make] SAY[made]")
        await until(running, lambda: waiting_approvals(running))
        thread = running.services.fleet.session_of("manager0")
        with no_room():
            with pytest.raises(DatabaseError, match="does not work"):
                await send(running, "SAY[refused]")
            for _ in range(3):
                with pytest.raises(DatabaseError, match="Nothing was stored"):
                    await send(running, "SAY[small]")
            assert (await storage(running))["state"] == "trouble"
            found = (await running.verbs("doctor", {}))["checks"]
            (check,) = [check for check in found if check["name"] == "database"]
            assert check["state"] == "fail"
            assert "quota" in check["hint"]
            assert "does not work" in (await storage(running))["notice"]
        await in_trouble(running, "ok")
        assert running.services.fleet.session_of("manager0") is thread  # Codex was not dropped
        await running.handle().call(
            "approvals.decide", {"id": await pending(running), "decision": "accept"}
        )
        answer = await running.handle().call(
            "wait", {"input_id": sent["input_id"], "timeout": PATIENCE}
        )
        assert answer["reply"]["body"] == "made"
        await asyncio.sleep(3 * storage_watch.STEADY_SECONDS)
    storage_told = [(level, text) for level, text in told if "tor" in text]
    assert [level for level, _ in storage_told] == ["error", "info"]
    assert "new input is refused" in storage_told[0][1]
    assert "works again" in storage_told[1][1]


async def pending(running) -> str:
    async def body(tx):
        found = await tx.execute_fetchall("SELECT id FROM approvals WHERE status = 'pending'")
        return next(iter(found))["id"]

    return await running.database.read(body)


async def test_a_turn_that_ends_while_the_disk_takes_nothing_is_settled_when_it_does(tmp_path):
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        words = "x" * 2_000
        first = await send(running, "SAY[warm]")
        await running.handle().call("wait", {"input_id": first["input_id"], "timeout": PATIENCE})
        sent = await send(running, f"SLOW0.3 SAY[{words}]")

        async def seen():
            row = await running.database.read(lambda tx: inputs.require(tx, sent["input_id"]))
            return row.status is InputStatus.SEEN

        await until(running, seen)
        with no_room():
            await in_trouble(running)
            thread = running.services.fleet.session_of("manager0")
            while thread.active_turn:  # noqa: ASYNC110 - nobody is told
                await asyncio.sleep(0.01)
            row = await running.database.read(lambda tx: inputs.require(tx, sent["input_id"]))
            assert row.status is InputStatus.SEEN
            assert (await storage(running))["writes_waiting"]
        answer = await running.handle().call(
            "wait", {"input_id": sent["input_id"], "timeout": PATIENCE}
        )
        assert answer["reply"]["body"] == words
        await running.services.facts.flush()
        facts = await running.database.read(lambda tx: events.recent(tx, "manager0", limit=99))
        kinds = [fact.kind for fact in facts if fact.turn_id == row.turn_id]
        assert kinds[0] == "turn.started"
        assert kinds[-1] == "turn.completed"


async def test_a_daemon_is_stopped_in_time_while_its_disk_takes_nothing_and_the_next_goes_on(
    tmp_path,
):
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        sent = await send(running, "ASK[make] SAY[made]")
        with no_room():
            with pytest.raises(DatabaseError, match="does not work"):
                await send(running, "SAY[refused]")
            await running.stop(keep_engine=False)
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:

        async def settled():
            row = await running.database.read(lambda tx: inputs.require(tx, sent["input_id"]))
            return not row.status.open or await waiting_approvals(running)

        await until(running, settled)


async def test_a_database_that_was_taken_away_is_told_and_written_again_when_it_is_back(tmp_path):
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        path = running.options.home.database
        aside = path.with_name("aside.db")
        path.rename(aside)
        await in_trouble(running)
        with pytest.raises(DatabaseError, match="removed or replaced"):
            await send(running, "SAY[hello]")
        aside.rename(path)
        await in_trouble(running, "ok")
        assert (await send(running, "SAY[hello]"))["input_id"]


async def test_a_look_at_the_database_that_fails_is_not_the_last(tmp_path, monkeypatch):
    clock, failures = ManualClock(), []
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(tmp_path / "meta.db", backups=tmp_path, clock=clock)
        read, lost = database.read, asyncio.Event()
        await database.own(pid=os.getpid(), now=1, lost=lost.set)
        monkeypatch.setattr(database, "read", failing)
        watch = storage_watch.StorageWatch(
            database=database,
            clock=clock,
            log=lambda *_: None,
            tell=lambda *_: None,
            facts_waiting=lambda: 0,
        )
        supervisor = Supervisor(report=lambda *failed: failures.append(failed))
        try:
            supervisor.spawn("watch", watch.run())
            await clock.pass_next()
            monkeypatch.setattr(database, "read", read)
            with closing(sqlite3.connect(database.path)) as other:
                other.execute("UPDATE daemon SET epoch = epoch + 1")
                other.commit()
            while not lost.is_set():
                await clock.pass_next()
        finally:
            await supervisor.close()
            await database.close()
        assert failures == []


async def test_a_watch_that_is_begun_again_takes_no_other_file_for_its_own(tmp_path):
    clock = ManualClock()
    async with asyncio.timeout(PATIENCE):
        database = await Database.open(tmp_path / "meta.db", backups=tmp_path, clock=clock)
        watch = storage_watch.StorageWatch(
            database=database,
            clock=clock,
            log=lambda *_: None,
            tell=lambda *_: None,
            facts_waiting=lambda: 0,
        )
        told = []
        for change in (lambda: None, lambda: database.path.rename(tmp_path / "aside.db")):
            change()
            running = asyncio.ensure_future(watch.run())
            await clock.pass_next()
            await clock.until_sleeping()
            told.append(watch.state()["problem"])
            running.cancel()
            await asyncio.wait([running])
        (tmp_path / "aside.db").rename(database.path)
        await database.close()
    assert told[0] == ""
    assert "was removed or replaced" in told[1]


async def failing(_body):
    raise DatabaseError("It took longer than 30 s.")


async def test_an_idle_daemon_finds_out_that_another_has_the_home(tmp_path):
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        path = running.options.home.database
        script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
        script += "c.execute('UPDATE daemon SET epoch = epoch + 1'); c.commit()"
        process = await asyncio.create_subprocess_exec("python3", "-c", script, os.fspath(path))
        assert await process.wait() == 0
        await running.asked_to_stop.wait()
        assert running.taken_over
