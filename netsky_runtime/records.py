"""The shared vocabulary: frozen records and the states they can be in.

Every status is spelled here and nowhere else; the database stores the text of
the enum. Times are integer milliseconds since the epoch. An empty string means
"not known yet" for ids of other programs, ``None`` means "does not apply".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

OWNER = "owner"
MANAGER0 = "manager0"
MAX_BODY_BYTES = 256 * 1024


class RuntimeName(StrEnum):
    """Which door to Codex a session goes through."""

    APP_SERVER = "app_server"
    MCP_SERVER = "mcp_server"
    RESIDENT = "resident"
    SCRIPTED = "scripted"


class ToolsDoor(StrEnum):
    """How a thread reaches netsky's tools; a thread keeps the door it was started with."""

    NONE = ""
    """The thread has not been started."""
    DYNAMIC = "dynamic"
    """Codex asks netsky on the connection that carries the thread."""
    MCP = "mcp"
    """A small MCP server of netsky's, which Codex starts for the thread."""


class ActorKind(StrEnum):
    """What an actor is."""

    OWNER = "owner"
    MANAGER = "manager"
    WORKER = "worker"
    SIDECAR = "sidecar"
    """A worker without a task, which lives for one turn at a time: ``netsky codex N``."""


class ActorStatus(StrEnum):
    """Whether an actor takes work."""

    ACTIVE = "active"
    PARKED = "parked"
    """Waits for the owner; nothing is dispatched to it."""
    STOPPED = "stopped"


class SessionState(StrEnum):
    """Where a session stands with its thread."""

    STARTING = "starting"
    LIVE = "live"
    LOST = "lost"
    ENDED = "ended"


class EngineState(StrEnum):
    """Whether an engine is believed to run."""

    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


class TurnStatus(StrEnum):
    """How a turn stands or ended."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    INTERRUPTED = "interrupted"
    FAILED = "failed"


class TaskStatus(StrEnum):
    """Where a task is on its way."""

    OPEN = "open"
    BLOCKED = "blocked"
    IN_PROGRESS = "in_progress"
    REPORTED = "reported"
    """The worker has reported; its manager decides."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def closed(self) -> bool:
        """Whether nothing more will happen to the task by itself."""
        return self in _CLOSED_TASKS


_CLOSED_TASKS = frozenset({TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.CANCELLED})


class Priority(StrEnum):
    """P0 is now, P3 whenever."""

    P0 = "P0"
    P1 = "P1"
    P2 = "P2"
    P3 = "P3"


class Source(StrEnum):
    """Where a message entered netsky."""

    ROOM = "room"
    CLI = "cli"
    ACTOR = "actor"
    """An actor's tool call or the end of its turn."""
    DAEMON = "daemon"
    """netsky itself: recovery texts and task hand-overs."""
    CODEX = "codex"
    """A human typing in Codex's own TUI."""
    BUS = "bus"
    WEB = "web"
    IMESSAGE = "imessage"


class Direction(StrEnum):
    """Which way a message goes."""

    INBOUND = "inbound"
    """Towards an actor's thread."""
    OUTBOUND = "outbound"
    """Towards the owner."""


class MessageKind(StrEnum):
    """What a message is for."""

    TEXT = "text"
    TASK = "task"
    """The text of a task, handed to its worker."""
    REPORT = "report"
    """An actor's final text, climbing to its manager."""
    REPLY = "reply"
    QUESTION = "question"
    RECOVERY = "recovery"


class MessageStatus(StrEnum):
    """How far a message is."""

    RECEIVED = "received"
    ROUTED = "routed"
    ANSWERED = "answered"
    CLOSED = "closed"
    """No answer is expected."""
    FAILED = "failed"


class InputMode(StrEnum):
    """What the sender wants when the actor is busy."""

    QUEUE = "queue"
    STEER = "steer"
    INTERRUPT = "interrupt"


