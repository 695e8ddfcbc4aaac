"""The contract between netsky and whatever runs a thread.

A runtime knows threads, turns, approvals and events. It knows no actors, tasks,
priorities or channels, and never decides an approval by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.states import DecisionWord, RuntimeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a runtime can do. What it cannot, the room shows as unavailable, with the reason."""

    resume: bool
    """Can continue a thread that another process or another door has started."""
    steer: bool
    interrupt: bool
    approvals: bool
    """Questions come as events and are answered by ``decide``."""
    tools: bool
    """Carries the calls of ``LaunchSpec.tools`` itself; without it they need an MCP server."""
    history: bool
    survives_netsky: bool
    """Turns go on when netsky is killed."""
    terminal: bool
    """Codex's own screen of a thread can be shown to a human."""
    environment: bool = False
    """Each thread has a process of its own, with ``LaunchSpec.environment`` in it."""
    live_text: bool = True
    """``watch`` brings fragments; without them a long answer is not heard of before its end."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot ``resume``, ``steer``, answer ``approvals`` or show a ``terminal``, by these
    names, and what to do instead: words for the middle of a sentence."""


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
    mark: str = ""
    """Random word that every text netsky sends into the thread carries: by it a thread is found
    whose id was never learned, and a human's words are told from netsky's."""
    label: str = ""
    """Short name for people, unique among the threads of a home: of a tmux session, of a folder."""
    companion: Sequence[str] = ()
    """Command that runs beside the thread and ends with it, where the door is a terminal."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for that command and for Codex, where each thread has a process of its own."""


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
    usage_limit: bool = False
    """Whether it failed because the account's limit was reached."""

    @property
    def is_cut(self) -> bool:
        """Whether it ended as a crash ends a turn."""
        return self.status is TurnStatus.INTERRUPTED and self.completed_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeInfo:
    """What the room and ``doctor`` say about a runtime."""

    name: RuntimeName
    version: str
    detail: str = ""
    notices: tuple[str, ...] = ()
    """Sentences for the operator: not logged in, survives less, and what to do."""
    silent_since: int | None = None
    """When Codex was asked what it has not answered yet, having told nothing since; ms."""


class ThreadSession(Protocol):
    """One thread, attached."""

    @property
    def thread_id(self) -> str:
        """Codex's durable id.

        Empty until the first ``submit`` has returned (or raised ``AnswerLost``) where the door
        names a thread only when it hears its first words.
        """
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

        Raises ``InputRejected``, ``ThreadUnavailable``, ``ThreadBlocked`` or ``TurnRunning``: then
        nothing of the batch is anywhere, and it may be sent anew. Raises ``AnswerLost`` for
        whatever may be taken yet, also for words that stand typed where a human can send them.
        """
        ...

    async def steer(self, batch: Batch, *, turn_id: str) -> None:
        """Add to the running turn. Raises ``NoActiveTurn`` when it has ended or is another.

        Raises ``Unsupported`` where the capabilities say so; so do all the methods below.
        """
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

    def terminal(self) -> Sequence[str]:
        """Return the command that shows Codex's own screen of this thread to a human.

        Raises ``Unsupported`` with the reason and what to do instead.
        """
        ...

    async def release(self) -> None:
        """Let go of the thread so that another door can write to it: this one never does again.

        Raises ``TurnRunning``; then nothing has changed. Raises ``ThreadUnavailable`` when it is
        not certain that this door is done with the thread.
        """
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

        Raises ``NoSuchDoor`` when this Codex, or this machine, does not have the door at all.

        Idempotent; called again after everything was lost, it starts anew.
        """
        ...

    async def info(self) -> RuntimeInfo:
        """Say what this is, for people."""
        ...

    def troubles(self) -> Sequence[str]:
        """Return a sentence on each thing behind the door that ends by errors again and again."""
        ...

    async def start(self, spec: LaunchSpec) -> ThreadSession:
        """Make a new thread. Raises ``InputRejected`` or ``ThreadUnavailable``."""
        ...

    async def resume(self, thread_id: str, spec: LaunchSpec) -> ThreadSession:
        """Attach to a thread that has had a turn.

        Raises ``ThreadGone`` or ``ThreadUnavailable``.
        """
        ...

    async def find(self, mark: str, *, since: int) -> str:
        """Return the id of the thread that was started with this mark; empty when none was.

        For a netsky that ended before it learned the id of a thread it had started, not before
        ``since`` (milliseconds). Empty is certain: raises ``HistoryUnavailable`` when a thread may
        have been started that cannot be seen now.
        """
        ...

    async def vacate(self, label: str) -> str:
        """End what the thread of a stopped actor lives in, where that outlives its session.

        ``label`` is the actor's, as in its launch specs. Returns why it was left as it is, empty
        when it was not: what runs is not cut, nor is a human thrown out. Raises
        ``RuntimeFailure`` or ``Unhealthy``.
        """
        ...

    async def close(self, *, keep_engine: bool) -> None:
        """Detach; without ``keep_engine`` also end every process, in bounded time."""
        ...


class NoSuchDoor(Unhealthy):
    """Neither this Codex nor this machine has the door: trying again will not help."""


class RuntimeFailure(NetskyError):
    """A request to a runtime did not go through."""

    code = "runtime"


class InputRejected(RuntimeFailure):
    """The input itself is refused and will be again (too large, bad parameters)."""


class ThreadUnavailable(RuntimeFailure):
    """Not now: not loaded, overloaded, draining, engine absent. Nothing was or will be consumed."""


class StillWriting(ThreadUnavailable):
    """A process of this door may still write to the thread and does not end: no other may yet."""


class ThreadGone(RuntimeFailure):
    """The door cannot find the thread, and will not find it later."""


class ThreadBlocked(RuntimeFailure):
    """Codex's screen shows what nobody may type over; nothing was typed. A human has to look.

    Words that were typed before it did, and were not sent, are an ``AnswerLost``.
    """


class Unsupported(RuntimeFailure):
    """The door cannot do that, ever. The hint says which can."""


class TurnRunning(RuntimeFailure):
    """A turn already runs on this thread; nothing was submitted."""


class NoActiveTurn(RuntimeFailure):
    """The turn that was named does not run; nothing happened."""


class AnswerLost(RuntimeFailure):
    """It was sent, or typed, and nobody said what became of it: only history knows."""

    def __init__(self, message: str, *, connected: bool, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.connected = connected
        """Whether the connection it was sent on still lived: then it may be taken late, by a slow
        engine or by a human who presses Enter, and is told in the session's events. When not, the
        events end with ``SESSION_LOST``."""


class HistoryUnavailable(RuntimeFailure):
    """The thread's history cannot be read now."""


class ApprovalGone(RuntimeFailure):
    """Nobody waits for this answer any more."""
