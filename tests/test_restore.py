"""Back to a backup: nothing of what happened since is sent again, nothing there is is deleted."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import backup, inputs, ledger, migrate
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import Conflict, DaemonRunning, DatabaseError, NotFound
from netsky_runtime.invariants import check
from netsky_runtime.offline import offline
from netsky_runtime.restore import UNKNOWN_EPOCHS, restore
from netsky_runtime.states import InputStatus
from tests.test_daemon import daemon, options, until

PATIENCE = 30.0


async def take(home):
    target = backup.free_name(home.backups, SystemClock().now())
    return await asyncio.to_thread(backup.take, home.database, target)


async def send(running, text: str) -> str:
    sent = await running.handle().call("send", {"target": "manager0", "body": text})
    return sent["input_id"]


async def answer(running, input_id: str) -> str:
    told = await running.handle().call("wait", {"input_id": input_id, "timeout": PATIENCE})
    return told["reply"]["body"]


async def accept(running) -> None:
    async def pending():
        found = await running.database.read(
            lambda tx: tx.execute_fetchall("SELECT id FROM approvals WHERE status = 'pending'")
        )
        return next((row["id"] for row in found), None)

    await until(running, pending)
    await running.handle().call("approvals.decide", {"id": await pending(), "decision": "accept"})


async def times_in_history(running, input_id: str) -> int:
    history = await running.services.fleet.session_of("manager0").history()
    said = [item.text for turn in history for item in turn.items if item.type == "user_message"]
    return sum(input_id in text for text in said)


async def test_what_was_answered_after_the_backup_is_recognised_and_not_sent_again(tmp_path):
    home = options(tmp_path).home
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        await answer(running, await send(running, "SAY[warm]"))
        first = await send(running, "ASK[make] SAY[first]")
        second = await send(running, "SAY[second]")

        async def seen():
            row = await running.database.read(lambda tx: inputs.require(tx, first))
            return row.status is InputStatus.SEEN

        await until(running, seen)
        copy = await take(home)
        await accept(running)
        assert await answer(running, second) == "second"
    done = await restore(home, copy.path, clock=SystemClock())
    assert done.asked == (second,)
    assert done.uncertain == ()
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        assert await answer(running, first) == "first"
        assert await answer(running, second) == "second"
        assert await times_in_history(running, first) == 1
        assert await times_in_history(running, second) == 1


async def test_what_threads_remember_from_after_the_backup_violates_nothing(tmp_path):
    home = options(tmp_path).home
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        await answer(running, await send(running, "SAY[before]"))
        copy = await take(home)
        await answer(running, await send(running, "SAY[after]"))
    await restore(home, copy.path, clock=SystemClock())
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        assert await answer(running, await send(running, "SAY[again]")) == "again"
        report = await check(home, {"HOME": str(tmp_path)}, running.database, live=True)
    assert report.violations == []


async def test_what_was_never_sent_is_sent_once_after_its_history_was_read(tmp_path):
    home = options(tmp_path).home
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        await answer(running, await send(running, "SAY[warm]"))
    async with offline(home, cwd=tmp_path / "work") as verbs:
        sent = await verbs("send", {"target": "manager0", "body": "SAY[late]"})
    copy = await take(home)
    done = await restore(home, copy.path, clock=SystemClock())
    assert done.asked == (sent["input_id"],)
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        assert await answer(running, sent["input_id"]) == "late"
        assert await times_in_history(running, sent["input_id"]) == 1


async def test_what_a_backup_knows_no_thread_for_is_left_to_a_human(tmp_path):
    home = options(tmp_path).home
    tmp_path.joinpath("work").mkdir(exist_ok=True)
    async with offline(home, cwd=tmp_path / "work") as verbs:
        sent = await verbs("send", {"target": "manager0", "body": "SAY[first]"})
    copy = await take(home)
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        assert await answer(running, sent["input_id"]) == "first"
    done = await restore(home, copy.path, clock=SystemClock())
    assert done.uncertain == (sent["input_id"],)
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        row = await running.database.read(lambda tx: inputs.require(tx, sent["input_id"]))
        assert row.status is InputStatus.UNCERTAIN
        assert "knows no thread" in row.reason


async def test_what_was_sent_in_a_thread_that_the_backup_does_not_know_is_left_to_a_human(tmp_path):
    home = options(tmp_path).home
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        await answer(running, await send(running, "SAY[warm]"))
    async with offline(home, cwd=tmp_path / "work") as verbs:
        late = [
            (await verbs("send", {"target": "manager0", "body": f"SAY[{number}]"}))["input_id"]
            for number in range(2)
        ]
    copy = await take(home)
    with closing(sqlite3.connect(home.database)) as since, since:  # as after a lost conversation
        since.execute(
            "UPDATE actor_inputs SET status = 'answered', thread_id = 'anew' WHERE id = ?",
            (late[0],),
        )
    done = await restore(home, copy.path, clock=SystemClock())
    assert (done.asked, done.uncertain) == ((late[1],), (late[0],))
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        assert await answer(running, late[1]) == "1"
        row = await running.database.read(lambda tx: inputs.require(tx, late[0]))
        assert row.status is InputStatus.UNCERTAIN
        assert row.reason.endswith("it was sent since, in thread anew")
        assert await times_in_history(running, late[0]) == 0


async def test_the_database_that_was_there_is_set_aside_whole(tmp_path):
    home = options(tmp_path).home
    async with asyncio.timeout(PATIENCE), daemon(tmp_path) as running:
        await answer(running, await send(running, "SAY[before]"))
        copy = await take(home)
        await answer(running, await send(running, "SAY[after]"))
        epoch = running.epoch
    done = await restore(home, copy.path, clock=SystemClock())
    assert done.epoch > epoch
    assert done.before.rows["messages"] - done.copy.rows["messages"] == 2
    assert backup.verify(done.aside).rows == done.before.rows
    assert backup.verify(home.database).rows["messages"] == copy.rows["messages"]
    assert not list(home.root.glob("restoring*"))


async def test_the_log_of_a_daemon_that_was_killed_goes_aside_with_its_database(tmp_path):
    home = options(tmp_path).home
    async with offline(home, cwd=tmp_path) as verbs:
        await verbs("settings.set", {"key": "model", "value": "first"})
    copy = await take(home)
    with closing(sqlite3.connect(home.database)) as held:  # keeps the log from being folded in
        held.execute("SELECT count(*) FROM settings").fetchone()
        async with offline(home, cwd=tmp_path) as verbs:
            await verbs("settings.set", {"key": "model", "value": "second"})
        done = await restore(home, copy.path, clock=SystemClock())
    assert model(done.aside) == "second"
    assert model(home.database) == "first"


def model(path) -> str:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT value FROM settings WHERE key = 'model'").fetchone()
        return str(found[0])


async def ledger_of(home):
    database = await Database.open(home.database, backups=home.backups, clock=SystemClock())
    try:
        broken = await database.read(ledger.verify)
        return broken, await database.read(lambda tx: ledger.after(tx, None))
    finally:
        await database.close()


async def test_a_restore_revives_no_rule_and_is_an_entry_that_names_the_end_of_what_was_set_aside(
    tmp_path,
):
    home = options(tmp_path).home
    async with offline(home, cwd=tmp_path) as verbs:
        for allow in ("pytest *", "make"):
            await verbs("rules.add", {"cwd": str(tmp_path), "allow": allow})
    copy = await take(home)
    async with offline(home, cwd=tmp_path) as verbs:
        await verbs("rules.revoke", {"id": "r1"})
        await verbs("rules.add", {"cwd": str(tmp_path), "allow": "ls"})
    _, before = await ledger_of(home)
    await restore(home, copy.path, clock=SystemClock())
    broken, entries = await ledger_of(home)
    assert broken is None
    assert [entry.kind for entry in entries] == [
        "rule_added",
        "rule_added",
        "restored",
        "rule_revoked",
    ]
    assert entries[2].entry["by"] == "owner"
    assert entries[2].entry["aside"] == {"count": 4, "hash": before[-1].hash}
    assert entries[3].entry["rule"] == "r1"


async def test_where_the_database_could_not_be_read_the_ledger_says_that_its_end_is_not_known(
    tmp_path,
):
    home = options(tmp_path).home
    async with offline(home, cwd=tmp_path):
        pass
    copy = await take(home)
    home.database.write_bytes(b"scribbled over" * 1_000)
    await restore(home, copy.path, clock=SystemClock())
    _, (entry,) = await ledger_of(home)
    assert (entry.kind, entry.entry["aside"]) == ("restored", None)


async def test_a_damaged_database_is_replaced_and_kept(tmp_path):
    home = options(tmp_path).home
    async with offline(home, cwd=tmp_path) as verbs:
        await verbs("settings.set", {"key": "model", "value": "first"})
    copy = await take(home)
    home.database.write_bytes(b"scribbled over" * 1_000)
    with pytest.raises(DatabaseError, match="netsky restore"):
        async with offline(home, cwd=tmp_path):
            pass
    done = await restore(home, copy.path, clock=SystemClock())
    assert done.before is None
    assert done.aside.read_bytes().startswith(b"scribbled over")
    assert done.epoch > copy.epoch + UNKNOWN_EPOCHS
    assert model(home.database) == "first"


async def test_a_backup_of_an_older_netsky_is_brought_up_to_date(tmp_path):
    home = options(tmp_path).home
    home.prepare()
    old = tmp_path / "old.db"
    migrate.prepare(old, backups=tmp_path, now=1, migrations=migrate.shipped()[:2])
    done = await restore(home, old, clock=SystemClock())
    assert done.copy.schema == 2
    assert backup.verify(home.database).schema == len(migrate.shipped())
    assert backup.verify(old).schema == 2


async def test_a_restore_is_refused_while_a_daemon_runs_or_the_file_is_no_backup(tmp_path):
    home = options(tmp_path).home
    async with asyncio.timeout(PATIENCE), daemon(tmp_path):
        copy = await take(home)
        with pytest.raises(DaemonRunning):
            await restore(home, copy.path, clock=SystemClock())
    with pytest.raises(NotFound, match="There is no file"):
        await restore(home, tmp_path / "nowhere", clock=SystemClock())
    text = tmp_path / "text"
    text.write_text("no database" * 100)
    before = home.database.read_bytes()
    with pytest.raises(DatabaseError, match="not a database"):
        await restore(home, text, clock=SystemClock())
    assert home.database.read_bytes() == before


async def test_a_restore_is_refused_while_codex_works_on(tmp_path):
    home = options(tmp_path).home
    async with offline(home, cwd=tmp_path):
        pass
    copy = await take(home)
    with closing(socket.socket(socket.AF_UNIX)) as engine:
        engine.bind(str(home.engine_socket))
        engine.listen()
        with pytest.raises(Conflict, match="The engine works on"):
            await restore(home, copy.path, clock=SystemClock())
