from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import pytest
from websockets.asyncio.server import ServerConnection, unix_serve

from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, WireError
from netsky_runtime.wire.framing import MAX_FRAME, connect_unix_websocket
from tests.support.patience import PATIENCE
from tests.wire.pipes import Heard

if TYPE_CHECKING:
    from netsky_runtime.wire.websocket import WebSocketFraming

Handler = Callable[[ServerConnection], Awaitable[None]]


@pytest.fixture
def path() -> AsyncIterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ns") as folder:
        yield Path(folder) / "s.sock"


@asynccontextmanager
async def engine(
    path: Path, handler: Handler, max_size: int = MAX_FRAME
) -> AsyncIterator[WebSocketFraming]:
    async with asyncio.timeout(PATIENCE), unix_serve(handler, str(path), max_size=None):
        framing = await connect_unix_websocket(path, max_size=max_size, deadline=5)
        try:
            yield framing
        finally:
            await framing.close()


async def test_messages_pass_as_text_frames_and_the_end_is_none(path: Path) -> None:
    async def handler(connection: ServerConnection) -> None:
        received = await connection.recv()
        assert isinstance(received, str)
        await connection.send(received)
        await connection.send(b"binary too")

    async with engine(path, handler) as framing:
        await framing.send("größer".encode())
        assert await framing.receive() == "größer".encode()
        assert await framing.receive() == b"binary too"
        assert await framing.receive() is None
        with pytest.raises(WireError, match="closed"):
            await framing.send(b"late")
        await framing.close()


async def test_compression_is_never_offered(path: Path) -> None:
    offered: list[str | None] = []

    async def handler(connection: ServerConnection) -> None:
        assert connection.request is not None
        offered.append(connection.request.headers.get("Sec-WebSocket-Extensions"))

    async with engine(path, handler) as framing:
        assert await framing.receive() is None
    assert offered == [None]


async def test_a_frame_of_twenty_megabytes_passes(path: Path) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send(await connection.recv())

    big = b"x" * (20 * 1024 * 1024)
    async with engine(path, handler) as framing:
        await framing.send(big)
        assert await framing.receive() == big


async def test_a_frame_over_the_limit_ends_the_connection_with_the_reason(path: Path) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("x" * 2000)
        await connection.wait_closed()

    async with engine(path, handler, max_size=1000) as framing:
        with pytest.raises(WireError, match="1000"):
            await framing.receive()


async def test_an_engine_that_vanishes_without_goodbye_is_the_end_of_the_stream(path: Path) -> None:
    async def handler(connection: ServerConnection) -> None:
        await connection.send("last words")
        connection.transport.abort()

    async with engine(path, handler) as framing:
        assert await framing.receive() == b"last words"
        assert await framing.receive() is None


async def test_an_engine_that_never_reads_meets_the_deadline_and_can_be_closed(path: Path) -> None:
    done = asyncio.Event()

    async def handler(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await done.wait()
        connection.transport.abort()

    async with engine(path, handler) as framing, asyncio.TaskGroup() as group:
        peer = Heard().peer(framing)
        group.create_task(peer.run())
        big = {"text": "x" * 20_000_000}
        with pytest.raises(RequestTimedOut):
            await peer.request("first", big, deadline=0.2)
        with pytest.raises(PeerClosed, match="does not read"):
            await peer.request("second", big, deadline=5)
        await peer.close()
        done.set()


async def test_a_peer_talks_over_a_websocket(path: Path) -> None:
    async def handler(connection: ServerConnection) -> None:
        request = orjson.loads(await connection.recv())
        await connection.send('{"method": "before", "params": {}}')
        await connection.send(orjson.dumps({"id": request["id"], "result": request["params"]}))
        await connection.wait_closed()

    async with engine(path, handler) as framing, asyncio.TaskGroup() as group:
        heard = Heard()
        peer = heard.peer(framing)
        group.create_task(peer.run())
        assert await peer.request("echo", {"n": 1}, deadline=5) == {"n": 1}
        assert heard.log == [("notification", "before", {})]
        await peer.close()


async def test_nobody_listening_is_told_in_one_sentence(path: Path) -> None:
    with pytest.raises(WireError, match=r"Nobody listens on .*s.sock: No such file"):
        await connect_unix_websocket(path, deadline=5)
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with pytest.raises(WireError, match=r"Nobody listens on .*s.sock: Connection refused"):
        await connect_unix_websocket(path, deadline=5)


async def test_a_listener_that_never_answers_the_handshake_meets_the_deadline(path: Path) -> None:
    async with listener(path, b""):
        with pytest.raises(WireError, match=r"Nobody answered on .*s.sock within 0.05 seconds"):
            await connect_unix_websocket(path, deadline=0.05)


async def test_a_listener_that_speaks_something_else_is_told(path: Path) -> None:
    async with listener(path, b"220 smtp ready\r\n\r\n"):
        with pytest.raises(WireError, match="speaks no WebSocket"):
            await connect_unix_websocket(path, deadline=5)


@asynccontextmanager
async def listener(path: Path, greeting: bytes) -> AsyncIterator[None]:
    gone = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with asyncio.timeout(PATIENCE), await asyncio.start_unix_server(handler, str(path)):
        yield
        await gone.wait()
