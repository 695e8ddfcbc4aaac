"""Who is looked after: what is a sign of life of a turn, who is excused, and time that was lost."""

import asyncio
from typing import Any

import pytest

from netsky_runtime.agents.pulses import SIGNS, Pulses
from netsky_runtime.agents.restart_policy import AT_ONCE
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.codex.base import ToolResult
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.db import inputs, rungs, sessions, vitals
from netsky_runtime.errors import DatabaseError
from netsky_runtime.states import InputStatus
from tests.support.crew import crew
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE
from tests.support.watched import passes, stored

ITEM = {"type": "command", "command": "make"}


def event(kind: EventKind, *, thread: str = "th", turn: str = "t", **data: Any) -> CodexEvent:
    return CodexEvent(kind, thread, 1, turn, str(data.pop("item", "")), data)


async def followed(clock: ManualClock) -> Pulses:
    pulses = Pulses(clock=clock)
    pulses.follow("a", "th", "t", mute=False)
    await clock.advance(100)
    return pulses


def silence(pulses: Pulses, clock: ManualClock) -> float:
    pulse = pulses.of("a")
    assert pulse is not None
    return clock.monotonic() - pulse.heard


@pytest.mark.parametrize("kind", sorted(SIGNS))
async def test_what_the_turn_does_is_a_sign_of_life(kind):
    clock = ManualClock()
    pulses = await followed(clock)
    pulses.hear("a", "th", event(kind, total_tokens=7))
    assert (silence(pulses, clock), pulses.signs("a")) == (0, 1)


@pytest.mark.parametrize("kind", sorted(set(EventKind) - SIGNS))
async def test_what_merely_comes_by_is_no_sign_of_life(kind):
    clock = ManualClock()
    pulses = await followed(clock)
    pulses.hear("a", "th", event(kind))
    assert (silence(pulses, clock), pulses.signs("a")) == (100, 0)


@pytest.mark.parametrize(("thread", "turn"), [("another", "t"), ("th", "earlier")])
async def test_other_threads_and_other_turns_are_no_sign_of_life(thread, turn):
    clock = ManualClock()
    pulses = await followed(clock)
    pulses.hear("a", "th", event(EventKind.ITEM_COMPLETED, thread=thread, turn=turn, item="i"))
    assert (silence(pulses, clock), pulses.signs("a")) == (100, 0)


async def test_an_item_that_names_no_turn_counts_for_the_one_that_runs():
    clock = ManualClock()
    pulses = await followed(clock)
    pulses.hear("a", "th", event(EventKind.ITEM_COMPLETED, turn="", item="i"))
    assert silence(pulses, clock) == 0


async def test_usage_that_is_repeated_on_resume_is_no_sign_of_life():
    clock = ManualClock()
    pulses = await followed(clock)
    pulses.hear("a", "th", event(EventKind.USAGE, total_tokens=500))
    await clock.advance(50)
    pulses.hear("a", "th", event(EventKind.USAGE, total_tokens=500))
    assert silence(pulses, clock) == 50
    pulses.hear("a", "th", event(EventKind.USAGE, total_tokens=501))
    assert silence(pulses, clock) == 0


async def test_a_command_is_at_work_until_it_is_completed_and_a_message_never_is():
    pulses = await followed(ManualClock())
    pulses.hear("a", "th", event(EventKind.ITEM_STARTED, item="i", **ITEM))
    pulses.hear("a", "th", event(EventKind.ITEM_STARTED, item="j", type="agent_message"))
    assert pulses.of("a").working == {"i": "command"}
    pulses.hear("a", "th", event(EventKind.ITEM_COMPLETED, item="i", **ITEM))
    assert pulses.of("a").working == {}


async def test_a_new_turn_has_nothing_of_the_one_before():
    pulses = await followed(ManualClock())
    pulses.hear("a", "th", event(EventKind.ITEM_STARTED, item="i", **ITEM))
    pulses.hear("a", "th", event(EventKind.TURN_STARTED, turn="next"))
    assert (pulses.of("a").turn_id, pulses.of("a").working) == ("next", {})


def test_the_rows_and_the_watchdog_hold_the_same_facts_for_signs_of_life():
    assert set(vitals.SIGNS) == {kind.value for kind in SIGNS - {EventKind.DELTA}}


async def rungs_of(fleet):
    return await fleet.database.read(lambda tx: rungs.last_of(tx, "manager0", limit=20))


async def test_a_turn_that_waits_for_a_decision_is_never_silent(tmp_path):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await fleet.send("ESC[make deploy] SAY[deployed]")
        asked = await fleet.question()
        fleet.watch()
        await passes(clock, 4_000)
        assert await rungs_of(fleet) == ()
        await fleet.decide(asked)
        assert (await fleet.reply_to(posted)).body == "deployed"


async def test_a_turn_that_waits_for_a_tool_of_netskys_is_never_silent(tmp_path, monkeypatch):
    go = asyncio.Event()

    async def slow(_self, **_call):
        await go.wait()
        return ToolResult(text="done")

    monkeypatch.setattr(Toolbox, "call", slow)
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await fleet.send("TOOL[list_actors {}]ENDTOOL SAY[listed]")
        await fleet.reached(posted, InputStatus.SEEN)
        fleet.watch()
        await passes(clock, 4_000)
        assert await rungs_of(fleet) == ()
        go.set()
        await fleet.reply_to(posted)


