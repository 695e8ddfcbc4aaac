"""What is done about a turn that hangs: rung by rung, each on its evidence, written down."""

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime import health
from netsky_runtime.agents import move
from netsky_runtime.agents.pulses import Pulse
from netsky_runtime.agents.rungs import BUDGET, ORDER, Climb, Patience, due
from netsky_runtime.codex.base import HistoricItem, HistoryUnavailable, NoActiveTurn
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.scripted.thread import ScriptedThread
from netsky_runtime.db import actors, events, messages, rungs, sessions, turns, views
from netsky_runtime.records import OWNER
from netsky_runtime.states import (
    ActorStatus,
    Evidence,
    HealthState,
    InputMode,
    InputStatus,
    RungName,
    RungOutcome,
    RuntimeName,
    TurnStatus,
)
from tests.support.crew import crew
from tests.support.doors import Door, DoorSession, app_server, mcp_server, resident
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE
from tests.support.watched import passes, stored


async def climbed(fleet, actor_id="manager0"):
    found = await fleet.database.read(lambda tx: rungs.last_of(tx, actor_id, limit=20))
    return [(rung.rung, rung.outcome) for rung in reversed(found)]


async def climbs_to(fleet, clock, rung, outcome, *, within=130):
    """Let time go on until this is the last rung and its outcome; it has so many looks."""
    for _ in range(within):
        await stored(fleet)
        found = await fleet.database.read(lambda tx: rungs.last_of(tx, "manager0", limit=1))
        if found and (found[0].rung, found[0].outcome) == (rung, outcome):
            return
        await passes(clock, 5)
    raise AssertionError(await climbed(fleet))


async def health_of(fleet, actor_id="manager0"):
    return health.of(await fleet.database.read(lambda tx: views.actor_view(tx, actor_id)))


async def hanging(fleet, clock, order="HANG"):
    """Send what makes a turn hang, let the watchdog look, and return the message."""
    posted = await fleet.send(order)
    await fleet.reached(posted, InputStatus.SEEN)
    fleet.watch()
    await clock.until_sleeping()
    return posted


async def test_a_turn_that_hangs_is_reconciled_then_interrupted_and_the_actor_answers_again(
    tmp_path,
):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await hanging(fleet, clock)
        await passes(clock, 299)
        assert await climbed(fleet) == []
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        how = await health_of(fleet)
        assert (how.state, how.reason) == (HealthState.UNHEALTHY, health.SILENT)
        await passes(clock, 306)
        row = await fleet.settled(posted)
        assert row.status is InputStatus.FAILED
        assert "netsky interrupted it: no sign of life of its turn for 10 min" in row.reason
        await climbs_to(fleet, clock, RungName.INTERRUPT, RungOutcome.HELPED)
        assert (await fleet.reply_to(await fleet.send("SAY[back]"))).body == "back"
        assert await climbed(fleet) == [
            (RungName.RECONCILE, RungOutcome.NO_CHANGE),
            (RungName.INTERRUPT, RungOutcome.HELPED),
        ]


async def test_whoever_waits_for_a_turn_that_netsky_interrupted_is_told(tmp_path):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await hanging(fleet, clock)
        await passes(clock, 610)
        row = await fleet.settled(posted)
        reply = await fleet.database.read(lambda tx: messages.require(tx, row.reply_id))
        assert reply.target == OWNER
        assert "The turn failed: netsky interrupted it" in reply.body
        turn = (await fleet.database.read(lambda tx: turns.list_for_actor(tx, "manager0", 1)))[0]
        assert turn.status is TurnStatus.FAILED
        (told,) = fleet.told
        assert told.startswith("manager0 was interrupted: no sign of life of its turn for 10 min")


async def test_a_turn_that_goes_on_after_a_rung_comes_down_the_ladder_and_has_its_patience_again(
    tmp_path,
):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await hanging(fleet, clock)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        await fleet.send("SAY[stirred] HANG", mode=InputMode.STEER)
        await until_stirred(fleet)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.HELPED)
        how = await health_of(fleet)
        assert (how.state, how.reason) == (HealthState.BUSY, health.TURN_RUNNING)
        await passes(clock, 290)
        assert len(await climbed(fleet)) == 1
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        assert len(await climbed(fleet)) == 2


async def until_stirred(fleet):
    """Wait until the steered words are heard of in the turn."""

    async def look(tx):
        found = await events.recent(tx, "manager0", limit=99)
        return sum(event.data.get("type") == "user_message" for event in found) >= 2

    await fleet.until(look)


async def test_a_turn_that_history_shows_at_work_is_not_interrupted(tmp_path, monkeypatch):
    clock = ManualClock(start_ms=2**42)  # after the machine's, which the script's facts go by
    async with crew(tmp_path, clock=clock) as fleet:
        await hanging(fleet, clock)
        thread = fleet.fleet.session_of("manager0")
        told = await thread.history()

        async def grows():
            nonlocal told
            last = told[-1]
            more = HistoricItem(id=f"i{len(last.items)}", type="reasoning", data={"text": "hm"})
            told = [*told[:-1], replace(last, items=(*last.items, more))]
            return told

        monkeypatch.setattr(thread, "history", grows)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        await climbs_to(fleet, clock, RungName.INTERRUPT, RungOutcome.HELPED)
        await passes(clock, 5)
        assert fleet.fleet.running() == {"manager0": thread.active_turn}
        assert (await health_of(fleet)).evidence is Evidence.HISTORY
        assert fleet.told == []


