"""Codex's mcp-server as a ``ThreadRuntime``: one child, many threads, ending with netsky."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import (
    AnswerLost,
    Capabilities,
    LaunchSpec,
    RuntimeInfo,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.codex.binary import CodexBinary, codex_home, find
from netsky_runtime.codex.mcp_server import past, tool
from netsky_runtime.codex.mcp_server.door import Door
from netsky_runtime.codex.mcp_server.process import Host, Server
from netsky_runtime.codex.mcp_server.session import McpServerSession
from netsky_runtime.codex.mcp_server.thread import Thread
from netsky_runtime.errors import NetskyError
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.base import RuntimeFailure
    from netsky_runtime.codex.engine_store import EngineStore
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home
    from netsky_runtime.settings import Settings

_CAPABILITIES: Final = Capabilities(
    resume=False,
    steer=False,
    interrupt=True,
    approvals=True,
    tools=False,
    history=True,
    survives_netsky=False,
    terminal=False,
    lacks={
        "resume": "it knows only threads that it has started itself",
        "steer": "Codex's MCP server takes nothing into a running turn: queue or interrupt",
        "terminal": "Codex's MCP server has no screen: move it to app_server or resident",
    },
)
_NOTICE: Final = (
    "Threads and turns of the mcp-server end with netsky; their conversations can be continued "
    "on the app-server."
)


def _closed() -> RuntimeFailure:
    return AnswerLost("It was sent, and netsky closed the mcp-server.", connected=False)


class McpServerRuntime:
    """A ``ThreadRuntime`` over ``codex mcp-server``, which Codex has up to 0.153.4.

    ``log(level, message, fields)`` must not wait. ``environ`` is the process's environment, PATH
    and CODEX_HOME included. ``store`` keeps the process's row, so that what a crashed netsky left
    is found and ended.
    """

    name = RuntimeName.MCP_SERVER
    capabilities = _CAPABILITIES

    def __init__(
        self,
        *,
        settings: Settings,
        home: Home,
        store: EngineStore,
        clock: Clock,
        ids: Ids,
        environ: Mapping[str, str],
        log: Log,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._environ = dict(environ)
        self._log = log
        self._host = Host(home=home, store=store, clock=clock, environ=self._environ, log=log)
        self._door: Door | None = None
        self._server: Server | None = None
        self._binary: CodexBinary | None = None
        self._problem = ""
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Start the process and shake hands.

        Idempotent; after the process has ended it starts another, more slowly each time one
        lives shortly. Raises ``NoSuchDoor``, ``CodexMissing`` or ``Unhealthy``.
        """
        async with self._opening:
            if self._door is not None and self._door.usable:
                return
            await self._shut("it has ended")
            try:
                await self._open()
            except NetskyError as error:
                self._problem = str(error)
                raise
            self._problem = ""

    async def info(self) -> RuntimeInfo:
        """Say which Codex this is, and what the operator should know about it."""
        notices = [self._problem] if self._problem else []
        engine = self._server.engine if self._server is not None else None
        door, binary = self._door, self._binary
        if door is None or not door.usable or engine is None or binary is None:
            return RuntimeInfo(
                name=self.name, version="", detail="not open", notices=tuple(notices)
            )
        return RuntimeInfo(
            name=self.name,
            version=engine.version,
            detail=f"{binary.path} (from {binary.origin}), child {engine.pid}",
            notices=(*notices, _NOTICE),
        )

    def troubles(self) -> Sequence[str]:
        """Say of what asks the process whether it lives that it ends again and again."""
        return self._door.troubles() if self._door is not None else ()

    async def vacate(self, label: str) -> str:
        """Do nothing: all threads live in one process."""
        return ""

    async def start(self, spec: LaunchSpec) -> McpServerSession:
        """Make a session of a thread that its first message will make.

        Raises ``InputRejected`` for a launch that this Codex refuses, ``ThreadUnavailable``.
        """
        door = self._usable_door()
        tool.check(spec, door.offer)
        thread = Thread(spec, clock=self._clock)
        door.hub.add(thread)
        return self._session(door, thread)

    async def resume(self, thread_id: str, spec: LaunchSpec) -> McpServerSession:
        """Attach again to a thread of the living process, as it was launched.

        Its pending approvals are in ``events`` again, with their ids. Raises ``ThreadGone`` for
        any other thread, ``ThreadUnavailable`` when the process has ended.
        """
        door = self._usable_door()
        thread = door.hub.thread(thread_id)
        if thread is None:
            msg = f"Codex's mcp-server has no thread {thread_id or 'without a name'}."
            hint = "It knows only threads that it began itself, and forgets them when it ends."
            raise ThreadGone(msg, hint=hint)
        return self._session(door, thread)

    async def find(self, mark: str, *, since: int) -> str:
        """Return the thread in whose rollout the mark was said; empty when there is none.

        Raises ``HistoryUnavailable``.
        """
        return await past.find(mark, self._codex_home, since=since)

    async def close(self, *, keep_engine: bool) -> None:
        """End the process, in bounded time; it cannot be kept, as it ends with its pipes."""
        async with self._opening:
            await self._shut("netsky was stopped")

    async def _open(self) -> None:
        self._binary = binary = await asyncio.to_thread(
            find, self._settings.codex_bin, self._environ
        )
        door = Door(
            engine_id=self._ids.new("e"),
            seconds=self._settings.request_seconds,
            turn_seconds=self._settings.turn_start_seconds,
            clock=self._clock,
            log=self._log,
        )
        self._server, offer = await self._host.start(
            binary,
            engine_id=door.engine_id,
            on_request=door.hub.on_request,
            on_notification=door.hub.on_notification,
            on_closed=door.lost,
        )
        door.opened(self._server, offer)
        self._door = door

    async def _shut(self, reason: str) -> None:
        door, self._door = self._door, None
        server, self._server = self._server, None
        if door is not None:
            door.hub.end_all(None, _closed)
            await door.close()
        if server is not None and server.engine is not None:
            await self._host.ended(server.engine, reason)

    def _usable_door(self) -> Door:
        if self._door is None or not self._door.usable:
            msg = "There is no mcp-server: it has ended or was not opened."
            raise ThreadUnavailable(msg)
        return self._door

    def _session(self, door: Door, thread: Thread) -> McpServerSession:
        return McpServerSession(
            door=door, thread=thread, codex_home=self._codex_home, clock=self._clock
        )

    @property
    def _codex_home(self) -> Path:
        return Path(codex_home(self._environ))
