"""Budgets at work: nothing goes past them, what overruns them is stopped, what waits goes on."""

import asyncio

import pytest

from netsky_runtime.agents import interrupts
from netsky_runtime.agents.recovery import recover
from netsky_runtime.agents.restart_policy import RECOVERIES
from netsky_runtime.budgets import PARKED
from netsky_runtime.clock import SystemClock
from netsky_runtime.db import actors, budgets, holds, inputs, ledger, messages, pauses, tasks, turns
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.records import OWNER
from netsky_runtime.states import (
    ActorStatus,
    BudgetScope,
    InputMode,
    InputStatus,
    MessageKind,
    PauseKind,
    TaskStatus,
    TurnStatus,
)
from tests.support.crew import crew, scripted
from tests.support.patience import PATIENCE

ACTOR, TASK, DAY = BudgetScope.ACTOR, BudgetScope.TASK, BudgetScope.DAY


async def parked(fleet, actor_id="manager0"):
    async def look(tx):
        actor = await actors.require(tx, actor_id)
        return actor if actor.status is ActorStatus.PARKED else None

    return await fleet.until(look)


async def recovery_of(fleet, posted):
    async def look(tx):
        for item in await inputs.open_for(tx, posted.input.actor_id):
            if posted.input.id in item.recovers:
                return item
        return None

    return await fleet.until(look)


async def held(fleet, actor_id="manager0"):
    now = fleet.clock.now()
    return await fleet.database.read(lambda tx: holds.of_actor(tx, actor_id, now=now))