async def test_a_turn_that_is_deaf_climbs_to_the_end_and_its_actor_is_parked_for_the_owner(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(ScriptedThread, "stop", lambda *_: None)
    monkeypatch.setattr(move, "REST_SECONDS", 0.1)
    clock = ManualClock()
    here, there = app_server(tmp_path), resident(tmp_path)
    async with crew(tmp_path, runtime=here, others=[there, mcp_server(tmp_path)], clock=clock) as f:
        await hanging(f, clock)
        for rung in ORDER:
            ends = RungOutcome.FAILED if rung is RungName.MOVE else RungOutcome.NO_CHANGE
            await climbs_to(f, clock, rung, ends)
        actor = await f.database.read(lambda tx: actors.require(tx, "manager0"))
        assert actor.status is ActorStatus.PARKED
        assert actor.park_reason.startswith("Its turn hangs: no sign of life of its turn for ")
        assert [rung for rung, _ in await climbed(f)] == list(ORDER)
        await passes(clock, 3_000)
        assert len(await climbed(f)) == len(ORDER)
        waiting = [line for line in f.lines if line[1] == "turn hangs"]
        assert [line[2]["rung"] for line in waiting] == [rung.value for rung in ORDER]


async def test_an_actor_that_the_owner_brings_back_gets_a_ladder_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(ScriptedThread, "stop", lambda *_: None)
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await hanging(fleet, clock)
        for rung in ORDER:
            ends = RungOutcome.FAILED if rung is RungName.MOVE else RungOutcome.NO_CHANGE
            await climbs_to(fleet, clock, rung, ends)
        await fleet.fleet.resume_actor("manager0")
        await climbs_to(fleet, clock, RungName.PARK, RungOutcome.HELPED)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)


async def test_while_the_runner_brings_a_lost_thread_back_nothing_is_climbed(tmp_path, monkeypatch):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await hanging(fleet, clock)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        with monkeypatch.context() as away:
            away.setattr(fleet.fleet, "session_of", lambda _: None)
            await passes(clock, 1_000)
            assert len(await climbed(fleet)) == 1
        await climbs_to(fleet, clock, RungName.INTERRUPT, RungOutcome.HELPED)


class Unheard(DoorSession):
    """Its door misses the end of a turn, and goes on counting it as running."""

    missed = ""

    async def events(self):
        async for event in self._inner.events():
            if event.kind is EventKind.TURN_COMPLETED and self._door.misses:
                self._door.misses = False
                self.missed = event.turn_id
                self._door.missed.set()
            else:
                yield event

    @property
    def active_turn(self):
        return self.missed or self._inner.active_turn


class Misses(Door):
    def __init__(self, folder):
        super().__init__(RuntimeName.APP_SERVER, folder)
        self.misses = True
        self.missed = asyncio.Event()

    def _enter(self, session, *, named):
        super()._enter(session, named=named)
        return Unheard(self, session, named=named)


async def test_a_turn_whose_end_was_missed_is_settled_by_history_and_its_thread_taken_up_anew(
    tmp_path,
):
    clock = ManualClock()
    door = Misses(tmp_path)
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        posted = await fleet.send("SAY[said]")
        await fleet.reached(posted, InputStatus.SEEN)
        fleet.watch()
        await clock.until_sleeping()
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        assert (await fleet.reply_to(posted)).body == "said"
        await climbs_to(fleet, clock, RungName.REATTACH, RungOutcome.HELPED)
        assert await climbed(fleet) == [
            (RungName.RECONCILE, RungOutcome.NO_CHANGE),
            (RungName.REATTACH, RungOutcome.HELPED),
        ]
        assert (await fleet.reply_to(await fleet.send("SAY[on]"))).body == "on"


async def test_a_turn_that_its_door_has_forgotten_is_settled_and_holds_nobody(tmp_path):
    clock = ManualClock()
    door = Misses(tmp_path)
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        posted = await fleet.send("SAY[said]")
        await fleet.reached(posted, InputStatus.SEEN)
        async with asyncio.timeout(PATIENCE):
            await door.missed.wait()
        fleet.fleet.session_of("manager0").missed = ""
        waits = await fleet.send("SAY[on]")
        fleet.watch()
        await clock.until_sleeping()
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.HELPED)
        assert (await fleet.reply_to(posted)).body == "said"
        assert (await fleet.reply_to(waits)).body == "on"


