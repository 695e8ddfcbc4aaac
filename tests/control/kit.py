"""A feed on a real database, and a daemon's door with verbs that the test plays."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.agents.live import LiveState
from netsky_runtime.clock import Clock, SystemClock
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.control.ancestry import Caller
from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.control.feed import Feed
from netsky_runtime.control.handle import LocalHandle, Push
from netsky_runtime.control.server import ControlServer
from netsky_runtime.control.vocabulary import PROTOCOL
from netsky_runtime.db import events
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import NotFound
from netsky_runtime.wire.framing import LineFraming
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from netsky_runtime.control.serving import Gate
    from netsky_runtime.control.subscription import Subscription

Verb = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


@dataclass
class Scene:
    """A feed and what feeds it."""

    database: Database
    live: LiveState
    feed: Feed
    watched: list[set[str]]
    reads: list[int] = field(default_factory=list)
    _facts: int = 0

    async def store(self, count: int, *, size: int = 0) -> None:
        """Store facts ``n = 0, 1, 2…`` in one transaction."""
        first, self._facts = self._facts, self._facts + count
        facts = [
            ("t", "u", f"i{n}", "warning", "worker1", n, _data(n, size))
            for n in range(first, first + count)
        ]
        await self.database.write(lambda tx: events.upsert_many(tx, facts))

    def say(self, text: str, actor_id: str = "worker1") -> None:
        """Let an actor say some more of its unfinished message."""
        data = {"stream": "agent_message", "text": text}
        delta = CodexEvent(EventKind.DELTA, "t", 0, turn_id="u", item_id="i", data=data)
        self.live.fold(actor_id, delta)


@asynccontextmanager
async def scene(folder: Path, clock: Clock) -> AsyncIterator[Scene]:
    watched: list[set[str]] = []
    async with AsyncExitStack() as stack:
        database = await Database.open(
            folder / "meta.db", backups=folder / "backups", clock=SystemClock()
        )
        stack.push_async_callback(database.close)
        live = LiveState()
        feed = Feed(
            database=database,
            live=live,
            clock=clock,
            set_watched=lambda actors: watched.append(set(actors)),
        )
        await feed.start(stack)
        yield Scene(database, live, feed, watched)


async def take(subscription: Subscription) -> Push:
    async with asyncio.timeout(PATIENCE):
        push = await subscription.next()
    assert push is not None
    return push


def numbers(push: Push) -> list[int]:
    """Return the ``n`` of the facts in a push."""
    assert push.kind == "facts", push
    return [event["data"]["n"] for event in push.data["events"]]


async def facts_until(pushes: AsyncIterator[Push], count: int) -> list[int]:
    """Return the ``n`` of the first ``count`` facts that come."""
    got: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while len(got) < count:
            push = await anext(pushes)
            if push.kind == "facts":
                got += numbers(push)
    return got


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0)


@dataclass
class Door:
    """A control server with verbs played by the test."""

    path: Path
    scene: Scene
    server: ControlServer
    verbs: dict[str, Verb]
    failures: list[BaseException]
    _stack: AsyncExitStack

    async def dispatch(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        if method not in self.verbs:
            msg = f"There is no request {method!r}."
            raise NotFound(msg)
        return await self.verbs[method](params)

    async def connect(self, client: str = "test") -> RemoteHandle:
        handle = await RemoteHandle.connect(self.path, client=client)
        self._stack.push_async_callback(handle.close)
        return handle

    def local(self) -> LocalHandle:
        return LocalHandle(dispatch=self.dispatch, feed=self.scene.feed)

    async def raw(self, *, hello: bool = True) -> Raw:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        raw = Raw(LineFraming(reader, writer), writer)
        self._stack.push_async_callback(raw.framing.close)
        if hello:
            raw.write({"id": 0, "method": "hello", "params": {"protocol": PROTOCOL}})
            assert (await raw.read())["result"]["protocol"] == PROTOCOL
        return raw


@dataclass
class Raw:
    """A client that says whatever the test wants."""

    framing: LineFraming
    writer: asyncio.StreamWriter

    def write(self, *messages: object) -> None:
        for message in messages:
            data = message if isinstance(message, bytes) else orjson.dumps(message)
            self.writer.write(data + b"\n")

    async def read(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            line = await self.framing.receive()
        assert line is not None
        return orjson.loads(line)


class NobodyElse:
    """A gate of a home where nobody but its owner is."""

    async def look(self, pid: int) -> Caller:
        return Caller(pid)

    async def check(self, who: Caller, method: str, params: Mapping[str, Any]) -> None:
        assert who.told


OWNERS_ONLY = NobodyElse()


@asynccontextmanager
async def door(
    folder: Path, clock: Clock | None = None, *, gate: Gate = OWNERS_ONLY
) -> AsyncIterator[Door]:
    failures: list[BaseException] = []
    async with scene(folder, clock or SystemClock()) as play, AsyncExitStack() as stack:
        # Unix sockets allow some 100 bytes of path; pytest's folders can be longer.
        short = stack.enter_context(tempfile.TemporaryDirectory(prefix="ns"))
        verbs: dict[str, Verb] = {"echo": _echo}

        async def dispatch(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
            return await opened.dispatch(method, params)

        server = ControlServer(
            Path(short) / "netsky.sock",
            gate=gate,
            dispatch=dispatch,
            feed=play.feed,
            identity=lambda: {"version": "9.9", "pid": 1, "epoch": 7},
            report=lambda _name, error: failures.append(error),
        )
        await server.start(stack)
        opened = Door(Path(short) / "netsky.sock", play, server, verbs, failures, stack)
        yield opened


async def _echo(params: Mapping[str, Any]) -> dict[str, Any]:
    return dict(params)


def _data(n: int, size: int) -> str:
    return orjson.dumps({"n": n, "pad": "x" * size}).decode()
