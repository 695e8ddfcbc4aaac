"""``netsky tools``: the MCP server on this process's standard input and output."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import NetskyError, UsageError
from netsky_runtime.paths import Home
from netsky_runtime.tools_door.asking import Daemon
from netsky_runtime.tools_door.naming import TOKEN_VARIABLE
from netsky_runtime.tools_door.server import ToolsServer
from netsky_runtime.wire.framing import LineFraming

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

MAX_LINE: Final = 8 * 1024 * 1024
"""Bytes of one message from Codex: a call with all its arguments."""
_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_USAGE_STATUS: Final = 2


def main(environ: Mapping[str, str] | None = None) -> int:
    """Serve until standard input ends or a signal comes; return the exit status."""
    try:
        asyncio.run(serve(os.environ if environ is None else environ))
    except NetskyError as error:
        sys.stderr.write(f"netsky tools: {error}\n")
        return _USAGE_STATUS
    return 0


async def serve(environ: Mapping[str, str]) -> None:
    """Serve the session whose token is in ``environ``.

    Raises ``UsageError`` where no MCP client can be on the other side.
    """
    token = environ.get(TOKEN_VARIABLE, "")
    if not token:
        msg = f"{TOKEN_VARIABLE} is not set: this is a program that Codex runs for a thread."
        raise UsageError(msg, hint="netsky gives it to the threads that need it.")
    daemon = Daemon(Home.locate(environ).control_socket, clock=SystemClock())
    serving = asyncio.current_task()
    loop = asyncio.get_running_loop()
    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, serving.cancel)  # type: ignore[union-attr]  # runs in one
    try:
        with suppress(asyncio.CancelledError):
            async with _standard_streams() as framing:
                await ToolsServer(framing, daemon=daemon, token=token).run()
    finally:
        await daemon.close()


@asynccontextmanager
async def _standard_streams() -> AsyncIterator[LineFraming]:
    for stream in (sys.stdin, sys.stdout):
        mode = os.fstat(stream.fileno()).st_mode
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
            msg = "Standard input and output are not the two pipes of an MCP client."
            raise UsageError(msg, hint="Codex starts `netsky tools`; there is nothing to type.")
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    # Doubles, because a transport closes what it is given.
    source = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    incoming, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), sink
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    try:
        yield LineFraming(reader, writer, max_line=MAX_LINE)
    finally:
        writer.close()
        incoming.close()
