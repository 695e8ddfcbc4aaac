"""Messages that come in from outside: stored, queued, and somebody is woken."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.comms.receiving import Inbox
from netsky_runtime.db import messages
from netsky_runtime.errors import Conflict, NetskyError, NotFound, UsageError
from netsky_runtime.records import MANAGER0, MAX_BODY_BYTES, OWNER
from netsky_runtime.states import (
    ActorStatus,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    Source,
)
from tests.support.patience import PATIENCE
from tests.support.society import Society, society

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.db.posting import Posted


@dataclass
class Door:
    """An inbox, and who it woke."""

    people: Society
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.inbox = Inbox(
            database=self.people.database,
            clock=self.people.clock,
            ids=self.people.ids,
            wake=self.woken.append,
        )

    async def send(self, body: str = "hello", to: str = MANAGER0, **rest: str) -> Posted:
        return await self.inbox.receive(
            source=Source.CLI,
            sender=OWNER,
            target=to,
            body=body,
            mode=InputMode.STEER,
            in_reply_to=rest.get("in_reply_to"),
        )

    async def ask(self, body: str) -> Posted:
        return await self.people.post(MANAGER0, OWNER, body, kind=MessageKind.QUESTION)

    async def open_questions(self) -> list[str]:
        asked = await self.people.database.read(lambda tx: messages.open_questions(tx, MANAGER0))
        return [question.body for question in asked]


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with society(tmp_path) as people:
        yield Door(people)


async def test_a_message_is_stored_and_queued_before_anybody_is_woken(door: Door) -> None:
    posted = await door.send()
    assert posted.input is not None
    assert (posted.input.status, posted.input.mode) == (InputStatus.QUEUED, InputMode.STEER)
    assert (posted.message.source, posted.message.sender) == (Source.CLI, OWNER)
    assert await door.people.input(posted) == posted.input
    assert door.woken == [MANAGER0]


async def test_a_sender_that_leaves_too_early_still_wakes_the_actor(door: Door) -> None:
    held = asyncio.Event()
    reached = asyncio.Event()

    async def hold(_tx: Tx) -> None:
        reached.set()
        await held.wait()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        group.create_task(door.people.database.write(hold))
        await reached.wait()
        sender = group.create_task(door.send())
        await asyncio.sleep(0)  # it queues its write behind the one that holds
        sender.cancel()
        await asyncio.wait([sender])
        assert door.woken == []
        held.set()
        await door.people.post(OWNER, MANAGER0, "later")  # goes behind both
    assert [message.body for message in await door.people.to(MANAGER0)] == ["hello", "later"]
    assert door.woken == [MANAGER0]


@pytest.mark.parametrize(
    ("body", "to", "error"),
    [
        ("", MANAGER0, UsageError),
        (" \n", MANAGER0, UsageError),
        ("x" * (MAX_BODY_BYTES + 1), MANAGER0, UsageError),
        ("hello", "worker9", NotFound),
    ],
    ids=["empty", "blank", "long", "unknown"],
)
async def test_what_cannot_be_taken_is_refused_and_wakes_nobody(
    door: Door, body: str, to: str, error: type[NetskyError]
) -> None:
    with pytest.raises(error):
        await door.send(body, to)
    assert await door.people.all_messages() == []
    assert door.woken == []


async def test_a_stopped_actor_takes_nothing(door: Door) -> None:
    await door.people.set_status(MANAGER0, ActorStatus.STOPPED)
    with pytest.raises(Conflict):
        await door.send()


async def test_the_owners_next_words_answer_all_that_was_asked(door: Door) -> None:
    await door.ask("red?")
    last = await door.ask("or green?")
    posted = await door.send("green")
    assert posted.message.in_reply_to == last.message.id
    assert await door.open_questions() == []
    assert {m.status for m in await door.people.to(OWNER)} == {MessageStatus.ANSWERED}


async def test_words_that_name_their_question_answer_only_that_one(door: Door) -> None:
    first = await door.ask("red?")
    await door.ask("or green?")
    posted = await door.send("not red", in_reply_to=first.message.id)
    assert posted.message.in_reply_to == first.message.id
    assert await door.open_questions() == ["or green?"]


async def test_words_for_another_actor_answer_nothing(door: Door) -> None:
    await door.people.hire("worker1", MANAGER0)
    await door.ask("red?")
    assert (await door.send("hello", "worker1")).message.in_reply_to is None
    assert await door.open_questions() == ["red?"]


async def test_what_was_asked_of_a_manager_is_not_the_owners_to_answer_in_passing(
    door: Door,
) -> None:
    await door.people.hire("worker1", MANAGER0)
    await door.people.post("worker1", MANAGER0, "red?", kind=MessageKind.QUESTION)
    assert (await door.send("how far?", "worker1")).message.in_reply_to is None


async def test_a_parked_actor_goes_on_with_a_message_only_when_that_is_asked(door: Door) -> None:
    async def status() -> ActorStatus:
        return (await door.people.actor(MANAGER0)).status

    await door.people.set_status(MANAGER0, ActorStatus.PARKED)
    await door.send("wait")
    assert await status() is ActorStatus.PARKED
    await door.inbox.receive(
        source=Source.CLI, sender=OWNER, target=MANAGER0, body="go on", resume=True
    )
    assert await status() is ActorStatus.ACTIVE