async def test_a_turn_over_its_budget_is_interrupted_and_goes_on_when_that_is_raised(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.budgets.set(ACTOR, "manager0", 5_000)
        posted = await fleet.send("USE6000 SLOW0.2 SAY[done]")
        actor = await parked(fleet)
        assert actor.park_reason == f"{PARKED}the budget of manager0, 5,000 tokens, is used up"
        recovery = await recovery_of(fleet, posted)
        assert recovery.status is InputStatus.QUEUED
        original = await fleet.input(posted)
        assert original.status is InputStatus.SEEN
        assert original.reason == "its turn was stopped by the budget of manager0, 5,000 tokens"
        said = await fleet.database.read(lambda tx: messages.require(tx, recovery.message_id))
        assert "was stopped by the budget of manager0" in said.body
        assert "crash" not in said.body

        gauge = await fleet.budgets.set(ACTOR, "manager0", 100_000, more=True)
        assert gauge.limit == gauge.used + 100_000
        assert (await fleet.reply_to(posted)).body == "done"
        latest = await fleet.database.read(lambda tx: turns.list_for_actor(tx, "manager0", 9))
        assert [turn.status for turn in latest] == [TurnStatus.COMPLETED, TurnStatus.INTERRUPTED]


async def test_a_turn_is_interrupted_once_for_its_budget(tmp_path, monkeypatch):
    asked = []
    runtime = scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        real = fleet.fleet.interrupt

        async def interrupt(actor_id, *, turn_id, because):
            asked.append(actor_id)
            return await real(actor_id, turn_id=turn_id, because=because)

        monkeypatch.setattr(fleet.fleet, "interrupt", interrupt)
        await fleet.budgets.set(ACTOR, "manager0", 10)
        posted = await fleet.send("USE100 USE100 USE100 HANG")
        await recovery_of(fleet, posted)
        await fleet.facts.flush()
    assert asked == ["manager0"]


async def test_a_turn_whose_thread_is_not_attached_yet_is_interrupted_at_its_next_usage(
    tmp_path, monkeypatch
):
    asked = []
    async with crew(tmp_path) as fleet:
        real = fleet.fleet.interrupt

        async def interrupt(actor_id, *, turn_id, because):
            asked.append(turn_id)
            if len(asked) == 1:
                raise Conflict("manager0 has no running turn.")
            return await real(actor_id, turn_id=turn_id, because=because)

        monkeypatch.setattr(fleet.fleet, "interrupt", interrupt)
        await fleet.budgets.set(ACTOR, "manager0", 10)
        posted = await fleet.send("USE100 SLOW0.2 USE100 HANG")
        await recovery_of(fleet, posted)
    assert asked == [asked[0]] * 2


async def test_what_the_owner_stops_stays_stopped_though_a_budget_was_about_to_stop_it(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("HANG")
        await fleet.until(lambda tx: turns.running(tx, "manager0"))
        await fleet.database.write(lambda tx: turns.stop_for(tx, "stopped by a budget"))
        await fleet.fleet.interrupt("manager0")
        assert (await fleet.settled(posted)).status is InputStatus.INTERRUPTED
        assert not await fleet.database.read(lambda tx: inputs.open_for(tx, "manager0"))


async def test_a_turn_that_a_raised_budget_lets_run_is_not_marked_for_it_any_more(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("HANG")
        await fleet.until(lambda tx: turns.running(tx, "manager0"))
        await fleet.database.write(lambda tx: turns.stop_for(tx, "stopped by a budget"))
        await fleet.budgets.set(ACTOR, "manager0", 1_000_000)
        (turn,) = await fleet.database.read(lambda tx: turns.running(tx, "manager0"))
        assert turn.stopped_by == ""


async def test_whoever_waits_for_its_budget_can_be_stopped_at_once(tmp_path, monkeypatch):
    """What its recovery answers for is open, and runs nowhere."""
    monkeypatch.setattr(interrupts, "REACH_SECONDS", 600.0)
    async with crew(tmp_path) as fleet:
        await fleet.hire("USE6000 HANG")
        await fleet.until(lambda tx: turns.running(tx, "worker1"))
        await fleet.budgets.set(ACTOR, "worker1", 10)
        await parked(fleet, "worker1")

        async def over(tx):
            return not await turns.running(tx, "worker1")

        await fleet.until(over)
        async with asyncio.timeout(PATIENCE):
            await fleet.fleet.stop_actor("worker1")


async def test_a_turn_that_began_since_is_not_interrupted_for_the_one_that_overran(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("HANG")
        (turn,) = await fleet.until(lambda tx: turns.running(tx, "manager0"))
        with pytest.raises(Conflict):
            await fleet.fleet.interrupt("manager0", turn_id="the one before")
        assert await fleet.fleet.interrupt("manager0", turn_id=turn.id) == turn.id


async def test_nothing_goes_past_a_budget_that_is_used_up_and_all_of_it_when_it_is_raised(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        await fleet.facts.flush()
        await fleet.budgets.set(ACTOR, "manager0", 1)
        assert (await parked(fleet)).park_reason.startswith(PARKED)
        first, second = await fleet.send("SAY[one]"), await fleet.send("SAY[two]")
        urgent = await fleet.send("SAY[three]", mode=InputMode.INTERRUPT)
        hold = await held(fleet)
        assert hold.until is None
        assert hold.remedy == "netsky budgets set actor manager0 +1"
        await fleet.fleet.resume_actor("manager0")  # clears the park, and raises nothing
        await fleet.until(lambda tx: _logged(fleet, "inputs are held"))
        for posted in (first, second, urgent):
            row = await fleet.input(posted)
            assert (row.status, row.attempts) == (InputStatus.QUEUED, 0)
        await fleet.budgets.clear(ACTOR, "manager0")
        for posted in (first, second, urgent):
            await fleet.reply_to(posted)
        assert await held(fleet) is None


async def _logged(fleet, words):
    return any(line[1] == words for line in fleet.lines)


async def test_a_budget_of_nothing_frees_from_the_default_of_the_settings(tmp_path):
    async with crew(tmp_path) as fleet:
        now = fleet.clock.now()
        await fleet.database.write(lambda tx: setting_rows.set_(tx, "worker_budget", "50", now=now))
        await fleet.hire("USE100 SLOW0.2 SAY[worked]")
        worker = await parked(fleet, "worker1")
        assert worker.park_reason == f"{PARKED}the budget of worker1, 50 tokens, is used up"
        gauges = await fleet.database.read(lambda tx: budgets.of_actor(tx, "worker1", now=now))
        assert [gauge.set_by_owner for gauge in gauges] == [False]
        assert await fleet.budgets.set(ACTOR, "worker1", 0) is None

        async def reported(tx):
            said = await messages.recent(tx, limit=20)
            return [m for _, m in said if m.kind is MessageKind.REPORT and m.sender == "worker1"]

        (report,) = await fleet.until(reported)
        assert report.body == "worked"


async def test_a_task_stops_its_worker_and_nobody_else(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("SLOW0.1 HANG")
        await fleet.until(lambda tx: turns.running(tx, "worker1"))
        (task,) = await fleet.database.read(lambda tx: tasks.of_owner(tx, "worker1"))
        await fleet.budgets.set(TASK, task.id, 10)
        session = fleet.fleet.session_of("worker1")
        await fleet.send("USE100 HANG", to="worker1", mode=InputMode.STEER)
        worker = await parked(fleet, "worker1")
        assert worker.park_reason == f"{PARKED}the budget of {task.id}, 10 tokens, is used up"
        assert session is not None
        assert (await fleet.reply_to(await fleet.send("SAY[fine]"))).body == "fine"


@pytest.mark.parametrize("status", [TaskStatus.CANCELLED, TaskStatus.OPEN])
async def test_a_worker_goes_on_when_the_task_is_closed_or_taken_off_whose_budget_held_it(
    tmp_path, status
):
    async with crew(tmp_path) as fleet:
        await fleet.hire("USE100 SLOW0.3 SAY[worked]")
        await fleet.until(lambda tx: turns.running(tx, "worker1"))
        (task,) = await fleet.database.read(lambda tx: tasks.of_owner(tx, "worker1"))
        await fleet.budgets.set(TASK, task.id, 10)
        await parked(fleet, "worker1")
        late = await fleet.send("SAY[hello]", to="worker1")

        async def close(tx):
            return await fleet.delegation.set_status(tx, task, status)

        woken = await fleet.database.write(close)
        assert woken == {"worker1"}
        assert await held(fleet, "worker1") is None
        fleet.wake("worker1")
        assert (await fleet.reply_to(late)).body == "hello"


async def test_a_worker_stays_parked_for_its_own_budget_when_its_task_is_closed(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("USE100 HANG")
        await fleet.until(lambda tx: turns.running(tx, "worker1"))
        (task,) = await fleet.database.read(lambda tx: tasks.of_owner(tx, "worker1"))
        await fleet.budgets.set(ACTOR, "worker1", 10)
        reason = (await parked(fleet, "worker1")).park_reason

        async def cancel(tx):
            return await fleet.delegation.set_status(tx, task, TaskStatus.CANCELLED)

        assert await fleet.database.write(cancel) == frozenset()
        assert (await parked(fleet, "worker1")).park_reason == reason


async def test_who_is_parked_for_another_reason_stays_so_whatever_budget_is_raised(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.fleet.park("manager0", "Its turn hangs.")
        await fleet.budgets.set(ACTOR, "manager0", 10)
        await fleet.budgets.clear(ACTOR, "manager0")
        actor = await fleet.database.read(lambda tx: actors.require(tx, "manager0"))
        assert (actor.status, actor.park_reason) == (ActorStatus.PARKED, "Its turn hangs.")


async def test_the_budget_of_the_day_stops_every_turn_and_is_over_when_it_is_raised(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("HANG SAY[never]")
        await fleet.until(lambda tx: turns.running(tx, "worker1"))
        await fleet.facts.flush()
        await fleet.budgets.set(DAY, "", 5_000, more=True)
        posted = await fleet.send("USE6000 SLOW0.2 SAY[done]")
        await recovery_of(fleet, posted)

        async def cut(tx):
            running = await turns.running(tx)
            return not running

        await fleet.until(cut)
        now = fleet.clock.now()
        pause = await fleet.database.read(lambda tx: pauses.lasting(tx, PauseKind.DAY, now))
        assert pause.resumes_at > now
        everybody = await fleet.database.read(actors.list_all)
        assert {actor.status for actor in everybody} == {ActorStatus.ACTIVE}
        late = await fleet.send("SAY[late]")
        assert await fleet.pauses.unpause()  # which raises nothing
        assert (await held(fleet)).remedy.startswith("netsky budgets set day +")
        assert (await held(fleet)).until == pause.resumes_at
        await fleet.budgets.set(DAY, "", 10**9)
        assert (await fleet.reply_to(posted)).body
        await fleet.reply_to(late)


async def test_an_overrun_that_a_dead_netsky_did_not_see_is_acted_on_by_the_next(tmp_path):
    runtime = scripted(tmp_path)
    async with crew(tmp_path, runtime=runtime) as fleet:
        await fleet.reply_to(await fleet.send("USE500 SAY[one]"))
        await fleet.facts.flush()
        await fleet.database.write(
            lambda tx: budgets.set_(tx, ACTOR, "manager0", 100, now=SystemClock().now())
        )
    async with crew(tmp_path) as fleet:
        await fleet.budgets.look_again()
        assert (await parked(fleet)).park_reason.startswith(PARKED)


async def test_who_set_and_cleared_a_budget_when_and_to_what_is_in_the_ledger(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.budgets.set(ACTOR, "manager0", 500)
        await fleet.budgets.set(DAY, "", 70, more=True)
        await fleet.budgets.clear(DAY, "")
        found = await fleet.database.read(lambda tx: ledger.list_(tx, limit=9))
        assert [(each.kind, dict(each.entry)) for each in found] == [
            ("budget_set", {"by": "owner", "budget": "actor manager0", "tokens": 500}),
            ("budget_set", {"by": "owner", "budget": "day", "tokens": 70}),
            ("budget_cleared", {"by": "owner", "budget": "day"}),
        ]


async def test_only_what_there_is_can_be_bounded(tmp_path):
    async with crew(tmp_path) as fleet:
        with pytest.raises(NotFound):
            await fleet.budgets.set(ACTOR, "worker9", 1)
        with pytest.raises(NotFound):
            await fleet.budgets.set(TASK, "T9", 1)
        with pytest.raises(UsageError):
            await fleet.budgets.set(ACTOR, OWNER, 1)
        assert await fleet.database.read(lambda tx: ledger.list_(tx, limit=9)) == ()


async def test_what_budgets_have_stopped_is_not_counted_when_a_crash_cuts_it(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("HANG")
        seen = await fleet.reached(posted, InputStatus.SEEN)

        async def cut(tx, because):
            actor = await actors.require(tx, "manager0")
            await recover(fleet.kit, tx, actor, [seen], because=because, now=1)
            waiting = [i.id for i in await inputs.open_for(tx, "manager0") if i.recovers]
            await inputs.settle(tx, waiting, InputStatus.CANCELLED, now=1)
            return len(waiting), (await actors.require(tx, "manager0")).status

        for _ in range(RECOVERIES):
            await fleet.database.write(lambda tx: cut(tx, "stopped by its budget"))
        for _ in range(RECOVERIES):
            crashed = await fleet.database.write(lambda tx: cut(tx, ""))
            assert crashed == (1, ActorStatus.ACTIVE)
        assert await fleet.database.write(lambda tx: cut(tx, "")) == (0, ActorStatus.PARKED)
        assert (await fleet.input(posted)).status is InputStatus.UNCERTAIN
