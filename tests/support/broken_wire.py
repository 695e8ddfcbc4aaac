"""A wire that fails where it is told to, between a client and a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

NEVER = 1 << 40


class Fault(StrEnum):
    """What happens to a direction from some byte on."""

    CUT = "cut"
    """Both ends are closed: what follows the byte never comes."""
    SILENCE = "silence"
    """Nothing more comes, and the connection stays."""
    GARBAGE = "garbage"
    """Bytes of no meaning come in between, and everything after them."""
    TRICKLE = "trickle"
    """Byte by byte."""


NOISE = b'\x00\xff}{"\n\xc3\x28 no message\n'


@dataclass(frozen=True)
class Break:
    """Where the wire fails. Only the first connection does: the next is whole again."""

    fault: Fault
    after: int
    """Bytes that pass before."""
    to_server: bool


class Wire:
    """Listens in front of a server and passes everything on, but for what is broken."""

    def __init__(self, server: Path, broken: Break) -> None:
        self._server = server
        self._broken: Break | None = broken
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []
        self.passed = {True: 0, False: 0}
        """Bytes to the server, and from it."""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broken, self._broken = self._broken, None
        inner, out = await asyncio.open_unix_connection(str(self._server))
        self._writers += [writer, out]
        both = (writer, out)
        loop = asyncio.get_running_loop()
        for source, sink, to_server in ((reader, out, True), (inner, writer, False)):
            mine = broken if broken is not None and broken.to_server is to_server else None
            work = self._carry(source, sink, mine, both, to_server=to_server)
            self._tasks.add(loop.create_task(work))

    async def _carry(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        broken: Break | None,
        both: tuple[asyncio.StreamWriter, ...],
        *,
        to_server: bool,
    ) -> None:
        left = NEVER if broken is None else broken.after
        with suppress(ConnectionError):
            while data := await source.read(65536):
                self.passed[to_server] += len(data)
                sink.write(data[:left])
                await sink.drain()
                rest, left = data[left:], max(left - len(data), 0)
                if broken is None or left or not (rest or broken.fault is Fault.CUT):
                    continue
                match broken.fault:
                    case Fault.CUT:
                        for writer in both:
                            writer.transport.abort()
                        return
                    case Fault.SILENCE:
                        continue
                    case Fault.GARBAGE:
                        sink.write(NOISE + rest)
                        broken, left = None, NEVER
                    case Fault.TRICKLE:
                        for byte in rest:
                            sink.write(bytes([byte]))
                            await sink.drain()
                            await asyncio.sleep(0)
        sink.close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def wire(path: Path, *, server: Path, broken: Break) -> AsyncIterator[Wire]:
    """Listen on ``path`` for one broken connection, and for whole ones after it."""
    made = Wire(server, broken)
    listener = await asyncio.start_unix_server(made.accept, str(path))
    try:
        yield made
    finally:
        listener.close()
        await made.close()