async def test_a_screen_that_waits_for_a_human_excuses_its_turn(tmp_path):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.reached(await fleet.send("HANG"), InputStatus.SEEN)

        async def block(tx):
            row = await sessions.current(tx, "manager0")
            await sessions.set_blocked(tx, row.id, "A dialog is open.", now=1)

        await fleet.database.write(block)
        fleet.watch()
        await passes(clock, 1_000)
        assert await rungs_of(fleet) == ()


async def test_a_long_command_has_the_patience_of_commands(tmp_path):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.reached(await fleet.send("HANG"), InputStatus.SEEN)
        thread = fleet.fleet.session_of("manager0")
        started = event(
            EventKind.ITEM_STARTED,
            thread=thread.thread_id,
            turn=thread.active_turn,
            item="i",
            **ITEM,
        )
        fleet.watch()
        await clock.until_sleeping()
        await passes(clock, 5)
        fleet.pulses.hear("manager0", thread.thread_id, started)
        await passes(clock, 1_795)
        assert await rungs_of(fleet) == ()
        await passes(clock, 10)
        (found,) = await rungs_of(fleet)
        assert found.evidence == "no sign of life of its turn for 30 min (command running)"


class Laptop:
    """A machine that can sleep: its boot clock goes on then, the monotonic one does not."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept = 0.0

    def boottime(self) -> float:
        return self.clock.monotonic() + self.slept


async def test_a_laptop_that_slept_climbs_no_ladder_and_everybody_is_reconciled(tmp_path):
    clock = ManualClock()
    laptop = Laptop(clock)
    async with crew(tmp_path, clock=clock, boottime=laptop.boottime) as fleet:
        await fleet.reached(await fleet.send("HANG"), InputStatus.SEEN)
        fleet.watch()
        await clock.until_sleeping()
        await passes(clock, 290)
        laptop.slept = 8 * 3600
        clock.set_by(8 * 3600)
        reconciled = []
        fleet.fleet.reconcile = seen_by(reconciled)
        await passes(clock, 10)
        assert reconciled == ["manager0"]
        await passes(clock, 285)
        assert await rungs_of(fleet) == ()
        await passes(clock, 10)
        assert len(await rungs_of(fleet)) == 1
        (line,) = [line for line in fleet.lines if line[1] == "time was missed"]
        assert line[2] == {"seconds": 28_800.0, "clock set by": 0.0}


async def test_after_a_gap_histories_are_read_some_at_a_time(tmp_path, monkeypatch):
    clock = ManualClock()
    laptop = Laptop(clock)
    async with crew(tmp_path, clock=clock, boottime=laptop.boottime) as fleet:
        everybody = [f"worker{number}" for number in range(3 * AT_ONCE)]
        reads, go, done = [], asyncio.Event(), asyncio.Event()

        async def reconcile(actor_id):
            reads.append(actor_id)
            if len(reads) == len(everybody):
                done.set()
            await go.wait()

        monkeypatch.setattr(fleet.fleet, "attached", lambda: everybody)
        monkeypatch.setattr(fleet.fleet, "wake", lambda _: None)
        monkeypatch.setattr(fleet.fleet, "reconcile", reconcile)
        fleet.watch()
        await clock.until_sleeping()
        laptop.slept = 3_600
        await clock.advance(5)
        await settle()
        assert len(reads) == AT_ONCE
        go.set()
        async with asyncio.timeout(PATIENCE):
            await done.wait()
        assert sorted(reads) == sorted(everybody)


async def test_a_database_that_fails_at_the_start_does_not_end_the_watch(tmp_path, monkeypatch):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        ladder = fleet.watchdog._ladder
        leave, tries = ladder.leave, []

        async def fails_once():
            tries.append(len(tries))
            if len(tries) == 1:
                raise DatabaseError("A transaction took longer than 30 s.")
            await leave()

        monkeypatch.setattr(ladder, "leave", fails_once)
        await fleet.reached(await fleet.send("HANG"), InputStatus.SEEN)
        fleet.watch()
        for _ in range(100):
            await clock.until_sleeping()
            await stored(fleet)
            if await rungs_of(fleet):
                break
            await passes(clock, 5)
        assert len(await rungs_of(fleet)) == 1
        assert tries == [0, 1]
        (line,) = [line for line in fleet.lines if line[1] == "watchdog could not do its work"]
        assert line[2] == {"error": "A transaction took longer than 30 s."}


def seen_by(reconciled):
    async def reconcile(actor_id):
        reconciled.append(actor_id)

    return reconcile


async def test_an_input_that_rests_does_not_wait_for_the_time_of_a_clock_that_was_set_back(
    tmp_path,
):
    clock = ManualClock()
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        fleet.watch()
        await clock.until_sleeping()
        posted = await fleet.send("ERR[unavailable 2] SAY[taken]")

        async def resting(tx):
            row = await inputs.require(tx, posted.input.id)
            return row.status is InputStatus.QUEUED and row.not_before > clock.now()

        await fleet.until(resting)
        clock.set_by(-3600)
        for _ in range(100):
            await stored(fleet)
            if not (await fleet.input(posted)).status.open:
                break
            await passes(clock, 5)
        assert (await fleet.reply_to(posted)).body == "taken"
        (line, *_) = [line for line in fleet.lines if line[1] == "time was missed"]
        assert line[2] == {"seconds": 0.0, "clock set by": -3600.0}
