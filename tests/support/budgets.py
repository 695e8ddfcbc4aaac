"""A keeper of budgets where no fleet is at work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.agents.budgets import BudgetKeeper

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Database


def keeper(database: Database, clock: Clock) -> BudgetKeeper:
    """Return one that counts and decides, and whose decisions reach nobody."""
    return BudgetKeeper(
        database=database,
        clock=clock,
        stop=lambda *_turn: None,
        log=lambda *_line: None,
        wake=lambda _actor_id: None,
    )
