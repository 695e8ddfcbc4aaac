"""What every actor's runner needs from the rest of netsky, handed in by the daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from netsky_runtime.agents.restart_policy import Budget

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from netsky_runtime.agents.approvals import ApprovalDesk
    from netsky_runtime.agents.ingest import FactWriter
    from netsky_runtime.agents.launch import Launcher
    from netsky_runtime.agents.live import LiveState
    from netsky_runtime.agents.pause import Pauses
    from netsky_runtime.agents.pulses import Pulses
    from netsky_runtime.budgets import Hold
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.base import (
        HistoricItem,
        ThreadRuntime,
        ToolResult,
    )
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log
    from netsky_runtime.records import Actor, ActorInput, Message, Session, Turn
    from netsky_runtime.states import RuntimeName


class SettleTurn(Protocol):
    """Decides where a turn's final text goes, inside the transaction that ends the turn."""

    async def __call__(
        self,
        tx: Tx,
        *,
        actor: Actor,
        turn: Turn,
        inputs: Sequence[ActorInput],
        messages: Mapping[str, Message],
        items: Sequence[HistoricItem],
        now: int,
    ) -> frozenset[str]:
        """Settle ``inputs``, write replies and reports, return the actors to wake."""
        ...


class RefuseInputs(Protocol):
    """Tells those who wait for an answer that Codex will never take their words."""

    async def __call__(
        self,
        tx: Tx,
        *,
        actor: Actor,
        inputs: Sequence[ActorInput],
        messages: Mapping[str, Message],
        reason: str,
        now: int,
    ) -> frozenset[str]:
        """Cancel ``inputs``, write what is to be told, return the actors to wake."""
        ...


class CallTool(Protocol):
    """Runs an actor's tool call once, however often it is asked."""

    async def __call__(
        self,
        *,
        actor_id: str,
        thread_id: str,
        turn_id: str,
        call_id: str,
        tool: str,
        arguments: Mapping[str, Any],
    ) -> ToolResult:
        """Return what the model is told."""
        ...


class Envelopes(Protocol):
    """Renders inputs for a thread, and finds them again in its history."""

    def render(self, actor_input: ActorInput, message: Message, *, tag: str) -> str:
        """Return the exact text of one input."""
        ...

    def join(self, envelopes: Sequence[str]) -> str:
        """Return the text of one user message that carries them all."""
        ...

    def input_ids_in(self, text: str, *, tag: str) -> tuple[str, ...]:
        """Return the ids of the inputs that ``text`` carries."""
        ...


class AskGate(Protocol):
    """Says before every dispatch whether an actor's inputs may go."""

    async def __call__(self, tx: Tx, actor_id: str) -> Hold | None:
        """Return what holds them, asked in the transaction that would send them."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """The collaborators of a runner."""

    database: Database
    clock: Clock
    ids: Ids
    log: Log
    facts: FactWriter
    live: LiveState
    pulses: Pulses
    desk: ApprovalDesk
    envelopes: Envelopes
    gate: AskGate
    pauses: Pauses
    settle: SettleTurn
    refuse: RefuseInputs
    call_tool: CallTool
    runtime: Callable[[RuntimeName], ThreadRuntime]
    launcher: Launcher
    new_session: Callable[[Actor], Session]
    """Makes the session row of an actor that has none."""
    start_ready: Callable[[Tx], Awaitable[frozenset[str]]]
    """Begin the tasks that waited for a place or a dependency; return the actors to wake."""
    give_back: Callable[[Tx, str], Awaitable[frozenset[str]]]
    """Take the work off an actor that was stopped and tell its manager; return who to wake."""
    wake: Callable[[str], None]
    """Tell another actor's runner that something waits for it."""
    tell: Callable[[str], None]
    """Say a sentence to the operator, among the notices."""
    respawns: Budget = field(default_factory=Budget)
    """How often a lost thread is brought back."""
    left: set[str] = field(default_factory=set)
    """The engines, by id, of which the operator was told that their threads are elsewhere."""
