"""The queue and the bell in a whole daemon, and in a home from before there was a queue."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from netsky_runtime.control.handle import LocalHandle
from netsky_runtime.db import attention, migrate
from netsky_runtime.db.connection import Database
from netsky_runtime.states import AttentionKind
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE
from tests.test_daemon import ask, daemon, until

NOW = 9

if TYPE_CHECKING:
    from pathlib import Path


async def queue(tx):
    return await attention.list_(tx, now=NOW)


async def rung(handle: LocalHandle) -> str:
    """Return what the next ring says."""
    async with asyncio.timeout(PATIENCE):
        async for push in handle.pushes():
            if push.data.get("level") == "ring":
                return str(push.data["text"])
    raise AssertionError("the daemon has ended")


async def test_a_room_is_rung_for_and_a_failed_message_is_put_away(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        await handle.call("watch", {"actor_id": "manager0"})
        await ask(handle, "FAIL")
        assert await rung(handle) == "A message to manager0 failed."
        (item,) = await running.database.read(queue)
        assert (await handle.call("status"))["counts"]["attention"] == 1
        away = item.about.actions[-1]
        await handle.call(away.method, away.params)
        assert await running.database.read(queue) == ()
        await handle.close()


async def test_a_failed_message_that_is_sent_again_reaches_its_actor(tmp_path):
    async with daemon(tmp_path) as running:
        handle = running.handle()
        await ask(handle, "FAIL")
        (item,) = await running.database.read(queue)
        again = item.about.actions[0]
        await handle.call(again.method, again.params)

        async def failed_again() -> bool:
            found = await running.database.read(queue)
            return [each.key for each in found] not in ([], [item.key])

        await until(running, failed_again)
        (second,) = await running.database.read(queue)
        assert (second.kind, second.about.text) == (AttentionKind.FAILED, "FAIL")
        await handle.close()


def notifier(folder: Path) -> Path:
    """A desktop that keeps what it is told."""
    folder.mkdir()
    kept = folder / "kept.json"
    program = folder / "notify-send"
    program.write_text(
        f"#!{sys.executable}\nimport json, os, sys\n"
        f"json.dump(sys.argv[1:], open({str(kept)!r} + '.new', 'w'))\n"
        f"os.rename({str(kept)!r} + '.new', {str(kept)!r})\n"
    )
    program.chmod(0o700)
    return kept


async def test_a_daemon_without_a_room_tells_the_desktop(tmp_path):
    kept = notifier(tmp_path / "bin")
    async with daemon(tmp_path, environ={"PATH": str(tmp_path / "bin")}) as running:
        handle = running.handle()
        await ask(handle, "FAIL")

        async def told() -> bool:
            waiting = await running.database.read(
                lambda tx: attention.waiting(tx, now=NOW, limit=5)
            )
            return any(each.told for each in waiting)

        await until(running, told)
        assert json.loads(kept.read_text())[-1] == "A message to manager0 failed."
        await handle.close()


BEFORE = """
INSERT INTO actors (id, kind, status, created_at, updated_at)
    VALUES ('w', 'worker', 'active', 1, 1);
INSERT INTO messages (seq, id, source, direction, kind, sender, target, body, status, created_at)
    VALUES (1, 'm-1', 'cli', 'inbound', 'text', 'owner', 'w', 'x', 'failed', 1);
INSERT INTO actor_inputs (seq, id, actor_id, message_id, mode, status, created_at)
    VALUES (1, 'i-1', 'w', 'm-1', 'queue', 'failed', 1),
           (2, 'i-2', 'w', 'm-1', 'queue', 'uncertain', 1);
INSERT INTO approvals (number, id, engine_id, request_id, thread_id, turn_id, item_id, actor_id,
    kind, status, created_at) VALUES (1, 'a1', 'e', '1', 't', 't', 'i', 'w', 'command', 'lost', 1);
"""


async def test_what_had_come_to_nothing_before_there_was_a_queue_is_no_news(tmp_path):
    path = tmp_path / "meta.db"
    before = [step for step in migrate.shipped() if step.number < 5]
    migrate.prepare(path, backups=tmp_path, now=1, migrations=before)
    with closing(sqlite3.connect(path)) as raw:
        raw.executescript(BEFORE)
        raw.commit()
    database = await Database.open(path, backups=tmp_path / "backups", clock=ManualClock())
    found = await database.read(queue)
    await database.close()
    assert [item.key for item in found] == ["uncertain:i-2"]
