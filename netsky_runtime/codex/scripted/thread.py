"""A scripted thread inside its engine: turns, events, and the requests that hold a turn."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from netsky_runtime.codex.base import (
    ApprovalGone,
    Batch,
    Decision,
    HistoricItem,
    LaunchSpec,
    NoActiveTurn,
    ToolResult,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted.files import Remembered, ThreadFile, TurnRecord
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from netsky_runtime.clock import Clock

CONTEXT_WINDOW = 272_000
_TOTALS = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "total_tokens")


class Sink(Protocol):
    """Somebody attached to the thread."""

    watching: bool

    def receive(self, event: CodexEvent) -> None:
        """Take an event, at once."""
        ...


@dataclass(slots=True)
class RunningTurn:
    """The turn that runs."""

    record: TurnRecord
    inbox: deque[Batch]
    """What was submitted or steered and no model has seen yet; lost when the turn is stopped."""
    task: asyncio.Task[None] | None = None
    steered: asyncio.Event = field(default_factory=asyncio.Event)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def id(self) -> str:
        """The turn's id."""
        return self.record.id

    def item_id(self) -> str:
        """Return the id of the turn's next item."""
        return f"{self.id}.{next(self.numbers)}"


@dataclass(slots=True)
class _Held:
    """A request that somebody must answer before the turn goes on."""

    event: CodexEvent
    answer: asyncio.Future[Any]


