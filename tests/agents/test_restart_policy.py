"""Who comes back, how often, and what always lets an actor go on."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest

from netsky_runtime.agents import restart_policy, runner, runners
from netsky_runtime.agents.restart_policy import AT_ONCE, Budget, Duty, decide
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db import actors, inputs, respawns, standings
from netsky_runtime.db.standings import Standing
from netsky_runtime.errors import UsageError
from netsky_runtime.records import MANAGER0, Actor
from netsky_runtime.states import ActorKind, ActorStatus, InputStatus
from tests.support.crew import crew, scripted
from tests.support.fakes import settle
from tests.support.patience import PATIENCE

WORKER = Standing(
    actor=Actor(
        id="worker1",
        kind=ActorKind.WORKER,
        status=ActorStatus.ACTIVE,
        manager_id=MANAGER0,
        created_at=0,
        updated_at=0,
    ),
    waits=False,
    under_way=False,
    has_task=False,
)


def standing(*, under_way=False, waits=False, has_task=False, **of_the_actor):
    return replace(
        WORKER,
        under_way=under_way,
        waits=waits or under_way,
        has_task=has_task,
        actor=replace(WORKER.actor, **of_the_actor),
    )


PARKED, STOPPED = ActorStatus.PARKED, ActorStatus.STOPPED
MANAGER, SIDECAR = ActorKind.MANAGER, ActorKind.SIDECAR


@pytest.mark.parametrize(
    ("who", "duty"),
    [
        (standing(id="owner", kind=ActorKind.OWNER, waits=True), Duty.REST),
        (standing(id=MANAGER0, kind=MANAGER), Duty.WORK),
        (standing(id="manager1", kind=MANAGER), Duty.REST),
        (standing(id="manager1", kind=MANAGER, objective="Ship"), Duty.WORK),
        (standing(id="manager1", kind=MANAGER, waits=True), Duty.WORK),
        (standing(), Duty.REST),
        (standing(has_task=True), Duty.WORK),
        (standing(waits=True), Duty.WORK),
        (standing(under_way=True), Duty.WORK),
        (standing(kind=SIDECAR, objective="one turn"), Duty.REST),
        (standing(kind=SIDECAR, under_way=True), Duty.WORK),
        (standing(status=PARKED, waits=True, has_task=True), Duty.REST),
        (standing(status=PARKED, under_way=True), Duty.LISTEN),
        (standing(status=PARKED, id=MANAGER0, kind=MANAGER), Duty.REST),
        (standing(status=STOPPED, under_way=True), Duty.REST),
    ],
    ids=str,
)
def test_who_is_brought_back_is_what_the_table_says(who, duty):
    assert decide(who) is duty


def test_a_budget_says_how_often_and_why_the_last_time():
    budget = Budget(times=5, window_seconds=600)
    assert budget.spent(5, last="exit 1") == ""
    assert budget.spent(6, last="exit 1") == (
        "crash loop: came back 5 times in 10 min; last: exit 1"
    )


async def test_what_is_left_of_an_actors_work_is_found_in_one_look(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("ASK[make] SAY[made]")
        await fleet.question()
        found = {one.actor.id: one for one in await fleet.database.read(standings.all_)}
        assert found["worker1"].under_way
        assert found["worker1"].has_task
        assert not found["manager0"].under_way
        assert await fleet.database.read(lambda tx: standings.of(tx, "worker1")) == found["worker1"]


async def test_who_has_nothing_to_do_stays_unattached_until_woken(tmp_path):
    async with crew(tmp_path) as fleet:

        async def helper(tx):
            return await fleet.delegation.start_manager(tx, objective="Ship")

        async def quiet(tx):
            return not await inputs.open_for(tx, "manager1")

        async def rests(tx):
            await tx.execute("UPDATE actors SET objective = '' WHERE id = 'manager1'")

        await fleet.database.write(helper)
        fleet.wake("manager1")
        await fleet.until(quiet)
        await fleet.database.write(rests)
    async with crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)
        assert fleet.fleet.session_of("manager0") is None  # it has heard nothing yet
        assert fleet.fleet.session_of("manager1") is None
        assert named("runner of manager1") is None
        assert (await fleet.reply_to(await fleet.send("SAY[here]", to="manager1"))).body == "here"


async def test_threads_come_back_a_few_at_a_time_and_all_of_them_do(tmp_path, monkeypatch):
    real, at_once, most = ScriptedRuntime.resume, 0, 0
    go_on = asyncio.Event()

    async def slow(self, thread_id, spec):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        if at_once == AT_ONCE:
            go_on.set()
        await go_on.wait()
        try:
            return await real(self, thread_id, spec)
        finally:
            at_once -= 1

    names = [f"manager{number}" for number in range(1, 2 * AT_ONCE + 1)]
    async with crew(tmp_path) as fleet:

        async def many(tx):
            for _ in names:
                await fleet.delegation.start_manager(tx, objective="SAY[ready]")

        async def quiet(tx):
            return not [n for n in names if await inputs.open_for(tx, n)]

        await fleet.database.write(many)
        for name in names:
            fleet.wake(name)
        await fleet.until(quiet, seconds=10)
    monkeypatch.setattr(ScriptedRuntime, "resume", slow)
    async with crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=10)
        assert [name for name in names if fleet.fleet.session_of(name) is None] == []
    assert most == AT_ONCE


def named(name):
    """The task of this name that runs now, if one does."""
    return next((task for task in asyncio.all_tasks() if task.get_name() == name), None)


async def parked(tx):
    actor = await actors.require(tx, "manager0")
    return actor if actor.status is PARKED else None


async def crash_until_parked(fleet, monkeypatch, *, times):
    monkeypatch.setattr(restart_policy, "RECOVERIES", 100)
    monkeypatch.setattr("netsky_runtime.agents.recovery.RECOVERIES", 100)
    hung = await fleet.send("HANG")
    for number in range(times):

        async def running(_tx):
            return "manager0" in fleet.fleet.running()

        await fleet.until(running)
        fleet.runtime.kill(f"crash {number + 1}")
    return hung


async def test_an_actor_whose_thread_is_lost_again_and_again_is_parked_and_says_so(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.0,))
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await crash_until_parked(fleet, monkeypatch, times=6)
        actor = await fleet.until(parked)
        if (running := named("runner of manager0")) is not None:
            done, _ = await asyncio.wait([running], timeout=5)
            assert done
        assert actor.park_reason.startswith("crash loop: came back 5 times in 10 min; last: ")
        assert "crash 6" in actor.park_reason


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), UsageError("a bug"), sqlite3.IntegrityError("a bug")], ids=repr
)
async def test_an_actor_that_netsky_itself_cannot_serve_is_parked_and_says_so(
    tmp_path, monkeypatch, error
):
    async def broken(self):
        raise error

    monkeypatch.setattr(runners, "RESTART_SECONDS", 0.0)
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        monkeypatch.setattr(runner.ActorRunner, "run", broken)
        await fleet.fleet.reattach("manager0", "it begins anew")
        actor = await fleet.until(parked)
        assert actor.park_reason.startswith("crash loop: came back 5 times in 10 min; last: ")
        assert "internal error: a bug" in actor.park_reason
        fleet.lines.clear()


async def test_a_runner_that_cannot_look_up_its_actor_tries_again(tmp_path, monkeypatch):
    real, failed = standings.of, []

    async def troubled(tx, actor_id):
        if not failed:
            failed.append(actor_id)
            raise sqlite3.OperationalError("disk I/O error")
        return await real(tx, actor_id)

    monkeypatch.setattr(runners, "RESTART_SECONDS", 0.0)
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        monkeypatch.setattr(standings, "of", troubled)
        await fleet.fleet.reattach("manager0", "it begins anew")
        assert (await fleet.reply_to(await fleet.send("SAY[there]"))).body == "there"
        assert failed == ["manager0"]
        fleet.lines.clear()


async def test_storage_trouble_is_no_fault_of_an_actor_and_parks_nobody(tmp_path, monkeypatch):
    failed = []

    async def troubled(self):
        failed.append(self)
        if len(failed) > 20:
            await asyncio.Event().wait()
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr(runners, "RESTART_SECONDS", 0.0)
    monkeypatch.setattr(runner.ActorRunner, "run", troubled)
    async with crew(tmp_path) as fleet:
        fleet.fleet.wake("manager0")
        async with asyncio.timeout(PATIENCE):
            while len(failed) <= 20:
                await settle()
        assert await fleet.database.read(parked) is None
        fleet.lines.clear()


async def test_what_was_lost_long_ago_does_not_count(tmp_path):
    window = Budget().window_ms
    async with crew(tmp_path) as fleet:

        async def lost(tx, at):
            return await respawns.record(tx, "manager0", reason="gone", window_ms=window, now=at)

        counts = [
            await fleet.database.write(lambda tx, at=at: lost(tx, at))
            for at in (1_000, 2_000, window + 1_500, 500)
        ]
        # The third comes when the first is over; the last, when the clock was set back.
        assert counts == [1, 2, 2, 1]


async def test_the_owner_lets_a_parked_actor_go_on_and_its_losses_are_forgotten(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.0,))
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        hung = await crash_until_parked(fleet, monkeypatch, times=6)
        await fleet.until(parked)
        await fleet.fleet.resume_actor("manager0")
        recovery = await fleet.reached(hung, InputStatus.SEEN)
        assert recovery.attempts == 1

        async def count(tx):
            return await respawns.record(tx, "manager0", reason="x", window_ms=10**9, now=10**15)

        assert await fleet.database.write(count) == 1


async def test_an_idle_actor_comes_back_however_often_the_engine_it_shares_dies(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.0,))
    async with crew(tmp_path, runtime=scripted(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        for number in range(8):
            before = fleet.fleet.session_of("manager0")
            fleet.runtime.kill(f"crash {number}")
            async with asyncio.timeout(PATIENCE):
                while fleet.fleet.session_of("manager0") in {None, before}:
                    await settle()
        assert (await fleet.reply_to(await fleet.send("SAY[still here]"))).body == "still here"
