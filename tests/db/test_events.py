"""Facts: in order, once, each in its place for good."""

from __future__ import annotations

from netsky_runtime.db import events


def fact(item_id: str, data: str = "{}", *, actor_id: str = "worker1", turn_id: str = "t", at=1):
    return ("th", turn_id, item_id, "item.completed", actor_id, at, data)


async def store(making, *facts) -> None:
    await making.write(lambda tx: events.upsert_many(tx, facts))


async def test_facts_are_numbered_as_they_come(making):
    await store(making, fact("b"), fact("a"))
    await store(making, fact("c"))
    found = await making.read(lambda tx: events.after(tx, 0, limit=10))
    assert [(each.seq, each.item_id) for each in found] == [(1, "b"), (2, "a"), (3, "c")]
    assert await making.read(events.last_seq) == 3


async def test_a_fact_told_again_keeps_its_place_and_says_the_newer_words(making):
    await store(making, fact("a", '{"n":1}'), fact("b"))
    await store(making, fact("c"), fact("a", '{"n":2}', at=9))
    found = await making.read(lambda tx: events.after(tx, 0, limit=10))
    assert [(each.seq, each.item_id) for each in found] == [(1, "a"), (2, "b"), (3, "c")]
    assert (found[0].data, found[0].at) == ({"n": 2}, 9)


async def test_a_fact_that_says_the_same_again_is_no_change(making):
    await store(making, fact("a"))
    revision = making.database.revision
    await store(making, fact("a"))
    await store(making)
    assert making.database.revision == revision


async def test_pages_forward_and_back_join_without_gap_or_repetition(making):
    for number in range(10):
        await store(making, fact(str(number), actor_id="worker1" if number % 2 else "manager0"))
    seen, seq = [], 0
    while page := await making.read(lambda tx, seq=seq: events.after(tx, seq, limit=3)):
        seen += [each.item_id for each in page]
        seq = page[-1].seq
    assert seen == [str(n) for n in range(10)]
    own = await making.read(lambda tx: events.after(tx, 4, limit=2, actor_id="worker1"))
    assert [each.item_id for each in own] == ["5", "7"]
    last = await making.read(lambda tx: events.recent(tx, "worker1", limit=2))
    assert [each.item_id for each in last] == ["7", "9"]
    before = await making.read(
        lambda tx: events.recent(tx, "worker1", limit=2, before_seq=last[0].seq)
    )
    assert [each.item_id for each in before] == ["3", "5"]


async def test_an_actors_last_fact_is_its_newest(making):
    assert await making.read(lambda tx: events.last_of(tx, "worker1")) is None
    assert await making.read(events.last_seq) == 0
    await store(making, fact("a"), fact("b"), fact("c", actor_id="manager0"))
    assert (await making.read(lambda tx: events.last_of(tx, "worker1"))).item_id == "b"
