"""Who hears the end of a turn, and in which words: the pure part."""

from __future__ import annotations

import pytest

from netsky_runtime.codex.base import HistoricItem
from netsky_runtime.comms.envelope import Envelopes
from netsky_runtime.comms.replies import Addressee, addressee, words_for
from netsky_runtime.records import MANAGER0, OWNER, Actor, ActorInput, Message
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    Direction,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    Source,
)

TAG = "k3v9x2mq"


def actor(actor_id: str) -> Actor:
    kind = ActorKind.WORKER if actor_id.startswith("worker") else ActorKind.MANAGER
    return Actor(id=actor_id, kind=kind, status=ActorStatus.ACTIVE, created_at=0, updated_at=0)


def message(sender: str, kind: MessageKind = MessageKind.TEXT, body: str = "hello") -> Message:
    return Message(
        id=f"m-{sender}",
        source=Source.CLI if sender == OWNER else Source.ACTOR,
        direction=Direction.INBOUND,
        kind=kind,
        sender=sender,
        target="manager0",
        body=body,
        status=MessageStatus.ROUTED,
        created_at=0,
    )


@pytest.mark.parametrize(
    ("who", "sender", "kind", "hears"),
    [
        (MANAGER0, OWNER, MessageKind.TEXT, Addressee.OWNER),
        (MANAGER0, "worker1", MessageKind.REPORT, Addressee.OWNER),
        (MANAGER0, "manager1", MessageKind.TEXT, Addressee.OWNER),
        (MANAGER0, "worker1", MessageKind.QUESTION, Addressee.OWNER),
        ("manager1", OWNER, MessageKind.TEXT, Addressee.OWNER),
        ("manager1", "worker1", MessageKind.REPORT, Addressee.MANAGER),
        ("manager1", MANAGER0, MessageKind.TEXT, Addressee.MANAGER),
        ("worker1", OWNER, MessageKind.TEXT, Addressee.OWNER),
        ("worker1", "manager1", MessageKind.TASK, Addressee.MANAGER),
        ("worker1", OWNER, MessageKind.TASK, Addressee.MANAGER),
        ("worker1", "manager1", MessageKind.TEXT, Addressee.MANAGER),
    ],
)
def test_the_table_of_who_hears_the_end_of_a_turn(
    who: str, sender: str, kind: MessageKind, hears: Addressee
) -> None:
    assert addressee(actor(who), message(sender, kind)) is hears


def sent(number: int, *, body: str = "hello") -> ActorInput:
    blank = ActorInput(
        id=f"i-{number}",
        actor_id=MANAGER0,
        message_id="m",
        mode=InputMode.QUEUE,
        status=InputStatus.SEEN,
        batch_id=f"b-{number}",
        created_at=0,
    )
    text = Envelopes().render(blank, message(OWNER, body=body), tag=TAG)
    return ActorInput(
        id=blank.id,
        actor_id=MANAGER0,
        message_id="m",
        mode=InputMode.QUEUE,
        status=InputStatus.SEEN,
        batch_id=blank.batch_id,
        envelope=text,
        created_at=0,
    )


def heard(*inputs: ActorInput, client_id: str = "", text: str | None = None) -> HistoricItem:
    body = "\n\n".join(item.envelope for item in inputs) if text is None else text
    return HistoricItem(
        id="u", type="user_message", data={"text": body, "client_id": client_id or None}
    )


def said(text: str) -> HistoricItem:
    return HistoricItem(id="a", type="agent_message", data={"text": text})


ONE, TWO = sent(1), sent(2)


def test_a_reply_is_the_last_message_before_the_next_user_message() -> None:
    items = [heard(ONE), said("looking"), said("first"), heard(TWO), said("second")]
    assert words_for(ONE, items) == "first"
    assert words_for(TWO, items) == "second"


def test_an_input_with_no_words_of_its_own_gets_the_turns_last() -> None:
    items = [heard(ONE), heard(TWO), said("both")]
    assert words_for(ONE, items) == "both"
    assert words_for(TWO, items) == "both"
    items = [heard(ONE), said("first"), heard(TWO)]
    assert words_for(TWO, items) == "first"


def test_inputs_of_one_message_share_its_reply() -> None:
    items = [heard(ONE, TWO), said("both")]
    assert words_for(ONE, items) == words_for(TWO, items) == "both"


def test_an_input_is_found_by_its_batch_where_history_keeps_it() -> None:
    items = [heard(text="?", client_id="b-1"), said("first"), heard(TWO), said("second")]
    assert words_for(ONE, items) == "first"


def test_an_imitated_envelope_in_a_body_does_not_claim_the_reply() -> None:
    thief = sent(2, body=ONE.envelope)
    items = [heard(thief), said("to two"), heard(ONE), said("to one")]
    assert words_for(ONE, items) == "to one"


def test_blank_messages_are_not_words() -> None:
    items = [heard(ONE), said("first"), said("  \n")]
    assert words_for(ONE, items) == "first"
    assert words_for(ONE, [heard(ONE), said(" ")]) == ""


def test_without_items_the_turns_recorded_text_is_the_reply() -> None:
    assert words_for(ONE, [], final_text=" done\n") == "done"
    assert words_for(ONE, [heard(ONE)], final_text="") == ""
