from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.control.feed import PAGE_BYTES, PAGE_EVENTS
from netsky_runtime.control.vocabulary import Push
from netsky_runtime.errors import Conflict, UsageError
from tests.control.kit import Scene, numbers, scene, take
from tests.support.fakes import ManualClock, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.control.subscription import Subscription

FACTS = {"facts": True, "from_seq": 0}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def play(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Scene]:
    async with scene(tmp_path, clock) as made:
        yield made


async def facts(subscription: Subscription, count: int) -> list[int]:
    got: list[int] = []
    while len(got) < count:
        push = await take(subscription)
        if push.kind == "facts":
            got += numbers(push)
    return got


async def rest(subscription: Subscription) -> list[Push]:
    """Return what can still be heard now; the listener has ended then."""
    subscription.end("enough")
    got = []
    while (push := await take(subscription)).kind != "closing":
        got.append(push)
    return got


async def test_facts_come_from_the_place_asked_for_in_order_and_once(play: Scene) -> None:
    await play.store(3)
    listener = play.feed.open()
    assert await listener.call("subscribe", FACTS) == {"seq": 0}
    first = await take(listener)
    assert numbers(first) == [0, 1, 2]
    assert first.data["events"][1] == {
        "seq": 2,
        "thread_id": "t",
        "turn_id": "u",
        "item_id": "i1",
        "kind": "warning",
        "actor_id": "worker1",
        "at": 1,
        "data": {"n": 1, "pad": ""},
    }
    await play.store(2)
    assert await facts(listener, 2) == [3, 4]
    assert "facts" not in [push.kind for push in await rest(listener)]


async def test_who_asks_for_facts_that_are_pruned_is_told_so_and_gets_what_is_left(
    play: Scene,
) -> None:
    await play.store(5)

    async def prune(tx):
        await tx.execute_fetchall("DELETE FROM events WHERE seq <= 3 AND seq <> 2")
        await tx.execute_fetchall("INSERT INTO pruned VALUES ('events', 3, 2, 1)")

    await play.database.write(prune)
    listener = play.feed.open()
    assert await listener.call("subscribe", FACTS) == {"seq": 0, "pruned_to": 3}
    assert await facts(listener, 3) == [1, 3, 4]
    later = play.feed.open()
    assert await later.call("subscribe", {"facts": True, "from_seq": 3}) == {"seq": 3}
    assert await facts(later, 2) == [3, 4]


async def test_without_a_place_facts_come_from_now_on(play: Scene) -> None:
    await play.store(3)
    listener = play.feed.open()
    assert await listener.call("subscribe", {"facts": True}) == {"seq": 3}
    await play.store(1)
    assert await facts(listener, 1) == [3]


async def test_a_slow_listener_gets_every_fact_at_his_own_pace(play: Scene) -> None:
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    await play.store(1)
    assert await facts(listener, 1) == [0]
    await play.store(PAGE_EVENTS * 2)
    page = await take(listener)
    while page.kind != "facts":
        page = await take(listener)
    assert len(numbers(page)) == PAGE_EVENTS
    await play.store(PAGE_EVENTS * 2)
    rest = await facts(listener, PAGE_EVENTS * 3)
    assert [0, *numbers(page), *rest] == list(range(PAGE_EVENTS * 4 + 1))


async def test_a_page_of_large_facts_is_cut_by_size(play: Scene) -> None:
    await play.store(10, size=PAGE_BYTES // 3)
    await play.store(1, size=PAGE_BYTES * 2)
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    pages = [numbers(await take(listener)) for _ in range(6)]
    assert pages == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10]]


async def test_a_listener_with_a_window_gets_no_more_pages_than_he_has_taken(play: Scene) -> None:
    await play.store(PAGE_EVENTS * 5)
    listener = play.feed.open()
    await listener.call("subscribe", {**FACTS, "window": 2})
    assert await facts(listener, PAGE_EVENTS * 2) == list(range(PAGE_EVENTS * 2))
    listener.ack(1)
    assert numbers(await take(listener))[0] == PAGE_EVENTS * 2
    listener.ack(1)
    assert [push.kind for push in await rest(listener)] == ["facts"]


