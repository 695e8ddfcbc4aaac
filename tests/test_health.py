"""Health of an actor whose terminal is blocked: between what is worse and what is better."""

from __future__ import annotations

from typing import Any

import pytest

from netsky_runtime import health
from netsky_runtime.records import Actor, Session, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    HealthState,
    RuntimeName,
    SessionState,
    TurnStatus,
)

ACTOR = Actor(
    id="worker1", kind=ActorKind.WORKER, status=ActorStatus.ACTIVE, created_at=1, updated_at=2
)
RUNNING = Turn(
    thread_id="th", id="t", actor_id="worker1", status=TurnStatus.IN_PROGRESS, started_at=7
)


def of(session: Session, **changes: Any) -> tuple[HealthState, str, int]:
    known: dict[str, Any] = {
        "turn": None,
        "pending_since": None,
        "question_since": None,
        "uncertain": 0,
        "waiting": 1,
        "last_turn": None,
        "last_event_at": 9,
    }
    found = health.derive(actor=ACTOR, session=session, **{**known, **changes})
    return found.state, found.reason, found.since


def session(**changes: Any) -> Session:
    known: dict[str, Any] = {
        "id": "s-1",
        "actor_id": "worker1",
        "runtime": RuntimeName.RESIDENT,
        "state": SessionState.LIVE,
        "cwd": "/w",
        "sandbox": "workspace-write",
        "approval_policy": "never",
        "tag": "tag",
        "blocked": "A dialog is open.",
        "blocked_at": 5,
        "started_at": 1,
    }
    return Session(**{**known, **changes})


@pytest.mark.parametrize("turn", [None, RUNNING])
def test_a_blocked_terminal_is_said_with_its_reason_and_time_also_in_a_turn(
    turn: Turn | None,
) -> None:
    assert of(session(), turn=turn) == (HealthState.BLOCKED, "A dialog is open.", 5)


def test_a_lost_thread_is_worse_than_what_its_screen_last_showed() -> None:
    lost = session(state=SessionState.LOST, end_reason="the pane is gone")
    assert of(lost) == (HealthState.UNHEALTHY, "the pane is gone", 9)


def test_a_terminal_that_is_free_blocks_nobody() -> None:
    state, reason, _ = of(session(blocked="", blocked_at=None))
    assert (state, reason) == (HealthState.HEALTHY, "1 input waiting")
