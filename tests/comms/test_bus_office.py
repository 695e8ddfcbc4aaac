"""The daemon at the bus: one input and one answer for an envelope, however often things break."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from watchfiles import awatch

from netsky_runtime import watching
from netsky_runtime.comms import bus_answering, bus_intake
from netsky_runtime.comms.bus.addresses import bus_id_of
from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, INBOX, OUTBOX, POISON, Channel
from netsky_runtime.comms.bus_intake import NOBODY_SECONDS, STALE_SECONDS, UNFINISHED_SECONDS
from netsky_runtime.comms.post_office import POLL_SECONDS, PRUNE_SECONDS, PostOffice
from netsky_runtime.comms.replies import NO_WORDS
from netsky_runtime.db import actors, bus_envelopes, inputs, messages
from netsky_runtime.errors import DatabaseError
from netsky_runtime.records import MANAGER0, OWNER, Message
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    DeliveryStatus,
    Direction,
    InputStatus,
    MessageKind,
    Source,
    TaskStatus,
    TurnStatus,
)
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE
from tests.support.society import Society, Turning, society

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

LOOK: Any = {"yield_on_timeout": True, "rust_timeout": 20, "debounce": 20}
TS = "2026-04-15T21:00:00Z"
LATER = 4_000_000_000_000
"""A time at which no file of these tests is still being written."""


@dataclass
class Bus:
    """An office, the people it serves, and the folders seen from outside."""

    people: Society
    root: Path
    clock: ManualClock = field(default_factory=lambda: ManualClock(LATER))
    woken: list[str] = field(default_factory=list)
    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir()
        self.office = self.restarted()

    def restarted(self) -> PostOffice:
        """Return the office of another netsky on the same home."""
        self.office = PostOffice(
            root=self.root,
            database=self.people.database,
            clock=self.clock,
            ids=self.people.ids,
            wake=self.woken.append,
            log=lambda level, what, fields: self.lines.append((level, what, dict(fields))),
        )
        return self.office

    def put(self, to: str, name: str = "x.json", **changes: Any) -> None:
        content = {"from": "agentci", "text": "hello", "ts": TS, **changes}
        channel = Channel(self.root, to)
        channel.prepare()
        (self.root / channel.folder / INBOX / name).write_text(json.dumps(content))

    def files(self, to: str, part: str = INBOX) -> list[str]:
        folder = self.root / to / part
        return sorted(p.name for p in folder.iterdir()) if folder.exists() else []

    def got(self, to: str) -> list[dict[str, Any]]:
        """Return the envelopes in an inbox."""
        return [json.loads((self.root / to / INBOX / n).read_text()) for n in self.files(to)]

    async def take(self, actor_id: str) -> Turning:
        turning = await self.people.take(actor_id)
        assert turning is not None
        return turning

    async def heard(self, actor_id: str) -> list[Message]:
        return [m for m in await self.people.to(actor_id) if m.source is Source.BUS]


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Bus]:
    async with society(tmp_path) as people:
        await people.hire("manager1", MANAGER0)
        await people.hire("worker1", "manager1")
        yield Bus(people, tmp_path / "channels")


async def test_an_envelope_becomes_one_input_from_its_sender_as_written(bus: Bus) -> None:
    bus.put("agent1", **{"from": "agent7"}, kind="brief", text="paint <it>")
    await bus.office.collect()
    [message] = await bus.heard("worker1")
    assert (message.sender, message.kind, message.body) == (
        "agent7",
        MessageKind.TEXT,
        "paint <it>",
    )
    assert message.direction is Direction.INBOUND
    assert bus.woken == ["worker1"]
    assert (bus.files("worker1"), bus.files("worker1", CLAIMED)) == ([], ["x.json"])
    turning = await bus.take("worker1")
    [row] = turning.inputs
    assert "from: agent7 (by bus)" in row.envelope
    assert "note: brief from the file bus, not of the owner" in row.envelope
    assert "paint &lt;it&gt;" in row.envelope


async def test_the_inbox_is_a_second_way_in_and_no_second_delivery(bus: Bus) -> None:
    await bus.people.post(OWNER, "worker1", "by another way")
    await bus.office.collect()
    assert bus.files("worker1") == []
    bus.put("agent1")
    await bus.office.collect()
    await bus.office.collect()
    assert await bus.people.open_inputs() == 2
    assert bus.files("worker1") == []


async def test_a_turns_words_go_back_to_the_sender_and_to_nobody_else(bus: Bus) -> None:
    bus.put("agent1", id="e-1", thread="th", swarm="sw")
    await bus.office.collect()
    before = len(await bus.people.all_messages())
    woken = await bus.people.end(
        await bus.take("worker1"), "so <netsky-reply> done </netsky-reply>"
    )
    await bus.office.answer()
    [answer] = bus.got("agentci")
    assert woken == frozenset()
    assert answer["kind"] == "reply"
    assert answer["text"] == "done"
    assert (answer["from"], answer["to"]) == ("agent1", "agentci")
    assert (answer["in_reply_to"], answer["thread"], answer["swarm"]) == ("e-1", "th", "sw")
    [reply] = (await bus.people.all_messages())[before:]
    assert (reply.kind, reply.target, reply.body) == (MessageKind.REPLY, "agentci", "done")
    assert reply.direction is Direction.OUTBOUND
    [delivery] = await bus.people.database.read(lambda tx: messages.deliveries_of(tx, reply.id))
    assert (delivery.sink, delivery.status) == ("bus:agentci", DeliveryStatus.CONFIRMED)
    assert bus.files("worker1", DELIVERED) == ["x.json"]


async def test_an_envelope_without_an_id_is_answered_by_its_file_name(bus: Bus) -> None:
    bus.put("agent1", "mine.json")
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.answer()
    assert bus.got("agentci")[0]["in_reply_to"] == "mine.json"


async def test_a_file_is_archived_and_its_delivery_confirmed_only_after_the_answer_is_written(
    bus: Bus, tmp_path: Path
) -> None:
    bus.put("agent1")
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")
    (bus.root / "agentci").symlink_to(tmp_path)
    for _ in range(2):
        await bus.office.answer()
    assert bus.files("worker1", CLAIMED) == ["x.json"]
    [reply] = await bus.people.to("agentci")
    look = lambda tx: messages.deliveries_of(tx, reply.id)  # noqa: E731
    assert [d.status for d in await bus.people.database.read(look)] == [DeliveryStatus.PENDING]
    assert [line[:2] for line in bus.lines] == [("error", "answer cannot be written")]
    (bus.root / "agentci").unlink()
    await bus.office.answer()
    assert [answer["text"] for answer in bus.got("agentci")] == ["done"]
    assert bus.files("worker1", DELIVERED) == ["x.json"]
    assert [d.status for d in await bus.people.database.read(look)] == [DeliveryStatus.CONFIRMED]


async def test_a_turn_without_words_is_answered_by_an_empty_text(bus: Bus) -> None:
    bus.put("agent1")
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"))
    await bus.office.answer()
    assert [(a["kind"], a["text"]) for a in bus.got("agentci")] == [("reply", "")]
    assert [m.body for m in await bus.people.to("agentci")] == [NO_WORDS]


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (TurnStatus.FAILED, "error", "The turn failed: model overloaded"),
        (TurnStatus.INTERRUPTED, "cancel", "There is no answer: its turn was stopped on purpose."),
    ],
)
async def test_a_turn_that_ends_otherwise_is_told_to_the_sender_once(
    bus: Bus, status: TurnStatus, kind: str, text: str
) -> None:
    bus.put("agent1")
    await bus.office.collect()
    turning = await bus.take("worker1")
    await bus.people.end(turning, "half", status=status, error="model overloaded")
    for _ in range(2):
        await bus.office.answer()
    assert [(a["kind"], a["text"]) for a in bus.got("agentci")] == [(kind, text)]
    assert bus.files("worker1", DELIVERED) == ["x.json"]


async def test_an_envelope_in_doubt_has_no_answer_before_somebody_has_decided(bus: Bus) -> None:
    bus.put("agent1")
    await bus.office.collect()
    [row] = (await bus.take("worker1")).inputs

    async def doubt(tx: Any) -> None:
        await inputs.settle(tx, [row.id], InputStatus.UNCERTAIN, reason="nobody knows", now=1)

    await bus.people.database.write(doubt)
    await bus.office.answer()
    assert bus.got("agentci") == []
    await bus.people.database.write(lambda tx: inputs.requeue(tx, [row.id], reason="sent again"))
    await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.answer()
    assert [answer["text"] for answer in bus.got("agentci")] == ["done"]


async def test_what_codex_refuses_and_what_is_taken_back_are_told_too(bus: Bus) -> None:
    for name in ("1.json", "2.json"):
        bus.put("agent1", name, text=name)
    await bus.office.collect()
    first, second = await bus.heard("worker1")
    people, now = bus.people, bus.people.clock.now()
    actor = await people.actor("worker1")

    async def body(tx: Any) -> None:
        one, two = await inputs.open_for(tx, "worker1")
        found = {first.id: first, second.id: second}
        await people.desk.refuse(
            tx, actor=actor, inputs=[one], messages=found, reason="too large", now=now
        )
        await inputs.settle(
            tx, [two.id], InputStatus.CANCELLED, reason="taken back by the owner", now=now
        )

    await people.database.write(body)
    await bus.office.answer()
    told = {a["in_reply_to"]: (a["kind"], a["text"]) for a in bus.got("agentci")}
    assert told == {
        "1.json": ("error", "The message was not taken: Codex refused it: too large"),
        "2.json": ("cancel", "There is no answer: taken back by the owner."),
    }


@pytest.mark.parametrize(
    "same",
    [{"id": "e-1"}, {"idempotency_key": "k"}, {"idempotency_key": "k", "id": "e-1"}, {}],
    ids=["id", "key", "both", "content"],
)
async def test_an_envelope_that_comes_twice_is_one_input_and_both_files_are_archived(
    bus: Bus, same: dict[str, str]
) -> None:
    bus.put("agent1", "1.json", **same)
    bus.put("agent1", "2.json", **same)
    await bus.office.collect()
    assert len(await bus.heard("worker1")) == 1
    assert bus.files("worker1", CLAIMED) == ["1.json"]
    await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.answer()
    bus.put("agent1", "3.json", **same)
    await bus.office.collect()
    await bus.office.answer()
    assert bus.files("worker1", DELIVERED) == ["1.json", "2.json", "3.json"]
    assert len(bus.got("agentci")) == 1
    assert bus.woken == ["worker1"]


async def test_an_id_is_its_senders_own_and_counts_also_beside_a_new_key(bus: Bus) -> None:
    bus.put("agent1", "1.json", id="1", text="one")
    bus.put("agent1", "2.json", id="1", text="two", **{"from": "agentother"})
    bus.put("agent1", "3.json", id="1", text="one", idempotency_key="new")
    await bus.office.collect()
    assert [m.sender for m in await bus.heard("worker1")] == ["agentci", "agentother"]


async def test_an_acknowledgement_is_written_once_when_the_envelope_is_stored(bus: Bus) -> None:
    bus.put("agent1", id="e-1", requires_ack=True, thread="th")
    await bus.office.collect()
    [ack] = bus.got("agentci")
    assert (ack["kind"], ack["in_reply_to"], ack["thread"]) == ("ack", "e-1", "th")
    bus.put("agent1", "again.json", id="e-1", requires_ack=True)
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.answer()
    assert sorted(a["kind"] for a in bus.got("agentci")) == ["ack", "reply"]


@pytest.mark.parametrize("kind", ["reply", "error", "cancel", "ack"])
async def test_an_answer_is_heard_and_never_answered(bus: Bus, kind: str) -> None:
    bus.put("agent0", kind=kind, text="", requires_ack=True)
    await bus.office.collect()
    [message] = await bus.heard(MANAGER0)
    assert message.body == f"({kind} without words)"
    assert bus.files("manager0", DELIVERED) == ["x.json"]
    await bus.people.end(await bus.take(MANAGER0), "I have read it")
    await bus.office.answer()
    assert bus.files("agentci") == []
    assert [m.body for m in await bus.people.to(OWNER)] == ["I have read it"]


async def test_two_actors_that_write_to_each_other_do_not_go_on_for_ever(bus: Bus) -> None:
    bus.put("agent1", **{"from": "agent0"})
    rounds = 0
    while rounds < 10:
        await bus.office.collect()
        turns = [await bus.people.take(actor_id) for actor_id in (MANAGER0, "manager1", "worker1")]
        if not any(turns):
            break
        for turning in turns:
            if turning is not None:
                await bus.people.end(turning, "and you?")
        await bus.office.answer()
        rounds += 1
    assert rounds == 2  # worker1's, and manager0's over its reply
    assert [m.sender for m in await bus.heard(MANAGER0)] == ["agent1"]


async def test_a_manager_with_a_name_hears_the_answer_to_what_it_wrote(bus: Bus) -> None:
    for name in ("a-b", "ab"):
        await bus.people.hire(name, MANAGER0)
        bus.put("agent1", f"{name}.json", text=name, **{"from": bus_id_of(name)})
    await bus.office.collect()
    for _ in range(2):
        await bus.people.end(await bus.take("worker1"), "done")
        await bus.office.answer()
    await bus.office.collect()
    assert [len(await bus.heard(name)) for name in ("a-b", "ab")] == [1, 1]


async def test_a_worker_that_hears_an_answer_goes_on_and_reports(bus: Bus) -> None:
    task = await bus.people.give("worker1", "manager1")
    first = await bus.take("worker1")
    bus.put("agent1", kind="reply", text="42", in_reply_to="e-9")
    await bus.office.collect()
    await bus.people.steer(first)
    assert await bus.people.end(first, "it is 42") == {"manager1"}
    assert (await bus.people.task(task.id)).status is TaskStatus.REPORTED


async def test_each_input_of_a_mixed_turn_is_answered_where_it_came_from(bus: Bus) -> None:
    task = await bus.people.give("worker1", "manager1")
    turning = await bus.take("worker1")
    turning.say("painted")
    await bus.people.post(OWNER, "worker1", "which colour?")
    await bus.people.steer(turning)
    turning.say("green")
    for name in ("1.json", "2.json"):
        bus.put("agent1", name, text=name)
    await bus.office.collect()
    await bus.people.steer(turning)
    turning.say("to one")
    await bus.people.steer(turning)
    assert await bus.people.end(turning, "to two") == {"manager1"}
    await bus.office.answer()
    assert sorted((a["in_reply_to"], a["text"]) for a in bus.got("agentci")) == [
        ("1.json", "to one"),
        ("2.json", "to two"),
    ]
    assert [m.body for m in await bus.people.to(OWNER)] == ["green"]
    assert [m.body for m in await bus.people.to("manager1")] == ["painted"]
    assert (await bus.people.task(task.id)).status is TaskStatus.REPORTED


async def test_senders_of_one_turn_that_failed_hear_of_it_each_by_an_answer_of_his_own(
    bus: Bus,
) -> None:
    bus.put("agent1", "1.json")
    bus.put("agent1", "2.json", **{"from": "agentcd"})
    await bus.office.collect()
    turning = await bus.take("worker1")
    await bus.people.steer(turning)
    await bus.people.end(turning, status=TurnStatus.FAILED, error="model overloaded")
    await bus.office.answer()
    assert [a["in_reply_to"] for a in bus.got("agentci")] == ["1.json"]
    assert [a["in_reply_to"] for a in bus.got("agentcd")] == ["2.json"]
    for sender in ("agentci", "agentcd"):
        [reply] = await bus.people.to(sender)
        assert reply.body == "The turn failed: model overloaded"


async def test_a_question_that_is_open_does_not_keep_the_sender_waiting(bus: Bus) -> None:
    bus.put("agent1")
    await bus.office.collect()
    turning = await bus.take("worker1")
    await bus.people.post(
        "worker1", "manager1", "red?", kind=MessageKind.QUESTION, turn=turning.turn
    )
    await bus.people.end(turning, "I have asked")
    await bus.office.answer()
    assert [a["text"] for a in bus.got("agentci")] == ["I have asked"]


@pytest.mark.parametrize(
    ("to", "folder", "reason"),
    [("agent9", "worker9", "no actor"), ("agent1", "worker1", "stopped")],
)
async def test_an_envelope_for_nobody_is_poison_and_its_sender_is_told(
    bus: Bus, to: str, folder: str, reason: str
) -> None:
    await bus.people.set_status("worker1", ActorStatus.STOPPED)
    bus.put(to, id="e-1", thread="th")
    bus.put(to, "2.json", kind="reply")
    await bus.office.collect()
    told = (bus.root / folder / POISON / "x.json.reason.txt").read_text()
    assert reason in told
    assert bus.files(folder, CLAIMED) == bus.files(folder) == []
    [answer] = bus.got("agentci")
    assert (answer["kind"], answer["in_reply_to"], answer["thread"]) == ("error", "e-1", "th")
    assert reason in answer["text"]
    assert await bus.people.open_inputs() == 0


async def test_an_envelope_waits_some_minutes_for_a_worker_that_is_not_there_yet(
    bus: Bus,
) -> None:
    bus.clock = ManualClock(time.time_ns() // 1_000_000)  # files bear the time of the disk
    bus.restarted()
    for to in ("agent9", "agentmanager9"):
        bus.put(to, id=to)
    await bus.office.collect()
    assert bus.files("worker9") == ["x.json"]
    assert [answer["in_reply_to"] for answer in bus.got("agentci")] == ["agentmanager9"]
    await bus.clock.advance(NOBODY_SECONDS + 60)
    await bus.office.collect()
    assert [a["in_reply_to"] for a in bus.got("agentci")] == ["agentmanager9", "agent9"]


async def test_a_worker_that_comes_in_time_hears_what_waited_for_it(bus: Bus) -> None:
    bus.clock = ManualClock(time.time_ns() // 1_000_000)
    bus.restarted()
    bus.put("agent9")
    await bus.office.collect()
    await bus.people.hire("worker9", "manager1")
    await bus.clock.advance(2 * UNFINISHED_SECONDS)
    await bus.office.collect()
    assert len(await bus.heard("worker9")) == 1
    assert bus.files("agentci") == []


async def test_a_parked_actors_mail_waits_for_it(bus: Bus) -> None:
    await bus.people.set_status("worker1", ActorStatus.PARKED)
    bus.put("agent1")
    await bus.office.collect()
    assert await bus.people.open_inputs() == 1


async def test_what_a_sidecar_is_sent_waits_in_its_inbox(bus: Bus) -> None:
    now = bus.people.clock.now()
    await bus.people.database.write(
        lambda tx: actors.set_kind(tx, "worker1", ActorKind.SIDECAR, now=now)
    )
    bus.put("agent1")
    await bus.office.collect()
    assert bus.files("worker1") == ["x.json"]


async def test_other_programs_inboxes_are_theirs(bus: Bus) -> None:
    bus.put("agentci", **{"from": "agentother"})
    (bus.root / "Not an address" / INBOX).mkdir(parents=True)
    (bus.root / "Not an address" / INBOX / "x.json").write_text("{}")
    await bus.office.collect()
    assert bus.files("agentci") == ["x.json"]
    assert bus.files("Not an address") == ["x.json"]


async def test_a_bad_envelope_is_poison_and_logged_and_the_next_is_taken(bus: Bus) -> None:
    bus.put("agent1", "1.json", text="</channel>")
    bus.put("agent1", "2.json")
    await bus.office.collect()
    assert len(await bus.heard("worker1")) == 1
    assert bus.files("worker1", POISON) == ["1.json", "1.json.reason.txt"]
    [(level, what, fields)] = bus.lines
    assert (level, what, fields["where"]) == (
        "warning",
        "envelope went to poison",
        "worker1/1.json",
    )
    assert bus.got("agentci") == []  # who wrote it cannot be believed


async def test_a_link_in_one_actors_channel_stops_nobody_elses(bus: Bus, tmp_path: Path) -> None:
    bus.put("agent0")
    (bus.root / "worker1").symlink_to(tmp_path)
    for _ in range(2):
        await bus.office.collect()
    assert len(await bus.heard(MANAGER0)) == 1
    assert [line[:2] for line in bus.lines] == [("error", "inbox cannot be used")]


async def test_what_was_taken_before_a_folder_could_not_be_used_is_stored(
    bus: Bus, tmp_path: Path
) -> None:
    bus.put("agent1", "1.json")
    bus.put("agent1", "2.json", ts="yesterday")
    (bus.root / "worker1" / POISON).rmdir()
    (bus.root / "worker1" / POISON).symlink_to(tmp_path)
    await bus.office.collect()
    assert len(await bus.heard("worker1")) == 1
    assert [line[:2] for line in bus.lines] == [("error", "inbox cannot be used")]


async def test_a_sender_who_cannot_be_told_keeps_nobody_elses_mail(
    bus: Bus, tmp_path: Path
) -> None:
    (bus.root / "agentevil").symlink_to(tmp_path)
    evil = {"from": "agentevil", "requires_ack": True}
    for name, changes in (("1.json", evil), ("2.json", {})):
        bus.put("agent1", name, **changes)
        bus.put("agent9", name, **changes)
    await bus.office.collect()
    assert [m.sender for m in await bus.heard("worker1")] == ["agentevil", "agentci"]
    assert len(bus.files("worker9", POISON)) == 4
    assert [answer["kind"] for answer in bus.got("agentci")] == ["error"]
    told = [line[:2] for line in bus.lines]
    assert told.count(("error", "sender cannot be told")) == 1
    assert not (bus.root / "agentevil" / INBOX).exists()


async def test_senders_who_cannot_be_reached_keep_nobody_waiting_for_an_answer(
    bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_answering, "AT_ONCE", 2)
    for number in range(5):
        bus.put("agent1", f"{number}.json", id=str(number), **{"from": "agentevil"})
    await bus.office.collect()
    await bus.clock.advance(1)  # whoever came later is answered later
    bus.put("agent1", "9.json")
    await bus.office.collect()
    (bus.root / "agentevil").symlink_to(tmp_path)
    for _ in range(6):
        await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.answer()
    assert [answer["text"] for answer in bus.got("agentci")] == ["done"]
    assert len(bus.files("worker1", CLAIMED)) == 5
    (bus.root / "agentevil").unlink()
    await bus.office.answer()
    assert len(bus.got("agentevil")) == 5


async def test_an_answer_that_two_want_to_write_is_written_once(bus: Bus) -> None:
    bus.put("agent1")
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")
    await asyncio.gather(*(bus.office.answer() for _ in range(3)))
    assert len(bus.files("agentci")) == 1
    assert bus.files("worker1", DELIVERED) == ["x.json"]
    assert bus.lines == []


async def test_a_flood_of_bad_files_keeps_nobody_elses_mail(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_intake, "AT_ONCE", 3)
    for number in range(8):
        bus.put("agent0", f"{number}.json", ts="yesterday")
    bus.put("agent1")
    await bus.office.collect()
    assert len(await bus.heard("worker1")) == 1
    assert len(bus.files("manager0")) == 5
    for _ in range(2):
        await bus.office.collect()
    assert bus.files("manager0") == []
    assert len(bus.files("manager0", POISON)) == 16


async def test_no_more_is_stored_than_an_actor_can_soon_hear_and_the_rest_waits(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_intake, "BACKLOG", 2)
    for number in range(5):
        bus.put("agent1", f"{number}.json", text=str(number), kind="reply")
    for _ in range(2):
        await bus.office.collect()
    assert len(await bus.heard("worker1")) == 2
    assert bus.files("worker1") == ["2.json", "3.json", "4.json"]
    assert [line[:2] for line in bus.lines] == [("warning", "envelopes wait in the inbox")]
    await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.collect()
    assert [m.body for m in await bus.heard("worker1")] == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["a\nb.json", "\udcff\udcfe.json", "\x1b[2J.json", "ü" * 120])
async def test_an_envelope_is_answered_whatever_its_file_is_called(bus: Bus, name: str) -> None:
    bus.put("agent1", name.removesuffix(".json") + ".json", requires_ack=True)
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")
    await bus.office.answer()
    assert sorted(answer["kind"] for answer in bus.got("agentci")) == ["ack", "reply"]
    assert all(answer["in_reply_to"].isprintable() for answer in bus.got("agentci"))
    assert len(bus.files("worker1", DELIVERED)) == 1


async def test_words_that_no_encoding_takes_become_harmless_on_their_way_in(bus: Bus) -> None:
    bus.put("agent1", text="a\ud800b\x00c\x1b[2J")
    await bus.office.collect()
    assert [m.body for m in await bus.heard("worker1")] == ["a\ufffdb\ufffdc\ufffd[2J"]


async def test_a_claim_that_was_never_stored_is_taken_while_netsky_runs(bus: Bus) -> None:
    bus.clock = ManualClock(time.time_ns() // 1_000_000)  # files bear the time of the disk
    bus.restarted()
    bus.put("agent1", "1.json")
    bus.put("agent1", "2.json", text="other")
    await bus.office.collect()
    bus.put("agent1", "3.json", text="forgotten")
    Channel(bus.root, "agent1").claim("3.json")
    await bus.office.collect()
    assert len(await bus.heard("worker1")) == 2  # somebody may still be at it
    await bus.clock.advance(2 * STALE_SECONDS)
    await bus.office.collect()
    assert [m.body for m in await bus.heard("worker1")] == ["hello", "other", "forgotten"]
    assert bus.files("worker1", CLAIMED) == ["1.json", "2.json", "3.json"]


async def test_half_a_file_of_a_writer_that_died_is_removed_at_the_next_start(bus: Bus) -> None:
    Channel(bus.root, "agent1").prepare()
    half = bus.root / "worker1" / INBOX / ".x.json.0-1234.tmp"
    half.write_text("{")
    async with serving(bus):
        await until(bus, lambda: not half.exists())


async def test_a_bus_that_cannot_be_used_is_told_once_and_used_when_it_can_be(bus: Bus) -> None:
    bus.root.rmdir()
    bus.root.write_text("")
    async with serving(bus):
        await bus.clock.until_sleeping(2)
        for _ in range(2):
            await bus.clock.advance(POLL_SECONDS)
        bus.root.unlink()
        bus.root.mkdir()
        bus.put("agent1")
        await bus.clock.advance(POLL_SECONDS)
        await until(bus, lambda: bus.woken)
    told = [line[1] for line in bus.lines]
    assert sorted(told) == ["the bus is only looked at now and then", "the bus stands still"]


async def test_a_netsky_that_died_after_claiming_takes_the_envelope_at_the_next_start(
    bus: Bus,
) -> None:
    bus.put("agent1")
    Channel(bus.root, "agent1").claim("x.json")
    async with serving(bus):
        await until(bus, lambda: bus.woken)
    assert len(await bus.heard("worker1")) == 1


async def test_a_netsky_that_died_before_the_answer_writes_it_at_the_next_start(bus: Bus) -> None:
    bus.put("agent1", requires_ack=True)
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")
    bus.restarted()
    async with serving(bus):
        await until(bus, lambda: bus.files("worker1", DELIVERED))
    assert sorted(a["kind"] for a in bus.got("agentci")) == ["ack", "reply"]
    assert len(await bus.heard("worker1")) == 1


async def test_a_netsky_that_died_between_answer_and_record_writes_no_second_answer(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus.put("agent1")
    await bus.office.collect()
    await bus.people.end(await bus.take("worker1"), "done")

    async def die(*_args: Any, **_more: Any) -> None:
        raise DatabaseError("The process is killed here.")

    with monkeypatch.context() as patch:
        patch.setattr(bus_envelopes, "answered", die)
        await bus.office.answer()
    assert len(bus.files("agentci")) == 1
    assert bus.files("worker1", CLAIMED) == ["x.json"]
    Channel(bus.root, "agentci").claim(bus.files("agentci")[0])  # and it has been read meanwhile
    await bus.restarted().answer()
    assert bus.files("agentci") == []
    assert bus.files("worker1", DELIVERED) == ["x.json"]


async def test_an_envelope_that_could_not_be_stored_goes_back_to_the_inbox(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_args: Any, **_more: Any) -> None:
        raise DatabaseError("The disk is full.")

    for name in ("x.json", "1.json", "2.json"):
        bus.put("agent1", name, text=name)
    with monkeypatch.context() as patch:
        patch.setattr(bus_envelopes, "insert", broken)
        with pytest.raises(DatabaseError):
            await bus.office.collect()
    assert bus.files("worker1") == ["1.json", "2.json", "x.json"]
    assert await bus.people.open_inputs() == 0
    await bus.office.collect()
    assert await bus.people.open_inputs() == 3


async def test_a_file_is_taken_when_it_arrives_and_answered_when_its_turn_ends(bus: Bus) -> None:
    Channel(bus.root, "agent1").prepare()
    async with serving(bus):  # no time passes: only the watcher can tell
        await until(bus, lambda: bus.clock.sleepers)
        bus.put("agent1")
        await until(bus, lambda: bus.woken)
        await bus.people.end(await bus.take("worker1"), "done")
        await until(bus, lambda: bus.files("agentci"))
    assert bus.got("agentci")[0]["text"] == "done"


async def test_what_is_long_finished_is_removed_once_an_hour(bus: Bus) -> None:
    def archive() -> None:
        bus.put("agentci")
        Channel(bus.root, "agentci").move("x.json", INBOX, DELIVERED)

    async with serving(bus):
        for seconds in (POLL_SECONDS, PRUNE_SECONDS):
            archive()
            await bus.clock.until_sleeping()
            await bus.clock.advance(seconds)
            await until(bus, lambda: not bus.files("agentci", DELIVERED))
        archive()
        await bus.clock.until_sleeping()
        await bus.clock.advance(POLL_SECONDS)
        await bus.clock.until_sleeping()
    assert bus.files("agentci", DELIVERED) == ["x.json"]


async def test_where_folders_cannot_be_watched_they_are_looked_at_now_and_then(
    bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(*_args: Any, **_more: Any) -> Any:
        raise OSError("OS file watch limit reached.")

    monkeypatch.setattr(watching, "awatch", no_more)
    async with serving(bus):
        await until(bus, lambda: bus.clock.sleepers == 2)
        bus.put("agent1")
        await bus.clock.advance(POLL_SECONDS)
        await until(bus, lambda: bus.woken)
    assert "now and then" in bus.lines[0][1]


async def test_a_file_whose_name_is_no_utf_8_stops_nobodys_mail(bus: Bus) -> None:
    Channel(bus.root, "agent1").prepare()
    outbox = os.fsencode(bus.root / "worker1" / OUTBOX)
    async with serving(bus), asyncio.timeout(PATIENCE):
        number = 0
        while bus.clock.sleepers < 2:  # until the watcher has met one, and rests
            number += 1
            await asyncio.to_thread(os.mknod, outbox + b"/\xff%d" % number)
        bus.put("agent1")
        await bus.clock.advance(POLL_SECONDS)
        await until(bus, lambda: bus.woken)
        await bus.people.end(await bus.take("worker1"), "done")
        await until(bus, lambda: bus.files("agentci"))
    assert "\\xFF" in bus.lines[0][2]["reason"]


@asynccontextmanager
async def serving(bus: Bus) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.office.run())
        yield
        task.cancel()


async def until(bus: Bus, look: Callable[[], Any]) -> None:
    """Look again whenever something moves in the folders until what is seen is true."""
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(awatch(bus.root, watch_filter=None, step=10, **LOOK)) as changes,
    ):
        async for _ in changes:
            if look():
                return
