"""Pages of messages, and what the owner has read."""

from __future__ import annotations

import pytest

from netsky_runtime.db import messages
from netsky_runtime.errors import NotFound
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import MessageKind, MessageStatus


async def test_pages_join_without_gap_or_repetition(making):
    sent = [(await making.post(body=str(n))).message.id for n in range(7)]
    pages, before = [], None
    while page := await making.read(
        lambda tx, before=before: messages.recent(tx, limit=3, before_seq=before)
    ):
        pages = [message.id for _, message in page] + pages
        before = page[0][0]
    assert pages == sent


async def test_an_actors_messages_are_those_it_sent_or_got(making):
    sent = [
        await making.post(body="to", target="worker1"),
        await making.post(body="elsewhere"),
        await making.post(body="from", sender="worker1"),
        await making.post(body="to itself", sender="worker1", target="worker1"),
    ]
    found = await making.read(lambda tx: messages.recent(tx, actor_id="worker1"))
    assert [m.id for _, m in found] == [sent[n].message.id for n in (0, 2, 3)]
    last = await making.read(lambda tx: messages.recent(tx, actor_id="worker1", limit=1))
    assert [m.body for _, m in last] == ["to itself"]


async def test_read_is_when_the_owner_first_saw_it(making):
    seen = (await making.post(sender=MANAGER0, target=OWNER, kind=MessageKind.REPLY)).message
    unseen = (await making.post(sender=MANAGER0, target=OWNER, kind=MessageKind.REPLY)).message
    inbound = (await making.post()).message
    assert await making.read(messages.unread) == 2
    for now in (10, 20):
        await making.write(
            lambda tx, now=now: messages.mark_read(tx, [seen.id, inbound.id, "m-none"], now)
        )
    times = {m.id: m.read_at for _, m in await making.read(messages.recent)}
    assert times == {seen.id: 10, unseen.id: None, inbound.id: None}
    assert await making.read(messages.unread) == 1


async def test_an_unknown_message_is_named(making):
    with pytest.raises(NotFound, match="'m-none'"):
        await making.write(lambda tx: messages.set_status(tx, "m-none", MessageStatus.CLOSED))
