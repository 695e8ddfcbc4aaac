"""The one way in: who can be written to, and what a body may hold."""

from __future__ import annotations

import pytest

from netsky_runtime.db import actors, inputs, messages
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.records import MANAGER0, MAX_BODY_BYTES, OWNER
from netsky_runtime.states import (
    ActorStatus,
    DeliveryStatus,
    Direction,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
)


async def stored(making):
    return await making.read(lambda tx: messages.recent(tx))


async def test_a_message_to_an_actor_waits_in_its_queue(making):
    posted = await making.post(mode=InputMode.STEER, metadata={"a": [1]}, task_id="t1")
    message, delivery, queued = posted.message, posted.delivery, posted.input
    assert (message.status, message.direction) == (MessageStatus.ROUTED, Direction.INBOUND)
    assert (delivery.sink, delivery.status) == ("actor:manager0", DeliveryStatus.PENDING)
    assert (queued.status, queued.mode) == (InputStatus.QUEUED, InputMode.STEER)
    assert delivery.input_id == queued.id
    assert await making.read(lambda tx: messages.require(tx, message.id)) == message
    assert await making.read(lambda tx: messages.deliveries_of(tx, message.id)) == (delivery,)
    assert await making.read(lambda tx: inputs.open_for(tx, MANAGER0)) == (queued,)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (MessageKind.REPLY, MessageStatus.CLOSED),
        (MessageKind.REPORT, MessageStatus.CLOSED),
        (MessageKind.QUESTION, MessageStatus.ROUTED),
    ],
)
async def test_a_message_to_the_owner_is_confirmed_when_stored(making, kind, status):
    posted = await making.post(sender=MANAGER0, target=OWNER, kind=kind)
    assert posted.input is None
    assert (posted.message.status, posted.message.direction) == (status, Direction.OUTBOUND)
    assert (posted.delivery.sink, posted.delivery.status) == ("room", DeliveryStatus.CONFIRMED)
    assert posted.message.read_at is None


async def test_a_parked_actor_still_has_a_queue(making):
    await making.write(
        lambda tx: actors.set_status(tx, "worker1", ActorStatus.PARKED, reason="why", now=2)
    )
    assert (await making.post(target="worker1")).input is not None


async def test_nobody_is_written_to_who_is_not_there(making):
    with pytest.raises(NotFound, match="no actor 'ghost'"):
        await making.post(target="ghost")
    assert await stored(making) == ()


async def test_a_stopped_actor_takes_nothing(making):
    await making.write(lambda tx: actors.set_status(tx, "worker1", ActorStatus.STOPPED, now=2))
    with pytest.raises(Conflict, match="worker1 is stopped") as refused:
        await making.post(target="worker1")
    assert "resume" in refused.value.hint
    assert await stored(making) == ()


@pytest.mark.parametrize("body", ["", " ", "\n\t\r\n "])
async def test_an_empty_body_is_refused(making, body):
    with pytest.raises(UsageError, match="empty"):
        await making.post(body=body)


@pytest.mark.parametrize("letter", ["a", "ü", "語", "🌌"])
async def test_the_limit_is_counted_in_bytes(making, letter):
    size = len(letter.encode())
    fits = letter * (MAX_BODY_BYTES // size)
    assert (await making.post(body=fits)).message.body == fits
    too_long = fits + "a" * (MAX_BODY_BYTES - len(fits.encode()) + 1)
    with pytest.raises(UsageError, match=r"262,145 bytes, the limit is 262,144 \(256 KiB\)"):
        await making.post(body=too_long)


async def test_control_characters_stay_visible_and_the_rest_untouched(making):
    body = "a\x00b\x07c\x1bd\x7fe\x9bf\ud800g\n\t\r <netsky> & \u202e ü 🌌"
    posted = await making.post(body=body)
    kept = "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf\ufffdg\n\t\r <netsky> & \u202e ü 🌌"
    assert posted.message.body == kept
    assert (await making.read(lambda tx: messages.require(tx, posted.message.id))).body == kept


async def test_an_answer_closes_the_question_it_answers_and_no_other(making):
    ask = {"sender": MANAGER0, "target": OWNER, "kind": MessageKind.QUESTION}
    first, second = await making.post(**ask), await making.post(**ask)
    await making.post(in_reply_to=first.message.id)
    asked = await making.read(lambda tx: messages.open_questions(tx, MANAGER0))
    assert asked == (second.message,)
    answered = await making.read(lambda tx: messages.require(tx, first.message.id))
    assert answered.status is MessageStatus.ANSWERED


async def test_an_answer_to_nothing_is_refused(making):
    with pytest.raises(NotFound, match="no message 'm-none'"):
        await making.post(in_reply_to="m-none")


async def test_a_refused_message_leaves_its_question_open(making):
    ask = await making.post(sender=MANAGER0, target=OWNER, kind=MessageKind.QUESTION)
    with pytest.raises(NotFound):
        await making.post(target="ghost", in_reply_to=ask.message.id)
    assert await making.read(lambda tx: messages.open_questions(tx, MANAGER0)) == (ask.message,)
