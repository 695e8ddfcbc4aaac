"""Coming back to a thread of the real engine: what netsky missed, and threads at their start."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.app_server.connection import connect
from netsky_runtime.codex.base import Batch, Decision, ThreadGone, ThreadUnavailable
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import DecisionWord
from tests.real_codex.conftest import PATIENCE, Bench, Told

if TYPE_CHECKING:
    from netsky_runtime.codex.app_server import AppServerRuntime
    from netsky_runtime.codex.base import ThreadSession


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


async def turns(session: ThreadSession, *words: str) -> Told:
    told = Told(session)
    for number, word in enumerate(words):
        await session.submit(batch(f"SAY[{word}]", number))
        await told.turn_end()
    return told


async def end_unheard(bench: Bench, thread_id: str) -> None:
    """Let the running turn end while no netsky is attached."""
    over = asyncio.Event()

    def hear(method: str, params: dict[str, Any]) -> None:
        if method == "turn/completed" and params["threadId"] == thread_id:
            over.set()

    other = await connect(
        bench.home.engine_socket,
        deadline=PATIENCE,
        on_request=lambda *_: None,
        on_notification=hear,
    )
    try:
        await other.request("thread/resume", {"threadId": thread_id}, deadline=PATIENCE)
        bench.model.release()
        async with asyncio.timeout(PATIENCE):
            await over.wait()
    finally:
        await other.close()


async def test_what_a_turn_used_while_netsky_was_away_is_told(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = await turns(session, "one")
    await session.submit(batch("HANG SAY[two]", 2))
    turn_id = (await told.next(EventKind.TURN_STARTED)).turn_id
    await asyncio.to_thread(bench.model.wait_hanging)
    await first.close(keep_engine=True)
    await end_unheard(bench, session.thread_id)

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    used = await Told(again).next(EventKind.USAGE)

    assert used.turn_id == turn_id
    assert used.data["total_tokens"] == 240
    assert [turn.items[-1].text for turn in await again.history()] == ["one", "two"]


async def test_coming_back_to_a_thread_asks_for_nothing_deprecated(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    await turns(session, "one", "two", "three")
    await first.close(keep_engine=True)

    second = await bench.opened()
    again = await second.resume(session.thread_id, bench.spec())

    assert len(await again.history()) == 3
    notices = (await second.info()).notices
    assert [notice for notice in notices if "deprecat" in notice.lower()] == []


async def test_a_patch_of_a_long_thread_is_shown_with_its_repeated_question(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = await turns(session, *(f"turn {number}" for number in range(5)))
    await session.submit(batch("RUN[true] PATCH SAY[done]", 9))
    asked = await told.next(EventKind.APPROVAL_REQUESTED)
    await first.close(keep_engine=True)

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    assert again.active_turn == asked.turn_id
    told = Told(again)
    repeated = await told.next(EventKind.APPROVAL_REQUESTED)
    assert repeated.data["patch"] == asked.data["patch"]
    await again.decide(repeated.data["request_id"], Decision(word=DecisionWord.DECLINE))
    await told.turn_end()

    assert len(await again.history()) == 6


async def test_a_thread_at_its_first_turn_is_not_said_to_be_gone(bench: Bench) -> None:
    first, second = await bench.opened(), await bench.opened()
    for _ in range(10):
        session = await first.start(bench.spec())
        with pytest.raises(ThreadGone, match="had no turn"):
            await second.resume(session.thread_id, bench.spec())

        await session.submit(batch("SAY[one]"))
        again = await resumed(bench, second, session.thread_id)

        assert again.thread_id == session.thread_id


async def resumed(bench: Bench, runtime: AppServerRuntime, thread_id: str) -> ThreadSession:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await runtime.resume(thread_id, bench.spec())
            except ThreadUnavailable:  # its rollout is only being made
                continue
