"""The child that is Codex's mcp-server: started, shaken hands with, written down, ended."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex import hello
from netsky_runtime.codex.base import NoSuchDoor
from netsky_runtime.codex.binary import codex_home, make_codex_home
from netsky_runtime.codex.mcp_server import tool
from netsky_runtime.errors import Unhealthy
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName
from netsky_runtime.wire.birth import is_same_process, process_started
from netsky_runtime.wire.errors import PeerClosed, WireError
from netsky_runtime.wire.groups import end_group
from netsky_runtime.wire.peer import OnNotification, OnRequest, Peer
from netsky_runtime.wire.process import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.binary import CodexBinary
    from netsky_runtime.codex.engine_store import EngineStore
    from netsky_runtime.codex.mcp_server.tool import Offer
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home

HANDSHAKE_SECONDS: Final = 10.0
"""Codex answers in 0.1 to 0.3; a busy machine takes its time."""
END_SECONDS: Final = 1.0
"""A Codex without a turn leaves when its standard input ends. With one it does not, and SIGTERM
after this long ends it at once; seen on 0.120, 0.145 and 0.153.4."""
TERM_SECONDS: Final = 2.0
SHORT_LIFE: Final = 60.0
"""A process that lived shorter than this makes its successor wait."""
MAX_BACKOFF: Final = 30.0


class Server:
    """A process that has answered the handshake."""

    def __init__(self, child: Child, peer: Peer, reader: asyncio.Task[None]) -> None:
        self._child = child
        self._reader = reader
        self.peer = peer
        self.engine: Engine | None = None

    @property
    def pid(self) -> int:
        """Its process, which leads a group of its own."""
        return self._child.pid

    async def kill(self) -> None:
        """End the process, which does not answer any more; the reader hears of it."""
        await self._child.end(grace=0)

    async def close(self) -> None:
        """End the conversation, then the process and its group, in bounded time."""
        try:
            await self.peer.close()
        finally:
            await self._child.end(grace=END_SECONDS)
        # Its standard output ends with the process: one in a turn outlives its standard input.
        with suppress(WireError):
            await self._reader


class Host:
    """Starts the one mcp-server of a home, and keeps its row.

    The row has no socket: a next netsky that finds it ends what is left of the process.
    """

    def __init__(
        self,
        *,
        home: Home,
        store: EngineStore,
        clock: Clock,
        environ: Mapping[str, str],
        log: Log,
    ) -> None:
        self._home = home
        self._store = store
        self._clock = clock
        self._environ = environ
        self._log = log
        self._started_at = float("-inf")
        self._short_lives = 0

    async def start(
        self,
        binary: CodexBinary,
        *,
        engine_id: str,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_closed: Callable[[str], None],
    ) -> tuple[Server, Offer]:
        """Start a process and shake hands; more slowly each time one lives shortly.

        Raises ``NoSuchDoor`` when this Codex certainly has no mcp-server, ``Unhealthy`` when it
        ends or does not answer: its configuration may be broken, or the machine busy.
        """
        await self.end_left("its netsky is gone")
        await self._back_off()
        await asyncio.to_thread(make_codex_home, self._environ)
        try:
            child = await Child.spawn(
                [binary.path, "mcp-server"],
                env=binary.environment(self._environ),
                # Not netsky's own folder: a project's settings there are no business of all.
                cwd=self._home.root,
            )
        except WireError as error:
            hint = "Is it built for this machine?"
            raise Unhealthy(error.message, hint=hint) from error
        usual: set[str] = set()
        peer = Peer(
            child.framing,
            on_request=on_request,
            on_notification=on_notification,
            on_closed=on_closed,
            version_member=True,
            diagnosis=lambda: _last_words(child, usual),
        )
        reader = asyncio.get_running_loop().create_task(peer.run(), name="codex mcp reader")
        server = Server(child, peer, reader)
        try:
            version, offer = await self._shake_hands(server, binary)
            peer.fate = child.fate
            usual.update(child.stderr_tail().splitlines())
            server.engine = self._row(binary, server, version=version, engine_id=engine_id)
            await self._store.save(server.engine)
        except BaseException:
            await server.close()
            raise
        self._log("info", "mcp-server started", {"engine": engine_id, "pid": server.pid})
        return server, offer

    async def ended(self, engine: Engine, reason: str) -> None:
        """Write down that a process is over."""
        await self._store.ended(engine.id, EngineState.ENDED, reason)

    async def end_left(self, reason: str) -> Engine | None:
        """End the process of a netsky that was killed; return it if it was still there.

        In the middle of a turn it does not leave with its pipes. Raises ``Unhealthy``.
        """
        row = await self._store.load()
        if row is None:
            return None
        alive = is_same_process(row.pid, row.pid_started)
        gone = await end_group(row.pid, row.pid_started, grace=TERM_SECONDS, clock=self._clock)
        if not gone:
            msg = f"An mcp-server of an earlier netsky (process {row.pid}) could not be ended."
            raise Unhealthy(msg, hint=f"End it by hand: kill -9 -{row.pid}")
        await self._store.ended(row.id, EngineState.LOST, reason)
        return row if alive else None

    async def _shake_hands(self, server: Server, binary: CodexBinary) -> tuple[str, Offer]:
        peer = server.peer
        try:
            answer = await peer.request(
                hello.METHOD, hello.to_mcp_server(), deadline=HANDSHAKE_SECONDS
            )
            await peer.notify("notifications/initialized", deadline=HANDSHAKE_SECONDS)
            tools = await peer.request("tools/list", deadline=HANDSHAKE_SECONDS)
        except PeerClosed as error:
            if hello.takes_for_prompt(error.message):
                msg = f"Codex at {binary.path} has no mcp-server: it takes the word for a prompt."
                raise NoSuchDoor(msg, hint=_HINT) from error
            msg = f"Codex at {binary.path} ended as an mcp-server: {_clause(error.message)}."
            raise Unhealthy(msg, hint=_SEE) from error
        except WireError as error:
            msg = f"Codex at {binary.path} does not answer as an mcp-server: "
            raise Unhealthy(f"{msg}{_clause(error.message)}.", hint=_SEE) from error
        offer = tool.offered(tools)
        if offer is None:
            msg = f"What {binary.path} starts as an mcp-server has not the tools of Codex."
            raise NoSuchDoor(msg, hint=_HINT)
        return hello.mcp_server_version(answer), offer

    async def _back_off(self) -> None:
        lived = self._clock.monotonic() - self._started_at
        self._short_lives = self._short_lives + 1 if lived < SHORT_LIFE else 0
        if self._short_lives > 1:
            wait = min(MAX_BACKOFF, 0.5 * 2 ** (self._short_lives - 2))
            self._log("warning", "the mcp-server keeps dying; waiting", {"seconds": wait})
            await self._clock.sleep(wait)
        self._started_at = self._clock.monotonic()

    def _row(self, binary: CodexBinary, server: Server, *, version: str, engine_id: str) -> Engine:
        return Engine(
            id=engine_id,
            runtime=RuntimeName.MCP_SERVER,
            state=EngineState.RUNNING,
            pid=server.pid,
            pid_started=process_started(server.pid),
            binary=binary.path,
            version=version,
            codex_home=codex_home(self._environ),
            socket="",
            started_at=self._clock.now(),
        )


_DEPRECATED = "mcp-server` is deprecated"
_TRACE = "Stack backtrace:"
_HINT = "Codex has one up to 0.153.4; newer ones have the app-server: `netsky doctor` shows both."
_SEE = "Mend what it complains of; `netsky doctor` shows the doors of this Codex."


def _last_words(child: Child, usual: Container[str]) -> str:
    """Return what Codex said on standard error, but not the ``usual`` lines of its start.

    Nor what 0.153.4 says at every start, and may say late.
    A trace of its own code tells nobody here anything.
    """
    lines = child.stderr_tail().partition(_TRACE)[0].splitlines()
    telling = [line for line in lines if _DEPRECATED not in line and line not in usual]
    return "\n".join(telling).strip()


def _clause(message: str) -> str:
    """Make a message, and what it quotes, fit behind a colon on one line."""
    return " ".join(message.split()).rstrip(".")
