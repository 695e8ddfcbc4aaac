"""How an actor is, derived from what is stored: always with the reason and since when."""

from __future__ import annotations

from netsky_runtime.records import Actor, Health, Session, Turn
from netsky_runtime.states import ActorStatus, HealthState, SessionState, TurnStatus

LAST_TURN_FAILED = "last turn failed"


def derive(
    *,
    actor: Actor,
    session: Session | None,
    turn: Turn | None,
    pending_since: int | None,
    question_since: int | None,
    uncertain: int,
    waiting: int,
    last_turn: TurnStatus | None,
    last_event_at: int | None,
) -> Health:
    """Return the actor's health.

    ``turn`` is the running one; ``pending_since`` the time of its oldest pending approval,
    ``question_since`` of its oldest open question to a human, both ms; ``uncertain`` and
    ``waiting`` count inputs; ``last_turn`` is how its latest turn ended; ``last_event_at`` the time
    of the last fact of its threads.
    """
    if actor.status is ActorStatus.STOPPED:
        return Health(state=HealthState.IDLE, reason="stopped", since=actor.updated_at)
    if actor.status is ActorStatus.PARKED:
        reason = f"parked: {actor.park_reason}" if actor.park_reason else "parked"
        return Health(state=HealthState.BLOCKED, reason=reason, since=actor.updated_at)
    if pending_since is not None:
        return Health(state=HealthState.BLOCKED, reason="approval", since=pending_since)
    if uncertain:
        reason = f"{uncertain} uncertain input{'s' if uncertain > 1 else ''}"
        return Health(state=HealthState.BLOCKED, reason=reason, since=actor.updated_at)
    if session is not None and session.state is SessionState.LOST:
        reason = session.end_reason or "its thread was lost"
        since = last_event_at or actor.updated_at
        return Health(state=HealthState.UNHEALTHY, reason=reason, since=since)
    if session is not None and session.blocked:
        since = session.blocked_at or actor.updated_at
        return Health(state=HealthState.BLOCKED, reason=session.blocked, since=since)
    if turn is not None:
        return Health(state=HealthState.BUSY, reason="turn running", since=turn.started_at)
    if question_since is not None:
        return Health(state=HealthState.BLOCKED, reason="question", since=question_since)
    if last_turn is TurnStatus.FAILED:
        since = last_event_at or actor.updated_at
        return Health(state=HealthState.UNHEALTHY, reason=LAST_TURN_FAILED, since=since)
    if waiting:
        reason = f"{waiting} input{'s' if waiting > 1 else ''} waiting"
        return Health(state=HealthState.HEALTHY, reason=reason, since=actor.updated_at)
    since = last_event_at or actor.updated_at
    return Health(state=HealthState.IDLE, reason="nothing to do", since=since)
