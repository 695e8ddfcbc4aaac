"""What doors to Codex find again in the database."""

from dataclasses import replace

import pytest

from netsky_runtime.codex.probe import Fingerprint
from netsky_runtime.db.connection import Database
from netsky_runtime.door_stores import DoorRows, EngineRows
from netsky_runtime.records import DoorResult, Engine
from netsky_runtime.states import EngineState, RuntimeName
from tests.support.fakes import ManualClock

APP, MCP = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER
OPEN = DoorResult(door=APP, open=True, version="0.163.0", milliseconds=1, reason="", tried_at=1)


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "meta.db"
    opened = await Database.open(path, backups=tmp_path / "backups", clock=ManualClock())
    yield opened
    await opened.close()


async def test_each_runtime_finds_its_own_engine_again(database):
    def rows(runtime):
        return EngineRows(database=database, clock=ManualClock(), runtime=runtime)

    engine = Engine(
        id="e-1",
        runtime=MCP,
        state=EngineState.RUNNING,
        pid=1,
        pid_started=1.0,
        binary="codex",
        version="0.153.4",
        codex_home="",
        socket="",
        started_at=1,
    )
    await rows(MCP).save(engine)
    assert await rows(MCP).load() == engine
    assert await rows(APP).load() is None


async def test_a_door_is_told_of_also_while_nothing_can_be_stored(database):
    rows = DoorRows(database=database)
    await database.write(lambda tx: tx.execute_fetchall("DROP TABLE doors"))
    await rows.save(Fingerprint("/codex", 7, 9), OPEN)


async def test_what_a_handshake_has_shown_is_in_the_database(database):
    rows = DoorRows(database=database)
    binary = Fingerprint("/codex", 7, 9)
    assert await rows.load(binary) == {}
    await rows.save(binary, OPEN)
    assert await rows.load(binary) == {APP: OPEN}
    assert await rows.load(replace(binary, mtime_ns=10)) == {}
