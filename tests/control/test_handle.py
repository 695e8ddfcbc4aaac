"""What holds for a daemon in this process and in another: one suite over both handles."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.control import vocabulary
from netsky_runtime.control.client import WINDOW, RemoteHandle
from netsky_runtime.control.feed import PAGE_EVENTS
from netsky_runtime.control.vocabulary import PushKind
from netsky_runtime.errors import (
    Conflict,
    DeadlineExceeded,
    NetskyError,
    NoDaemon,
    Unhealthy,
    UsageError,
)
from tests.control.kit import Door, door, facts_until, numbers, until
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from netsky_runtime.control.handle import Handle, Push


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Door]:
    async with door(tmp_path) as made:
        yield made


@pytest.fixture(params=["local", "remote"])
async def handle(opened: Door, request: pytest.FixtureRequest) -> Handle:
    return opened.local() if request.param == "local" else await opened.connect()


async def hear(pushes: AsyncIterator[Push], kind: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            push = await anext(pushes)
            if push.kind == kind:
                return push.data


async def test_a_call_returns_the_answer_or_raises_the_error(opened: Door, handle: Handle) -> None:
    async def refuse(_params: Mapping[str, Any]) -> dict[str, Any]:
        raise Conflict("No.", hint="Wait.")

    opened.verbs["refuse"] = refuse
    assert await handle.call("echo", {"n": [1, None, "ü"]}) == {"n": [1, None, "ü"]}
    assert await handle.call("echo") == {}
    with pytest.raises(Conflict) as caught:
        await handle.call("refuse", {})
    assert (caught.value.message, caught.value.hint) == ("No.", "Wait.")
    with pytest.raises(UsageError, match=r"subscribe: facts: "):
        await handle.call("subscribe", {"facts": "perhaps"})


async def test_a_call_that_takes_too_long_meets_the_deadline(opened: Door, handle: Handle) -> None:
    async def slow(_params: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    opened.verbs["slow"] = slow
    with pytest.raises(DeadlineExceeded, match=r"slow was not answered within 0.01 seconds"):
        await handle.call("slow", deadline=0.01)


async def test_a_move_may_take_longer_than_other_requests(
    opened: Door, handle: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(_params: Mapping[str, Any]) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    opened.verbs |= {"echo": slow, "actors.move": slow}
    assert vocabulary.MOVE_SECONDS > vocabulary.ANSWER_SECONDS
    monkeypatch.setattr(vocabulary, "ANSWER_SECONDS", 0.01)
    monkeypatch.setattr(vocabulary, "MOVE_SECONDS", 0.02)
    with pytest.raises(DeadlineExceeded, match=r"echo was not answered within 0.01 seconds"):
        await handle.call("echo")
    with pytest.raises(DeadlineExceeded, match=r"actors.move was not answered within 0.02 seconds"):
        await handle.call("actors.move")


async def test_a_verbs_own_timeout_is_not_taken_for_the_deadline(opened: Door) -> None:
    async def gives_up(_params: Mapping[str, Any]) -> dict[str, Any]:
        raise TimeoutError

    opened.verbs["gives_up"] = gives_up
    with pytest.raises(TimeoutError) as caught:
        await opened.local().call("gives_up", deadline=30)
    assert not isinstance(caught.value, DeadlineExceeded)


async def test_pushes_begin_by_themselves_with_changes_notices_and_the_end(
    opened: Door, handle: Handle
) -> None:
    pushes = handle.pushes()
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(hear(pushes, "changed"))
        while not hearing.done():
            await opened.scene.store(1)
            await asyncio.sleep(0)
    opened.scene.feed.notice("warning", "disk is filling")
    assert await hear(pushes, "notice") == {"level": "warning", "text": "disk is filling"}
    opened.scene.feed.closing("the daemon stops")
    assert await hear(pushes, "closing") == {"reason": "the daemon stops", "stopped": False}
    with pytest.raises(StopAsyncIteration):
        await anext(pushes)


async def test_facts_come_whole_however_many(opened: Door, handle: Handle) -> None:
    count = PAGE_EVENTS * (WINDOW + 3) + 7
    await opened.scene.store(count)
    assert await handle.call("subscribe", {"facts": True, "from_seq": 0}) == {"seq": 0}
    assert await facts_until(handle.pushes(), count) == list(range(count))


async def test_the_watched_actors_text_comes_and_others_do_not(
    opened: Door, handle: Handle
) -> None:
    await handle.call("watch", {"actor_id": "worker1"})
    pushes = handle.pushes()
    assert (await hear(pushes, "live"))["items"] == []
    opened.scene.say("other", actor_id="worker2")
    opened.scene.say("hello")
    live = await hear(pushes, "live")
    assert (live["actor_id"], live["items"][0]["text"]) == ("worker1", "hello")


async def test_closing_a_handle_ends_its_pushes_and_leaves_the_daemon(
    opened: Door, handle: Handle
) -> None:
    pushes = handle.pushes()
    await handle.call("subscribe", {"facts": False})
    async with asyncio.TaskGroup() as group:
        ended = group.create_task(_all(pushes))
        await asyncio.sleep(0)
        await handle.close()
        assert [push.kind for push in await ended] in ([], ["closing"])
    await handle.close()
    assert await opened.local().call("echo") == {}


async def test_only_the_daemon_in_this_process_is_hosted(opened: Door) -> None:
    assert opened.local().hosting
    remote = await opened.connect()
    assert not remote.hosting
    assert remote.daemon["epoch"] == 7


@pytest.mark.parametrize("stale", [False, True])
async def test_without_a_daemon_there_is_one_clear_sentence(opened: Door, stale: bool) -> None:
    await opened.server.close()
    if stale:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(opened.path))
    with pytest.raises(NoDaemon, match=r"No daemon runs .* Start one with `netsky`"):
        await RemoteHandle.connect(opened.path, client="t")


async def test_a_daemon_of_another_version_is_told_in_the_error(
    opened: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netsky_runtime.control.client.PROTOCOL", 2)
    with pytest.raises(Conflict, match=r"protocol 1, this client speaks 2.*kill -HUP"):
        await RemoteHandle.connect(opened.path, client="t")


async def test_a_daemon_that_vanishes_is_never_taken_for_one_that_was_not_asked(
    opened: Door,
) -> None:
    begun = asyncio.Event()

    async def never(_params: Mapping[str, Any]) -> dict[str, Any]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    opened.verbs["send"] = never
    handle = await opened.connect()
    async with asyncio.TaskGroup() as group:
        sending = group.create_task(_failure(handle.call("send")))
        await begun.wait()
        await opened.server.close()
        error = await sending
    assert isinstance(error, Unhealthy)
    assert error.message == "The daemon went away before it answered send; it may have done it."
    with pytest.raises(NoDaemon, match="has gone away"):
        await handle.call("send")
    assert [push.kind for push in await _all(handle.pushes())] == ["closing"]


async def test_a_room_that_does_not_look_is_bounded_and_misses_no_fact(opened: Door) -> None:
    room = await opened.connect()
    await room.call("subscribe", {"facts": True, "from_seq": 0})
    await room.call("watch", {"actor_id": "worker1"})
    await opened.scene.store(PAGE_EVENTS * (WINDOW + 4))
    unheard = room._pushes
    for text in ("one", "two", "three"):
        opened.scene.say(f" {text}")
        await until(lambda text=text: _last_word(unheard._latest) == text)
    await until(lambda: len(unheard._facts) == WINDOW)
    pushes = room.pushes()
    got: list[int] = []
    live: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        while len(got) < PAGE_EVENTS * (WINDOW + 4):
            push = await anext(pushes)
            if push.kind == "facts":
                got += numbers(push)
            elif push.kind == "live":
                live.append(push.data)
    assert got == list(range(PAGE_EVENTS * (WINDOW + 4)))
    assert [state["items"][0]["text"] for state in live] == [" one two three"]
    assert live[0]["lost"] >= 2


def _last_word(latest: dict[Any, Push]) -> str:
    live = latest.get(PushKind.LIVE)
    texts = [item["text"] for item in live.data["items"]] if live else []
    return texts[0].split()[-1] if texts else ""


async def _all(pushes: AsyncIterator[Push]) -> list[Push]:
    async with asyncio.timeout(PATIENCE):
        return [push async for push in pushes]


async def _failure(work: Any) -> NetskyError | None:
    try:
        await work
    except NetskyError as error:
        return error
    return None
