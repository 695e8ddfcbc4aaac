"""The contract between netsky and whatever runs a thread.

A runtime knows threads, turns, approvals and events. It knows no actors, tasks,
priorities or channels, and never decides an approval by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from netsky_runtime.errors import NetskyError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.records import DecisionWord, RuntimeName, TurnStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a runtime can do. What it cannot, the room shows as unavailable, with the reason."""

    resume: bool
    steer: bool
    interrupt: bool
    approvals: bool
    tools: bool
    history: bool
    survives_netsky: bool
    """Turns go on when netsky is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """A tool offered to a thread; ``schema`` is the JSON Schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """Everything a thread is started or resumed with."""

    cwd: str
    instructions: str
    """Developer instructions: who the actor is and how envelopes look."""
    sandbox: str
    approval_policy: str
    model: str = ""
    effort: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    tools: Sequence[ToolSpec] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is submitted as one user message: one or more envelopes."""

    id: str
    """Goes along as the client message id and comes back in history where the version can."""
    text: str
    input_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A human's answer to an approval."""

    word: DecisionWord
    answer: Mapping[str, Any] | None = None
    """For questions and elicitations: the content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolResult:
    """What a model is told about a tool call."""

    text: str
    success: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricItem:
    """An item of a past turn: ``type`` and fields as in ``EventKind.ITEM_COMPLETED``."""

    id: str
    type: str
    data: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The words of a message, else nothing."""
        return str(self.data.get("text", ""))

    @property
    def client_id(self) -> str:
        """The batch id a user message was sent with, where the version keeps it."""
        return str(self.data.get("client_id") or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoricTurn:
    """A turn as the thread's own history tells it."""

    id: str
    status: TurnStatus
    started_at: int | None
    completed_at: int | None
    """``None`` on an interrupted turn: a crash cut it."""
    error: str
    items: tuple[HistoricItem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeInfo:
    """What the room and ``doctor`` say about a runtime."""

    name: RuntimeName
    version: str
    detail: str = ""
    notices: tuple[str, ...] = ()
    """Sentences for the operator: not logged in, survives less, and what to do."""


class ThreadSession(Protocol):
    """One thread, attached."""

    @property
    def thread_id(self) -> str:
        """Codex's durable id."""
        ...

    @property
    def engine_id(self) -> str:
        """Names the process: approval request ids are unique only within it."""
        ...

    @property
    def differences(self) -> Sequence[str]:
        """What came back other than asked for at resume, in words."""
        ...

    @property
    def active_turn(self) -> str:
        """Id of the turn that runs, as far as the runtime has heard; empty when none."""
        ...

    async def submit(self, batch: Batch) -> None:
        """Start a turn. The turn's id is learned from the user message in ``events``.

        Raises ``InputRejected``, ``ThreadUnavailable``, ``AnswerLost`` or ``TurnRunning``.
        """
        ...

    async def steer(self, batch: Batch, *, turn_id: str) -> None:
        """Add to the running turn. Raises ``NoActiveTurn`` when it has ended or is another."""
        ...

    async def interrupt(self, turn_id: str) -> None:
        """Stop the turn. Raises ``NoActiveTurn`` when there is none."""
        ...

    async def decide(self, request_id: str, decision: Decision) -> None:
        """Answer an approval.

        Raises ``ApprovalGone`` when nobody waits for it, ``UsageError`` when it lacks content that
        was asked for, ``ThreadUnavailable`` when it cannot be sent now.
        """
        ...

    async def answer_tool(self, call_id: str, result: ToolResult) -> None:
        """Answer a tool call. Raises ``ApprovalGone`` or ``ThreadUnavailable`` likewise."""
        ...

    def events(self) -> AsyncIterator[CodexEvent]:
        """Yield events in order, from the moment the session was made. One consumer.

        Ends after ``SESSION_LOST`` or ``close``.
        """
        ...

    async def watch(self, on: bool) -> None:
        """Ask for (or do without) ``DELTA`` events."""
        ...

    async def history(self) -> Sequence[HistoricTurn]:
        """All turns, oldest first. Raises ``HistoryUnavailable``."""
        ...

    async def close(self) -> None:
        """Let go of the thread; a running turn goes on where the runtime survives netsky."""
        ...


class ThreadRuntime(Protocol):
    """A door to Codex."""

    @property
    def name(self) -> RuntimeName:
        """Which door this is."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; known for sure after ``open``."""
        ...

    async def open(self) -> None:
        """Find or start what carries threads. Raises ``Unhealthy`` with what to do.

        Idempotent; called again after everything was lost, it starts anew.
        """
        ...

    async def info(self) -> RuntimeInfo:
        """Say what this is, for people."""
        ...

    async def start(self, spec: LaunchSpec) -> ThreadSession:
        """Make a new thread. Raises ``InputRejected`` or ``ThreadUnavailable``."""
        ...

    async def resume(self, thread_id: str, spec: LaunchSpec) -> ThreadSession:
        """Attach to a thread that has had a turn.

        Raises ``ThreadGone`` or ``ThreadUnavailable``.
        """
        ...

    async def close(self, *, keep_engine: bool) -> None:
        """Detach; without ``keep_engine`` also end every process, in bounded time."""
        ...


class RuntimeFailure(NetskyError):
    """A request to a runtime did not go through."""

    code = "runtime"


class InputRejected(RuntimeFailure):
    """The input itself is refused and will be again (too large, bad parameters)."""


class ThreadUnavailable(RuntimeFailure):
    """Not now: not loaded, overloaded, draining, engine absent. Nothing was consumed."""


class ThreadGone(RuntimeFailure):
    """The thread cannot be found by anyone."""


class TurnRunning(RuntimeFailure):
    """A turn already runs on this thread; nothing was submitted."""


class NoActiveTurn(RuntimeFailure):
    """The turn that was named does not run; nothing happened."""


class AnswerLost(RuntimeFailure):
    """It was sent and nobody said what became of it: only history knows."""

    def __init__(self, message: str, *, connected: bool, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.connected = connected
        """Whether the connection it was sent on still lived: then it may be taken late, and is
        told in the session's events. When not, the events end with ``SESSION_LOST``."""


class HistoryUnavailable(RuntimeFailure):
    """The thread's history cannot be read now."""


class ApprovalGone(RuntimeFailure):
    """Nobody waits for this answer any more."""
