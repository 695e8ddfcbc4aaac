"""The control socket over a wire that breaks anywhere: nothing is done twice, nobody hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from netsky_runtime.control.client import RemoteHandle
from netsky_runtime.errors import DeadlineExceeded, NetskyError, NoDaemon, Unhealthy
from tests.control.kit import Door, door
from tests.support.broken_wire import Break, Fault, wire
from tests.support.patience import PATIENCE

WORDS = {"body": "é" * 20}
SOME = range(0, 400, 11)
"""Bytes after which the wire breaks: within the greeting, between lines, in a character."""


class Counted:
    """A verb that counts how often it runs."""

    def __init__(self) -> None:
        self.runs = 0

    async def __call__(self, params: Any) -> dict[str, Any]:
        self.runs += 1
        return dict(params)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        yield made


async def ask(path: Path, *, deadline: float = 5.0) -> dict[str, Any]:
    handle = await RemoteHandle.connect(path, client="test", deadline=deadline)
    try:
        return await handle.call("send", WORDS, deadline=deadline)
    finally:
        await handle.close()


async def served(opened: Door) -> None:
    """The daemon serves everybody else as before, and no bug was met."""
    handle = await opened.connect()
    assert await handle.call("echo", {"n": 1}) == {"n": 1}
    await handle.close()
    assert opened.failures == []


@pytest.mark.parametrize("to_server", [True, False])
async def test_a_wire_that_is_cut_anywhere_does_a_thing_once_or_not_at_all(
    opened: Door, to_server: bool
) -> None:
    for after in SOME:
        verb = opened.verbs["send"] = Counted()
        path = opened.path.with_name(f"cut{after}")
        broken = Break(Fault.CUT, after, to_server)
        async with asyncio.timeout(PATIENCE), wire(path, server=opened.path, broken=broken):
            try:
                answer = await ask(path)
            except NoDaemon:
                assert verb.runs == 0  # else whoever asks would store it himself as well
            except Unhealthy:
                assert verb.runs <= 1
            else:
                assert (answer, verb.runs) == (WORDS, 1)
    await served(opened)


@pytest.mark.parametrize("to_server", [True, False])
async def test_a_wire_that_falls_silent_meets_the_deadline(opened: Door, to_server: bool) -> None:
    for after in (0, 30, 75, 130):
        verb = opened.verbs["send"] = Counted()
        path = opened.path.with_name(f"silent{after}")
        broken = Break(Fault.SILENCE, after, to_server)
        async with asyncio.timeout(PATIENCE), wire(path, server=opened.path, broken=broken):
            try:
                assert await ask(path, deadline=0.05) == WORDS
            except DeadlineExceeded:
                assert verb.runs <= 1
    await served(opened)


@pytest.mark.parametrize("to_server", [True, False])
async def test_garbage_in_between_ends_in_an_answer_or_an_error(
    opened: Door, to_server: bool
) -> None:
    for after in SOME:
        verb = opened.verbs["send"] = Counted()
        path = opened.path.with_name(f"noise{after}")
        broken = Break(Fault.GARBAGE, after, to_server)
        async with asyncio.timeout(PATIENCE), wire(path, server=opened.path, broken=broken):
            with suppress(NetskyError):
                assert await ask(path, deadline=0.1) == WORDS
        assert verb.runs <= 1
    await served(opened)


@pytest.mark.parametrize("to_server", [True, False])
async def test_byte_by_byte_everything_comes_through(opened: Door, to_server: bool) -> None:
    verb = opened.verbs["send"] = Counted()
    path = opened.path.with_name("slow")
    broken = Break(Fault.TRICKLE, 0, to_server)
    async with asyncio.timeout(PATIENCE), wire(path, server=opened.path, broken=broken):
        assert await ask(path) == WORDS
    assert verb.runs == 1
    await served(opened)
