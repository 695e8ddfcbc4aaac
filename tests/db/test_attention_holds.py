"""What holds work until the owner does something: budgets, his own pause, tasks that are stuck."""

from __future__ import annotations

import pytest

from netsky_runtime.attention.items import EVERYBODY, Urgency
from netsky_runtime.budgets import PARKED, next_midnight
from netsky_runtime.db import actors, attention, budgets, inputs, pauses, tasks
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import (
    ActorStatus,
    AttentionKind,
    BudgetScope,
    InputStatus,
    PauseKind,
    TaskStatus,
)
from tests.support.fakes import START_MS as NOW
from tests.support.holding import spend, stick, use_up_the_day

ACTOR, TASK, DAY = BudgetScope.ACTOR, BudgetScope.TASK, BudgetScope.DAY


async def waits(making, *, now=NOW):
    return await making.read(lambda tx: attention.list_(tx, now=now))


async def keys(making, *, now=NOW):
    return [item.key for item in await waits(making, now=now)]


async def told(making, *, now=NOW):
    found = await making.read(lambda tx: attention.waiting(tx, now=now, limit=9))
    return {each.key: each.told for each in found}


def only_action(item):
    (action,) = item.about.actions
    return action.method, dict(action.params)


async def bound(making, scope, subject, tokens):
    await making.write(lambda tx: budgets.set_(tx, scope, subject, tokens, now=NOW))


async def status(making, actor_id, wanted, reason=""):
    await making.write(
        lambda tx: actors.set_status(tx, actor_id, wanted, reason=reason, now=NOW + 5)
    )


async def pause(making, kind, until):
    await making.write(lambda tx: pauses.begin(tx, kind, "x", resumes_at=until, now=NOW + 3))


async def test_an_actor_that_its_budget_parked_can_be_given_as_much_again(making):
    await bound(making, ACTOR, "worker1", 1_000)
    await making.write(lambda tx: spend(tx, "worker1", 1_500, now=NOW))
    await status(making, "worker1", ActorStatus.PARKED, f"{PARKED}the budget is used up")
    (item,) = await waits(making)
    assert (item.key, item.kind, item.actor) == (
        "budget:worker1",
        AttentionKind.BUDGET,
        "worker1",
    )
    assert (item.since, item.urgency) == (NOW + 5, Urgency.SOON)
    assert item.about.text == "the budget of worker1, 1,000 tokens, is used up"
    assert item.about.detail == "Another number: netsky budgets set actor worker1 N."
    wanted = {"scope": "actor", "subject": "worker1", "tokens": 1_000, "more": True}
    assert only_action(item) == ("budgets.set", wanted)


async def test_an_actor_whose_budget_was_raised_unseen_can_be_resumed(making):
    await status(making, "worker1", ActorStatus.PARKED, f"{PARKED}it was used up")
    (item,) = await waits(making)
    assert item.about.text == "it was used up"
    assert only_action(item) == ("actors.resume", {"actor_id": "worker1"})


async def test_one_that_was_resumed_and_is_over_its_budget_waits_while_something_is_queued(making):
    await bound(making, ACTOR, "worker1", 1_000)
    await making.write(lambda tx: spend(tx, "worker1", 1_000, now=NOW))
    assert await keys(making) == []
    found = await making.input(target="worker1")
    (item,) = await waits(making)
    assert (item.key, item.since) == ("budget:worker1", NOW)
    await bound(making, ACTOR, "worker1", 1_001)
    assert await keys(making) == []
    await bound(making, ACTOR, "worker1", 1_000)
    await making.write(lambda tx: inputs.settle(tx, [found], InputStatus.CANCELLED, now=NOW))
    assert await keys(making) == []


async def test_a_default_of_the_settings_holds_workers_and_not_managers(making):
    await making.write(lambda tx: setting_rows.set_(tx, "worker_budget", "50", now=NOW))
    for name in ("worker1", MANAGER0):
        await making.write(lambda tx, name=name: spend(tx, name, 60, now=NOW))
        await making.input(target=name)
    assert await keys(making) == ["budget:worker1"]


