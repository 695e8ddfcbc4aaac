"""The engine's socket over a wire that breaks anywhere: every request ends, and says how."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, unix_serve
from websockets.exceptions import ConnectionClosed

from netsky_runtime.codex.app_server.connection import Connection, connect
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, WireError
from tests.support.broken_wire import Break, Fault, wire
from tests.support.patience import PATIENCE

GREETING = 700
"""About as many bytes as both handshakes take in either direction, and more."""


class Engine:
    """Answers every request with its own parameters, and counts those that it got."""

    def __init__(self) -> None:
        self.path = Path()
        self.asked: list[str] = []

    async def serve(self, connection: ServerConnection) -> None:
        try:
            async for text in connection:
                self._take(json.loads(text), answers := [])
                for answer in answers:
                    await connection.send(json.dumps(answer))
        except (ConnectionClosed, ValueError):
            return

    def _take(self, told: dict[str, Any], answers: list[dict[str, Any]]) -> None:
        if "id" not in told:
            return
        self.asked.append(told["method"])
        answers.append(
            {"id": told["id"], "result": {"userAgent": "netsky/0.163.0", **told["params"]}}
        )
        answers.append({"method": "warning", "params": {"message": "so"}})


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    with tempfile.TemporaryDirectory(prefix="ns") as folder:
        made.path = Path(folder) / "engine.sock"
        async with unix_serve(made.serve, str(made.path)):
            yield made


async def talk(path: Path, *, deadline: float = 5.0) -> list[Any]:
    """Shake hands and ask three things at once; return what came of each."""
    closed: list[str] = []
    connection: Connection = await connect(
        path,
        deadline=deadline,
        on_request=lambda *_: None,
        on_notification=lambda *_: None,
        on_closed=closed.append,
    )
    try:
        asking = [connection.request("turn/start", {"n": n}, deadline=deadline) for n in range(3)]
        return await asyncio.gather(*asking, return_exceptions=True)
    finally:
        await connection.close()
        assert len(closed) == 1


@pytest.mark.parametrize("to_server", [True, False])
@pytest.mark.parametrize("fault", [Fault.CUT, Fault.GARBAGE])
async def test_every_waiter_wakes_wherever_the_wire_breaks(
    engine: Engine, fault: Fault, to_server: bool
) -> None:
    for after in range(0, GREETING, 23):
        engine.asked.clear()
        path = engine.path.with_name(f"w{after}")
        broken = Break(fault, after, to_server)
        async with asyncio.timeout(PATIENCE), wire(path, server=engine.path, broken=broken):
            try:
                answers = await talk(path, deadline=0.3)
            except WireError:
                assert "turn/start" not in engine.asked  # the handshake came to nothing
                continue
        for n, answer in enumerate(answers):
            if isinstance(answer, dict):
                assert answer["n"] == n
            else:
                assert isinstance(answer, (PeerClosed, RequestTimedOut)), answer
                # What was certainly not sent may be sent again: the engine must not have it.
                assert answer.sent or engine.asked.count("turn/start") <= n
        assert engine.asked.count("turn/start") <= len(answers)


@pytest.mark.parametrize("to_server", [True, False])
async def test_an_engine_that_falls_silent_meets_the_deadlines(
    engine: Engine, to_server: bool
) -> None:
    for after in (0, 100, 300, 500):
        path = engine.path.with_name(f"s{after}")
        broken = Break(Fault.SILENCE, after, to_server)
        async with asyncio.timeout(PATIENCE), wire(path, server=engine.path, broken=broken):
            try:
                answers = await talk(path, deadline=0.1)
            except WireError:
                continue
        assert all(isinstance(each, (dict, RequestTimedOut)) for each in answers)


@pytest.mark.parametrize("to_server", [True, False])
async def test_an_engine_that_is_heard_byte_by_byte_is_understood(
    engine: Engine, to_server: bool
) -> None:
    path = engine.path.with_name("slow")
    broken = Break(Fault.TRICKLE, 0, to_server)
    async with asyncio.timeout(PATIENCE), wire(path, server=engine.path, broken=broken):
        answers = await talk(path)
    assert [each["n"] for each in answers] == [0, 1, 2]
