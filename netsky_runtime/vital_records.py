"""Frozen records of how actors and their turns live, and of what was done about one that hung.

Times, and what an empty string and ``None`` mean, are as in ``records``.
"""

from __future__ import annotations

from dataclasses import dataclass

from netsky_runtime.states import Evidence, HealthState, RungName, RungOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an actor is, how that is known, and since when."""

    state: HealthState
    reason: str
    since: int
    evidence: Evidence = Evidence.ROW
    last_sign: int | None = None
    """When its thread, or what runs it, was last heard of."""
    silent: bool = False
    """Whether its turn has given no sign of life for longer than is usual."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """How a running turn lives."""

    fact: str = ""
    """Kind of its newest fact that is a sign of life."""
    fact_at: int | None = None
    item: str = ""
    """Type of the item that was begun last and is not completed; empty when none is open."""
    pulse: Evidence | None = None
    """How the newest sign of life that is no fact was heard."""
    pulse_at: int | None = None
    silent: bool = False
    """Whether the watchdog does something about its silence, or has done and nothing helped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """Something that was done about a turn that hung."""

    seq: int
    actor_id: str
    thread_id: str
    turn_id: str
    rung: RungName
    evidence: str
    """Why it was time for it, in words."""
    outcome: RungOutcome
    detail: str
    at: int
    ended_at: int | None = None
