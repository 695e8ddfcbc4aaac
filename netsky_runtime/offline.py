"""The verbs that need no threads, while no daemon runs."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from netsky_runtime import settings, wiring
from netsky_runtime.agents.budgets import BudgetKeeper
from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.pause import Pauses
from netsky_runtime.agents.rules import RuleBook
from netsky_runtime.approval_verbs import RuleVerbs
from netsky_runtime.attention_verbs import AttentionVerbs
from netsky_runtime.budget_verbs import BudgetVerbs
from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.comms.receiving import Inbox
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.db.connection import Database
from netsky_runtime.gate import check_self
from netsky_runtime.lock import held
from netsky_runtime.message_verbs import MessageVerbs
from netsky_runtime.note_verbs import NoteVerbs
from netsky_runtime.states import RuntimeName
from netsky_runtime.task_verbs import TaskVerbs
from netsky_runtime.verbs import VerbTable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netsky_runtime.paths import Home


@asynccontextmanager
async def offline(home: Home, *, cwd: Path | None = None) -> AsyncIterator[VerbTable]:
    """Offer the verbs that need no threads, under the home's lock, while no daemon runs.

    Raises ``DaemonRunning`` when one has just started, ``Refused`` for an agent, and what opening
    a home raises.
    """
    clock = SystemClock()
    ids = SortableIds(clock)
    home.prepare()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(held(home.lock, clock=clock, brief=True))
        database = await Database.open(home.database, backups=home.backups, clock=clock)
        stack.push_async_callback(database.close)
        await check_self("to write to this home", home=home, database=database)
        # A daemon that lost its lock and does not know it writes nothing more from here on.
        await database.own(pid=os.getpid(), now=clock.now())
        here = cwd or Path.cwd()
        chosen = settings.load(settings.valid(await database.read(setting_rows.get_all)))
        folder = settings.work_dir(chosen, here).resolve()
        await database.write(lambda tx: wiring.first_rows(tx, folder, clock.now()))

        def wake(_actor_id: str) -> None:
            """Nobody is there to be woken: the next daemon finds the queue."""

        # None of these verbs makes a session, so nobody asks here which door is open.
        sessions = wiring.Sessions(
            settings=chosen, door=lambda: RuntimeName.APP_SERVER, clock=clock, ids=ids
        )
        delegation = Delegation(
            clock=clock, ids=ids, limits=wiring.limits(chosen, here), new_session=sessions
        )

        # Nothing of ours runs: the next daemon stops what is over its budget then, and says so.
        def nobody(*_words: object) -> None:
            """Tell nobody."""

        budgets = BudgetKeeper(database=database, clock=clock, log=nobody, stop=nobody, wake=wake)
        pauses = Pauses(database=database, clock=clock, log=nobody, wake_all=nobody)
        inbox = Inbox(database=database, clock=clock, ids=ids, wake=wake)
        tables = (
            MessageVerbs(database=database, inbox=inbox, clock=clock, wake=wake).table(),
            TaskVerbs(database=database, delegation=delegation, clock=clock, wake=wake).table(),
            NoteVerbs(database=database, clock=clock, budgets=budgets).table(),
            AttentionVerbs(database=database, clock=clock, ids=ids, wake=wake).table(),
            BudgetVerbs(budgets=budgets, pauses=pauses).table(),
            RuleVerbs(book=RuleBook(database=database, clock=clock)).table(),
        )
        yield VerbTable(*tables, offline=True)