async def test_a_rung_that_takes_too_long_has_failed_and_the_next_one_is_tried(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(BUDGET, RungName.INTERRUPT, 0.05)
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await hanging(fleet, clock)
        thread = fleet.fleet.session_of("manager0")

        async def never(_):
            await asyncio.Event().wait()

        monkeypatch.setattr(thread, "interrupt", never)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        await climbs_to(fleet, clock, RungName.INTERRUPT, RungOutcome.FAILED)
        await climbs_to(fleet, clock, RungName.REATTACH, RungOutcome.NO_CHANGE)


async def test_a_history_that_cannot_be_read_is_an_outcome_and_silence_alone_interrupts(
    tmp_path, monkeypatch
):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await hanging(fleet, clock)
        thread = fleet.fleet.session_of("manager0")

        async def unreadable():
            raise HistoryUnavailable("It is on another disk.")

        monkeypatch.setattr(thread, "history", unreadable)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.FAILED)
        await passes(clock, 250)
        assert len(await climbed(fleet)) == 1
        await passes(clock, 60)
        assert (await fleet.settled(posted)).status is InputStatus.FAILED


async def test_a_turn_that_codex_was_told_to_stop_has_failed_though_nobody_heard_the_answer(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(BUDGET, RungName.INTERRUPT, 0.05)
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await hanging(fleet, clock)
        thread = fleet.fleet.session_of("manager0")
        turn_id, interrupt = thread.active_turn, thread.interrupt

        async def unanswered(_):
            await asyncio.Event().wait()

        with monkeypatch.context() as mute:
            mute.setattr(thread, "interrupt", unanswered)
            await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
            await climbs_to(fleet, clock, RungName.INTERRUPT, RungOutcome.FAILED)
        await interrupt(turn_id)
        row = await fleet.settled(posted)
        assert row.status is InputStatus.FAILED
        assert "netsky interrupted it: no sign of life of its turn for 10 min" in row.reason


async def test_a_rung_that_could_tell_codex_nothing_has_not_stopped_the_turn(tmp_path, monkeypatch):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await hanging(fleet, clock)
        await climbs_to(fleet, clock, RungName.RECONCILE, RungOutcome.NO_CHANGE)
        thread = fleet.fleet.session_of("manager0")

        async def refuses(_):
            raise NoActiveTurn("No turn runs.")

        with monkeypatch.context() as deaf:
            deaf.setattr(thread, "interrupt", refuses)
            await climbs_to(fleet, clock, RungName.INTERRUPT, RungOutcome.NO_CHANGE)
        await fleet.fleet.interrupt("manager0")
        assert (await fleet.settled(posted)).status is InputStatus.INTERRUPTED


async def test_a_netsky_that_begins_does_not_say_that_a_thread_cannot_be_attached(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        row = await fleet.database.read(lambda tx: sessions.current(tx, "manager0"))
        await fleet.database.write(lambda tx: sessions.set_unattached(tx, row.id, 1))
        fleet.watch()

        async def none(tx):
            return (await sessions.current(tx, "manager0")).unattached_at is None

        await fleet.until(none)


async def test_a_rung_in_whose_middle_netsky_ended_is_shown_as_failed(tmp_path):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.database.write(
            lambda tx: rungs.begin(
                tx,
                actor_id="manager0",
                thread_id="th",
                turn_id="t",
                rung=RungName.REATTACH,
                evidence="no sign of life",
                now=1,
            )
        )
        fleet.watch()

        async def left(tx):
            (found,) = await rungs.last_of(tx, "manager0", limit=1)
            return found if found.outcome is RungOutcome.FAILED else None

        assert (await fleet.until(left)).detail == "netsky ended meanwhile"


@pytest.mark.parametrize(
    ("rung", "outcome", "silent", "since", "expected"),
    [
        (None, "", 299, 0, None),
        (None, "", 300, 0, RungName.RECONCILE),
        (RungName.RECONCILE, "no change", 600, 299, None),
        (RungName.RECONCILE, "no change", 600, 300, RungName.INTERRUPT),
        (RungName.RECONCILE, "failed", 600, 299, None),
        (RungName.RECONCILE, "failed", 600, 300, RungName.INTERRUPT),
        (RungName.INTERRUPT, "no change", 900, 29, None),
        (RungName.INTERRUPT, "no change", 900, 30, RungName.REATTACH),
        (RungName.INTERRUPT, "failed", 900, 0, RungName.REATTACH),
        (RungName.REATTACH, "no change", 900, 30, RungName.MOVE),
        (RungName.MOVE, "failed", 900, 0, RungName.PARK),
        (RungName.PARK, "no change", 9_000, 9_000, None),
    ],
)
def test_no_rung_comes_before_its_evidence(rung, outcome, silent, since, expected):
    climb = Climb(
        actor_id="a",
        thread_id="th",
        turn_id="t",
        signs=0,
        silent_since=10_000 - silent,
        rung=rung,
        outcome=RungOutcome(outcome),
        ended=10_000 - since,
    )
    assert due(climb, patience=300, now=10_000) is expected


@pytest.mark.parametrize(
    ("working", "mute", "seconds"),
    [({}, False, 300), ({"i": "command"}, False, 1_800), ({}, True, 1_800)],
)
def test_work_outside_the_model_and_a_door_without_live_text_have_the_longer_patience(
    working, mute, seconds
):
    pulse = Pulse("th", "t", heard=0, at=0, working=working, mute=mute)
    assert Patience(turn=300, command=1_800).of(pulse) == seconds
