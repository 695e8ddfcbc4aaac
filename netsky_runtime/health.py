"""How an actor is, derived from what is stored: with the reason, how it is known, since when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.counting import count
from netsky_runtime.states import (
    ActorStatus,
    Evidence,
    HealthState,
    RuntimeName,
    SessionState,
    TurnStatus,
)
from netsky_runtime.vital_records import Health, Vital

if TYPE_CHECKING:
    from netsky_runtime.budgets import Hold
    from netsky_runtime.db.views import ActorView
    from netsky_runtime.records import Actor, Session, Turn

LAST_TURN_FAILED = "last turn failed"
SILENT = "silent turn"
TURN_RUNNING = "turn running"
_DOING = {
    "command": "command running",
    "file_change": "changing files",
    "tool_call": "tool running",
    "mcp_call": "tool running",
    "web_search": "searching the web",
    "reasoning": "thinking",
    "agent_message": "writing",
}
"""What an open item of a turn says of what is being done."""


def of(view: ActorView, hold: Hold | None = None) -> Health:
    """Return the health of an actor as it was read; ``hold`` is what its queue waits for."""
    return derive(
        actor=view.actor,
        session=view.session,
        turn=view.turn,
        pending_since=view.pending_since,
        question_since=view.question_since,
        uncertain=view.uncertain,
        waiting=view.open_inputs,
        last_turn=view.last_turn,
        last_event_at=view.last_event_at,
        vital=view.vital,
        hold=hold,
    )


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
    vital: Vital | None = None,
    hold: Hold | None = None,
) -> Health:
    """Return the actor's health.

    ``turn`` is the running one, and ``vital`` how it lives; ``pending_since`` is the time of its
    oldest pending approval, ``question_since`` of its oldest open question to a human, both ms;
    ``uncertain`` and ``waiting`` count inputs; ``last_turn`` is how its latest turn ended;
    ``last_event_at`` the time of the last fact of its threads; ``hold`` why its queue does not go.
    """
    heard = _heard(session)

    def known(
        state: HealthState, reason: str, since: int | None, evidence: Evidence = Evidence.ROW
    ) -> Health:
        at = actor.updated_at if since is None else since
        return Health(
            state=state, reason=reason, since=at, evidence=evidence, last_sign=last_event_at
        )

    if actor.status is ActorStatus.STOPPED:
        return known(HealthState.IDLE, "stopped", None)
    if actor.status is ActorStatus.PARKED:
        reason = f"parked: {actor.park_reason}" if actor.park_reason else "parked"
        return known(HealthState.BLOCKED, reason, None)
    if pending_since is not None:
        return known(HealthState.BLOCKED, "approval", pending_since, heard)
    if uncertain:
        reason = f"{uncertain} uncertain input{'s' if uncertain > 1 else ''}"
        return known(HealthState.BLOCKED, reason, None)
    if session is not None and session.state is SessionState.LOST:
        reason = session.end_reason or "its thread was lost"
        since = last_event_at if session.unattached_at is None else session.unattached_at
        return known(HealthState.UNHEALTHY, reason, since)
    if session is not None and session.blocked:
        screen = Evidence.SCREEN if session.runtime is RuntimeName.RESIDENT else heard
        return known(HealthState.BLOCKED, session.blocked, session.blocked_at, screen)
    if turn is not None:
        return _in_turn(turn, vital or Vital(), heard)
    if question_since is not None:
        return known(HealthState.BLOCKED, "question", question_since)
    if last_turn is TurnStatus.FAILED and hold is None:
        return known(HealthState.UNHEALTHY, LAST_TURN_FAILED, last_event_at, heard)
    if waiting:
        return known(*_queue(waiting, hold), None)
    return known(HealthState.IDLE, "nothing to do", last_event_at)


def _queue(waiting: int, hold: Hold | None) -> tuple[HealthState, str]:
    """Say how an actor is that has something to do and does not: held, it may be for long."""
    if hold is None:
        return HealthState.HEALTHY, f"{count(waiting, 'input')} waiting"
    state = HealthState.BLOCKED if hold.until is None else HealthState.HEALTHY
    return state, f"waiting: {hold.reason}"


def _in_turn(turn: Turn, vital: Vital, heard: Evidence) -> Health:
    """Say how a running turn is, and by what it was last heard of."""
    last, evidence = vital.fact_at or turn.started_at, heard
    if vital.pulse is not None and (vital.pulse_at or 0) > last:
        last, evidence = vital.pulse_at or 0, vital.pulse
    state, reason = HealthState.BUSY, _DOING.get(vital.item, TURN_RUNNING)
    if vital.fact == "error":
        reason = "Codex has met an error and goes on"
    if vital.silent:
        state, reason = HealthState.UNHEALTHY, SILENT
    return Health(
        state=state,
        reason=reason,
        since=turn.started_at,
        evidence=evidence,
        last_sign=last,
        silent=vital.silent,
    )


def _heard(session: Session | None) -> Evidence:
    """Say how netsky hears of the actor's thread."""
    if session is not None and session.runtime is RuntimeName.RESIDENT:
        return Evidence.ROLLOUT
    return Evidence.PROTOCOL
