"""One living mcp-server: its threads, what is asked of it, and whether it still answers.

A door is made at ``open`` and thrown away when its process ends; sessions keep the door they
came through, so that what they ask after that fails instead of reaching another process.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.base import AnswerLost, ThreadUnavailable
from netsky_runtime.codex.mcp_server import failures, tool
from netsky_runtime.codex.mcp_server.calls import Call
from netsky_runtime.codex.mcp_server.hub import Hub
from netsky_runtime.codex.mcp_server.thread import note
from netsky_runtime.errors import NetskyError
from netsky_runtime.supervise import Supervisor
from netsky_runtime.wire.errors import RequestTimedOut, RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import Batch, RuntimeFailure
    from netsky_runtime.codex.mcp_server.process import Server
    from netsky_runtime.codex.mcp_server.thread import Thread
    from netsky_runtime.codex.mcp_server.tool import Answer, Offer
    from netsky_runtime.log import Log
    from netsky_runtime.wire.peer import Peer, RequestId

PULSE_SECONDS: Final = 15.0
"""How often an idle or busy process is asked whether it still answers."""
MISSED: Final = 2
"""Pings in a row that must be missed: one may be netsky's own sleep."""
_NOT_READ: Final = "It was sent, and its answer was not read."


class Door:
    """The process behind one ``open``, and the small jobs around it."""

    def __init__(
        self, *, engine_id: str, seconds: float, turn_seconds: float, clock: Clock, log: Log
    ) -> None:
        self.engine_id = engine_id
        self.offer = tool.Offer()
        self.log = log
        self.hub = Hub(clock=clock, log=log, refuse=self._refuse, reply=self._reply_soon)
        self._seconds = seconds
        self._turn_seconds = turn_seconds
        self._clock = clock
        self._server: Server | None = None
        self._jobs = Supervisor(report=self._failed)
        self._reason = ""

    def opened(self, server: Server, offer: Offer) -> None:
        """Take the process in, once it has answered the handshake."""
        self._server, self.offer = server, offer
        self._jobs.keep("codex pulse", self._feel_pulse, clock=self._clock)

    @property
    def usable(self) -> bool:
        """Whether anything can be asked through it."""
        return self._server is not None and not self._server.peer.closed

    @property
    def pid(self) -> int:
        """The process behind it. Raises ``ThreadUnavailable``."""
        return self._opened().pid

    def troubles(self) -> Sequence[str]:
        """Say of what asks the process whether it lives that it ends again and again."""
        return self._jobs.troubles()

    def lost(self, reason: str) -> None:
        """Tell the sessions and, once for them all, the operator.

        Called by the reader when the process ends.
        """
        why = self._reason or reason

        def failure() -> RuntimeFailure:
            return AnswerLost(f"It was sent and nobody answered: {why}", connected=False)

        if sessions := self.hub.end_all(why, failure):
            fields = {"engine": self.engine_id, "threads": sessions, "reason": why}
            self.log("error", "mcp-server ended, its threads look for other doors", fields)

    async def submit(self, thread: Thread, batch: Batch) -> None:
        """Say something in a thread, and wait until its turn begins.

        The call is answered when the turn ends, and waits for that in a job of its own. Raises
        what it means when no turn begins.
        """
        call = self._call(thread, batch.text, batch.id)
        try:
            async with asyncio.timeout(self._turn_seconds):
                failure = await asyncio.shield(call.begun)
        except TimeoutError:
            raise await self._overdue(call) from None
        if failure is not None:
            raise failure

    async def cancel(self, call: Call) -> None:
        """Ask Codex to stop the turn that a call has begun, or reads.

        Raises ``ThreadUnavailable``.
        """
        try:
            await self._peer().notify("notifications/cancelled", {"requestId": call.id})
        except WireError as error:
            msg = f"The turn could not be interrupted: {error.message}"
            raise ThreadUnavailable(msg) from error

    async def reply(self, request_id: RequestId, result: Mapping[str, Any]) -> None:
        """Answer a held question. Raises ``ThreadUnavailable``."""
        try:
            await self._peer().reply(request_id, dict(result))
        except WireError as error:
            msg = f"The answer could not be sent: {error.message}"
            raise ThreadUnavailable(msg) from error

    async def close(self) -> None:
        """End the process and the jobs."""
        server, self._server = self._server, None  # what it asks from now on is not answered
        try:
            await self._jobs.close()
        finally:
            if server is not None:
                await server.close()

    def _call(self, thread: Thread, text: str, batch_id: str) -> Call:
        begun = asyncio.get_running_loop().create_future()
        call = Call(id=self._peer().reserve_id(), text=text, batch_id=batch_id, begun=begun)
        thread.calls.add(call)
        if thread.id:
            params = tool.next_call(thread.id, text)
        else:
            params = tool.first_call(thread.spec, text)
            self.hub.expect(call.id, thread)
        self._jobs.spawn(f"codex call {call.id}", self._carry(thread, call, params))
        return call

    async def _carry(self, thread: Thread, call: Call, params: Mapping[str, Any]) -> None:
        try:
            rest = thread.rests_until - self._clock.monotonic()
            if rest > 0:
                await self._clock.sleep(rest)
            # Unbounded: a turn may be silent for hours. The pulse tells when nobody is there.
            result = await self._peer().request(
                "tools/call", params, deadline=None, request_id=call.id
            )
            self._answered(thread, call, tool.answer(result))
        except NetskyError as error:
            thread.calls.drop(call)
            call.settle(failures.unanswered(error))
        except BaseException:
            # The door is closed, or netsky has a flaw: what became of it only history knows.
            thread.calls.drop(call)
            call.settle(AnswerLost(_NOT_READ, connected=self.usable))
            raise
        finally:
            self.hub.unexpect(call.id)

    def _answered(self, thread: Thread, call: Call, answer: Answer) -> None:
        self.hub.name(thread, answer.thread_id)
        if answer.unknown_thread and not call.turn_id:
            self._forgotten(thread, call, answer.text)
        elif thread.answered(call, answer, self._clock.now()):
            self.log("info", "a thread is read again after a failed turn", {"thread": thread.id})
            self._call(thread, note(thread.spec), "")
        elif answer.failed:
            call.settle(failures.refused(answer.text))

    def _forgotten(self, thread: Thread, call: Call, text: str) -> None:
        reason = "Codex's mcp-server does not know the thread any more."
        thread.calls.drop(call)
        call.settle(ThreadUnavailable(f"{reason} It says: {text}"))
        self.hub.forget(thread)
        thread.end(reason, lambda: ThreadUnavailable(reason))

    async def _overdue(self, call: Call) -> RuntimeFailure:
        msg = f"It was sent, and no turn began within {self._turn_seconds:g} seconds."
        if not await self._answers():
            await self._replace(f"Codex's mcp-server does not answer: {msg}")
            return AnswerLost(msg, connected=False)
        if not call.begun.done():
            self._jobs.spawn(f"codex overdue {call.id}", self._lose_patience(call))
        return AnswerLost(msg, connected=True)

    async def _lose_patience(self, call: Call) -> None:
        # It may be taken late; but a thread must not wait for it for ever, and only the end of
        # the process makes certain that nobody takes it.
        await self._clock.sleep(self._turn_seconds)
        if not call.begun.done():
            msg = f"Codex's mcp-server has not taken a message within {2 * self._turn_seconds:g} s."
            await self._replace(msg)

    async def _feel_pulse(self) -> None:
        missed = 0
        while missed < MISSED:
            await self._clock.sleep(PULSE_SECONDS)
            missed = 0 if await self._answers() else missed + 1
        if self.usable:
            await self._replace("Codex's mcp-server does not answer any more.")

    async def _answers(self) -> bool:
        if not self.usable:
            return False
        try:
            await self._peer().request("ping", deadline=self._seconds)
        except RpcError:
            return True
        except RequestTimedOut:
            return False
        except WireError:
            return False
        return True

    async def _replace(self, reason: str) -> None:
        """End the process: its threads are lost, and the next ``open`` starts another."""
        self._reason = self._reason or reason
        self.log("warning", "codex is ended", {"engine": self.engine_id, "reason": reason})
        if self._server is not None:
            await self._server.kill()

    def _peer(self) -> Peer:
        return self._opened().peer

    def _opened(self) -> Server:
        if self._server is None:
            msg = "There is no mcp-server: it has ended or was not opened."
            raise ThreadUnavailable(msg)
        return self._server

    def _failed(self, name: str, error: BaseException) -> None:
        fields = {"engine": self.engine_id, "job": name, "error": repr(error)}
        self.log("error", "a job at the mcp-server has failed", fields)

    def _refuse(self, request_id: RequestId, code: int, message: str) -> None:
        if self.usable:
            work = self._say_no(request_id, code, message)
            self._jobs.spawn(f"codex refuse {request_id}", work)

    def _reply_soon(self, request_id: RequestId) -> None:
        if self.usable:
            self._jobs.spawn(f"codex reply {request_id}", self._say(request_id))

    async def _say(self, request_id: RequestId) -> None:
        try:
            await self._peer().reply(request_id, {})
        except WireError:
            return  # it is gone, and so is its question

    async def _say_no(self, request_id: RequestId, code: int, message: str) -> None:
        self.log("info", "refused a request of Codex", {"reason": message})
        try:
            await self._peer().reply_error(request_id, code, message)
        except WireError:
            return  # it is gone, and so is its question
