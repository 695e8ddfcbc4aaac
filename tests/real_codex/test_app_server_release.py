"""Letting go of a thread on the real engine, so that another Codex can write to it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.app_server.connection import Connection, connect
from netsky_runtime.codex.base import Batch, ThreadUnavailable, TurnRunning
from netsky_runtime.codex.events import EventKind
from tests.real_codex.conftest import PATIENCE, Bench, Told

if TYPE_CHECKING:
    from netsky_runtime.codex.app_server.session import AppServerSession
    from netsky_runtime.codex.base import ThreadSession


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


async def two_turns(bench: Bench) -> tuple[AppServerSession, Told]:
    session = await (await bench.opened()).start(bench.spec())
    told = Told(session)
    for number, word in enumerate(("one", "two")):
        await session.submit(batch(f"SAY[{word}]", number))
        await told.turn_end()
    return session, told


async def elsewhere(bench: Bench, thread_id: str, text: str) -> None:
    """Have a turn in this thread through a Codex that knows nothing of the engine."""
    child = await asyncio.create_subprocess_exec(
        *(str(bench.codex), "exec", "--skip-git-repo-check", "resume", thread_id, text),
        cwd=bench.project,
        env=bench.environ,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE):
        _, said = await child.communicate()
    assert child.returncode == 0, said.decode()


async def client(bench: Bench) -> Connection:
    """Return another client of the engine, as Codex's own screen is one."""
    connection = await connect(
        bench.home.engine_socket,
        deadline=PATIENCE,
        on_request=lambda *_: None,
        on_notification=lambda *_: None,
    )
    bench.stack.push_async_callback(connection.close)
    return connection


async def loaded(bench: Bench) -> list[str]:
    answer = await (await client(bench)).request("thread/loaded/list", {}, deadline=PATIENCE)
    names: list[str] = answer["data"]
    return names


async def said(session: ThreadSession) -> list[str]:
    return [turn.items[-1].text for turn in await session.history()]


def words_in(request: dict[str, Any]) -> list[str]:
    """Return which of the tests' words a model request carries."""
    text = json.dumps(request["input"])
    return [word for word in ("one", "two", "three", "four", "five") if f"SAY[{word}]" in text]


async def test_what_another_codex_added_after_a_release_is_known_when_the_thread_comes_back(
    bench: Bench,
) -> None:
    session, _ = await two_turns(bench)
    await session.release()
    await elsewhere(bench, session.thread_id, "SAY[three]")
    await elsewhere(bench, session.thread_id, "SAY[four]")

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    assert await said(again) == ["one", "two", "three", "four"]
    told = Told(again)
    await again.submit(batch("SAY[five]", 5))
    await told.turn_end()

    assert words_in(bench.model.requests[-1]) == ["one", "two", "three", "four", "five"]
    assert await said(again) == ["one", "two", "three", "four", "five"]


async def test_a_released_thread_is_in_the_engine_no_more_though_others_followed_it(
    bench: Bench,
) -> None:
    session, told = await two_turns(bench)
    await session.watch(True)
    other = await client(bench)
    await other.request("thread/resume", {"threadId": session.thread_id}, deadline=PATIENCE)

    await session.release()

    assert session.thread_id not in await loaded(bench)
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[three]", 3))
    rest = [event async for event in told.session.events()]
    # Codex says it twice; the second time may come after the session has ended.
    assert {(event.kind, event.data["status"]) for event in rest} == {
        (EventKind.THREAD_STATUS, "not_loaded")
    }


async def test_a_thread_is_not_released_from_under_a_turn(bench: Bench) -> None:
    session, told = await two_turns(bench)
    await session.submit(batch("HANG SAY[three]", 3))
    await asyncio.to_thread(bench.model.wait_hanging)

    with pytest.raises(TurnRunning):
        await session.release()

    bench.model.release()
    assert (await told.turn_end()).data["status"] == "completed"
    await session.release()


async def test_a_thread_is_not_released_from_under_a_turn_that_was_not_heard_of(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = await two_turns(bench)
    monkeypatch.setattr("netsky_runtime.codex.app_server.hub.notification", lambda *_: None)
    other = await client(bench)
    await other.request("thread/resume", {"threadId": session.thread_id}, deadline=PATIENCE)
    params = {"threadId": session.thread_id, "input": [{"type": "text", "text": "HANG"}]}
    await other.request("turn/start", params, deadline=PATIENCE)
    await asyncio.to_thread(bench.model.wait_hanging)

    assert not session.active_turn
    with pytest.raises(TurnRunning):
        await session.release()

    bench.model.release()


async def test_a_thread_without_a_turn_is_released_though_nobody_can_continue_it(
    bench: Bench,
) -> None:
    session = await (await bench.opened()).start(bench.spec())

    await session.release()

    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[one]"))


async def test_a_thread_that_was_left_in_the_archive_is_found_there(bench: Bench) -> None:
    session, _ = await two_turns(bench)
    # As a netsky leaves it that is killed while it releases the thread.
    params = {"threadId": session.thread_id}
    await (await client(bench)).request("thread/archive", params, deadline=PATIENCE)

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    told = Told(again)
    await again.submit(batch("SAY[three]", 3))
    await told.turn_end()

    assert await said(again) == ["one", "two", "three"]


async def test_an_engine_that_is_gone_does_not_say_that_it_is_done_with_a_thread(
    bench: Bench,
) -> None:
    session, told = await two_turns(bench)
    bench.engine().kill()
    await told.next(EventKind.SESSION_LOST)

    with pytest.raises(ThreadUnavailable):
        await session.release()
