"""The states that records can be in, and the words for what they are.

Every status is spelled here and nowhere else; the database stores the text of the enum.
"""

from __future__ import annotations

from enum import StrEnum


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


class LedgerKind(StrEnum):
    """What an entry of the ledger tells of."""

    DECIDED = "decided"
    REOPENED = "reopened"
    """A decision could not be said to Codex, or Codex asks what had been given up."""
    CANCELLED = "cancelled"
    """Its turn was interrupted before anybody decided."""
    RESOLVED_ELSEWHERE = "resolved_elsewhere"
    LOST = "lost"
    UNCONFIRMED = "unconfirmed"
    """Its turn went on, and whether by netsky's decision is not known."""
    ASKED_AGAIN = "asked_again"
    RULE_ADDED = "rule_added"
    RULE_REVOKED = "rule_revoked"
    RESTORED = "restored"
    """A backup took the database's place; the ledger that was set aside is named by its end."""
    PAUSED = "paused"
    """By the owner. What Codex's limits and the day's budget pause by themselves is no decision."""
    UNPAUSED = "unpaused"
    BUDGET_SET = "budget_set"
    BUDGET_CLEARED = "budget_cleared"


class HealthState(StrEnum):
    """How an actor is, at a glance."""

    HEALTHY = "healthy"
    BUSY = "busy"
    IDLE = "idle"
    BLOCKED = "blocked"
    UNHEALTHY = "unhealthy"


class AttentionKind(StrEnum):
    """What can wait for a human."""

    APPROVAL = "approval"
    QUESTION = "question"
    """An actor asks the owner; Codex's own questions are approvals."""
    BLOCKED = "blocked"
    """A screen of Codex's that only a human may answer."""
    UNCERTAIN = "uncertain"
    CRASH_LOOP = "crash_loop"
    """Parked because it was brought back too often."""
    PARKED = "parked"
    BUDGET = "budget"
    """An actor, or everybody, whose work is held by a budget that is used up."""
    PAUSED = "paused"
    """The owner's own pause without an end, while work waits for it."""
    UNATTACHED = "unattached"
    """A door to Codex that could not attach somebody's thread for long."""
    RUNS_ON = "runs_on"
    """A turn of a session that is over, which could not be reached to end it."""
    STUCK = "stuck"
    """A task that waits in vain, and nobody at work answers for it."""
    STALLED = "stalled"
    """A task that a worker has in progress, and nothing is under way for it."""
    LOST = "lost"
    """A question of Codex's that died unanswered, and was not asked again."""
    FAILED = "failed"
    """A message of the owner's that came to nothing."""
    QUARANTINED = "quarantined"
    """A file of the bus that nobody was given."""


class Evidence(StrEnum):
    """How it is known that an actor is as it is."""

    PROTOCOL = "protocol"
    """An event of its thread."""
    ROLLOUT = "rollout"
    """A line of the file in which Codex writes the thread down."""
    LIVE_TEXT = "live text"
    """A fragment of what its turn says or its command prints."""
    HISTORY = "history"
    """What its thread's own history showed when it was read."""
    SCREEN = "screen"
    """What Codex's own screen shows."""
    ROW = "netsky"
    """What netsky itself has written down."""


class RungName(StrEnum):
    """What is done about a turn that hangs, in this order."""

    RECONCILE = "reconcile"
    """Read the thread's history, and listen to its live text from here on."""
    INTERRUPT = "interrupt"
    REATTACH = "reattach"
    """Let go of the thread and load it afresh, in a process of its own where it has one."""
    MOVE = "move"
    """Take the thread through another door to Codex."""
    PARK = "park"
    """Give the actor no more work and tell the owner."""


class RungOutcome(StrEnum):
    """What came of a rung."""

    TRYING = ""
    HELPED = "helped"
    NO_CHANGE = "no change"
    FAILED = "failed"
    """It could not be done, or not to its end."""


class BudgetScope(StrEnum):
    """What a budget bounds."""

    ACTOR = "actor"
    TASK = "task"
    DAY = "day"
    """All actors together, from local midnight to local midnight."""


class PauseKind(StrEnum):
    """Why nothing is dispatched to anybody."""

    OWNER = "owner"
    LIMIT = "limit"
    """Codex's account has reached a limit."""
    DAY = "day"
    """The budget of the day is used up."""
