"""Ways to hold work: budgets that are used up, and tasks that wait in vain."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from netsky_runtime.db import budgets, spending, tasks
from netsky_runtime.fact_records import Usage
from netsky_runtime.states import BudgetScope, TaskStatus

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx

_TURNS = itertools.count()


async def spend(tx: Tx, actor_id: str, tokens: int, *, now: int) -> None:
    """Let an actor take tokens, in a turn and a thread of their own."""
    turn = next(_TURNS)
    usage = Usage(
        thread_id=f"th-{turn}",
        turn_id=f"t-{turn}",
        actor_id=actor_id,
        input_tokens=tokens,
        cached_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        total_tokens=tokens,
        updated_at=now,
    )
    await spending.tell(tx, usage)


async def use_up_the_day(tx: Tx, *, now: int) -> None:
    """Have a budget of the day, and all of it used."""
    await budgets.set_(tx, BudgetScope.DAY, "", 1_000, now=now)
    await spend(tx, "manager0", 1_500, now=now)


async def stick(
    tx: Tx, *, now: int, manager_id: str | None = None, status: TaskStatus = TaskStatus.FAILED
) -> tuple[str, str]:
    """Make a task that waits for one which will not be done; return both, the waiting one first."""
    needed = await tasks.insert(tx, title="Build it", now=now)
    waiting = await tasks.insert(
        tx, title="Ship it", status=TaskStatus.BLOCKED, manager_id=manager_id, now=now
    )
    await tasks.add_dependency(tx, waiting.id, needed.id, now=now)
    await tasks.set_status(tx, needed.id, status, now=now)
    return waiting.id, needed.id
