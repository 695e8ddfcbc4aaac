"""One client of the daemon: his requests, his pushes, and the end of both when he leaves."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol

from netsky_runtime.control import protocol
from netsky_runtime.control.vocabulary import (
    ACK,
    HELLO,
    PROTOCOL,
    PUSH,
    SUBSCRIBE,
    WATCH,
    PushKind,
    error_to_wire,
)
from netsky_runtime.errors import Conflict, NetskyError, UsageError
from netsky_runtime.supervise import Report, Supervisor
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut
from netsky_runtime.wire.peer import Peer, RequestId

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from netsky_runtime.control.ancestry import Caller
    from netsky_runtime.control.feed import Feed
    from netsky_runtime.control.handle import Dispatch
    from netsky_runtime.wire.framing import Framing

MAX_IN_FLIGHT: Final = 32
PUSH_SECONDS: Final = 60.0
"""How long a client may take no byte of a push before he is let go; he can come back."""
FAREWELL_SECONDS: Final = 0.5


class Gate(Protocol):
    """Says who may ask what."""

    async def look(self, pid: int) -> Caller:
        """Tell who the process on the other side is; asked once for each connection."""
        ...

    async def check(self, who: Caller, method: str, params: Mapping[str, Any]) -> None:
        """Raise ``Refused`` for what this caller may not ask."""
        ...


class ServedClient:
    """Serves one connection until either side ends it."""

    def __init__(
        self,
        framing: Framing,
        *,
        pid: int,
        gate: Gate,
        dispatch: Dispatch,
        feed: Feed,
        identity: Callable[[], Mapping[str, Any]],
        report: Report,
    ) -> None:
        self._pid = pid
        self._gate = gate
        self._who: asyncio.Task[Caller] | None = None
        self._dispatch = dispatch
        self._identity = identity
        self._report = report
        self._subscription = feed.open()
        self._tasks = Supervisor(report=report)
        self._running: set[asyncio.Task[Any]] = set()
        self._ended = asyncio.Event()
        self._greeted = False
        self._leaving = False
        self._pushing = False
        self._peer = Peer(
            framing,
            on_request=self._requested,
            on_notification=self._notified,
            on_garbage=self._got_garbage,
            version_member=True,
        )

    @property
    def listens(self) -> bool:
        """Whether he takes pushes, as a room does."""
        return self._pushing

    async def run(self) -> None:
        """Serve until the connection ends; what he asked for and waits for ends with it."""
        # At once: who has started him may have gone a moment later.
        self._who = self._tasks.spawn("who", self._gate.look(self._pid))
        try:
            await self._peer.run()
        finally:
            self._leaving = True
            self._subscription.close()
            await self._tasks.close()
            self._ended.set()

    async def finish(self) -> None:
        """Let short requests and the last pushes through, then end the connection."""
        self._leaving = True
        if self._running:
            await asyncio.wait(self._running, timeout=FAREWELL_SECONDS)
        await self._peer.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await self._ended.wait()

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.spawn(name, work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _requested(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        if self._leaving:
            return
        if not self._greeted:
            self._greet(request_id, method, params)
        elif len(self._running) < MAX_IN_FLIGHT:
            self._spawn(method, self._serve(request_id, method, params))
        elif len(self._running) < 2 * MAX_IN_FLIGHT:
            msg = f"More than {MAX_IN_FLIGHT} requests of one client are under way."
            error = Conflict(msg, hint="Ask again when some are answered.")
            self._spawn(method, self._answer(request_id, error))
        else:
            self._dismiss("Too many requests at once.")

    def _greet(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        try:
            if method != HELLO:
                msg = f"The first request must be {HELLO}, not {method}."
                raise UsageError(msg)
            theirs = params.get("protocol")
            if theirs != PROTOCOL:
                msg = (
                    f"The running daemon speaks control protocol {PROTOCOL}, "
                    f"this client speaks {theirs}."
                )
                # `netsky stop` of the other version would be turned away as well.
                pid = self._identity().get("pid")
                hint = f"`kill -HUP {pid}` ends that daemon, turns go on; then start netsky again."
                raise Conflict(msg, hint=hint)
            protocol.parse(method, params)
        except NetskyError as error:
            self._leaving = True
            self._spawn(method, self._turn_away(request_id, error))
            return
        self._greeted = True
        answer = {"protocol": PROTOCOL, "hosting": False, **self._identity()}
        self._spawn(method, self._answer(request_id, answer))

    def _notified(self, method: str, params: dict[str, Any]) -> None:
        pages = params.get("pages")
        if method == ACK and type(pages) is int and pages > 0:
            self._subscription.ack(pages)

    def _got_garbage(self, _data: bytes) -> None:
        self._dismiss("What came is no JSON-RPC message.")

    async def _serve(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        outcome: dict[str, Any] | NetskyError
        try:
            await self._admit(method, params)
            if method in (WATCH, SUBSCRIBE):
                outcome = await self._subscription.call(method, params)
                self._start_pushing()
            else:
                outcome = await self._dispatch(method, params)
        except NetskyError as error:
            outcome = error
        except Exception as error:  # noqa: BLE001 - a bug of one verb is told, and ends no client
            self._report(method, error)
            outcome = NetskyError(f"{method} failed inside netsky: {error!r}.")
        await self._answer(request_id, outcome)

    async def _admit(self, method: str, params: Mapping[str, Any]) -> None:
        if self._who is None:
            raise AssertionError
        await self._gate.check(await self._who, method, params)

    async def _answer(self, request_id: RequestId, outcome: dict[str, Any] | NetskyError) -> None:
        with suppress(PeerClosed):
            try:
                if isinstance(outcome, NetskyError):
                    await self._peer.reply_error(request_id, *error_to_wire(outcome))
                else:
                    await self._peer.reply(request_id, outcome)
            except UsageError as error:  # the answer is no JSON, or too long for a line
                await self._peer.reply_error(request_id, *error_to_wire(error))
            except RequestTimedOut:
                await self._peer.close()

    async def _turn_away(self, request_id: RequestId, error: NetskyError) -> None:
        await self._answer(request_id, error)
        await self._peer.close()

    def _dismiss(self, reason: str) -> None:
        if not self._leaving:
            self._leaving = True
            self._spawn("dismiss", self._say_goodbye(reason))

    async def _say_goodbye(self, reason: str) -> None:
        closing = {"kind": PushKind.CLOSING, "data": {"reason": reason}}
        with suppress(PeerClosed, RequestTimedOut):
            await self._peer.notify(PUSH, closing, deadline=FAREWELL_SECONDS)
        await self._peer.close()

    def _start_pushing(self) -> None:
        if not self._pushing:
            self._pushing = True
            self._spawn(PUSH, self._push())

    async def _push(self) -> None:
        over = False
        try:
            with suppress(PeerClosed, RequestTimedOut):
                while (push := await self._subscription.next()) is not None:
                    message = {"kind": push.kind, "data": push.data}
                    await self._peer.notify(PUSH, message, deadline=PUSH_SECONDS)
                over = True
        finally:
            if not over:  # he would wait for pushes that never come
                self._dismiss("The daemon cannot tell what happens any more.")
