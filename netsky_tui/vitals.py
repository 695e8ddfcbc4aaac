"""How an actor is, in words: the reason, how it is known, and how long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.states import HealthState, RungOutcome
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.vital_records import Health, Rung


def why(health: Health, now: int) -> str:
    """Return the reason, and of a turn how and when it was last heard of."""
    if health.silent:
        return f"{health.reason}, last event {age(health.last_sign, now)}"
    if health.state is HealthState.BUSY and health.last_sign is not None:
        return f"{health.reason}, {health.evidence.value}, {age(health.last_sign, now)}"
    return health.reason


def told(health: Health, now: int) -> str:
    """Return the reason with an age in any case: that of the last sign, or since when it is so."""
    reason = why(health, now)
    return reason if reason != health.reason else f"{reason}, {age(health.since or None, now)}"


def known_by(health: Health, now: int) -> str:
    """Say what tells so, and when the actor was last heard of."""
    source = "netsky's own rows" if health.evidence.value == "netsky" else health.evidence.value
    if health.last_sign is None:
        return source
    return f"{source}, last heard of {age(health.last_sign, now)} ago"


def rung(found: Rung, now: int) -> str:
    """Return a line about a rung: when, what, why, and what came of it."""
    outcome = "under way" if found.outcome is RungOutcome.TRYING else found.outcome.value
    detail = f" ({found.detail})" if found.detail else ""
    return f"{age(found.at, now)} ago {found.rung.value}: {found.evidence}; {outcome}{detail}"
