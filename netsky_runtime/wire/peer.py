"""One side of a JSON-RPC conversation, over any framing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

from netsky_runtime.errors import UsageError
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError, WireError

if TYPE_CHECKING:
    from netsky_runtime.wire.framing import Framing

RequestId: TypeAlias = int | str
OnRequest: TypeAlias = Callable[[RequestId, str, dict[str, Any]], None]
OnNotification: TypeAlias = Callable[[str, dict[str, Any]], None]

WRITE_SECONDS: Final = 30.0
"""How long a notification or a reply may wait for a side that does not read."""
REASON_SECONDS: Final = 1.0
"""How long a failed write waits for the reader to learn why."""
_GARBAGE_SHOWN: Final = 200


class Peer:
    """Requests both ways, notifications, and one reader that waits for nobody.

    ``on_request`` and ``on_notification`` are called synchronously in the order received; who
    needs longer starts work of his own and answers with ``reply`` later, hours later if need be.
    An exception out of one of them ends ``run``. ``on_garbage`` gets what is no JSON-RPC message.
    ``on_closed`` is called once, with the reason in one sentence; ``diagnosis`` is quoted in it.
    """

    def __init__(
        self,
        framing: Framing,
        *,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_garbage: Callable[[bytes], None] | None = None,
        on_closed: Callable[[str], None] | None = None,
        version_member: bool = False,
        diagnosis: Callable[[], str] | None = None,
    ) -> None:
        self._framing = framing
        self._on_request = on_request
        self._on_notification = on_notification
        self._on_garbage = on_garbage
        self._on_closed = on_closed
        self._diagnosis = diagnosis
        self.fate: Callable[[], Awaitable[str]] | None = None
        """Says in bounded time how the other side's process has ended, first in the reason."""
        self._version: dict[str, Any] = {"jsonrpc": "2.0"} if version_member else {}
        self._waiting: dict[RequestId, asyncio.Future[Any]] = {}
        self._writing = asyncio.Lock()
        self._last_id = 0
        self._first_garbage = b""
        self._reason = ""
        self.garbage = 0
        """Messages received that were no JSON-RPC."""
        self.received = 0
        """Messages received, of whatever kind: whether the other side says anything at all."""
        self.late_answers = 0
        """Answers nobody waited for any more."""

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent or received any more."""
        return bool(self._reason)

    async def run(self) -> None:
        """Read until the other side ends or ``close`` is called. To be run once, as a task.

        When it returns, or is cancelled, the framing is closed and every waiter has been woken
        with ``PeerClosed``.
        """
        reason = "The other side ended the connection."
        receive, handle = self._framing.receive, self._handle
        try:
            while (data := await receive()) is not None:
                self.received += 1
                handle(data)
            reason = await self._told_first() + reason
        except WireError as error:
            reason = error.message
            reason = await self._told_first() + reason
        except asyncio.CancelledError:
            reason = "The connection was closed by netsky."
            raise
        except BaseException:
            reason = "netsky failed while it handled a message."
            raise
        finally:
            self._finish(reason)
            await self._framing.close()

    def reserve_id(self) -> RequestId:
        """Return an id for a ``request`` that is spoken of while it waits for its answer."""
        self._last_id += 1
        return self._last_id

    async def request(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        deadline: float | None,
        request_id: RequestId | None = None,
    ) -> Any:
        """Send a request and return its result, all within ``deadline`` seconds.

        Without a deadline it waits for as long as the connection lives: who asks so watches the
        other side by other means. ``request_id`` is one from ``reserve_id``.
        Raises ``RpcError`` when the answer is an error, ``PeerClosed``, ``RequestTimedOut``.
        A cancelled request forgets its answer.
        """
        if request_id is None:
            request_id = self.reserve_id()
        message = {"id": request_id, "method": method, "params": params or {}}
        data = self._encode(message, method)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        sent = False
        try:
            async with asyncio.timeout(deadline):
                async with self._writing:
                    self._check_open()
                    self._waiting[request_id] = answer
                    sent = True
                    await self._hand_over(data, answer)
                outcome = await answer
        except TimeoutError:
            msg = f"{method} was not answered within {deadline:g} seconds."
            raise RequestTimedOut(msg, sent=sent) from None
        finally:
            self._waiting.pop(request_id, None)
        if isinstance(outcome, WireError):
            raise outcome
        return outcome

    async def notify(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        deadline: float = WRITE_SECONDS,
    ) -> None:
        """Send a notification. Raises ``PeerClosed``, ``RequestTimedOut``."""
        await self._write({"method": method, "params": params or {}}, method, deadline)

    async def reply(
        self, request_id: RequestId, result: Any, *, deadline: float = WRITE_SECONDS
    ) -> None:
        """Answer a request of the other side. Raises ``PeerClosed``, ``RequestTimedOut``."""
        await self._write({"id": request_id, "result": result}, "An answer", deadline)

    async def reply_error(
        self,
        request_id: RequestId,
        code: int,
        message: str,
        data: Any = None,
        *,
        deadline: float = WRITE_SECONDS,
    ) -> None:
        """Answer a request with an error. Raises ``PeerClosed``, ``RequestTimedOut``."""
        error = {"code": code, "message": message}
        if data is not None:
            error["data"] = data
        await self._write({"id": request_id, "error": error}, "An answer", deadline)

    async def close(self) -> None:
        """End the conversation; every waiter is woken with ``PeerClosed``. Idempotent."""
        self._finish("The connection was closed by netsky.")
        await self._framing.close()

    async def _write(self, message: dict[str, Any], name: str, deadline: float) -> None:
        data = self._encode(message, name)
        sent = False
        try:
            async with asyncio.timeout(deadline), self._writing:
                self._check_open()
                sent = True
                await self._framing.send(data)
        except TimeoutError:
            msg = f"{name} could not be sent within {deadline:g} seconds: nobody reads."
            raise RequestTimedOut(msg, sent=sent) from None
        except PeerClosed:
            raise
        except WireError as error:
            raise PeerClosed(self._reason or error.message, sent=sent) from error

    async def _hand_over(self, data: bytes, answer: asyncio.Future[Any]) -> None:
        try:
            await self._framing.send(data)
        except WireError as error:
            # The reader is about to learn the same, and knows more (what the child said last).
            await asyncio.wait([answer], timeout=REASON_SECONDS)
            if not answer.done():
                answer.set_result(PeerClosed(error.message, sent=True))

    def _encode(self, message: dict[str, Any], name: str) -> bytes:
        try:
            return orjson.dumps({**self._version, **message})
        except orjson.JSONEncodeError as error:
            msg = f"{name} cannot be written as JSON: {error}."
            raise UsageError(msg, hint="Text must be valid UTF-8.") from error

    def _check_open(self) -> None:
        if self._reason:
            raise PeerClosed(self._reason, sent=False)

    def _handle(self, data: bytes) -> None:
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            self._reject(data)
            return
        if type(message) is not dict:
            self._reject(data)
            return
        method = message.get("method")
        if method is None:
            self._answered(message, data)
            return
        params = message.get("params")
        if params is None:
            params = {}
        if type(method) is not str or type(params) is not dict:
            self._reject(data)
        elif "id" not in message:
            self._on_notification(method, params)
        elif type(request_id := message["id"]) is int or type(request_id) is str:
            self._on_request(request_id, method, params)
        else:
            self._reject(data)

    def _answered(self, message: dict[str, Any], data: bytes) -> None:
        request_id = message.get("id")
        if type(request_id) is not int and type(request_id) is not str:
            self._reject(data)
            return
        answer = self._waiting.pop(request_id, None)
        if answer is None or answer.done():
            self.late_answers += 1
        elif (error := message.get("error")) is not None:
            answer.set_result(_rpc_error(error))
        elif "result" in message:
            answer.set_result(message["result"])
        else:
            answer.set_result(WireError("The answer has neither a result nor an error."))

    def _reject(self, data: bytes) -> None:
        self.garbage += 1
        self._first_garbage = self._first_garbage or data[:_GARBAGE_SHOWN]
        if self._on_garbage is not None:
            self._on_garbage(data)

    def _finish(self, reason: str) -> None:
        if self._reason:
            return
        self._reason = reason + self._told()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_result(PeerClosed(self._reason, sent=True))
        if self._on_closed is not None:
            self._on_closed(self._reason)

    async def _told_first(self) -> str:
        if self.fate is None or self._reason:
            return ""
        said = await self.fate()
        return f"{said} " if said else ""

    def _told(self) -> str:
        parts = []
        if self._first_garbage:
            parts.append(f" It wrote: {self._first_garbage.decode(errors='replace')}")
        if self._diagnosis is not None and (said := self._diagnosis()):
            parts.append(f" It said: {' '.join(said.split())}")
        return "".join(parts)


def _rpc_error(error: Any) -> RpcError:
    if not isinstance(error, dict):
        return RpcError(0, f"The answer is an error of no known form: {error!r:.200}")
    code = error.get("code")
    message = error.get("message")
    return RpcError(
        code if type(code) is int else 0,
        message if isinstance(message, str) else f"The answer is an error: {error!r:.200}",
        error.get("data"),
    )
