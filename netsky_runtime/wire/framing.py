"""Where one message ends and the next begins: lines on a stream, frames on a WebSocket."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from netsky_runtime.errors import UsageError
from netsky_runtime.wire.errors import WireError

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.wire.websocket import WebSocketFraming

MAX_LINE: Final = 64 * 1024 * 1024
MAX_FRAME: Final = 256 * 1024 * 1024
CLOSE_SECONDS: Final = 1.0
_CHUNK: Final = 256 * 1024
GONE: Final = "The connection is closed."


class Framing(Protocol):
    """Whole messages in both directions. One task receives; sends are serialised by the peer."""

    async def send(self, data: bytes) -> None:
        """Hand over one message, waiting while the other side does not read.

        Raises ``WireError`` when the connection is gone. A cancelled send leaves the stream
        intact: the message is in it whole or not at all.
        """
        ...

    async def receive(self) -> bytes | None:
        """Return the next message, ``None`` at the end of the stream. Safe to cancel.

        Raises ``WireError`` when the connection broke or a message was over the limit.
        """
        ...

    async def close(self) -> None:
        """End the connection within ``CLOSE_SECONDS``. Idempotent."""
        ...


class LineFraming:
    """One message a line. A last line without its newline counts; blank lines do not.

    A line over ``max_line`` bytes ends the connection with ``WireError``.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        max_line: int = MAX_LINE,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._max_line = max_line
        # No line inside one chunk can then be over the limit; only a joined one can.
        self._chunk = min(_CHUNK, max_line)
        self._lines: deque[bytes] = deque()
        self._partial: list[bytes] = []
        self._partial_size = 0
        self._ended = False
        self._closed: asyncio.Task[None] | None = None

    async def send(self, data: bytes) -> None:
        """Write one line."""
        if b"\n" in data:
            msg = "a line cannot contain a newline"
            raise ValueError(msg)
        if len(data) > self._max_line:
            msg = f"A message of {len(data)} bytes is over the limit of {self._max_line}."
            raise UsageError(msg)
        try:
            # Draining first bounds the buffer to one message over the high-water mark even when
            # senders keep giving up, and makes a send that was cut short one that never happened.
            await self._drain()
            self._writer.write(data + b"\n")
            await self._drain()
        except OSError as error:
            raise WireError(_broke(error)) from error

    async def _drain(self) -> None:
        await self._writer.drain()
        if self._writer.is_closing():  # drain does not tell when the connection is dropped
            raise WireError(GONE)

    async def receive(self) -> bytes | None:
        """Return the next line without its newline."""
        while True:
            while self._lines:
                line = self._lines.popleft()
                if line and not line.isspace():
                    return line
            if self._ended:
                return None
            await self._fill()

    async def _fill(self) -> None:
        try:
            chunk = await self._reader.read(self._chunk)
        except OSError as error:
            self._ended = True
            raise WireError(_broke(error)) from error
        if not chunk:
            self._ended = True
            self._lines.append(b"".join(self._partial))
            self._partial.clear()
            return
        first, *rest = chunk.split(b"\n")
        self._keep(first)
        if rest:
            self._lines.append(b"".join(self._partial))
            self._partial.clear()
            self._partial_size = 0
            self._keep(rest.pop())
            self._lines.extend(rest)

    def _keep(self, piece: bytes) -> None:
        self._partial.append(piece)
        self._partial_size += len(piece)
        if self._partial_size > self._max_line:
            self._ended = True
            self._partial.clear()
            drop(self._writer.transport)
            msg = f"A line was longer than the limit of {self._max_line} bytes."
            raise WireError(msg)

    async def close(self) -> None:
        """Flush what was written, then close; what cannot be flushed in time is dropped."""
        self._writer.close()
        if self._closed is None:
            # A cancelled wait_closed spoils every later one, so it gets a task nobody cancels.
            self._closed = asyncio.get_running_loop().create_task(self._wait_closed())
        try:
            await asyncio.wait([self._closed], timeout=CLOSE_SECONDS)
        finally:
            drop(self._writer.transport)
        await asyncio.wait([self._closed], timeout=CLOSE_SECONDS)

    async def _wait_closed(self) -> None:
        with suppress(OSError):
            await self._writer.wait_closed()


async def connect_unix_websocket(
    path: Path | str, *, max_size: int = MAX_FRAME, deadline: float
) -> WebSocketFraming:
    """Connect to a WebSocket server on a Unix socket within ``deadline`` seconds.

    Compression is not offered, because Codex 0.145 drops the connection when it is, and pings are
    off: a stopped netsky must find its connection alive when it goes on.
    Raises ``WireError`` when nobody listens there or the handshake fails.
    """
    from netsky_runtime.wire import websocket  # 50 ms, and the command line never needs it

    return await websocket.connect(path, max_size=max_size, deadline=deadline)


def drop(transport: asyncio.WriteTransport) -> None:
    """Close without waiting for what is not sent."""
    # abort() fails on a transport that has flushed and closed; close() never does.
    if transport.get_write_buffer_size():
        transport.abort()
    else:
        transport.close()


def _broke(error: OSError) -> str:
    return f"The connection broke: {error.strerror or type(error).__name__}."
