"""Health as a table: what is worse comes first, and all of it is known by something."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from netsky_runtime import health
from netsky_runtime.records import Actor, Session, Turn
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    Evidence,
    HealthState,
    RuntimeName,
    SessionState,
    TurnStatus,
)
from netsky_runtime.vital_records import Vital
from netsky_tui import vitals

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


NOW = 10_000_000
SECOND, MINUTE = 1_000, 60_000


def turn(minutes: int) -> Turn:
    return replace(RUNNING, started_at=NOW - minutes * MINUTE)


def life(**known: Any) -> Vital:
    return Vital(fact="item.completed", fact_at=NOW - 2 * SECOND, **known)


LIVE = {"blocked": "", "blocked_at": None, "runtime": RuntimeName.APP_SERVER}
PAST = {"last_event_at": NOW - 3 * MINUTE, "waiting": 0}


@pytest.mark.parametrize(
    ("known", "row", "expected"),
    [
        ({"turn": turn(4), "vital": life()}, {}, "busy: turn running, protocol, 2 s"),
        (
            {"turn": turn(4), "vital": life(item="command")},
            {},
            "busy: command running, protocol, 2 s",
        ),
        ({"turn": turn(4), "vital": life(item="reasoning")}, {}, "busy: thinking, protocol, 2 s"),
        (
            {"turn": turn(4), "vital": life(item="mcp_call")},
            {"runtime": RuntimeName.RESIDENT},
            "busy: tool running, rollout, 2 s",
        ),
        (
            {
                "turn": turn(4),
                "vital": replace(life(), pulse=Evidence.LIVE_TEXT, pulse_at=NOW - SECOND),
            },
            {},
            "busy: turn running, live text, 1 s",
        ),
        (
            {
                "turn": turn(4),
                "vital": replace(life(), pulse=Evidence.HISTORY, pulse_at=NOW - MINUTE),
            },
            {},
            "busy: turn running, protocol, 2 s",
        ),
        (
            {"turn": turn(4), "vital": replace(life(), fact="error")},
            {},
            "busy: Codex has met an error and goes on, protocol, 2 s",
        ),
        ({"turn": turn(4), "vital": None}, {}, "busy: turn running, protocol, 4 min"),
        (
            {
                "turn": turn(9),
                "vital": replace(life(), fact_at=NOW - 6 * MINUTE, silent=True),
            },
            {},
            "unhealthy: silent turn, last event 6 min",
        ),
        (
            {"turn": turn(20), "vital": life(silent=True), "pending_since": NOW - 14 * MINUTE},
            {},
            "blocked: approval, 14 min",
        ),
        ({}, {}, "idle: nothing to do, 3 min"),
        ({"question_since": NOW - MINUTE}, {}, "blocked: question, 1 min"),
        ({"last_turn": TurnStatus.FAILED}, {}, "unhealthy: last turn failed, 3 min"),
        (
            {},
            {"state": SessionState.LOST, "end_reason": "the engine died"},
            "unhealthy: the engine died, 3 min",
        ),
        (
            {"turn": turn(4), "vital": replace(life(), fact_at=NOW + 3_600_000)},
            {},
            "busy: turn running, protocol, 0 s",
        ),
        ({"last_event_at": NOW + 3_600_000}, {}, "idle: nothing to do, 0 s"),
    ],
)
def test_an_actor_says_how_it_is_how_that_is_known_and_how_long_ago(
    known: dict[str, Any], row: dict[str, Any], expected: str
) -> None:
    facts: dict[str, Any] = {
        "turn": None,
        "pending_since": None,
        "question_since": None,
        "uncertain": 0,
        "last_turn": None,
        **PAST,
        **known,
    }
    found = health.derive(actor=ACTOR, session=session(**{**LIVE, **row}), **facts)
    assert f"{found.state.value}: {vitals.told(found, NOW)}" == expected


@pytest.mark.parametrize(
    ("known", "row", "evidence"),
    [
        ({}, {}, Evidence.ROW),
        ({"pending_since": 1}, {}, Evidence.PROTOCOL),
        ({}, {"blocked": "A dialog.", "runtime": RuntimeName.RESIDENT}, Evidence.SCREEN),
        ({"turn": RUNNING}, {"runtime": RuntimeName.RESIDENT}, Evidence.ROLLOUT),
        ({"turn": RUNNING}, {}, Evidence.PROTOCOL),
        ({"uncertain": 2}, {}, Evidence.ROW),
    ],
)
def test_what_tells_so_is_named(
    known: dict[str, Any], row: dict[str, Any], evidence: Evidence
) -> None:
    facts: dict[str, Any] = {
        "turn": None,
        "pending_since": None,
        "question_since": None,
        "uncertain": 0,
        "last_turn": None,
        **PAST,
        **known,
    }
    found = health.derive(actor=ACTOR, session=session(**{**LIVE, **row}), **facts)
    assert found.evidence is evidence
