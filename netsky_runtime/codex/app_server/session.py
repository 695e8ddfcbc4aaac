"""One thread, attached: what the mailbox may do with it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server import approvals, failures
from netsky_runtime.codex.app_server.unload import unload
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
from netsky_runtime.codex.members import part
from netsky_runtime.wire.errors import RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from netsky_runtime.codex.app_server.door import Door
    from netsky_runtime.codex.app_server.link import Question, ThreadLink
    from netsky_runtime.codex.events import CodexEvent


END_SECONDS: Final = 5.0
"""How long Codex may take to tell an end that its history already shows in part."""
LOOKS: Final = 3
"""How often history is looked at again for that."""


class AppServerSession:
    """A ``ThreadSession`` over an app-server's door."""

    def __init__(
        self,
        *,
        door: Door,
        link: ThreadLink,
        screen: Sequence[str] = (),
        differences: tuple[str, ...] = (),
    ) -> None:
        self._door = door
        self._link = link
        self._screen = tuple(screen)
        self._submitting = False
        self.thread_id = link.thread_id
        self.engine_id = door.engine_id
        self.differences = differences

    @property
    def active_turn(self) -> str:
        """Id of the turn that runs, as far as has been heard."""
        return self._link.active_turn

    async def submit(self, batch: Batch) -> None:
        """Start a turn with this batch.

        ``turn/start`` on a busy thread would steer it, so the thread is asked first; between
        that and the start only a human in Codex's own TUI can be faster.
        Raises ``InputRejected``, ``ThreadUnavailable``, ``AnswerLost``, ``TurnRunning``.
        """
        self._check_reachable()
        if self._link.active_turn or self._submitting:
            raise TurnRunning(_BUSY)
        self._submitting = True
        try:
            await self._check_idle()
            params = {**self._input(batch), "threadId": self.thread_id}
            try:
                answer = await self._door.ask("turn/start", params, seconds=self._door.turn_seconds)
            except WireError as error:
                raise failures.submitting(error) from error
            self._link.started(str(part(answer, "turn").get("id") or ""))
        finally:
            self._submitting = False

    async def steer(self, batch: Batch, *, turn_id: str) -> None:
        """Add to the running turn.

        Raises ``NoActiveTurn``, ``InputRejected``, ``ThreadUnavailable``, ``AnswerLost``.
        """
        self._check_reachable()
        params = {**self._input(batch), "threadId": self.thread_id, "expectedTurnId": turn_id}
        try:
            await self._door.ask("turn/steer", params, seconds=self._door.turn_seconds)
        except WireError as error:
            raise failures.steering(error) from error

    async def interrupt(self, turn_id: str) -> None:
        """Stop the turn. Raises ``NoActiveTurn`` or ``ThreadUnavailable``."""
        self._check_reachable()
        await self._interrupt(self.thread_id, turn_id)

    async def decide(self, request_id: str, decision: Decision) -> None:
        """Answer an approval, also one of a sub-agent's thread.

        Raises ``ApprovalGone`` when nobody waits for it, ``UsageError`` when the decision lacks
        the content that was asked for, ``ThreadUnavailable`` when it could not be sent.
        """
        self._check_reachable()  # a lost thread may ask again: its questions are not gone
        question = self._link.questions.get(request_id)
        if question is None:
            msg = "Nobody waits for this answer any more."
            raise ApprovalGone(msg)
        answer = approvals.answer(
            question.method, question.params, decision, version=self._door.version
        )
        await self._reply(question, answer.result)
        self._link.questions.pop(request_id, None)
        if answer.interrupt:
            with suppress(NoActiveTurn):  # the answer itself may have ended it
                await self._interrupt(question.thread_id, question.turn_id)

    async def answer_tool(self, call_id: str, result: ToolResult) -> None:
        """Answer a tool call. Raises ``ApprovalGone`` or ``ThreadUnavailable``."""
        self._check_reachable()
        call = self._link.tools.get(call_id)
        if call is None:
            msg = "Nobody waits for the result of this tool call any more."
            raise ApprovalGone(msg)
        await self._reply(call, approvals.tool_answer(result))
        self._link.tools.pop(call_id, None)

    def events(self) -> AsyncIterator[CodexEvent]:
        """Yield events in order, from the moment the session was made. One consumer."""
        return aiter(self._link.channel)

    async def watch(self, on: bool) -> None:
        """Ask for ``DELTA`` events, or do without."""
        self._link.watched = on
        if self._door.live is not None:
            self._door.live.watch(self.thread_id, on)

    async def history(self) -> Sequence[HistoricTurn]:
        """Return all turns, oldest first; none when the thread has had none.

        For some milliseconds before Codex tells that a turn has ended, its history shows that turn
        as a crash leaves one (0.153.4 and 0.163: in one look of ten while turns ended, in none of
        400 after it was told). So such an end is looked at again where the turn was heard here.
        Raises ``HistoryUnavailable``.
        """
        if self._link.lost:
            msg = f"The thread's history cannot be read now: {self._link.lost}"
            raise HistoryUnavailable(msg)
        turns = await self._door.history(self.thread_id)
        for _ in range(LOOKS):  # the next turn may be just as near to its end
            if not turns or not turns[-1].is_cut or not await self._ends(turns[-1].id):
                break
            turns = await self._door.history(self.thread_id)
        return turns

    def terminal(self) -> Sequence[str]:
        """Return the command with which Codex's own TUI joins this thread in the living engine.

        It wants the engine's CODEX_HOME: with another one 0.145 and 0.153.4 ask who you are first.
        Raises ``Unsupported`` where the engine listens on no socket.
        """
        if not self._screen:
            msg = "This Codex listens on no socket: its own screen cannot join the thread."
            raise Unsupported(msg, hint="Install Codex 0.145 or newer.")
        return (*self._screen, "resume", self.thread_id)

    async def release(self) -> None:
        """Let go of the thread so that another door can write: the engine unloads it.

        Raises ``TurnRunning``; then nothing has changed. Raises ``ThreadUnavailable`` when the
        engine may still hold it: then it has to be resumed before it is used again.
        """
        self._check_reachable()
        if self._link.active_turn or self._submitting:
            raise TurnRunning(_BUSY)
        self._submitting = True
        try:
            if await self._status() == "active":
                raise TurnRunning(_BUSY)
            await self._unload()
        except InputRejected as error:
            raise ThreadUnavailable(error.message) from error
        finally:
            self._submitting = False
        await self.close()

    async def close(self) -> None:
        """Let go of the thread: a running turn goes on, its questions wait for who comes next."""
        if self._link.lost:
            return
        await self.watch(False)
        self._door.hub.remove(self._link)
        self._link.end(None)
        with suppress(WireError):  # it is gone, which is as good
            await self._door.ask("thread/unsubscribe", {"threadId": self.thread_id})

    def _check_reachable(self) -> None:
        if self._link.lost:
            msg = f"The thread is not attached: {self._link.lost}"
            raise ThreadUnavailable(msg)

    async def _check_idle(self) -> None:
        status = await self._status()
        if status == "active":
            raise TurnRunning(_BUSY)
        if status == "not_loaded":
            msg = "Codex has unloaded the thread; resume it first."
            raise ThreadUnavailable(msg)

    async def _status(self) -> str:
        try:
            return await self._door.status(self.thread_id)
        except RpcError as error:
            raise failures.submitting(error) from error
        except WireError as error:
            msg = f"It was not sent: {error.message}"
            raise ThreadUnavailable(msg) from error

    async def _unload(self) -> None:
        live, children = self._door.live, tuple(self._link.children)
        try:
            if live is not None:
                await live.leave(self.thread_id)
            await unload(self._door, self.thread_id, children)
        except TimeoutError as error:
            msg = "Codex may still be asked for the thread's live text."
            raise ThreadUnavailable(msg) from error
        except ThreadUnavailable:
            if live is not None:
                live.watch(self.thread_id, self._link.watched)
            raise

    async def _ends(self, turn_id: str) -> bool:
        """Whether a turn that was heard here has ended, or ends now."""
        if not self._link.has_heard(turn_id):
            return False
        over = self._link.turn_over(turn_id)
        with suppress(TimeoutError):  # then it was cut, though its engine lives
            async with asyncio.timeout(END_SECONDS):
                await over.wait()
        return over.is_set()

    async def _interrupt(self, thread_id: str, turn_id: str) -> None:
        # Asked about a turn that has just ended, Codex may never answer: its end is as good.
        over = self._link.turn_over(turn_id)
        if over.is_set():
            raise NoActiveTurn(_NO_TURN)
        known_as = self._link.runs_as(turn_id) if thread_id == self.thread_id else turn_id
        params = {"threadId": thread_id, "turnId": known_as}
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self._try("turn/interrupt", params))
            ended = group.create_task(over.wait())
            await asyncio.wait({asked, ended}, return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
            if not asked.done():
                asked.cancel()
                return
        error = asked.result()
        if error is not None:
            raise failures.interrupting(error) from error

    async def _try(self, method: str, params: Mapping[str, Any]) -> WireError | None:
        try:
            await self._door.ask(method, params)
        except WireError as error:
            return error
        return None

    async def _reply(self, question: Question, result: Mapping[str, Any]) -> None:
        try:
            await self._door.reply(question.id, result)
        except WireError as error:
            msg = f"The answer could not be sent: {error.message}"
            raise ThreadUnavailable(msg) from error

    def _input(self, batch: Batch) -> dict[str, Any]:
        return {
            "input": [{"type": "text", "text": batch.text}],
            "clientUserMessageId": batch.id,
        }


_NO_TURN = "No such turn runs."
_BUSY = "A turn already runs on this thread."
