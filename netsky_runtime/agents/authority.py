"""What an actor of a kind may touch. Every refusal says who decides instead."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from netsky_runtime.errors import Refused
from netsky_runtime.records import MANAGER0, OWNER, Actor
from netsky_runtime.states import ActorKind, TaskStatus

if TYPE_CHECKING:
    from netsky_runtime.records import Task


class Role(StrEnum):
    """An actor's kind, with the owner-facing manager told apart.

    A sidecar has no tools: it answers a brief of another program, and nobody watches it.
    """

    MANAGER0 = "manager0"
    MANAGER = "manager"
    WORKER = "worker"
    SIDECAR = "sidecar"


WORKER_GIVES = frozenset({TaskStatus.IN_PROGRESS, TaskStatus.REPORTED})
"""Task statuses that a worker may set."""
MANAGER_GIVES = frozenset(
    {TaskStatus.IN_PROGRESS, TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.CANCELLED}
)
"""Task statuses that a manager may set: the others follow from what happens."""


def role_of(actor: Actor) -> Role:
    """Return the actor's role. Raises ``Refused`` for the owner, who has no thread."""
    if actor.kind is ActorKind.OWNER:
        msg = "The owner is a person and uses no tools."
        raise Refused(msg)
    if actor.id == MANAGER0:
        return Role.MANAGER0
    if actor.kind is ActorKind.SIDECAR:
        return Role.SIDECAR
    return Role.MANAGER if actor.kind is ActorKind.MANAGER else Role.WORKER


def check_task(actor: Actor, task: Task) -> None:
    """Raise ``Refused`` unless ``task`` is the actor's to touch."""
    match role_of(actor):
        case Role.MANAGER0:
            return
        case Role.MANAGER if actor.id in {task.manager_id, task.owner_id}:
            return
        case Role.WORKER if task.owner_id == actor.id:
            return
        case Role.MANAGER:
            msg = f"{task.id} is outside your lane: {task.manager_id or MANAGER0} decides about it."
            raise Refused(msg, hint="list_tasks shows the tasks of your lane.")
        case Role.WORKER | Role.SIDECAR:
            msg = f"{task.id} is not your task."
            raise Refused(msg, hint=f"Tell {actor.manager_id} what you found; leave the task.")


def check_take(actor: Actor, task: Task) -> None:
    """Raise ``Refused`` unless the actor may take ``task`` on; one without a manager is free."""
    if task.manager_id is not None:
        check_task(actor, task)


def check_status(actor: Actor, task: Task, status: TaskStatus) -> None:
    """Raise ``Refused`` unless ``status`` is the actor's to give to a task it may touch."""
    role = role_of(actor)
    if role is Role.WORKER and status not in WORKER_GIVES:
        decides = task.manager_id or actor.manager_id
        msg = f"A worker cannot set {task.id} to {status}: {decides} decides that."
        raise Refused(msg, hint=f"End your turn with a report to {decides} that says so.")
    if role is not Role.WORKER and status not in MANAGER_GIVES:
        ways = ", ".join(sorted(MANAGER_GIVES))
        msg = f"Nobody sets {task.id} to {status}: netsky does, from what happens."
        raise Refused(msg, hint=f"You can set: {ways}.")


def check_priority(actor: Actor, task: Task) -> None:
    """Raise ``Refused`` for workers: priorities are their managers' to give."""
    if role_of(actor) is Role.WORKER:
        msg = f"The priority of {task.id} is decided by {task.manager_id or actor.manager_id}."
        raise Refused(msg)


def check_target(actor: Actor, target: Actor) -> None:
    """Raise ``Refused`` unless the actor may write to ``target``."""
    if target.id == actor.id:
        msg = "That is yourself."
        raise Refused(msg, hint="add_note keeps things for later.")
    match role_of(actor):
        case Role.MANAGER0:
            return
        case _ if target.id == actor.manager_id:
            return
        case Role.MANAGER if target.manager_id == actor.id:
            return
        case _ if target.id == OWNER:
            msg = f"Only {MANAGER0} writes to the owner."
            raise Refused(msg, hint=f"Write to {actor.manager_id}.")
        case Role.MANAGER:
            msg = f"{target.id} is outside your lane."
            raise Refused(msg, hint=f"You can write to your workers and to {actor.manager_id}.")
        case Role.WORKER:
            msg = f"A worker writes only to its manager, and {target.id} is not yours."
            raise Refused(msg, hint=f"Write to {actor.manager_id}.")
