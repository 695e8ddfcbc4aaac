"""What a daemon is made of: every service, made once and introduced to the others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from netsky_runtime import door_choice, wiring
from netsky_runtime.agents.approvals import ApprovalDesk
from netsky_runtime.agents.asking import Asking
from netsky_runtime.agents.budgets import BudgetKeeper, TurnStopper
from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.fleet import Fleet
from netsky_runtime.agents.ingest import FactWriter
from netsky_runtime.agents.kit import Kit
from netsky_runtime.agents.ladder import Ladder
from netsky_runtime.agents.launch import Launcher
from netsky_runtime.agents.live import LiveState
from netsky_runtime.agents.pause import Gate, Pauses
from netsky_runtime.agents.pulses import Pulses
from netsky_runtime.agents.restart_policy import Budget
from netsky_runtime.agents.rules import RuleBook
from netsky_runtime.agents.rungs import Patience
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.agents.watchdog import Watchdog
from netsky_runtime.approval_verbs import ApprovalVerbs, RuleVerbs
from netsky_runtime.attention_verbs import AttentionVerbs
from netsky_runtime.budget_verbs import BudgetVerbs
from netsky_runtime.codex.binary import codex_home
from netsky_runtime.comms.bus.folders import prepare_channel
from netsky_runtime.comms.envelope import Envelopes
from netsky_runtime.comms.post_office import PostOffice
from netsky_runtime.comms.receiving import Inbox
from netsky_runtime.comms.replies import ReplyDesk
from netsky_runtime.live_verbs import LiveVerbs
from netsky_runtime.machine import boottime
from netsky_runtime.message_verbs import MessageVerbs
from netsky_runtime.note_verbs import NoteVerbs
from netsky_runtime.runtimes import Runtimes
from netsky_runtime.sidecar.runs import Sidecar
from netsky_runtime.task_verbs import TaskVerbs
from netsky_runtime.tool_verbs import ToolVerbs

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.codex.probe import Doors
    from netsky_runtime.db.connection import Database
    from netsky_runtime.door_choice import Choice
    from netsky_runtime.log import Log
    from netsky_runtime.options import Options
    from netsky_runtime.records import Turn
    from netsky_runtime.settings import Settings
    from netsky_runtime.supervise import Supervisor


class Services:
    """Everything that works for a daemon. Making it starts nothing."""

    def __init__(
        self,
        *,
        options: Options,
        settings: Settings,
        choice: Choice,
        doors: Callable[[], Doors],
        database: Database,
        supervisor: Supervisor,
        clock: Clock,
        ids: Ids,
        log: Log,
    ) -> None:
        self.live = LiveState()
        self.pauses = Pauses(database=database, clock=clock, log=log, wake_all=self.wake_all)
        self.budgets = BudgetKeeper(
            database=database,
            clock=clock,
            stop=TurnStopper(supervisor=supervisor, log=log, interrupt=self.interrupt),
            log=log,
            wake=self.wake,
        )
        self.facts = FactWriter(database=database, clock=clock, log=log, budgets=self.budgets)
        self.runtimes = Runtimes(
            choice=choice,
            environ=options.environ,
            demo=options.demo,
            settings=settings,
            home=options.home,
            database=database,
            clock=clock,
            ids=ids,
            log=log,
        )
        self.desk = ApprovalDesk(
            database=database,
            clock=clock,
            log=log,
            session_of=self.session_of,
            wake=self.wake,
        )
        sessions = wiring.Sessions(
            settings=settings, door=lambda: self.runtimes.chosen, clock=clock, ids=ids
        )
        self.delegation = Delegation(
            clock=clock,
            ids=ids,
            limits=wiring.limits(settings, options.cwd),
            new_session=sessions,
        )
        toolbox = Toolbox(
            database=database, delegation=self.delegation, clock=clock, ids=ids, wake=self.wake
        )
        replies = ReplyDesk(ids=ids)
        pulses = Pulses(clock=clock)
        kit = Kit(
            database=database,
            clock=clock,
            ids=ids,
            log=log,
            facts=self.facts,
            live=self.live,
            pulses=pulses,
            desk=self.desk,
            envelopes=Envelopes(),
            gate=Gate(clock=clock),
            pauses=self.pauses,
            settle=replies.settle,
            refuse=replies.refuse,
            call_tool=toolbox.call,
            runtime=self.runtimes.get,
            launcher=Launcher(options.home, prepare_channel, options.forwarder),
            new_session=sessions,
            start_ready=self.delegation.start_ready,
            give_back=self.delegation.give_back,
            wake=self.wake,
            tell=self.runtimes.tell,
            respawns=Budget(times=settings.respawns),
        )
        self.fleet = Fleet(kit=kit, supervisor=supervisor)
        self.watchdog = Watchdog(
            pulses=pulses,
            ladder=Ladder(
                database=database,
                clock=clock,
                log=log,
                fleet=self.fleet,
                tell=self.runtimes.tell,
            ),
            fleet=self.fleet,
            patience=Patience(
                turn=settings.silent_turn_seconds, command=settings.silent_command_seconds
            ),
            database=database,
            supervisor=supervisor,
            clock=clock,
            boottime=boottime,
            log=log,
        )
        self.office = PostOffice(
            root=options.home.channels,
            database=database,
            clock=clock,
            ids=ids,
            wake=self.wake,
            log=log,
        )
        self.sidecar = Sidecar(
            root=options.home.channels,
            database=database,
            fleet=self.fleet,
            supervisor=supervisor,
            office=self.office,
            settings=settings,
            door=partial(door_choice.sidecar_door, settings, doors, self.runtimes.chosen),
            cwd=wiring.limits(settings, options.cwd).work_dir,
            clock=clock,
            ids=ids,
        )
        inbox = Inbox(database=database, clock=clock, ids=ids, wake=self.wake)
        messages = MessageVerbs(
            database=database,
            inbox=inbox,
            clock=clock,
            wake=self.wake,
            look_again=self.fleet.reconcile,
            capabilities_of=self.fleet.capabilities_of,
        )
        tasks = TaskVerbs(
            database=database, delegation=self.delegation, clock=clock, wake=self.wake
        )
        notes = NoteVerbs(database=database, clock=clock, budgets=self.budgets)
        lives = LiveVerbs(
            database=database,
            fleet=self.fleet,
            delegation=self.delegation,
            check_door=partial(door_choice.check_door, doors),
            codex_home=codex_home(options.environ),
            clock=clock,
            wake=self.wake,
        )
        decisions = ApprovalVerbs(
            database=database,
            desk=self.desk,
            asking=Asking(database=database, clock=clock, ids=ids, wake=self.wake),
        )
        rules = RuleVerbs(book=RuleBook(database=database, clock=clock))
        limits = BudgetVerbs(budgets=self.budgets, pauses=self.pauses)
        attention = AttentionVerbs(database=database, clock=clock, ids=ids, wake=self.wake)
        tools = ToolVerbs(database=database, call_tool=toolbox.call, turn_of=self.turn_of)
        self.verbs = {
            **messages.table(),
            **tasks.table(),
            **notes.table(),
            **lives.table(),
            **decisions.table(),
            **rules.table(),
            **tools.table(),
            **attention.table(),
            **limits.table(),
            "codex.run": self.sidecar.run,
        }

    def wake(self, actor_id: str) -> None:
        """Let an actor look at its queue."""
        self.fleet.wake(actor_id)

    def wake_all(self) -> None:
        """Let every actor look at its queue."""
        self.fleet.wake_all()

    async def interrupt(self, turn: Turn) -> str:
        """Stop this turn for what stops it, and return its id.

        Raises what ``Fleet.interrupt`` does.
        """
        return await self.fleet.interrupt(turn.actor_id, turn_id=turn.id, because=turn.stopped_by)

    def session_of(self, actor_id: str) -> ThreadSession | None:
        """Return the actor's live thread."""
        return self.fleet.session_of(actor_id)

    def turn_of(self, actor_id: str) -> str:
        """Return the turn that runs on the actor's thread, empty when none does."""
        thread = self.fleet.session_of(actor_id)
        return thread.active_turn if thread is not None else ""
