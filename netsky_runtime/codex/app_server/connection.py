"""One initialised client of an app-server, over the engine's socket or a child's pipes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsky_runtime.codex import hello
from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.framing import Framing, connect_unix_websocket
from netsky_runtime.wire.peer import OnNotification, OnRequest, Peer, RequestId

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

LEAVE_SECONDS = 1.0
"""How long the other side may keep its end of a pipe open after ours was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What the handshake told."""

    version: str
    codex_home: str


class Connection:
    """A handshaken conversation; its reader is a task of its own that ``close`` ends and awaits.

    The callbacks are called in receive order and must not wait; see ``Peer``.
    """

    def __init__(self, peer: Peer, reader: asyncio.Task[None], server: ServerInfo) -> None:
        self._peer = peer
        self._reader = reader
        self.server = server

    @classmethod
    async def open(
        cls,
        framing: Framing,
        *,
        deadline: float,
        opt_out: Sequence[str] = (),
        on_request: OnRequest,
        on_notification: OnNotification,
        on_closed: Callable[[str], None] | None = None,
        diagnosis: Callable[[], str] | None = None,
        fate: Callable[[], Awaitable[str]] | None = None,
    ) -> Connection:
        """Shake hands within ``deadline`` seconds. Raises ``WireError``; then all is closed."""
        peer = Peer(
            framing,
            on_request=on_request,
            on_notification=on_notification,
            on_closed=on_closed,
            diagnosis=diagnosis,
        )
        reader = asyncio.get_running_loop().create_task(peer.run(), name="codex reader")
        try:
            answer = await peer.request(
                hello.METHOD, hello.to_app_server(opt_out), deadline=deadline
            )
            await peer.notify("initialized", deadline=deadline)
            peer.fate = fate  # of one that has answered: before, its words are all that counts
        except BaseException:
            await _end(peer, reader)
            raise
        return cls(peer, reader, _server(answer))

    @property
    def closed(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._peer.closed

    @property
    def received(self) -> int:
        """How many messages have come."""
        return self._peer.received

    async def request(self, method: str, params: Mapping[str, Any], *, deadline: float) -> Any:
        """Ask and return the answer. Raises ``RpcError``, ``PeerClosed``, ``RequestTimedOut``."""
        return await self._peer.request(method, params, deadline=deadline)

    async def reply(self, request_id: RequestId, result: Any) -> None:
        """Answer a request of Codex. Raises ``PeerClosed``, ``RequestTimedOut``."""
        await self._peer.reply(request_id, result)

    async def reply_error(self, request_id: RequestId, code: int, message: str) -> None:
        """Refuse a request of Codex. Raises ``PeerClosed``, ``RequestTimedOut``."""
        await self._peer.reply_error(request_id, code, message)

    async def close(self) -> None:
        """Leave. Idempotent. Raises what a callback raised, if one did."""
        await _end(self._peer, self._reader)


async def connect(
    socket: Path,
    *,
    deadline: float,
    opt_out: Sequence[str] = (),
    on_request: OnRequest,
    on_notification: OnNotification,
    on_closed: Callable[[str], None] | None = None,
    diagnosis: Callable[[], str] | None = None,
    fate: Callable[[], Awaitable[str]] | None = None,
) -> Connection:
    """Open a connection to the engine on a Unix socket. Raises ``WireError``."""
    framing = await connect_unix_websocket(socket, deadline=deadline)
    return await Connection.open(
        framing,
        deadline=deadline,
        opt_out=opt_out,
        on_request=on_request,
        on_notification=on_notification,
        on_closed=on_closed,
        diagnosis=diagnosis,
        fate=fate,
    )


async def _end(peer: Peer, reader: asyncio.Task[None]) -> None:
    await peer.close()
    try:
        await asyncio.wait([reader], timeout=LEAVE_SECONDS)
    finally:
        reader.cancel()
    await asyncio.wait([reader])
    error = None if reader.cancelled() else reader.exception()
    if error is not None and not isinstance(error, WireError):
        raise error


def _server(answer: Any) -> ServerInfo:
    told = answer if isinstance(answer, dict) else {}
    return ServerInfo(
        version=hello.app_server_version(answer), codex_home=str(told.get("codexHome") or "")
    )
