"""How a running turn lives, as its rows tell: facts, pulses and rungs, without reading them all."""

import pytest

from netsky_runtime.db import events, rows, rungs, turns, vitals
from netsky_runtime.records import Turn
from netsky_runtime.states import Evidence, RungName, RungOutcome, TurnStatus
from netsky_runtime.vital_records import Vital


async def running(making, *facts):
    turn = Turn(
        thread_id="th",
        id="t",
        actor_id="worker1",
        status=TurnStatus.IN_PROGRESS,
        started_at=1,
    )
    await making.write(lambda tx: turns.start(tx, turn))
    told = [("th", "t", item, kind, "worker1", at, data) for item, kind, at, data in facts]
    await making.write(lambda tx: events.upsert_many(tx, told))


async def life(making) -> Vital:
    found = await making.read(vitals.of_running)
    return found["th", "t"]


COMMAND = '{"type": "command"}'


async def test_the_newest_sign_and_the_item_that_is_open_are_told(making):
    await running(
        making,
        ("", "turn.started", 10, "{}"),
        ("i", "item.started", 20, COMMAND),
        ("", "usage", 30, "{}"),
        ("", "rate_limits", 90, "{}"),
        ("", "warning", 95, "{}"),
    )
    assert await life(making) == Vital(fact="usage", fact_at=30, item="command")


async def test_an_item_that_is_completed_is_open_no_more(making):
    await running(making, ("i", "item.started", 20, COMMAND), ("i", "item.completed", 25, COMMAND))
    assert await life(making) == Vital(fact="item.completed", fact_at=25)


async def test_a_turn_of_which_nothing_was_told_has_no_sign(making):
    await running(making)
    assert await life(making) == Vital()


async def test_a_pulse_counts_for_its_own_turn_only(making):
    await running(making)

    async def beat(tx, turn_id, at):
        await rungs.beat(
            tx,
            actor_id="worker1",
            thread_id="th",
            turn_id=turn_id,
            evidence=Evidence.HISTORY,
            at=at,
        )

    await making.write(lambda tx: beat(tx, "t", 40))
    assert await life(making) == Vital(pulse=Evidence.HISTORY, pulse_at=40)
    await making.write(lambda tx: beat(tx, "another", 50))
    assert await life(making) == Vital()


@pytest.mark.parametrize(
    ("outcome", "silent"),
    [(RungOutcome.HELPED, False), (RungOutcome.NO_CHANGE, True), (RungOutcome.FAILED, True)],
)
async def test_a_turn_is_silent_from_its_first_rung_until_one_has_helped(making, outcome, silent):
    await running(making)

    async def begin(tx):
        return await rungs.begin(
            tx,
            actor_id="worker1",
            thread_id="th",
            turn_id="t",
            rung=RungName.RECONCILE,
            evidence="silence",
            now=5,
        )

    seq = await making.write(begin)
    assert (await life(making)).silent
    await making.write(lambda tx: rungs.end(tx, seq, outcome, detail="so", now=6))
    assert (await life(making)).silent is silent


async def test_rungs_are_told_newest_first_and_an_interrupt_is_found_by_its_turn(making):
    async def climb(tx):
        for rung in (RungName.RECONCILE, RungName.INTERRUPT):
            seq = await rungs.begin(
                tx,
                actor_id="worker1",
                thread_id="th",
                turn_id="t",
                rung=rung,
                evidence="silence",
                now=5,
            )
        return seq

    seq = await making.write(climb)
    found = await making.read(lambda tx: rungs.last_of(tx, "worker1", limit=9))
    assert [rung.rung for rung in found] == [RungName.INTERRUPT, RungName.RECONCILE]
    assert await making.read(lambda tx: rungs.interrupt_of(tx, "th", "t")) is None
    await making.write(lambda tx: rungs.say(tx, seq, now=5))
    await making.write(lambda tx: rungs.leave(tx, reason="netsky ended meanwhile", now=6))
    assert (await making.read(lambda tx: rungs.interrupt_of(tx, "th", "t"))).seq == seq
    assert await making.read(lambda tx: rungs.interrupt_of(tx, "th", "other")) is None
    await making.write(lambda tx: rungs.say(tx, seq, now=None))
    assert await making.read(lambda tx: rungs.interrupt_of(tx, "th", "t")) is None


async def test_a_long_turn_is_not_read_to_tell_how_it_lives(making):
    await running(making)
    steps = [
        row["detail"]
        for row in await making.read(
            lambda tx: rows.many(tx, f"EXPLAIN QUERY PLAN {vitals.OF_RUNNING}")
        )
    ]
    reads = [step for step in steps if "events" in step and "events_by_actor" not in step]
    assert reads
    assert all("COVERING INDEX" in step or step == "SEARCH events" for step in reads)
    assert [step for step in steps if "TEMP B-TREE" in step] == []
