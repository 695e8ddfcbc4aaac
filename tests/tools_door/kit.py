"""The two sides of the tools door, played by tests: a daemon on a socket, and Codex on a wire."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netsky_runtime.control.vocabulary import HELLO, PROTOCOL, error_to_wire
from netsky_runtime.errors import Conflict, NetskyError
from netsky_runtime.tools_door.asking import Daemon
from netsky_runtime.tools_door.server import ToolsServer
from netsky_runtime.wire.framing import LineFraming
from netsky_runtime.wire.peer import Peer, RequestId
from tests.support.fakes import ManualClock
from tests.wire.pipes import Wire, wire

TOKEN = "token-of-worker1"
TOOL = {"name": "list_tasks", "description": "List the tasks.", "schema": {"type": "object"}}

Verb = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


@dataclass
class FakeDaemon:
    """A control socket whose verbs the test plays; keeps what was asked on it."""

    path: Path
    verbs: dict[str, Verb] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    protocol: int = PROTOCOL
    some: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _peers: set[Peer] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        """Be gone, as a killed daemon is; its socket stays behind."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.drop()

    async def drop(self) -> None:
        """Break every connection, without an answer to what was asked."""
        for peer in list(self._peers):
            await peer.close()

    async def until_asked(self, count: int) -> None:
        while len(self.asked) < count:
            self.some.clear()
            await self.some.wait()

    @property
    def clients(self) -> int:
        return len(self._peers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answering: set[asyncio.Task[None]] = set()

        def requested(request_id: RequestId, method: str, params: dict[str, Any]) -> None:
            answering.add(group.create_task(self._answer(peer, request_id, method, params)))

        peer = Peer(
            LineFraming(reader, writer),
            on_request=requested,
            on_notification=lambda _method, _params: None,
            version_member=True,
        )
        self._peers.add(peer)
        try:
            async with asyncio.TaskGroup() as group:
                await peer.run()
                for task in answering:
                    task.cancel()
        finally:
            self._peers.discard(peer)

    async def _answer(
        self, peer: Peer, request_id: RequestId, method: str, params: dict[str, Any]
    ) -> None:
        with suppress(NetskyError):
            if method == HELLO:
                if params["protocol"] != self.protocol:
                    other = Conflict("Another protocol.", hint="`kill -HUP 1` ends that daemon.")
                    await peer.reply_error(request_id, *error_to_wire(other))
                    return
                await peer.reply(request_id, {"protocol": self.protocol})
                return
            self.asked.append((method, params))
            self.some.set()
            try:
                answer = await self.verbs[method](params)
            except NetskyError as error:
                await peer.reply_error(request_id, *error_to_wire(error))
                return
            await peer.reply(request_id, answer)


async def listing(_params: Mapping[str, Any]) -> dict[str, Any]:
    return {"tools": [TOOL]}


async def calling(params: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": f"did {params['tool']}", "success": True}


@asynccontextmanager
async def fake_daemon(
    *, running: bool = True, socket: Path | None = None
) -> AsyncIterator[FakeDaemon]:
    """Play a daemon, by default on a socket of its own."""
    with tempfile.TemporaryDirectory(prefix="ns") as short:
        verbs: dict[str, Verb] = {"tools.list": listing, "tools.call": calling}
        daemon = FakeDaemon(socket or Path(short) / "netsky.sock", verbs)
        if running:
            await daemon.start()
        try:
            yield daemon
        finally:
            await daemon.stop()


@dataclass
class Codex:
    """What Codex says to the server of one thread, and hears from it."""

    far: Wire
    daemon: FakeDaemon
    clock: ManualClock
    _last: int = 0
    _early: dict[object, dict[str, Any]] = field(default_factory=dict)

    def ask(self, method: str, **params: Any) -> int:
        """Send a request and return its id."""
        self._last += 1
        self.far.write(
            {"jsonrpc": "2.0", "id": self._last, "method": method, "params": params},
        )
        return self._last

    async def answer(self, request_id: int) -> dict[str, Any]:
        """Return the whole answer to a request; answers to others are kept."""
        while request_id not in self._early:
            message = await self.far.read()
            self._early[message["id"]] = message
        return self._early.pop(request_id)

    async def say(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its whole answer."""
        return await self.answer(self.ask(method, **params))

    async def call(self, tool: str, /, **arguments: Any) -> tuple[str, bool]:
        """Call a tool and return what the model is told, and whether it is an error."""
        answer = await self.say("tools/call", name=tool, arguments=arguments)
        return told(answer)


def told(answer: Mapping[str, Any]) -> tuple[str, bool]:
    """Return what the model is told, and whether it is an error."""
    [content] = answer["result"]["content"]
    assert content["type"] == "text"
    return content["text"], answer["result"]["isError"]


@asynccontextmanager
async def codex(daemon: FakeDaemon, *, token: str = TOKEN) -> AsyncIterator[Codex]:
    """Run a server over ``daemon`` in this process, with a clock that the test moves."""
    clock = ManualClock()
    asking = Daemon(daemon.path, clock=clock)
    async with wire() as far, asyncio.TaskGroup() as group:
        server = ToolsServer(far.framing, daemon=asking, token=token)
        running = group.create_task(server.run())
        try:
            yield Codex(far, daemon, clock)
        finally:
            await far.far.close()
            await running
            await asking.close()
