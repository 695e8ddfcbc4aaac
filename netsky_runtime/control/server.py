"""The daemon's door: a Unix socket that only this user can open."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.control.serving import Gate, ServedClient
from netsky_runtime.errors import DaemonRunning, Unhealthy
from netsky_runtime.supervise import Report, Supervisor
from netsky_runtime.wire.credentials import peer_pid
from netsky_runtime.wire.framing import LineFraming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from netsky_runtime.control.feed import Feed
    from netsky_runtime.control.handle import Dispatch

_LOG: Final = logging.getLogger(__name__)
_BACKLOG: Final = 100


def log_failure(task: str, error: BaseException) -> None:
    """Log an error that no client caused."""
    _LOG.error("control task %s failed", task, exc_info=error)


class ControlServer:
    """Serves every client on one socket.

    Whoever can open the socket may say ``hello``, and is answered with ``identity``. Of all else
    what ``gate`` lets through is run by ``dispatch``, but for ``watch`` and ``subscribe``, which
    are between a client and the feed. A client that leaves takes the requests he waits for with
    him: they are cancelled.
    """

    def __init__(
        self,
        path: Path,
        *,
        gate: Gate,
        dispatch: Dispatch,
        feed: Feed,
        identity: Callable[[], Mapping[str, Any]],
        report: Report = log_failure,
    ) -> None:
        self._path = path
        self._gate = gate
        self._dispatch = dispatch
        self._feed = feed
        self._identity = identity
        self._report = report
        self._clients: set[ServedClient] = set()
        self._connections = Supervisor(report=report)
        self._server: asyncio.Server | None = None
        self._inode = 0

    @property
    def clients(self) -> int:
        """How many clients take pushes: rooms, not verbs that come and go."""
        return sum(client.listens for client in self._clients)

    async def start(self, stack: AsyncExitStack | None = None) -> None:
        """Listen; ``stack`` closes the server. The caller holds the home's lock.

        The socket of a dead daemon is replaced. Raises ``DaemonRunning`` when a live one listens
        there, ``Unhealthy`` when the path cannot be used.
        """
        listening = _listen(self._path)
        self._inode = self._path.lstat().st_ino
        self._server = await asyncio.start_unix_server(
            self._accept, sock=listening, start_serving=False
        )
        await self._server.start_serving()
        if stack is not None:
            stack.push_async_callback(self.close)

    async def close(self) -> None:
        """Let nobody in, let short requests and the last pushes through, then let go of all."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        with suppress(FileNotFoundError):
            if self._path.lstat().st_ino == self._inode:
                self._path.unlink()
        await asyncio.gather(*(client.finish() for client in self._clients))
        await self._connections.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.close()
            return
        client = ServedClient(
            LineFraming(reader, writer),
            pid=peer_pid(writer.get_extra_info("socket")),
            gate=self._gate,
            dispatch=self._dispatch,
            feed=self._feed,
            identity=self._identity,
            report=self._report,
        )
        self._connections.spawn("client", self._serve(client))

    async def _serve(self, client: ServedClient) -> None:
        self._clients.add(client)
        try:
            await client.run()
        finally:
            self._clients.discard(client)


def _listen(path: Path) -> socket.socket:
    make_way(path)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(str(path))
        # Nobody can connect before listen(), so the mode is right before anybody could.
        path.chmod(stat.S_IRUSR | stat.S_IWUSR)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise _running(path) from error
        msg = f"netsky cannot listen on {path}: {error.strerror or error}."
        raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.") from error
    return listening


def make_way(path: Path) -> None:
    """Remove the socket that a dead daemon left; nothing is there afterwards.

    Raises ``DaemonRunning`` when somebody listens, ``Unhealthy`` when it is no socket of ours.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.getuid():
        msg = f"{path} is in the way: it is no socket of yours."
        raise Unhealthy(msg, hint="Move it away, or set NETSKY_HOME to another folder.")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # its queue is full: somebody lives there
    raise _running(path)


def _running(path: Path) -> DaemonRunning:
    msg = f"A netsky daemon already listens on {path}."
    return DaemonRunning(msg, hint="`netsky` attaches to it; `netsky stop` ends it.")