async def test_a_full_window_opens_again_while_the_listener_waits(play: Scene) -> None:
    await play.store(PAGE_EVENTS + 1)
    listener = play.feed.open()
    await listener.call("subscribe", {**FACTS, "window": 1})
    await take(listener)
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(take(listener))
        await settle()
        assert not hearing.done()
        listener.ack(1)
        assert numbers(await hearing) == [PAGE_EVENTS]


async def test_a_hundred_listeners_in_step_share_what_is_read(play: Scene) -> None:
    listeners = [play.feed.open() for _ in range(100)]
    for listener in listeners:
        await listener.call("subscribe", FACTS)
    reads = 0
    read = play.database.read

    async def counted(body):
        nonlocal reads
        reads += 1
        return await read(body)

    play.database.read = counted  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        hearing = [group.create_task(facts(one, PAGE_EVENTS + 100)) for one in listeners]
        await settle()
        await play.store(PAGE_EVENTS + 100)
    assert all(task.result() == list(range(PAGE_EVENTS + 100)) for task in hearing)
    assert reads < 20


async def test_facts_cannot_be_asked_for_twice(play: Scene) -> None:
    listener = play.feed.open()
    await listener.call("subscribe", {"facts": False})
    await listener.call("subscribe", FACTS)
    with pytest.raises(Conflict, match="takes facts already"):
        await listener.call("subscribe", FACTS)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("subscribe", {}),
        ("subscribe", {"facts": True, "from_seq": -1}),
        ("subscribe", {"facts": True, "window": 0}),
        ("watch", {}),
        ("watch", {"actor_id": 7}),
    ],
)
async def test_a_request_of_the_wrong_shape_is_refused(
    play: Scene, method: str, params: dict[str, object]
) -> None:
    with pytest.raises(UsageError, match=f"{method}: "):
        await play.feed.open().call(method, params)


async def test_the_live_text_of_the_watched_actor_comes_as_it_stands(play: Scene) -> None:
    play.say("Hel")
    listener = play.feed.open()
    await listener.call("watch", {"actor_id": "worker1"})
    first = await take(listener)
    assert first.kind == "live"
    assert first.data == {
        "actor_id": "worker1",
        "thread_id": "t",
        "turn_id": "u",
        "items": [{"item_id": "i", "stream": "agent_message", "text": "Hel"}],
        "lost": 0,
    }
    play.say("unheard", actor_id="worker2")
    assert await rest(listener) == []


async def test_live_text_comes_at_most_twenty_times_a_second(
    play: Scene, clock: ManualClock
) -> None:
    listener = play.feed.open()
    await listener.call("watch", {"actor_id": "worker1"})
    await take(listener)
    texts = []
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(take(listener))
        for n in range(100):  # one second, a word every ten milliseconds
            play.say(f"{n} ")
            await clock.advance(0.01)
            if hearing.done():
                texts.append(hearing.result().data)
                hearing = group.create_task(take(listener))
        hearing.cancel()
    assert 19 <= len(texts) <= 21
    assert all(text["lost"] == 0 for text in texts), "who listens in time loses nothing"


async def test_a_slow_listener_skips_live_states_and_is_told_how_many(
    play: Scene, clock: ManualClock
) -> None:
    listener = play.feed.open()
    await listener.call("watch", {"actor_id": "worker1"})
    await take(listener)
    for n in range(10):
        play.say(f"{n} ")
    await clock.advance(1)
    late = await take(listener)
    assert late.data["items"][0]["text"] == "0 1 2 3 4 5 6 7 8 9 "
    assert late.data["lost"] == 9
    await clock.advance(1)
    play.say("end")
    assert (await take(listener)).data["lost"] == 0


async def test_changes_are_told_at_once_and_then_ten_times_a_second_at_most(
    play: Scene, clock: ManualClock
) -> None:
    await play.store(1)
    listener = play.feed.open()
    await listener.call("subscribe", {"facts": False})
    await play.store(1)
    assert await take(listener) == Push("changed", {"revision": 2})
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(take(listener))
        for _ in range(5):
            await play.store(1)
        await clock.until_sleeping()
        await clock.advance(0.09)
        assert not hearing.done()
        await clock.advance(0.01)
        assert await hearing == Push("changed", {"revision": 7})
    assert await rest(listener) == []


