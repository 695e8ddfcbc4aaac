"""Rows of ``budgets``, and how much is used of those that bound an actor.

What was not set for a subject has the default of the settings table; 0 is no budget.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.budgets import Gauge, midnight
from netsky_runtime.db import rows, spending
from netsky_runtime.states import BudgetScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.rows import Row, Tx

_SET = """
INSERT INTO budgets (scope, subject, tokens, created_at) VALUES (?, ?, ?, ?)
ON CONFLICT (scope, subject) DO UPDATE SET tokens = excluded.tokens,
    created_at = excluded.created_at
"""
_CLEAR = "DELETE FROM budgets WHERE scope = ? AND subject = ?"
_DEFAULT = "(SELECT CAST(value AS INTEGER) FROM settings WHERE key = '{}')"
_DAY = f"""
SELECT 'day' AS scope, '' AS subject, own.tokens AS own,
    coalesce(own.tokens, {_DEFAULT.format("day_budget")}, 0) AS tokens
FROM (SELECT 1) LEFT JOIN budgets AS own ON own.scope = 'day' AND own.subject = ''
"""  # noqa: S608 - constants only
_ACTOR = f"""
SELECT 'actor' AS scope, actors.id AS subject, own.tokens AS own, coalesce(own.tokens,
    CASE actors.kind WHEN 'worker' THEN {_DEFAULT.format("worker_budget")} END, 0) AS tokens
FROM actors LEFT JOIN budgets AS own ON own.scope = 'actor' AND own.subject = actors.id
"""  # noqa: S608 - constants only
_TASK = f"""
SELECT 'task', tasks.id, own.tokens, coalesce(own.tokens, {_DEFAULT.format("task_budget")}, 0)
FROM tasks LEFT JOIN budgets AS own ON own.scope = 'task' AND own.subject = tasks.id
"""  # noqa: S608 - constants only
# Nothing is added up for whom there is no budget.
_GAUGES = """
SELECT scope, subject, own, tokens, CASE scope
    WHEN 'day' THEN (SELECT coalesce(sum(s.tokens), 0) FROM spending AS s WHERE s.at >= ?1)
    ELSE (SELECT coalesce(max(s.tokens), 0) FROM spent AS s
        WHERE s.scope = bound.scope AND s.subject = bound.subject)
    END AS used
FROM ({}) AS bound WHERE tokens > 0
"""
_OWN = (
    f"{_ACTOR} WHERE actors.id = {{0}} UNION ALL {_TASK}"
    " WHERE tasks.owner_id = {0} AND tasks.status IN ('in_progress', 'reported')"
)
_OF = _GAUGES.format(f"{_DAY} UNION ALL {_OWN.format('?2')}")
_OF_SUBJECT = _GAUGES.format(_OWN.format("?2"))
_EVERY = _GAUGES.format(
    f"{_DAY} UNION ALL {_ACTOR} WHERE actors.status <> 'stopped' OR own.tokens IS NOT NULL"
    f" UNION ALL {_TASK} WHERE tasks.closed_at IS NULL OR own.tokens IS NOT NULL"
)
_THE_DAY = _GAUGES.format(_DAY)
_USED_UP = "EXISTS (SELECT 1 FROM ({}) WHERE used >= tokens)"
DAY_USED_UP: Final = _USED_UP.format(_THE_DAY)
"""A condition for a statement of which ``?1`` is midnight."""


def used_up_of(actor: str) -> str:
    """Return the condition that a budget of ``actor``, a column, or of its tasks is used up."""
    return _USED_UP.format(_GAUGES.format(_OWN.format(actor)))


async def set_(tx: Tx, scope: BudgetScope, subject: str, tokens: int, *, now: int) -> None:
    """Set the budget of a subject; 0 frees it from the default."""
    await rows.many(tx, _SET, scope.value, subject, tokens, now)


async def clear(tx: Tx, scope: BudgetScope, subject: str) -> None:
    """Take the default again."""
    await rows.many(tx, _CLEAR, scope.value, subject)


async def used(tx: Tx, scope: BudgetScope, subject: str, *, now: int) -> int:
    """Return the tokens that count for a budget of this subject, be there one or not."""
    match scope:
        case BudgetScope.ACTOR:
            return await spending.of_actor(tx, subject)
        case BudgetScope.TASK:
            return await spending.of_task(tx, subject)
        case BudgetScope.DAY:
            return await spending.since(tx, midnight(now))


async def get(tx: Tx, scope: BudgetScope, subject: str, *, now: int) -> Gauge | None:
    """Return how the budget of a subject stands, if there is one."""
    found = await every(tx, now=now)
    return next((g for g in found if (g.scope, g.subject) == (scope, subject)), None)


async def of_actor(tx: Tx, actor_id: str, *, now: int) -> tuple[Gauge, ...]:
    """Return the budgets that bound an actor now: the day's, its own and those of its tasks."""
    return _gauges(await rows.many(tx, _OF, midnight(now), actor_id))


async def of_subject(tx: Tx, actor_id: str) -> tuple[Gauge, ...]:
    """Return the budgets of an actor and of its tasks, without the day's."""
    return _gauges(await rows.many(tx, _OF_SUBJECT, 0, actor_id))


async def of_day(tx: Tx, *, now: int) -> Gauge | None:
    """Return the budget of this day, if there is one."""
    found = _gauges(await rows.many(tx, _THE_DAY, midnight(now)))
    return found[0] if found else None


async def every(tx: Tx, *, now: int) -> tuple[Gauge, ...]:
    """Return all budgets: the day's, those of actors at work, those of tasks in hand or set."""
    return _gauges(await rows.many(tx, _EVERY, midnight(now)))


def _gauges(found: Sequence[Row]) -> tuple[Gauge, ...]:
    return tuple(
        Gauge(
            scope=BudgetScope(row["scope"]),
            subject=row["subject"],
            limit=row["tokens"],
            used=row["used"],
            set_by_owner=row["own"] is not None,
        )
        for row in found
    )
