"""Ways to have something hang where nobody would look: a task at rest, a turn after its stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import actors, sessions, tasks, turns
from netsky_runtime.records import MANAGER0, Actor, Session, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    RuntimeName,
    SessionState,
    TaskStatus,
    TurnStatus,
)

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx


def _worker(actor_id: str, status: ActorStatus) -> Actor:
    return Actor(
        id=actor_id,
        kind=ActorKind.WORKER,
        status=status,
        manager_id=MANAGER0,
        created_at=1,
        updated_at=1,
    )


async def stall(tx: Tx, *, now: int, manager: str | None = MANAGER0) -> str:
    """Make ``worker9``, with a task in progress of which it hears nothing; return its id."""
    await actors.insert(tx, _worker("worker9", ActorStatus.ACTIVE))
    task = await tasks.insert(
        tx,
        title="Count",
        status=TaskStatus.IN_PROGRESS,
        owner_id="worker9",
        manager_id=manager,
        now=now,
    )
    return task.id


async def run_on(tx: Tx, *, now: int) -> None:
    """Make ``worker8``, whose session ``s-8`` was ended over a turn of its thread ``th-8``."""
    await actors.insert(tx, _worker("worker8", ActorStatus.STOPPED))
    row = Session(
        id="s-8",
        actor_id="worker8",
        runtime=RuntimeName.APP_SERVER,
        state=SessionState.LIVE,
        thread_id="th-8",
        cwd="/somewhere",
        sandbox="workspace-write",
        approval_policy="on-request",
        tag="tag00008",
        token="token-8",
        started_at=1,
    )
    await sessions.insert(tx, row)
    running = Turn(
        thread_id="th-8",
        id="turn-8",
        actor_id="worker8",
        status=TurnStatus.IN_PROGRESS,
        started_at=1,
    )
    await turns.start(tx, running)
    await sessions.end(tx, "s-8", reason=sessions.STOPPED, now=now)