class InputStatus(StrEnum):
    """How far an input is on its way into a thread."""

    QUEUED = "queued"
    HANDED = "handed"
    """The runtime accepted it."""
    SEEN = "seen"
    """It is in the thread's history; provisional until its turn completes."""
    ANSWERED = "answered"
    INTERRUPTED = "interrupted"
    """A human or ``cancel`` stopped its turn."""
    CANCELLED = "cancelled"
    """Never consumed."""
    FAILED = "failed"
    UNCERTAIN = "uncertain"
    """History cannot tell; a human decides."""

    @property
    def open(self) -> bool:
        """Whether netsky still has something to do for it."""
        return self in OPEN_INPUTS


OPEN_INPUTS = frozenset({InputStatus.QUEUED, InputStatus.HANDED, InputStatus.SEEN})


class DeliveryStatus(StrEnum):
    """A delivery's receipt."""

    PENDING = "pending"
    HANDED = "handed"
    CONFIRMED = "confirmed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNCERTAIN = "uncertain"


def delivery_status(status: InputStatus) -> DeliveryStatus:
    """Derive a delivery's state from its input's: the one rule for it."""
    match status:
        case InputStatus.QUEUED:
            return DeliveryStatus.PENDING
        case InputStatus.SEEN | InputStatus.ANSWERED:
            return DeliveryStatus.CONFIRMED
        case _:
            return DeliveryStatus(status.value)


class ApprovalKind(StrEnum):
    """What Codex asks for."""

    COMMAND = "command"
    FILE_CHANGE = "file_change"
    PERMISSIONS = "permissions"
    USER_INPUT = "user_input"
    ELICITATION = "elicitation"


class DecisionWord(StrEnum):
    """What a human can say to an approval, in netsky's words."""

    ACCEPT = "accept"
    ACCEPT_FOR_SESSION = "accept_for_session"
    DECLINE = "decline"
    CANCEL = "cancel"
    """Decline and interrupt the turn."""


class ApprovalStatus(StrEnum):
    """What became of a question."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    ACCEPTED_FOR_SESSION = "accepted_for_session"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    ANSWERED = "answered"
    RESOLVED_ELSEWHERE = "resolved_elsewhere"
    LOST = "lost"


class HealthState(StrEnum):
    """How an actor is, at a glance."""

    HEALTHY = "healthy"
    BUSY = "busy"
    IDLE = "idle"
    BLOCKED = "blocked"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How an actor is, how that is known, and since when."""

    state: HealthState
    reason: str
    since: int


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
    """The process's start time, seconds since the epoch: a pid alone is reused."""
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
class ToolCall:
    """A tool call's recorded answer, kept so that a repeated call has no second effect."""

    thread_id: str
    turn_id: str
    call_id: str
    actor_id: str
    tool: str
    arguments: Mapping[str, Any]
    success: bool
    text: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """One question from Codex, stored before anyone sees it."""

    id: str
    engine_id: str
    request_id: str
    thread_id: str
    turn_id: str
    item_id: str
    actor_id: str
    kind: ApprovalKind
    command: str = ""
    cwd: str = ""
    reason: str = ""
    patch: str = ""
    questions: tuple[Mapping[str, Any], ...] = ()
    available_decisions: tuple[str, ...] = ()
    raw: Mapping[str, Any] = field(default_factory=dict)
    status: ApprovalStatus
    answer: Mapping[str, Any] | None = None
    decided_by: str = ""
    created_at: int
    decided_at: int | None = None
    sent_at: int | None = None
    """When Codex had the decision; a decision that its engine did not live to hear is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """A fact from a thread, in the order netsky stored it."""

    seq: int
    thread_id: str
    turn_id: str
    item_id: str
    kind: str
    actor_id: str
    at: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token totals of a thread as of one turn. Totals, because Codex repeats them on resume."""

    thread_id: str
    turn_id: str
    actor_id: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int
    context_window: int | None = None
    updated_at: int


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
