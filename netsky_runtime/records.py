"""The shared vocabulary: frozen records of who works, on what, and what they are told.

Times are integer milliseconds since the epoch. An empty string means
"not known yet" for ids of other programs, ``None`` means "does not apply".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    DeliveryStatus,
    Direction,
    EngineState,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    Priority,
    RuntimeName,
    SessionState,
    Source,
    TaskStatus,
    ToolsDoor,
    TurnStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNER = "owner"
MANAGER0 = "manager0"
MAX_BODY_BYTES = 256 * 1024
CRASH_LOOP = "crash loop"
"""How the reason of a park begins that was ordered because an actor was brought back too often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """A named participant."""

    id: str
    kind: ActorKind
    status: ActorStatus
    manager_id: str | None = None
    """Who its reports go to; ``None`` for the owner, ``owner`` for manager0."""
    objective: str = ""
    cwd: str = ""
    park_reason: str = ""
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One live execution context of an actor, with all it takes to come back the same."""

    id: str
    actor_id: str
    runtime: RuntimeName
    state: SessionState
    thread_id: str = ""
    """Codex's durable id; empty until the first input starts the thread."""
    engine_id: str = ""
    cwd: str
    model: str = ""
    effort: str = ""
    sandbox: str
    approval_policy: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tag: str
    """Random marker that netsky's envelopes in this thread carry."""
    differences: str = ""
    """What came back other than stored at the last resume, in words; empty if nothing."""
    tools_door: ToolsDoor = ToolsDoor.NONE
    token: str = ""
    """Proves to the daemon that a call of ``netsky tools`` comes from this session's thread."""
    previous_thread_id: str = ""
    """The thread that could not be continued and that this session's thread takes over from."""
    blocked: str = ""
    """Why nothing can be typed into its pane, in words; empty when all is well."""
    blocked_at: int | None = None
    unattached_at: int | None = None
    """Since when its thread cannot be attached, when that is long; ``None`` when it can."""
    started_at: int
    ended_at: int | None = None
    end_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """A Codex conversation and whose it is."""

    id: str
    actor_id: str
    session_id: str
    parent_id: str = ""
    runtime: RuntimeName
    resync: bool = False
    """Facts may have a gap; to be filled from history."""
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One process that carries threads and may outlive netsky."""

    id: str
    runtime: RuntimeName
    state: EngineState
    pid: int
    pid_started: float
    """When the process started, as ``wire.birth`` tells it: a pid alone is reused."""
    binary: str
    version: str
    codex_home: str
    socket: str
    started_at: int
    ended_at: int | None = None
    end_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorResult:
    """What a handshake with one door of a Codex has shown."""

    door: RuntimeName
    open: bool
    version: str
    """Of Codex, as it was told in the handshake; empty when it was not."""
    milliseconds: int
    """How long the door took to answer, or to be given up."""
    reason: str
    """Why it is not open, in a sentence; empty when it is."""
    tried_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One user input up to one completed response."""

    thread_id: str
    id: str
    actor_id: str
    status: TurnStatus
    started_at: int
    completed_at: int | None = None
    error: str = ""
    final_text: str = ""
    stopped_by: str = ""
    """Why netsky or the account stopped it, to go on once that is over; empty otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A durable work item."""

    id: str
    title: str
    body: str = ""
    priority: Priority = Priority.P2
    status: TaskStatus
    owner_id: str | None = None
    """The worker (or manager) that does it."""
    manager_id: str | None = None
    estimate_minutes: int | None = None
    depends_on: tuple[str, ...] = ()
    created_at: int
    updated_at: int
    closed_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One recorded communication."""

    id: str
    source: Source
    direction: Direction
    kind: MessageKind
    sender: str
    target: str
    body: str
    status: MessageStatus
    in_reply_to: str | None = None
    task_id: str | None = None
    thread_id: str = ""
    turn_id: str = ""
    """The turn that spoke it, when an actor did."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    created_at: int
    read_at: int | None = None
    """When the owner's eyes were on it; owner-bound messages only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one sink, with its receipt."""

    id: str
    message_id: str
    sink: str
    """``actor:<id>`` or ``room``; later channels add their own."""
    input_id: str | None = None
    status: DeliveryStatus
    error: str = ""
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ActorInput:
    """A message on its way into an actor's thread."""

    id: str
    actor_id: str
    message_id: str
    mode: InputMode
    status: InputStatus
    thread_id: str = ""
    batch_id: str = ""
    """Set before anything is sent: a queued input with a batch id may have been sent."""
    envelope: str = ""
    """The exact text submitted for this input, rendered once."""
    turn_id: str = ""
    recovers: tuple[str, ...] = ()
    """Ids of the inputs this recovery input answers for."""
    reason: str = ""
    attempts: int = 0
    not_before: int = 0
    created_at: int
    handed_at: int | None = None
    seen_at: int | None = None
    settled_at: int | None = None
    reply_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A durable explanation."""

    id: str
    author: str
    task_id: str | None = None
    body: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRow:
    """One structured line of the log."""

    seq: int
    at: int
    level: str
    component: str
    message: str
    fields: Mapping[str, Any] = field(default_factory=dict)