async def test_the_budget_of_a_task_holds_whoever_takes_it_over_and_is_the_one_to_raise(making):
    task = await making.write(
        lambda tx: tasks.insert(
            tx, title="x", status=TaskStatus.IN_PROGRESS, owner_id="worker1", now=NOW
        )
    )
    await bound(making, TASK, task.id, 100)
    await making.write(lambda tx: spend(tx, "worker1", 100, now=NOW))
    await making.input(target="worker1")
    (item,) = await waits(making)
    assert (item.key, item.about.text) == (
        "budget:worker1",
        f"the budget of {task.id}, 100 tokens, is used up",
    )
    _, params = only_action(item)
    assert (params["scope"], params["subject"]) == ("task", task.id)
    await making.write(lambda tx: tasks.set_status(tx, task.id, TaskStatus.DONE, now=NOW))
    assert await keys(making) == []


async def test_the_day_s_budget_is_one_item_while_work_is_queued_and_until_midnight(making):
    await making.write(lambda tx: use_up_the_day(tx, now=NOW))
    midnight = next_midnight(NOW)
    await pause(making, PauseKind.DAY, midnight)
    assert await keys(making) == []
    for name in ("worker1", MANAGER0):
        await making.input(target=name)
    (item,) = await waits(making)
    assert (item.key, item.actor, item.since) == ("budget:day", EVERYBODY, NOW + 3)
    assert item.about.text == "the day's budget of 1,000 tokens is used up"
    assert item.about.detail.endswith("N. It is over at midnight by itself.")
    wanted = {"scope": "day", "subject": "", "tokens": 1_000, "more": True}
    assert only_action(item) == ("budgets.set", wanted)
    assert await told(making) == {"budget:day": False}
    assert await keys(making, now=midnight) == []
    await making.write(lambda tx: pauses.end(tx, now=NOW + 4))
    assert await keys(making) == ["budget:day"]  # an unpause raises nothing
    await bound(making, DAY, "", 2_000)
    assert await keys(making) == []


async def test_the_day_holds_nothing_of_who_is_parked_for_something_else(making):
    await making.write(lambda tx: use_up_the_day(tx, now=NOW))
    await making.input(target="worker1")
    await status(making, "worker1", ActorStatus.PARKED, "by hand")
    assert await keys(making) == ["parked:worker1"]


async def test_the_owner_s_pause_without_an_end_is_a_line_that_rings_for_nobody(making):
    await pause(making, PauseKind.OWNER, None)
    assert await keys(making) == []
    await making.input(target="worker1")
    (item,) = await waits(making)
    assert (item.key, item.actor, item.since) == (f"paused:{OWNER}", EVERYBODY, NOW + 3)
    assert (item.urgency, only_action(item)) == (Urgency.SOON, ("unpause", {}))
    assert await told(making) == {item.key: True}
    await making.write(lambda tx: pauses.end(tx, now=NOW + 4))
    assert await keys(making) == []


@pytest.mark.parametrize("kind", [PauseKind.OWNER, PauseKind.LIMIT])
async def test_a_pause_with_an_end_waits_for_nobody(making, kind):
    await pause(making, kind, NOW + 60_000)
    await making.input(target="worker1")
    assert await keys(making) == []


@pytest.mark.parametrize(
    ("failed", "said"),
    [(TaskStatus.FAILED, "which failed"), (TaskStatus.CANCELLED, "which was cancelled")],
)
async def test_a_stuck_task_of_nobody_waits_until_it_is_freed_or_cancelled(making, failed, said):
    waiting, needed = await making.write(lambda tx: stick(tx, now=NOW, status=failed))
    (item,) = await waits(making)
    assert (item.key, item.actor, item.since) == (f"stuck:{waiting}", OWNER, NOW)
    assert (item.urgency, item.about.text) == (Urgency.SOON, f"{waiting} Ship it")
    assert item.about.detail == f"It waits for {needed}, {said}."
    assert all(action.sure for action in item.about.actions)
    assert [(each.method, dict(each.params)) for each in item.about.actions] == [
        ("tasks.depend", {"id": waiting, "on": needed, "remove": True}),
        ("tasks.cancel", {"id": waiting}),
    ]
    await making.write(lambda tx: tasks.remove_dependency(tx, waiting, needed))
    assert await keys(making) == []


async def test_a_stuck_task_whose_manager_is_at_work_is_the_manager_s(making):
    await making.write(lambda tx: stick(tx, now=NOW, manager_id=MANAGER0))
    assert await keys(making) == []
    await status(making, MANAGER0, ActorStatus.PARKED, "by hand")
    assert await keys(making) == ["stuck:t2", "parked:manager0"]
