"""One thread of an mcp-server, attached: what the mailbox may do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.codex.base import (
    ApprovalGone,
    Batch,
    Decision,
    HistoricTurn,
    HistoryUnavailable,
    InputRejected,
    NoActiveTurn,
    ThreadUnavailable,
    ToolResult,
    TurnRunning,
    Unsupported,
)
from netsky_runtime.codex.mcp_server import approvals, failures, locks, past, tool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.events import CodexEvent
    from netsky_runtime.codex.mcp_server.door import Door
    from netsky_runtime.codex.mcp_server.thread import Thread


class McpServerSession:
    """A ``ThreadSession`` over an mcp-server's door.

    Its thread lives as long as the process: another session may be attached to it after this
    one was closed, in the middle of a turn too.
    """

    def __init__(self, *, door: Door, thread: Thread, codex_home: Path, clock: Clock) -> None:
        self._door = door
        self._thread = thread
        self._codex_home = codex_home
        self._clock = clock
        self._channel = thread.attach()
        self.engine_id = door.engine_id

    @property
    def thread_id(self) -> str:
        """Codex's durable id; empty until the first message has begun a turn."""
        return self._thread.id

    @property
    def differences(self) -> Sequence[str]:
        """What the thread was made with other than asked for; known when it is named."""
        return tool.came_different(self._thread.spec, self._thread.configured)

    @property
    def active_turn(self) -> str:
        """Id of the turn that runs, as far as has been heard."""
        return self._thread.active_turn

    async def submit(self, batch: Batch) -> None:
        """Start a turn with this batch, and the thread with its first.

        Two messages on their way into one thread would be merged into one turn, so the second
        is refused. Raises ``InputRejected``, ``ThreadUnavailable``, ``AnswerLost``,
        ``TurnRunning``.
        """
        self._check_reachable()
        if self._thread.busy:
            msg = "A turn already runs on this thread, or a message is on its way into it."
            raise TurnRunning(msg)
        if len(batch.text) > tool.MAX_TEXT:
            msg = f"A message of {len(batch.text)} characters is over the limit of {tool.MAX_TEXT}."
            raise InputRejected(msg)
        await self._door.submit(self._thread, batch)

    async def steer(self, batch: Batch, *, turn_id: str) -> None:
        """Raise ``Unsupported``: what is said to a running turn would be lost track of."""
        msg = "Codex's mcp-server takes nothing more into a running turn."
        raise Unsupported(msg, hint=failures.elsewhere(self._thread.spec.label))

    async def interrupt(self, turn_id: str) -> None:
        """Ask for the turn's end, which the events tell.

        Raises ``NoActiveTurn`` or ``ThreadUnavailable``.
        """
        self._check_reachable()
        if not turn_id or turn_id != self._thread.active_turn:
            msg = "No such turn runs."
            raise NoActiveTurn(msg)
        reading = self._thread.calls.reading
        if not reading:
            msg = "Codex reads the thread for nobody just now, and can be told nothing about it."
            raise ThreadUnavailable(msg)
        self._thread.stopping(turn_id)
        await self._door.cancel(reading[-1])

    async def decide(self, request_id: str, decision: Decision) -> None:
        """Answer an approval.

        Raises ``ApprovalGone`` when nobody waits for it, ``UsageError`` when the decision lacks
        the content that was asked for, ``ThreadUnavailable`` when it could not be sent.
        """
        self._check_reachable()
        question = self._thread.questions.get(request_id)
        if question is None:
            msg = "Nobody waits for this answer any more."
            raise ApprovalGone(msg)
        result = approvals.answer(question, decision)
        await self._door.reply(question.id, result)
        if request_id in self._thread.questions:  # else its turn has ended meanwhile
            self._thread.decided(question, decision.word)

    async def answer_tool(self, call_id: str, result: ToolResult) -> None:
        """Raise ``Unsupported``: tools of a thread here are those of an MCP server."""
        msg = "Codex's mcp-server carries no tool calls."
        raise Unsupported(msg, hint="Give the thread an MCP server in its configuration.")

    def events(self) -> AsyncIterator[CodexEvent]:
        """Yield events in order, from the moment the session was made. One consumer."""
        return aiter(self._channel)

    async def watch(self, on: bool) -> None:
        """Ask for ``DELTA`` events, or do without."""
        self._thread.watched = on

    async def history(self) -> Sequence[HistoricTurn]:
        """Return all turns, oldest first, from the thread's rollout.

        Raises ``HistoryUnavailable``.
        """
        if self._thread.lost or self._channel.ended:
            why = self._thread.lost or _CLOSED
            msg = f"The thread's history cannot be read now: {why}"
            raise HistoryUnavailable(msg)
        return await past.history(self._thread, self._codex_home)

    def terminal(self) -> Sequence[str]:
        """Raise ``Unsupported``: a second Codex on the thread would be a second writer."""
        msg = "Codex's own screen cannot join a thread of an mcp-server."
        raise Unsupported(msg, hint=failures.elsewhere(self._thread.spec.label))

    async def release(self) -> None:
        """Let go of the thread so that another door can write to it.

        The process keeps it in memory and writes nothing into it unless it is asked to, and
        nobody can ask any more: no ``resume`` finds it here. Seen on 0.120, 0.145 and 0.153.4:
        an app-server goes on with the thread beside the living process. Raises ``TurnRunning``,
        and ``ThreadUnavailable`` when a turn may run that nobody hears of, or when Codex's own
        lock stays in the way, which may be that of another Codex.
        """
        if self._thread.busy:
            msg = "A turn runs on this thread."
            raise TurnRunning(msg)
        if self._thread.unread and not self._thread.lost:
            msg = "Codex may be working on a message of which it tells nothing."
            raise ThreadUnavailable(msg)
        if self._thread.id and not self._thread.lost:
            await locks.give_up(
                self._codex_home, self._thread.id, holder=self._door.pid, clock=self._clock
            )
        self._door.hub.forget(self._thread)
        await self.close()
        self._thread.end(None, lambda: ThreadUnavailable(_CLOSED))

    async def close(self) -> None:
        """Let go of the thread: a running turn goes on, its questions wait for who comes next."""
        self._thread.detach(self._channel)
        if not self._thread.id and not self._thread.busy:
            self._door.hub.forget(self._thread)  # nobody could ever come back to it

    def _check_reachable(self) -> None:
        if self._thread.lost or self._channel.ended:
            msg = f"The thread is not attached: {self._thread.lost or _CLOSED}"
            raise ThreadUnavailable(msg)


_CLOSED = "The session was closed."
