from dataclasses import replace

from netsky_runtime.agents.batching import BATCH_BYTES, BATCH_COUNT, next_batch
from netsky_runtime.agents.recovery import SHOWN
from netsky_runtime.records import ActorInput, Message
from netsky_runtime.states import (
    Direction,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    Source,
)


def waiting(*specs: tuple[MessageKind, InputMode], body: str = "words"):
    inputs, messages = [], {}
    for number, (kind, mode) in enumerate(specs):
        message = Message(
            id=f"m{number}",
            source=Source.ACTOR,
            direction=Direction.INBOUND,
            kind=kind,
            sender="worker1",
            target="manager0",
            body=body,
            status=MessageStatus.ROUTED,
            created_at=number,
        )
        messages[message.id] = message
        inputs.append(
            ActorInput(
                id=f"i{number}",
                actor_id="manager0",
                message_id=message.id,
                mode=mode,
                status=InputStatus.QUEUED,
                created_at=number,
            )
        )
    return inputs, messages


def ids(batch):
    return [item.id for item in batch]


REPORT = (MessageKind.REPORT, InputMode.QUEUE)
OWNER_TEXT = (MessageKind.TEXT, InputMode.QUEUE)
URGENT = (MessageKind.TEXT, InputMode.INTERRUPT)


def test_nothing_waiting_makes_no_batch():
    assert next_batch([], {}) == ()


def test_reports_that_queued_up_go_in_together():
    inputs, messages = waiting(*[REPORT] * 10)
    assert ids(next_batch(inputs, messages)) == [f"i{n}" for n in range(10)]


def test_messages_of_the_owner_are_never_merged():
    inputs, messages = waiting(OWNER_TEXT, OWNER_TEXT)
    assert ids(next_batch(inputs, messages)) == ["i0"]


def test_a_message_between_reports_keeps_its_place():
    inputs, messages = waiting(REPORT, OWNER_TEXT, REPORT)
    assert ids(next_batch(inputs, messages)) == ["i0"]
    assert ids(next_batch(inputs[1:], messages)) == ["i1"]


def test_an_interrupting_message_goes_before_everything_that_waits():
    inputs, messages = waiting(REPORT, REPORT, URGENT)
    assert ids(next_batch(inputs, messages)) == ["i2"]


def test_what_recovers_a_cut_turn_goes_before_everything_that_waited():
    inputs, messages = waiting(REPORT, URGENT, OWNER_TEXT)
    inputs[2] = replace(inputs[2], recovers=("i9",))
    assert ids(next_batch(inputs, messages)) == ["i2"]


def test_a_batch_of_reports_stays_below_its_size():
    inputs, messages = waiting(*[REPORT] * 3, body="x" * (BATCH_BYTES // 2))
    assert ids(next_batch(inputs, messages)) == ["i0", "i1"]


def test_a_batch_has_no_more_reports_than_a_recovery_names():
    inputs, messages = waiting(*[REPORT] * (BATCH_COUNT + 1))
    assert len(next_batch(inputs, messages)) == BATCH_COUNT <= SHOWN


def test_one_report_larger_than_a_batch_still_goes():
    inputs, messages = waiting(REPORT, body="x" * (BATCH_BYTES + 1))
    assert ids(next_batch(inputs, messages)) == ["i0"]
