"""What Codex tells of its account's limits: pure, the same for every door.

A snapshot comes after every response as ``rateLimits`` (app-server: ``primary`` and ``secondary``
with ``usedPercent``, ``windowDurationMins``, ``resetsAt``) or ``rate_limits`` (elsewhere, in snake
case), with nulls where there is no limit. ``resetsAt`` is in seconds since the epoch. A turn that
ran into a limit fails with the error kind ``usageLimitExceeded``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from netsky_runtime.codex.members import moment, part

FULL = 100.0
_KINDS = frozenset({"usageLimitExceeded", "usage_limit_exceeded"})


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit of which nothing is left."""

    name: str
    resets_at: int
    """Milliseconds since the epoch."""


def is_usage_limit(error: Any) -> bool:
    """Whether a turn's error says that the account's limit was reached."""
    if not isinstance(error, dict):
        return False
    kind = error.get("codexErrorInfo", error.get("codex_error_info"))
    return isinstance(kind, str) and kind in _KINDS


def reached(raw: Any) -> Reached | None:
    """Return the limit that is reached according to a snapshot, of several the last to reset.

    One that does not tell its reset is passed over: the turn that fails by it will tell.
    """
    told = part(raw, "rateLimits") or part(raw, "rate_limits")
    found = [_window(part(told, name)) for name in ("primary", "secondary")]
    full = [limit for limit in found if limit is not None]
    return max(full, key=lambda limit: limit.resets_at) if full else None


def _window(window: dict[str, Any]) -> Reached | None:
    used = window.get("usedPercent", window.get("used_percent"))
    resets_at = moment(window.get("resetsAt", window.get("resets_at")))
    if not isinstance(used, int | float) or used < FULL or resets_at is None:
        return None
    minutes = window.get(
        "windowDurationMins", window.get("window_duration_mins", window.get("window_minutes"))
    )
    return Reached(_name(minutes), resets_at)


def _name(minutes: Any) -> str:
    if not isinstance(minutes, int | float) or minutes <= 0:
        return "Codex's limit"
    hours = round(minutes / 60)
    if hours >= 24 * 6:
        return "Codex's weekly limit" if hours < 24 * 8 else "Codex's monthly limit"
    return f"Codex's {hours} h limit" if hours else f"Codex's {round(minutes)} min limit"
