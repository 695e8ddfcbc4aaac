"""The doors to Codex of a daemon, and what is told of them."""

import asyncio

import pytest

from netsky_runtime import settings
from netsky_runtime.codex.base import RuntimeInfo
from netsky_runtime.db.connection import Database
from netsky_runtime.door_choice import Choice
from netsky_runtime.errors import Unhealthy
from netsky_runtime.headless import readiness
from netsky_runtime.paths import Home
from netsky_runtime.runtimes import TOLD_KEPT, Runtimes
from netsky_runtime.states import RuntimeName
from tests.support.fakes import CountingIds, ManualClock

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "meta.db"
    opened = await Database.open(path, backups=tmp_path / "backups", clock=ManualClock())
    yield opened
    await opened.close()


@pytest.fixture
def runtimes(tmp_path, database):
    return Runtimes(
        choice=Choice(RESIDENT, ("app_server is not open: It ended.",)),
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
    ready, notice, *_ = readiness(runtime, 7)
    assert ready == "ready: mcp_server 0.145.0, pid 7"
    assert notice.startswith(f"notice: {told}")


async def test_what_the_operator_is_told_of_doors_is_among_the_notices_once_and_bounded(runtimes):
    for number in [0, *range(TOLD_KEPT), 3]:
        runtimes.tell(f"Threads of engine {number} are elsewhere.")
    told = [each for each in (await runtimes.info()).notices if each.startswith("Threads")]
    numbers = [*range(3), *range(4, TOLD_KEPT), 3]
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
