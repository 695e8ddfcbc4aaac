"""The channel between a thread's reader and its one consumer."""

from __future__ import annotations

import asyncio

import pytest

from netsky_runtime.codex.channel import MAX_DELTA_CHARS, MAX_PENDING_DELTAS, ThreadChannel
from netsky_runtime.codex.events import CodexEvent, EventKind
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE


def channel(max_facts: int = 50_000) -> ThreadChannel:
    return ThreadChannel("thread-1", clock=ManualClock(), max_facts=max_facts)


def fact(number: int, kind: EventKind = EventKind.ITEM_COMPLETED) -> CodexEvent:
    return CodexEvent(kind, "thread-1", number, "turn-1", f"item-{number}", {"number": number})


def delta(text: str, item: str = "item-1", stream: str = "agent_message") -> CodexEvent:
    data = {"stream": stream, "text": text}
    return CodexEvent(EventKind.DELTA, "thread-1", 0, "turn-1", item, data)


async def drain(source: ThreadChannel) -> list[CodexEvent]:
    """Take everything until the channel has ended."""
    async with asyncio.timeout(PATIENCE):
        return [event async for event in source]


def numbers(events: list[CodexEvent]) -> list[int]:
    return [event.data["number"] for event in events if "number" in event.data]


async def test_facts_come_out_in_the_order_they_went_in() -> None:
    source = channel()
    for number in range(1_000):
        source.put(fact(number))
    source.end(None)

    assert numbers(await drain(source)) == list(range(1_000))


async def test_a_consumer_that_waits_is_woken_by_the_first_event() -> None:
    source = channel()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        taken = group.create_task(anext(source))
        await settle()
        source.put(fact(1))
    assert taken.result().data["number"] == 1


async def test_deltas_that_nobody_took_come_out_as_one_in_the_place_of_the_first() -> None:
    source = channel()
    source.put(fact(1))
    for text in ("al", "pha", " beta"):
        source.put(delta(text))
    source.put(fact(2))
    source.put(delta(" gamma"))
    source.end(None)

    events = await drain(source)

    assert [event.kind for event in events] == [
        EventKind.ITEM_COMPLETED,
        EventKind.DELTA,
        EventKind.ITEM_COMPLETED,
    ]
    assert events[1].data == {"stream": "agent_message", "text": "alpha beta gamma"}
    assert (events[1].turn_id, events[1].item_id) == ("turn-1", "item-1")


async def test_deltas_of_other_items_and_streams_are_not_mixed() -> None:
    source = channel()
    source.put(delta("a1", "a"))
    source.put(delta("b1", "b"))
    source.put(delta("a2", "a"))
    source.put(delta("out", "a", "command_output"))
    source.end(None)

    assert [(e.item_id, e.data["text"]) for e in await drain(source)] == [
        ("a", "a1a2"),
        ("b", "b1"),
        ("a", "out"),
    ]


async def test_a_delta_after_its_folded_one_was_taken_is_a_new_one() -> None:
    source = channel()
    source.put(delta("one"))
    first = await anext(source)
    source.put(delta("two"))

    assert (first.data["text"], (await anext(source)).data["text"]) == ("one", "two")


async def test_folded_text_keeps_its_tail_within_the_bound() -> None:
    source = channel()
    for number in range(40_000):
        source.put(delta(f"{number:09d} "))
    source.end(None)

    [event] = await drain(source)

    text = event.data["text"]
    assert len(text) == MAX_DELTA_CHARS
    assert text.endswith("000039998 000039999 ")


async def test_one_delta_longer_than_the_bound_is_cut_too() -> None:
    source = channel()
    source.put(delta("x" * MAX_DELTA_CHARS + "end"))
    source.end(None)

    [event] = await drain(source)

    assert len(event.data["text"]) == MAX_DELTA_CHARS
    assert event.data["text"].endswith("xend")


async def test_deltas_of_too_many_items_are_dropped_and_facts_are_not() -> None:
    source = channel()
    for number in range(MAX_PENDING_DELTAS + 50):
        source.put(delta("text", f"item-{number}"))
        source.put(fact(number))
    source.end(None)

    events = await drain(source)

    assert sum(event.kind is EventKind.DELTA for event in events) == MAX_PENDING_DELTAS
    assert numbers(events) == list(range(MAX_PENDING_DELTAS + 50))


async def test_one_fact_too_many_leaves_one_resync_and_what_came_after() -> None:
    source = channel(max_facts=10)
    for number in range(10):
        source.put(fact(number))
    source.put(delta("lost with them"))
    for number in range(10, 13):
        source.put(fact(number))
    source.end(None)

    events = await drain(source)

    assert events[0].kind is EventKind.RESYNC
    assert events[0].thread_id == "thread-1"
    assert numbers(events[1:]) == [10, 11, 12]
    assert len(events) == 4


async def test_exactly_as_many_facts_as_allowed_cause_no_resync() -> None:
    source = channel(max_facts=10)
    for number in range(10):
        source.put(fact(number))
    source.end(None)

    assert numbers(await drain(source)) == list(range(10))