async def test_facts_do_not_wait_for_what_is_not_due(play: Scene, clock: ManualClock) -> None:
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    await play.store(1)
    assert {(await take(listener)).kind, (await take(listener)).kind} == {"facts", "changed"}
    async with asyncio.TaskGroup() as group:
        await play.store(1)
        assert await facts(listener, 1) == [1]
        hearing = group.create_task(facts(listener, 1))
        await clock.until_sleeping()
        await play.store(1)
        assert await hearing == [2]


async def test_notices_are_bounded_and_the_loss_is_told(play: Scene) -> None:
    listener = play.feed.open()
    for n in range(1003):
        play.feed.notice("info", f"notice {n}")
    heard = [push.data for push in await rest(listener)]
    assert heard[0] == {"level": "warning", "text": "3 older notices were dropped."}
    assert heard[1] == {"level": "info", "text": "notice 3"}
    assert len(heard) == 1001


async def test_the_end_comes_last_after_every_fact_and_then_nothing(play: Scene) -> None:
    await play.store(PAGE_EVENTS + 1)
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    play.feed.closing("the daemon stops")
    play.feed.closing("not this")
    assert await facts(listener, PAGE_EVENTS + 1) == list(range(PAGE_EVENTS + 1))
    assert await take(listener) == Push("closing", {"reason": "the daemon stops", "stopped": False})
    assert await listener.next() is None
    late = play.feed.open()
    assert await take(late) == Push("closing", {"reason": "the daemon stops", "stopped": False})


async def test_a_listener_that_closes_stops_waiting(play: Scene) -> None:
    listener = play.feed.open()
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(listener.next())
        await settle()
        listener.close()
        assert await hearing is None


@pytest.mark.parametrize("rounds", range(6))
async def test_a_cancelled_listener_loses_nothing(play: Scene, rounds: int) -> None:
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    await play.store(5)
    play.feed.notice("info", "hello")
    heard = []
    hearing = asyncio.get_running_loop().create_task(listener.next())
    for _ in range(rounds):
        await asyncio.sleep(0)
    hearing.cancel()
    await asyncio.wait([hearing])
    if not hearing.cancelled():
        heard.append(hearing.result())
    heard += await rest(listener)
    assert [push.kind for push in heard] == ["notice", "facts", "changed"]
    assert numbers(heard[1]) == [0, 1, 2, 3, 4]


async def test_a_listener_cancelled_while_facts_are_read_gets_them_later(play: Scene) -> None:
    await play.store(5)
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    reading, read = asyncio.Event(), play.database.read

    async def hang(_body):
        reading.set()
        await asyncio.Event().wait()

    play.database.read = hang  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:
        hearing = group.create_task(listener.next())
        await reading.wait()
        hearing.cancel()
    play.database.read = read  # type: ignore[method-assign]
    assert numbers(await take(listener)) == [0, 1, 2, 3, 4]


async def test_a_listener_rests_while_nothing_is_due(
    play: Scene, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    listener = play.feed.open()
    await listener.call("subscribe", FACTS)
    await play.store(1)
    await take(listener)
    await take(listener)
    naps, sleep = [], clock.sleep

    async def counted(seconds: float) -> None:
        naps.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(clock, "sleep", counted)
    async with asyncio.TaskGroup() as group:
        await play.store(1)
        assert await facts(listener, 1) == [1]
        hearing = group.create_task(take(listener))
        await clock.until_sleeping()
        play.feed.notice("info", "wake up")
        await hearing
        hearing = group.create_task(take(listener))
        await settle(200)
        assert len(naps) == 2
        hearing.cancel()


async def test_the_fleet_is_told_whom_anybody_watches_and_only_when_it_changes(
    play: Scene,
) -> None:
    one, two = play.feed.open(), play.feed.open()
    await one.call("watch", {"actor_id": "worker1"})
    await two.call("watch", {"actor_id": "worker1"})
    await two.call("watch", {"actor_id": "worker2"})
    await one.call("watch", {"actor_id": None})
    two.close()
    assert play.watched == [{"worker1"}, {"worker1", "worker2"}, {"worker2"}, set()]