class ScriptedThread:
    """What the engine knows of one thread. Facts are on disk before anybody hears of them."""

    def __init__(
        self,
        thread_id: str,
        *,
        spec: LaunchSpec,
        tools: frozenset[str],
        file: ThreadFile,
        clock: Clock,
        requests: Iterator[int],
    ) -> None:
        self.id = thread_id
        self.spec = spec
        self.tools = tools
        """Fixed at the start, as in Codex."""
        self.turns: list[TurnRecord] = []
        self.running: RunningTurn | None = None
        self.accepted: set[str] = set()
        """Commands accepted for the session."""
        self.refused: dict[str, int] = {}
        """How often the submit of a text has failed on order."""
        self._file = file
        self._clock = clock
        self._requests = requests
        self._sinks: list[Sink] = []
        self._held: dict[str, _Held] = {}
        self._usage: dict[str, int] = dict.fromkeys(_TOTALS, 0)

    def recall(self, remembered: Remembered) -> None:
        """Take over what the thread's file says."""
        self.turns = remembered.turns
        self._usage |= remembered.usage

    @property
    def waiting(self) -> bool:
        """Whether an approval holds the turn."""
        return any(h.event.kind is EventKind.APPROVAL_REQUESTED for h in self._held.values())

    @property
    def died_before(self) -> bool:
        """Whether the turn before the running one was cut by the end of its engine."""
        earlier = self.turns[:-1]
        return bool(
            earlier
            and earlier[-1].status is TurnStatus.INTERRUPTED
            and earlier[-1].completed_at is None
        )

    @property
    def limited_before(self) -> bool:
        """Whether the turn before the running one ran into the account's limit."""
        return len(self.turns) > 1 and self.turns[-2].usage_limit

    def tell_limit(self, *, seconds: float) -> None:
        """Tell that nothing is left of the account's limit until its reset in so many seconds."""
        window = {
            "usedPercent": 100.0,
            "windowDurationMins": 300,
            "resetsAt": self._clock.now() / 1_000 + seconds,
        }
        limits = {"limitId": "codex", "primary": window, "secondary": None}
        self.emit(EventKind.RATE_LIMITS, data={"raw": {"rateLimits": limits}})

    def attach(self, sink: Sink, *, repeat: bool) -> None:
        """Tell this sink everything from now on; with ``repeat``, what still holds first."""
        self._sinks.append(sink)
        if not repeat:
            return
        turn_id = self.running.id if self.running else self.turns[-1].id
        sink.receive(self._event(EventKind.THREAD_STATUS, data=self._status()))
        sink.receive(self._event(EventKind.USAGE, turn_id=turn_id, data=self._totals()))
        for held in self._held.values():
            sink.receive(held.event)

    def detach(self, sink: Sink) -> None:
        """Tell this sink nothing more."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def emit(
        self,
        kind: EventKind,
        *,
        turn_id: str = "",
        item_id: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Tell every sink; deltas only those that watch."""
        event = self._event(kind, turn_id=turn_id, item_id=item_id, data=data)
        for sink in self._sinks:
            if event.is_fact or sink.watching:
                sink.receive(event)

    def begin(self, batch: Batch) -> RunningTurn:
        """Begin a turn. Raises ``OSError`` when it cannot be written down."""
        now = self._clock.now()
        if not self.turns:
            launch = {"tools": sorted(self.tools), "cwd": self.spec.cwd, "model": self.spec.model}
            self._file.append("thread", launch=launch, at=now)
        record = TurnRecord(id=f"{self.id}.t{len(self.turns) + 1}", started_at=now)
        self._file.append("turn", id=record.id, at=now)
        self.turns.append(record)
        self.running = RunningTurn(record=record, inbox=deque([batch]))
        self._tell_status()
        self.emit(EventKind.TURN_STARTED, turn_id=record.id, data={"started_at": now})
        return self.running

    def item(self, turn: RunningTurn, item_id: str, data: Mapping[str, Any]) -> None:
        """Finish an item. Raises ``OSError`` when it cannot be written down."""
        self._file.append("item", id=item_id, data=data)
        item = HistoricItem(id=item_id, type=str(data["type"]), data=data)
        turn.record.items.append(item)
        self.emit(EventKind.ITEM_COMPLETED, turn_id=turn.id, item_id=item_id, data=data)

    def used(self, turn: RunningTurn, *, read: int, written: int, thought: int = 0) -> None:
        """Count tokens and tell the thread's totals. Raises ``OSError``."""
        self._usage["input_tokens"] += read
        self._usage["cached_tokens"] += read // 2
        self._usage["output_tokens"] += written
        self._usage["reasoning_tokens"] += thought
        self._usage["total_tokens"] += read + written
        self._file.append("usage", totals=self._usage)
        self.emit(EventKind.USAGE, turn_id=turn.id, data=self._totals())

    def end(
        self,
        turn: RunningTurn,
        status: TurnStatus,
        *,
        error: str = "",
        usage_limit: bool = False,
    ) -> None:
        """End the turn on purpose: it gets an end time. Raises ``OSError``."""
        if self.running is not turn:
            return
        now = self._clock.now()
        self._file.append("end", status=status, error=error, at=now, usage_limit=usage_limit)
        turn.record.status, turn.record.error = status, error
        turn.record.completed_at, turn.record.usage_limit = now, usage_limit
        self.running = None
        word = "error" if status is TurnStatus.FAILED else "idle"
        self.emit(EventKind.THREAD_STATUS, data={"status": word, "flags": []})
        if error:
            self.emit(
                EventKind.ERROR, turn_id=turn.id, data={"message": error, "will_retry": False}
            )
        self.emit(
            EventKind.TURN_COMPLETED,
            turn_id=turn.id,
            data={
                "status": status.value,
                "error": error,
                "completed_at": now,
                "usage_limit": usage_limit,
            },
        )
        for key in list(self._held):
            self._resolved(self._held.pop(key))  # after the turn's end, as in real Codex

    def stop(self, turn_id: str) -> None:
        """Interrupt the turn. Raises ``NoActiveTurn``, or ``OSError``."""
        turn = self._require(turn_id)
        self.end(turn, TurnStatus.INTERRUPTED)
        if turn.task is not None:
            turn.task.cancel()

    def steer(self, batch: Batch, turn_id: str) -> None:
        """Add to the turn: its model sees the text at its next step. Raises ``NoActiveTurn``."""
        turn = self._require(turn_id)
        turn.inbox.append(batch)
        turn.steered.set()

    async def ask(self, turn: RunningTurn, item_id: str, data: Mapping[str, Any]) -> Decision:
        """Hold the turn until somebody decides."""
        request_id = str(next(self._requests))
        event = self._event(
            EventKind.APPROVAL_REQUESTED,
            turn_id=turn.id,
            item_id=item_id,
            data={"request_id": request_id, **data},
        )
        decision: Decision = await self._hold(request_id, event)
        return decision

    async def call(
        self, turn: RunningTurn, item_id: str, tool: str, arguments: Mapping[str, Any]
    ) -> ToolResult:
        """Hold the turn until somebody has carried out the tool."""
        event = self._event(
            EventKind.TOOL_REQUESTED,
            turn_id=turn.id,
            item_id=item_id,
            data={"call_id": item_id, "tool": tool, "arguments": arguments},
        )
        result: ToolResult = await self._hold(item_id, event)
        return result

    def answer(self, key: str, kind: EventKind, answer: Decision | ToolResult) -> None:
        """Let a held request go on. Raises ``ApprovalGone``."""
        held = self._held.get(key)
        if held is None or held.event.kind is not kind:
            msg = f"Nobody waits for an answer to {key!r} in thread {self.id}."
            raise ApprovalGone(msg)
        del self._held[key]
        self._resolved(held)
        if kind is EventKind.APPROVAL_REQUESTED:
            self._tell_status()
        held.answer.set_result(answer)

    def held(self, request_id: str) -> CodexEvent | None:
        """Return the approval that waits under this id."""
        held = self._held.get(request_id)
        return held.event if held else None

    async def _hold(self, key: str, event: CodexEvent) -> Any:
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._held[key] = _Held(event, answer)
        if event.kind is EventKind.APPROVAL_REQUESTED:
            self._tell_status()
        for sink in self._sinks:
            sink.receive(event)
        return await answer

    def _resolved(self, held: _Held) -> None:
        event = held.event
        if event.kind is EventKind.APPROVAL_REQUESTED:
            self.emit(
                EventKind.APPROVAL_RESOLVED,
                turn_id=event.turn_id,
                item_id=event.item_id,
                data={"request_id": event.data["request_id"]},
            )

    def _require(self, turn_id: str) -> RunningTurn:
        if self.running is None or self.running.id != turn_id:
            msg = f"Turn {turn_id!r} does not run on thread {self.id}."
            raise NoActiveTurn(msg)
        return self.running

    def _status(self) -> dict[str, Any]:
        flags = ["waitingOnApproval"] if self.waiting else []
        return {"status": "active" if self.running else "idle", "flags": flags}

    def _tell_status(self) -> None:
        self.emit(EventKind.THREAD_STATUS, data=self._status())

    def _totals(self) -> dict[str, int]:
        return {**self._usage, "context_window": CONTEXT_WINDOW}

    def _event(
        self,
        kind: EventKind,
        *,
        turn_id: str = "",
        item_id: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> CodexEvent:
        return CodexEvent(kind, self.id, self._clock.now(), turn_id, item_id, data or {})
