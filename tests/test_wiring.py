"""Which door new actors get, and what is said of the doors before it."""

from dataclasses import replace

import pytest

from netsky_runtime import settings, wiring
from netsky_runtime.codex.probe import Fingerprint
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.records import DoorResult, Engine, EngineState, RuntimeName
from tests.support.fakes import ManualClock

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT
OPEN = DoorResult(door=APP, open=True, version="0.163.0", milliseconds=1, reason="", tried_at=1)


def shut(door):
    return replace(OPEN, door=door, open=False, reason=f"It has no {door.value}.")


class FakeDoors:
    """A Codex with these doors, or none at all."""

    def __init__(self, *results, missing=False):
        self.results = results
        self.missing = missing

    async def best(self):
        if self.missing:
            msg = "No Codex was found."
            raise CodexMissing(msg)
        best = next((result for result in self.results if result.open), None)
        return best, [result for result in self.results if not result.open]

    async def ask(self, door):
        return next(result for result in self.results if result.door is door)


def not_asked():
    pytest.fail("the door was set, and Codex was asked all the same")


@pytest.mark.parametrize("door", list(RuntimeName))
async def test_the_door_that_was_set_is_taken_unseen(door):
    chosen = settings.load({"runtime": door.value}, {})
    assert await wiring.choose(chosen, not_asked) == wiring.Choice(door)


async def test_auto_takes_the_best_open_door_and_says_why_not_the_ones_before_it():
    doors = FakeDoors(shut(APP), shut(MCP), replace(OPEN, door=RESIDENT))
    choice = await wiring.choose(settings.load({}, {}), lambda: doors)
    assert choice.runtime is RESIDENT
    assert choice.notices == (
        "app_server is not open: It has no app_server.",
        "mcp_server is not open: It has no mcp_server.",
    )
    assert (await wiring.choose(settings.load({}, {}), lambda: FakeDoors(OPEN))).notices == ()


async def test_with_no_door_or_no_codex_app_server_is_left_to_say_so():
    for doors in (FakeDoors(shut(APP), shut(MCP), shut(RESIDENT)), FakeDoors(missing=True)):
        choice = await wiring.choose(settings.load({}, {}), lambda d=doors: d)
        assert choice.runtime is APP


async def test_a_door_that_somebody_asks_for_has_to_be_open():
    doors = FakeDoors(OPEN, shut(MCP))
    await wiring.check_door(lambda: doors, APP)
    await wiring.check_door(not_asked, RuntimeName.SCRIPTED)
    with pytest.raises(Unhealthy, match="no mcp_server") as refused:
        await wiring.check_door(lambda: doors, MCP)
    assert "netsky doctor" in refused.value.hint


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "meta.db"
    opened = await Database.open(path, backups=tmp_path / "backups", clock=ManualClock())
    yield opened
    await opened.close()


async def test_each_runtime_finds_its_own_engine_again(database):
    def rows(runtime):
        return wiring.EngineRows(database=database, clock=ManualClock(), runtime=runtime)

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


async def test_what_a_handshake_has_shown_is_in_the_database(database):
    rows = wiring.DoorRows(database=database)
    binary = Fingerprint("/codex", 7, 9)
    assert await rows.load(binary) == {}
    await rows.save(binary, OPEN)
    assert await rows.load(binary) == {APP: OPEN}
    assert await rows.load(replace(binary, mtime_ns=10)) == {}