async def test_a_consumer_that_never_reads_finds_one_resync_however_much_was_put() -> None:
    source = channel(max_facts=100)
    for number in range(100_000):
        source.put(fact(number))
    source.end(None)

    events = await drain(source)

    assert [event.kind for event in events].count(EventKind.RESYNC) == 1
    assert events[0].kind is EventKind.RESYNC
    left = numbers(events)
    assert left == list(range(100_000 - len(left), 100_000))
    assert len(events) <= 100


@pytest.mark.parametrize(
    "kind",
    [EventKind.APPROVAL_REQUESTED, EventKind.APPROVAL_RESOLVED, EventKind.TOOL_REQUESTED],
)
async def test_requests_that_no_history_tells_survive_an_overflow(kind: EventKind) -> None:
    source = channel(max_facts=10)
    source.put(fact(0))
    source.put(fact(1, kind))
    for number in range(2, 40):
        source.put(fact(number))
    source.end(None)

    events = await drain(source)

    assert [event.kind for event in events[:2]] == [EventKind.RESYNC, kind]
    assert [event.data["number"] for event in events if event.kind is kind] == [1]


async def test_nothing_but_requests_is_bounded_as_well() -> None:
    source = channel(max_facts=10)
    for number in range(1_000):
        source.put(fact(number, EventKind.TOOL_REQUESTED))
    source.end(None)

    events = await drain(source)

    assert events[0].kind is EventKind.RESYNC
    assert len(events) <= 10
    assert numbers(events)[-1] == 999


async def test_overflow_ends_with_the_consumer_that_keeps_up() -> None:
    source = channel(max_facts=10)
    taken = []
    for number in range(1_000):
        source.put(fact(number))
        taken.append(await anext(source))

    assert numbers(taken) == list(range(1_000))


async def test_a_hundred_thousand_facts_come_through_whole() -> None:
    source = channel(max_facts=100_000)
    for number in range(100_000):
        source.put(fact(number))
        source.put(delta("."))
    source.end(None)

    events = await drain(source)

    assert numbers(events) == list(range(100_000))
    assert sum(event.kind is EventKind.DELTA for event in events) == 1


async def test_a_full_channel_does_not_keep_the_loop_from_others() -> None:
    source = channel()
    for number in range(5_000):
        source.put(fact(number))
    source.end(None)
    others = 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(other())
        await drain(source)
        task.cancel()

    assert others > 10


async def test_the_end_with_a_reason_comes_after_all_that_waits() -> None:
    source = channel()
    source.put(fact(1))
    source.end("the process died")
    source.put(fact(2))
    source.end("again")

    events = await drain(source)

    assert [event.kind for event in events] == [EventKind.ITEM_COMPLETED, EventKind.SESSION_LOST]
    assert events[-1].data == {"reason": "the process died"}
    assert source.ended
    assert await drain(source) == []


async def test_the_end_without_a_reason_tells_no_loss() -> None:
    source = channel()
    source.put(fact(1))
    source.end(None)
    source.end("too late")

    assert [event.kind for event in await drain(source)] == [EventKind.ITEM_COMPLETED]


@pytest.mark.parametrize("reason", [None, "gone"])
async def test_the_end_wakes_a_consumer_that_waits(reason: str | None) -> None:
    source = channel()
    async with asyncio.TaskGroup() as group:
        drained = group.create_task(drain(source))
        await settle()
        source.end(reason)

    assert len(drained.result()) == (reason is not None)


async def test_the_loss_is_told_even_when_the_channel_is_full() -> None:
    source = channel(max_facts=3)
    for number in range(3):
        source.put(fact(number))
    source.end("gone")

    events = await drain(source)

    assert numbers(events) == [0, 1, 2]
    assert events[-1].kind is EventKind.SESSION_LOST


async def test_a_cancelled_consumer_loses_nothing() -> None:
    source = channel()
    for _ in range(3):
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(anext(source))
            await settle()
            waiting.cancel()
    for number in range(500):
        source.put(fact(number))
    taken: list[CodexEvent] = []

    async def consume() -> None:
        while True:
            taken.append(await anext(source))

    # Cancelled at every breath it takes between two events, and replaced by the next consumer.
    while len(taken) < 500:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(consume())
            await asyncio.sleep(0)
            task.cancel()

    assert numbers(taken) == list(range(500))


async def test_a_cancellation_that_meets_an_event_leaves_it_for_the_next() -> None:
    source = channel()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(anext(source))
        await settle()
        source.put(fact(1))
        waiting.cancel()

    async with asyncio.timeout(PATIENCE):
        assert (await anext(source)).data["number"] == 1


async def test_two_consumers_at_once_are_refused() -> None:
    source = channel()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(anext(source))
        await settle()
        with pytest.raises(RuntimeError, match="Two consumers"):
            await anext(source)
        source.put(fact(1))

    assert first.result().data["number"] == 1
