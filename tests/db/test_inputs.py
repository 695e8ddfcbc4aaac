"""The states of an input, legal and illegal, and what follows from each."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from netsky_runtime.db import actors, inputs, messages, turns
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import MANAGER0, Turn
from netsky_runtime.states import (
    InputStatus,
    MessageKind,
    MessageStatus,
    Source,
    TurnStatus,
    delivery_status,
)
from tests.db.making import Making, draft
from tests.support.fakes import CountingIds, ManualClock

Q, H, S, A, I, C, F, U = InputStatus  # noqa: E741 - the table below is read by these letters
WAYS = {
    # from: where it may go
    Q: {Q, H, S, C, U},
    H: {Q, S, I, C, F, U},
    S: {Q, S, A, I, F, U},
    U: {Q, S, C},
    A: set(),
    I: set(),
    C: set(),
    F: set(),
}
ROADS = {Q: [], H: [H], S: [S], A: [S, A], I: [S, I], C: [C], F: [S, F], U: [U]}
MESSAGES = {A: "answered", F: "failed", I: "closed", C: "closed"}


async def go(tx, input_id: str, to: InputStatus, now: int = 5) -> None:
    if to is H:
        await inputs.hand(tx, [input_id], now=now)
    elif to is S:
        await inputs.see(tx, [input_id], thread_id="th", turn_id="turn", now=now)
    elif to is Q:
        await inputs.requeue(tx, [input_id], reason="again", now=now)
    else:
        await inputs.settle(tx, [input_id], to, reason="because", now=now)


@pytest.mark.parametrize("to", list(InputStatus))
@pytest.mark.parametrize("start", list(InputStatus))
async def test_an_input_goes_only_where_the_table_says(making, start, to):
    input_id = await making.input()
    for step in ROADS[start]:
        await making.write(lambda tx, step=step: go(tx, input_id, step))
    before = await making.read(lambda tx: inputs.require(tx, input_id))
    assert before.status is start
    if to in WAYS[start]:
        await making.write(lambda tx: go(tx, input_id, to))
    else:
        with pytest.raises(Conflict, match=f"{input_id} is {start} and cannot become {to}"):
            await making.write(lambda tx: go(tx, input_id, to))
    after = await making.read(lambda tx: inputs.require(tx, input_id))
    assert after.status is (to if to in WAYS[start] else start)
    assert after == before or to in WAYS[start]
    message = await making.read(lambda tx: messages.require(tx, after.message_id))
    (delivery,) = await making.read(lambda tx: messages.deliveries_of(tx, message.id))
    assert delivery.status is delivery_status(after.status)
    assert message.status == MESSAGES.get(after.status, "routed")


@pytest.mark.parametrize("to", [Q, H, S])
async def test_only_an_end_is_settled_to(making, to):
    input_id = await making.input()
    with pytest.raises(ValueError, match="is not an end"):
        await making.write(lambda tx: inputs.settle(tx, [input_id], to, now=1))


async def test_one_that_cannot_go_holds_back_all(making):
    first, second = await making.input(), await making.input()
    await making.write(lambda tx: inputs.settle(tx, [second], C, now=1))
    with pytest.raises(Conflict, match=second):
        await making.write(lambda tx: inputs.hand(tx, [first, second], now=2))
    assert (await making.read(lambda tx: inputs.require(tx, first))).status is Q


async def test_an_unknown_input_is_named(making):
    with pytest.raises(NotFound, match="'i-none'"):
        await making.write(lambda tx: inputs.hand(tx, ["i-none"], now=1))
    with pytest.raises(NotFound, match="'i-none'"):
        await making.read(lambda tx: inputs.require(tx, "i-none"))


async def test_no_ids_change_nothing(making):
    revision = making.database.revision
    for to in (Q, H, S):
        await making.write(
            lambda tx, to=to: {
                Q: lambda: inputs.requeue(tx, [], reason=""),
                H: lambda: inputs.hand(tx, [], now=1),
                S: lambda: inputs.see(tx, [], thread_id="th", turn_id="t", now=1),
            }[to]()
        )
    await making.write(lambda tx: inputs.settle(tx, [], A, now=1))
    await making.write(lambda tx: inputs.attempt(tx, {}, batch_id="b", thread_id="th"))
    assert making.database.revision == revision


async def test_an_attempt_is_on_record_before_anything_is_sent(making):
    first, second = await making.input(), await making.input()
    texts = {first: "<one>", second: "<two>"}
    await making.write(lambda tx: inputs.attempt(tx, texts, batch_id="b-1", thread_id="th"))
    found = await making.read(lambda tx: inputs.by_ids(tx, [first, second]))
    assert [(i.id, i.envelope, i.status, i.attempts, i.thread_id) for i in found] == [
        (first, "<one>", Q, 1, "th"),
        (second, "<two>", Q, 1, "th"),
    ]
    await making.write(lambda tx: inputs.hand(tx, [first], now=9))
    with pytest.raises(Conflict):
        await making.write(lambda tx: inputs.attempt(tx, texts, batch_id="b-2", thread_id="th"))


async def test_a_queued_again_input_forgets_where_it_was_and_keeps_its_place(making):
    first, second = await making.input(), await making.input()
    texts = {first: "<one>"}
    await making.write(lambda tx: inputs.attempt(tx, texts, batch_id="b-1", thread_id="th"))
    await making.write(lambda tx: inputs.hand(tx, [first], turn_id="t", now=3))
    await making.write(lambda tx: inputs.see(tx, [first], thread_id="th", turn_id="t", now=4))
    await making.write(lambda tx: inputs.requeue(tx, [first], reason="not there", not_before=50))
    again = await making.read(lambda tx: inputs.require(tx, first))
    assert (again.batch_id, again.thread_id, again.turn_id, again.envelope) == ("", "", "", "")
    assert (again.handed_at, again.seen_at, again.settled_at) == (None, None, None)
    assert (again.attempts, again.reason, again.not_before) == (1, "not there", 50)
    everything = await making.read(lambda tx: inputs.open_for(tx, MANAGER0))
    assert [i.id for i in everything] == [first, second]
    for now, ready in ((49, [second]), (50, [first, second])):
        found = await making.read(lambda tx, now=now: inputs.waiting(tx, MANAGER0, now))
        assert [i.id for i in found] == ready


async def test_times_and_reasons_are_kept(making):
    input_id = await making.input()
    await making.write(lambda tx: inputs.hand(tx, [input_id], now=11))
    await making.write(lambda tx: inputs.see(tx, [input_id], thread_id="th", turn_id="t-1", now=12))
    await making.write(lambda tx: inputs.see(tx, [input_id], thread_id="th", turn_id="t-2", now=13))
    await making.write(
        lambda tx: inputs.settle(tx, [input_id], F, reason="no", reply_id="m-9", now=14)
    )
    found = await making.read(lambda tx: inputs.require(tx, input_id))
    assert (found.handed_at, found.seen_at, found.settled_at) == (11, 12, 14)
    assert (found.thread_id, found.turn_id) == ("th", "t-2")
    assert (found.reason, found.reply_id) == ("no", "m-9")
    (delivery,) = await making.read(lambda tx: messages.deliveries_of(tx, found.message_id))
    assert delivery.error == "no"


async def test_open_is_what_somebody_still_has_to_do_something_for(making):
    by_state = {}
    for status, road in ROADS.items():
        by_state[status] = await making.input()
        for step in road:
            await making.write(lambda tx, i=by_state[status], step=step: go(tx, i, step))
    opened = await making.read(lambda tx: inputs.open_for(tx, MANAGER0))
    assert {i.id for i in opened} == {by_state[s] for s in (Q, H, S)}
    doubtful = await making.read(inputs.uncertain)
    assert [i.id for i in doubtful] == [by_state[U]]
    assert await making.read(lambda tx: inputs.open_for(tx, "worker1")) == ()
    some = await making.read(lambda tx: inputs.by_ids(tx, [by_state[U], by_state[Q], "i-none"]))
    assert [i.id for i in some] == [by_state[Q], by_state[U]]


async def test_an_input_is_recovered_as_long_as_its_recovery_is_on_its_way(making):
    cut = [await making.input(), await making.input()]
    other = await making.input()

    async def recovered() -> tuple[set[str], int]:
        everything = [*cut, other]
        by = await making.read(lambda tx: inputs.recovered_by(tx, everything))
        return set(by), await making.read(lambda tx: inputs.recoveries_of(tx, everything))

    assert await recovered() == (set(), 0)
    recovery = await making.input(
        source=Source.DAEMON, kind=MessageKind.RECOVERY, recovers=tuple(cut)
    )
    assert await recovered() == (set(cut), 1)
    texts = {recovery: "again"}
    await making.write(lambda tx: inputs.attempt(tx, texts, batch_id="b", thread_id="th"))
    await making.write(lambda tx: inputs.see(tx, [recovery], thread_id="th", turn_id="t2", now=2))
    assert await recovered() == (set(cut), 1)
    running = Turn(
        thread_id="th", id="t2", actor_id=MANAGER0, status=TurnStatus.IN_PROGRESS, started_at=1
    )
    await making.write(lambda tx: turns.start(tx, running))
    assert await recovered() == (set(cut), 1)
    await making.write(
        lambda tx: turns.complete(tx, "th", "t2", status=TurnStatus.INTERRUPTED, completed_at=None)
    )
    assert await recovered() == (set(), 1)
    await making.input(source=Source.DAEMON, kind=MessageKind.RECOVERY, recovers=(cut[0],))
    assert await recovered() == ({cut[0]}, 2)


class Inputs(RuleBasedStateMachine):
    """Random walks over a few inputs against a model of nothing but their states."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.model: dict[str, InputStatus] = {}
        path = Path(self.folder.name) / "meta.db"
        clock = ManualClock()
        self.database = self.runner.run(
            Database.open(path, backups=path.parent / "backups", clock=clock)
        )
        self.making = Making(self.database, CountingIds(), clock)
        self.runner.run(self.making.first_actors())

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.folder.cleanup()

    @precondition(lambda self: len(self.model) < 4)
    @rule()
    def post(self) -> None:
        self.model[self.runner.run(self.making.input(target="worker1"))] = Q

    @precondition(lambda self: self.model)
    @rule(data=st.data(), to=st.sampled_from(list(InputStatus)))
    def move(self, data: st.DataObject, to: InputStatus) -> None:
        chosen = data.draw(
            st.lists(st.sampled_from(sorted(self.model)), min_size=1, max_size=3), label="inputs"
        )

        async def body(tx) -> None:
            if to is H:
                await inputs.hand(tx, chosen, now=5)
            elif to is S:
                await inputs.see(tx, chosen, thread_id="th", turn_id="turn", now=5)
            elif to is Q:
                await inputs.requeue(tx, chosen, reason="again", now=5)
            else:
                await inputs.settle(tx, chosen, to, now=5)

        if all(to in WAYS[self.model[each]] for each in chosen):
            self.runner.run(self.database.write(body))
            self.model.update(dict.fromkeys(chosen, to))
        else:
            with pytest.raises(Conflict):
                self.runner.run(self.database.write(body))

    @invariant()
    def rows_agree(self) -> None:
        self.runner.run(self.database.read(self.compare))

    async def compare(self, tx) -> None:
        found = await inputs.by_ids(tx, list(self.model))
        assert {each.id: each.status for each in found} == self.model
        assert [each.id for each in found] == list(self.model)
        for each in found:
            (delivery,) = await messages.deliveries_of(tx, each.message_id)
            assert delivery.status is delivery_status(each.status)
            message = await messages.require(tx, each.message_id)
            assert message.status is MessageStatus(MESSAGES.get(each.status, "routed"))
        still = {each for each, status in self.model.items() if status.open}
        assert {each.id for each in await inputs.open_for(tx, "worker1")} == still
        assert (await actors.require(tx, "worker1")).id == draft(target="worker1").target


Inputs.TestCase.settings = settings(
    max_examples=8, stateful_step_count=20, deadline=None, derandomize=True, database=None
)
TestInputs = Inputs.TestCase
