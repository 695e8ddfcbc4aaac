"""JSON-RPC messages as the text frames of a WebSocket."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, WebSocketException

from netsky_runtime.counting import count
from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.framing import CLOSE_SECONDS, GONE, drop

if TYPE_CHECKING:
    from pathlib import Path

MAX_UNSENT: Final = 16 * 1024 * 1024
"""Bytes that may wait for a side that does not read before sends are refused."""


class WebSocketFraming:
    """One message a text frame."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Send one text frame."""
        # Cancelled sends stay in the transport's buffer, so a stalled engine needs a bound.
        if self._connection.transport.get_write_buffer_size() > MAX_UNSENT:
            msg = f"The other side does not read: {MAX_UNSENT} bytes wait to be sent."
            raise WireError(msg)
        try:
            await self._connection.send(data, text=True)
        except ConnectionClosed as error:
            raise WireError(GONE) from error

    async def receive(self) -> bytes | None:
        """Return the payload of the next frame."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosedOK:
            return None
        except ConnectionClosed as error:
            if error.rcvd is None and error.sent is None:
                return None
            close = error.rcvd or error.sent
            msg = f"The connection was closed: {close.reason or close.code}." if close else GONE
            raise WireError(msg) from error

    async def close(self) -> None:
        """Say goodbye, or drop the connection when the other side does not answer."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._connection.close()
        finally:
            drop(self._connection.transport)
        await self._connection.wait_closed()  # at once: there is nothing left to flush


async def connect(path: Path | str, *, max_size: int, deadline: float) -> WebSocketFraming:
    """See ``framing.connect_unix_websocket``."""
    try:
        async with asyncio.timeout(deadline):
            connection = await unix_connect(
                str(path),
                compression=None,
                ping_interval=None,
                max_size=max_size,
                open_timeout=None,
                close_timeout=CLOSE_SECONDS,
                user_agent_header=None,
                proxy=None,
            )
    except TimeoutError as error:
        msg = f"Nobody answered on {path} within {count(deadline, 'second')}."
        raise WireError(msg) from error
    except OSError as error:
        msg = f"Nobody listens on {path}: {error.strerror or error}."
        raise WireError(msg) from error
    except (WebSocketException, EOFError) as error:
        msg = f"What listens on {path} speaks no WebSocket: {error}."
        raise WireError(msg) from error
    return WebSocketFraming(connection)
