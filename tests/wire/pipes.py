"""Two ends of a socket, for tests that play the other side by hand."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.wire.framing import MAX_LINE, LineFraming
from netsky_runtime.wire.peer import Peer
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Wire:
    """A framing, and the naked stream at its other end."""

    framing: LineFraming
    far: LineFraming
    writer: asyncio.StreamWriter

    def write(self, *messages: object) -> None:
        for message in messages:
            data = message if isinstance(message, bytes) else orjson.dumps(message)
            self.writer.write(data + b"\n")

    async def read(self) -> dict[str, Any]:
        return orjson.loads(await self.line())

    async def line(self) -> bytes:
        line = await self.far.receive()
        assert line is not None
        return line


@asynccontextmanager
async def wire(max_line: int = MAX_LINE) -> AsyncIterator[Wire]:
    near, far = socket.socketpair()
    near_reader, near_writer = await asyncio.open_connection(sock=near)
    far_reader, far_writer = await asyncio.open_connection(sock=far)
    framing = LineFraming(near_reader, near_writer, max_line=max_line)
    far_framing = LineFraming(far_reader, far_writer)
    try:
        async with asyncio.timeout(PATIENCE):
            yield Wire(framing, far_framing, far_writer)
    finally:
        await framing.close()
        await far_framing.close()


@dataclass
class Heard:
    """Everything a peer was told, in order."""

    log: list[tuple[Any, ...]] = field(default_factory=list)
    some: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, *entry: Any) -> None:
        self.log.append(entry)
        self.some.set()

    async def until(self, count: int) -> list[tuple[Any, ...]]:
        while len(self.log) < count:
            self.some.clear()
            await self.some.wait()
        return self.log

    def peer(self, framing: Any, **options: Any) -> Peer:
        return Peer(
            framing,
            on_request=lambda *a: self.note("request", *a),
            on_notification=lambda *a: self.note("notification", *a),
            on_garbage=lambda data: self.note("garbage", data),
            on_closed=lambda reason: self.note("closed", reason),
            **options,
        )


@dataclass
class Talk:
    """A running peer and the hand-played other side."""

    peer: Peer
    other: Wire
    heard: Heard
    running: asyncio.Task[None]


@asynccontextmanager
async def talk(max_line: int = MAX_LINE, **options: Any) -> AsyncIterator[Talk]:
    heard = Heard()
    async with wire(max_line) as other, asyncio.TaskGroup() as group:
        peer = heard.peer(other.framing, **options)
        running = group.create_task(peer.run())
        try:
            yield Talk(peer, other, heard, running)
        finally:
            await peer.close()
