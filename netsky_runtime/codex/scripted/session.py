"""One scripted thread, attached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.codex import answers
from netsky_runtime.codex.base import (
    HistoryUnavailable,
    ThreadUnavailable,
    TurnRunning,
    Unsupported,
)
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import ApprovalKind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import Batch, Decision, HistoricTurn, ToolResult
    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.codex.scripted.engine import ScriptedEngine
    from netsky_runtime.codex.scripted.thread import ScriptedThread


class ScriptedSession:
    """A ``ThreadSession`` on a thread of a scripted engine."""

    def __init__(
        self,
        engine: ScriptedEngine,
        thread: ScriptedThread,
        *,
        clock: Clock,
        repeat: bool,
        differences: tuple[str, ...] = (),
    ) -> None:
        self.thread_id = thread.id
        self.engine_id = engine.id
        self.differences = differences
        self.active_turn = thread.running.id if thread.running else ""
        self.watching = False
        self._engine = engine
        self._thread = thread
        self._channel = ThreadChannel(thread.id, clock=clock)
        engine.sessions.add(self)
        thread.attach(self, repeat=repeat)

    def receive(self, event: CodexEvent) -> None:
        """Take an event from the thread."""
        if event.kind is EventKind.TURN_STARTED:
            self.active_turn = event.turn_id
        elif event.kind is EventKind.TURN_COMPLETED:
            self.active_turn = ""
        self._channel.put(event)

    def lost(self, reason: str) -> None:
        """End the events with the reason: the engine is gone."""
        self.active_turn = ""
        self._let_go()
        self._channel.end(reason)

    async def submit(self, batch: Batch) -> None:
        """Start a turn; see ``ThreadSession.submit``."""
        self._check()
        await self._engine.submit(self._thread, batch)

    async def steer(self, batch: Batch, *, turn_id: str) -> None:
        """Add to the running turn. Raises ``NoActiveTurn``."""
        self._check()
        self._engine.refuse(self._thread, batch)
        self._thread.steer(batch, turn_id)

    async def interrupt(self, turn_id: str) -> None:
        """Stop the turn. Raises ``NoActiveTurn``."""
        self._check()
        try:
            self._thread.stop(turn_id)
        except OSError as error:
            self._engine.die(f"the file of thread {self.thread_id} cannot be written: {error}")
            raise ThreadUnavailable(f"The turn could not be interrupted: {error}.") from error

    async def decide(self, request_id: str, decision: Decision) -> None:
        """Answer an approval.

        Raises ``ApprovalGone``, ``UsageError`` for a missing answer, ``ThreadUnavailable``.
        """
        self._check_waiting()
        held = self._thread.held(request_id)
        if held is not None:
            answers.check(
                kind=ApprovalKind(held.data["kind"]),
                questions=held.data["questions"],
                raw=held.data["raw"],
                decision=decision,
            )
        self._thread.answer(request_id, EventKind.APPROVAL_REQUESTED, decision)

    async def answer_tool(self, call_id: str, result: ToolResult) -> None:
        """Answer a tool call. Raises ``ApprovalGone`` or ``ThreadUnavailable``."""
        self._check_waiting()
        self._thread.answer(call_id, EventKind.TOOL_REQUESTED, result)

    def events(self) -> AsyncIterator[CodexEvent]:
        """Yield events from the moment the session was made. One consumer."""
        return aiter(self._channel)

    async def watch(self, on: bool) -> None:
        """Ask for (or do without) ``DELTA`` events."""
        self.watching = on

    async def history(self) -> Sequence[HistoricTurn]:
        """All turns, oldest first. Raises ``HistoryUnavailable`` when the engine is gone."""
        if self._engine.dead:
            msg = f"The thread's history cannot be read now: {self._engine.dead}."
            raise HistoryUnavailable(msg)
        return tuple(turn.historic() for turn in self._thread.turns)

    def terminal(self) -> Sequence[str]:
        """Raise ``Unsupported``: a script has no screen."""
        msg = "A scripted thread has no screen to show."
        raise Unsupported(msg, hint="The room shows everything there is of it.")

    async def release(self) -> None:
        """Let go of the thread for another door. Raises ``TurnRunning``."""
        if self._thread.running is not None:
            msg = "A turn runs on this thread."
            raise TurnRunning(msg)
        await self.close()

    async def close(self) -> None:
        """Let go of the thread; a running turn goes on as long as the engine lives."""
        self._let_go()
        self._channel.end(None)

    def _let_go(self) -> None:
        self._thread.detach(self)
        self._engine.sessions.discard(self)

    def _check(self) -> None:
        if self._engine.dead:
            raise ThreadUnavailable(f"Nothing carries the thread: {self._engine.dead}.")
        if self._channel.ended:
            raise ThreadUnavailable(f"Thread {self.thread_id} was let go of.")

    def _check_waiting(self) -> None:
        if self._engine.dead:
            raise ThreadUnavailable(f"Nobody is there to take the answer: {self._engine.dead}.")
