"""Who may touch what; every refusal names who decides."""

from __future__ import annotations

import pytest

from netsky_runtime.agents.authority import (
    Role,
    check_priority,
    check_status,
    check_take,
    check_target,
    check_task,
    role_of,
)
from netsky_runtime.errors import Refused
from netsky_runtime.records import MANAGER0, OWNER, Actor, Task
from netsky_runtime.states import ActorKind, ActorStatus, TaskStatus


def actor(actor_id: str, kind: ActorKind, manager_id: str | None) -> Actor:
    return Actor(
        id=actor_id,
        kind=kind,
        status=ActorStatus.ACTIVE,
        manager_id=manager_id,
        created_at=0,
        updated_at=0,
    )


def task(owner_id: str | None, manager_id: str | None) -> Task:
    return Task(
        id="t1",
        title="paint",
        status=TaskStatus.IN_PROGRESS,
        owner_id=owner_id,
        manager_id=manager_id,
        created_at=0,
        updated_at=0,
    )


THE_OWNER = actor(OWNER, ActorKind.OWNER, None)
BOSS = actor(MANAGER0, ActorKind.MANAGER, OWNER)
LANE = actor("manager1", ActorKind.MANAGER, MANAGER0)
OTHER_LANE = actor("manager2", ActorKind.MANAGER, MANAGER0)
WORKER = actor("worker1", ActorKind.WORKER, "manager1")
PEER = actor("worker2", ActorKind.WORKER, "manager1")
ASIDE = actor("worker9", ActorKind.SIDECAR, MANAGER0)
STRANGER = actor("worker3", ActorKind.WORKER, "manager2")
TASK = task("worker1", "manager1")


def test_roles_tell_manager0_apart() -> None:
    assert [role_of(who) for who in (BOSS, LANE, WORKER, ASIDE)] == list(Role)
    with pytest.raises(Refused):
        role_of(THE_OWNER)


@pytest.mark.parametrize("who", [BOSS, LANE, WORKER], ids=lambda who: who.id)
def test_a_task_is_touched_by_its_worker_its_manager_and_manager0(who: Actor) -> None:
    check_task(who, TASK)


def test_a_managers_own_task_is_in_its_lane() -> None:
    check_task(LANE, task("manager1", MANAGER0))


@pytest.mark.parametrize(
    ("who", "says"),
    [(OTHER_LANE, "manager1 decides"), (PEER, "not your task.*Tell manager1")],
    ids=["manager", "worker"],
)
def test_somebody_elses_task_is_refused(who: Actor, says: str) -> None:
    with pytest.raises(Refused) as caught:
        check_task(who, TASK)
    assert caught.match(says)


def test_a_task_without_a_manager_may_be_taken_but_not_another_managers() -> None:
    check_take(LANE, task(None, None))
    check_take(LANE, task(None, "manager1"))
    check_take(BOSS, task(None, "manager1"))
    with pytest.raises(Refused):
        check_take(OTHER_LANE, task(None, "manager1"))


@pytest.mark.parametrize("status", list(TaskStatus))
def test_a_worker_gives_only_progress_and_its_report(status: TaskStatus) -> None:
    if status in {TaskStatus.IN_PROGRESS, TaskStatus.REPORTED}:
        check_status(WORKER, TASK, status)
        return
    with pytest.raises(Refused, match="manager1 decides that"):
        check_status(WORKER, TASK, status)


@pytest.mark.parametrize("status", list(TaskStatus))
@pytest.mark.parametrize("who", [BOSS, LANE], ids=lambda who: who.id)
def test_a_manager_gives_verdicts_and_netsky_the_rest(who: Actor, status: TaskStatus) -> None:
    if status in {TaskStatus.OPEN, TaskStatus.BLOCKED, TaskStatus.REPORTED}:
        with pytest.raises(Refused, match="netsky does"):
            check_status(who, TASK, status)
        return
    check_status(who, TASK, status)


def test_priorities_are_not_a_workers_to_give() -> None:
    check_priority(LANE, TASK)
    with pytest.raises(Refused, match="decided by manager1"):
        check_priority(WORKER, TASK)


MAY_WRITE = {
    (MANAGER0, OWNER),
    (MANAGER0, "manager1"),
    (MANAGER0, "manager2"),
    (MANAGER0, "worker1"),
    (MANAGER0, "worker2"),
    (MANAGER0, "worker3"),
    ("manager1", MANAGER0),
    ("manager1", "worker1"),
    ("manager1", "worker2"),
    ("worker1", "manager1"),
}


@pytest.mark.parametrize("target", [THE_OWNER, BOSS, LANE, OTHER_LANE, WORKER, PEER, STRANGER])
@pytest.mark.parametrize("who", [BOSS, LANE, WORKER], ids=lambda who: who.id)
def test_words_go_along_the_lines_of_authority_only(who: Actor, target: Actor) -> None:
    if (who.id, target.id) in MAY_WRITE:
        check_target(who, target)
        return
    with pytest.raises(Refused):
        check_target(who, target)
