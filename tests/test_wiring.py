"""Which door new actors get, and what is said of the doors before it."""

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime import settings, wiring
from netsky_runtime.codex.base import RuntimeInfo
from netsky_runtime.codex.probe import Fingerprint
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.paths import Home
from netsky_runtime.records import DoorResult, Engine
from netsky_runtime.states import EngineState, RuntimeName
from tests.support.fakes import CountingIds, ManualClock

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
    with pytest.raises(Unhealthy, match="mcp_server is not open") as refused:
        await wiring.check_door(lambda: doors, MCP)
    assert "netsky doctor" in refused.value.hint


@pytest.fixture
def runtimes(tmp_path, database):
    return wiring.Runtimes(
        choice=wiring.Choice(RESIDENT, ("app_server is not open: It ended.",)),
        environ={"PATH": "/no/such/path", "CODEX_HOME": str(tmp_path / "codex")},
        demo=False,
        settings=settings.load({}, {}),
        home=Home.locate({"NETSKY_HOME": str(tmp_path / "home")}),
        database=database,
        clock=ManualClock(),
        ids=CountingIds(),
        log=lambda *_: None,
    )


@pytest.mark.parametrize("name", list(RuntimeName))
async def test_every_door_can_be_made_and_is_what_the_room_says_it_is(runtimes, name):
    runtime = runtimes.get(name)
    assert runtime.name is name
    assert runtimes.get(name) is runtime


@pytest.mark.parametrize("name", list(RuntimeName))
async def test_a_door_says_why_of_all_it_lacks_that_people_ask_for(runtimes, name):
    can = runtimes.get(name).capabilities
    asked_for = ("resume", "steer", "approvals", "terminal")
    assert set(can.lacks) == {what for what in asked_for if not getattr(can, what)}
    assert runtimes.lacks() == {name.value: can.lacks}


async def test_why_a_lesser_door_was_taken_is_among_the_notices(runtimes):
    info = await runtimes.info()
    assert info.name is RESIDENT
    assert info.notices[-1] == "app_server is not open: It ended."
    assert any("danger-full-access" in notice for notice in info.notices)


async def test_why_the_door_of_new_actors_did_not_open_is_told_first(runtimes):
    await runtimes.open_chosen(seconds=5.0)
    info = await runtimes.info()
    assert info.version == ""
    assert "tmux" in info.notices[0]
    assert (await runtimes.info()).notices == info.notices


async def test_for_a_door_that_this_codex_does_not_have_another_is_taken_and_told(
    runtimes, monkeypatch
):
    opened = []

    async def shut():
        raise Unhealthy("It does not start.")

    async def open_it():
        opened.append(MCP)

    async def described():
        return RuntimeInfo(name=MCP, version="0.145.0")

    monkeypatch.setattr(runtimes.get(APP), "open", shut)
    monkeypatch.setattr(runtimes.get(MCP), "open", open_it)
    monkeypatch.setattr(runtimes.get(MCP), "info", described)
    await runtimes.open_chosen(seconds=5.0)
    assert (runtimes.chosen, opened) == (MCP, [MCP])
    info = await runtimes.info()
    told = (
        "New actors get mcp_server: resident, which was asked for, is not there. There is no tmux"
    )
    assert info.notices[0].startswith(told)
    runtime = {"name": info.name, "codex_version": info.version, "notices": info.notices}
    ready, notice, *_ = wiring.readiness(runtime, 7)
    assert ready == "ready: mcp_server 0.145.0, pid 7"
    assert notice.startswith(f"notice: {told}")


async def test_what_the_operator_is_told_of_doors_is_among_the_notices_once_and_bounded(runtimes):
    for number in [0, *range(wiring.TOLD_KEPT), 3]:
        runtimes.tell(f"Threads of engine {number} are elsewhere.")
    told = [each for each in (await runtimes.info()).notices if each.startswith("Threads")]
    numbers = [*range(3), *range(4, wiring.TOLD_KEPT), 3]
    assert told == [f"Threads of engine {number} are elsewhere." for number in numbers]


async def test_a_door_that_takes_too_long_to_open_holds_up_no_start(runtimes, monkeypatch):
    monkeypatch.setattr(runtimes.get(RESIDENT), "open", asyncio.Event().wait)
    await runtimes.open_chosen(seconds=0.0)
    assert (await runtimes.info()).notices[0] == "resident did not open within 0 s."


async def test_a_door_that_does_not_close_keeps_no_other_open(runtimes, monkeypatch):
    closed = []

    async def fail(*, keep_engine):
        raise Unhealthy("It does not end.")

    async def close(*, keep_engine):
        closed.append(keep_engine)

    monkeypatch.setattr(runtimes.get(RuntimeName.SCRIPTED), "close", close)
    monkeypatch.setattr(runtimes.get(MCP), "close", fail)
    await runtimes.close(keep_engine=False)
    assert closed == [False]


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


async def test_a_door_is_told_of_also_while_nothing_can_be_stored(database):
    rows = wiring.DoorRows(database=database)
    await database.write(lambda tx: tx.execute_fetchall("DROP TABLE doors"))
    await rows.save(Fingerprint("/codex", 7, 9), OPEN)


async def test_what_a_handshake_has_shown_is_in_the_database(database):
    rows = wiring.DoorRows(database=database)
    binary = Fingerprint("/codex", 7, 9)
    assert await rows.load(binary) == {}
    await rows.save(binary, OPEN)
    assert await rows.load(binary) == {APP: OPEN}
    assert await rows.load(replace(binary, mtime_ns=10)) == {}
