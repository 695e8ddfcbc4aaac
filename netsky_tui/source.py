"""What the room reads: one consistent look at the spine, asked for in one go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.approval_records import Approval, Rule
    from netsky_runtime.attention.items import AttentionItem, Urgency
    from netsky_runtime.budgets import Gauge, Hold
    from netsky_runtime.db.trace import Trace
    from netsky_runtime.fact_records import StoredEvent, Usage
    from netsky_runtime.records import Actor, Message, Note, Session, Task, Turn
    from netsky_runtime.states import InputMode, InputStatus
    from netsky_runtime.vital_records import Health, Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorFacts:
    """An actor and what surrounds it."""

    actor: Actor
    health: Health
    session: Session | None = None
    turn: Turn | None = None
    """The one that runs."""
    open_inputs: int = 0
    approvals: int = 0
    """How many wait for a decision."""
    hold: Hold | None = None
    """Why what waits for it is not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorPast:
    """What was with an actor lately."""

    turns: Sequence[Turn] = ()
    """The latest first."""
    usage: Usage | None = None
    gauges: Sequence[Gauge] = ()
    """The budgets that bound it."""
    screen: str = ""
    """The one that blocks it."""
    rungs: Sequence[Rung] = ()
    """What was done about turns that hung, the latest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """A task and what it still waits for."""

    task: Task
    unmet: tuple[str, ...] = ()
    failed: bool = False
    """Whether its last report tells of a failed turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """A message and how far its input, if it has one, has come."""

    seq: int
    message: Message
    input_id: str = ""
    input_status: InputStatus | None = None
    mode: InputMode | None = None
    reason: str = ""
    """Why the input failed or was cancelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Counts that need no rows loaded."""

    tasks: int = 0
    tasks_open: int = 0
    messages: int = 0
    unread: int = 0
    turns_running: int = 0
    approvals_pending: int = 0
    waiting: Mapping[Urgency, int] = field(default_factory=dict)
    """How much waits for the owner, by its urgency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What the room wants to see."""

    actor_id: str = "manager0"
    """Whose events."""
    messages: int = 200
    events: int = 300
    tasks: int = 1000
    """Open ones; and as many closed ones."""
    approvals_known: tuple[str, ...] = ()
    """Approvals to report on though they are decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent look. Messages and events oldest first."""

    actors: tuple[ActorFacts, ...] = ()
    tasks: tuple[TaskFacts, ...] = ()
    messages: tuple[MessageFacts, ...] = ()
    events: tuple[StoredEvent, ...] = ()
    events_of: str = ""
    """The actor whose events these are."""
    approvals: tuple[Approval, ...] = ()
    attention: tuple[AttentionItem, ...] = ()
    """What waits for the owner, the most urgent first; approvals are among it."""
    totals: Totals = Totals()
    gauges: tuple[Gauge, ...] = ()
    """The budgets there are, and what is used of them."""
    hold: Hold | None = None
    """Why nothing is sent to anybody."""


class Source(Protocol):
    """Where the room reads. Every method raises ``NetskyError`` with what to do."""

    async def version(self) -> int:
        """Return a number that changes when somebody has written."""
        ...

    async def snapshot(self, ask: Ask) -> Snapshot:
        """Read everything ``ask`` names, in one transaction."""
        ...

    async def task(self, task_id: str) -> tuple[Task, Sequence[Note], Sequence[MessageFacts]]:
        """Read a task with its notes and messages. Raises ``NotFound``."""
        ...

    async def message(self, message_id: str, *, now: int) -> tuple[MessageFacts, Trace]:
        """Read a message and its way through netsky. Raises ``NotFound``."""
        ...

    async def trace(self, asked: str, *, now: int) -> Trace:
        """Read the way of a message, from any id on it. Raises ``NotFound``."""
        ...

    async def actor(self, actor_id: str) -> tuple[ActorFacts, ActorPast]:
        """Read an actor and what was with it lately. Raises ``NotFound``."""
        ...

    async def approval(self, approval_id: str) -> Approval:
        """Read an approval, whatever became of it. Raises ``NotFound``."""
        ...

    async def rules(self) -> tuple[Rule, ...]:
        """Read the rules in force."""
        ...

    async def close(self) -> None:
        """Let go of the database."""
        ...
