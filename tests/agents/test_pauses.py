"""Pauses of the fleet: by the owner and by Codex's limits, and how it begins again."""

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime.agents.pause import STAGGER_MS, UNTOLD_MS
from netsky_runtime.clock import SystemClock, iso
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import holds, inputs, ledger, messages, pauses, rows, turns
from netsky_runtime.states import InputMode, InputStatus, PauseKind, TurnStatus
from tests.support.crew import crew
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE

HOUR = 3_600


@pytest.fixture
def clock():
    """A clock of the fleet's own, which begins with the machine's: the runtime goes by that."""
    return ManualClock(SystemClock().now())


async def hold_of(fleet, actor_id="manager0"):
    now = fleet.clock.now()
    return await fleet.database.read(lambda tx: holds.of_actor(tx, actor_id, now=now))


async def told_held(fleet):
    async def look(_tx):
        return any(line[1] == "inputs are held" for line in fleet.lines)

    await fleet.until(look)


async def pass_time(fleet, clock, posted, seconds):
    """Let so much time pass that held queues look again; return the settled input."""
    await clock.advance(seconds)
    async with asyncio.timeout(PATIENCE):
        while (row := await fleet.input(posted)).status.open:
            if clock.sleepers:
                await clock.advance(1.0)
            await asyncio.sleep(0)
    return row


async def test_nothing_is_sent_while_the_owner_pauses_and_running_turns_go_on(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("ASK[make] SAY[ran]")
        question = await fleet.question()
        pause = await fleet.pauses.pause(until=None)
        assert (pause.kind, pause.resumes_at) == (PauseKind.OWNER, None)
        late = await fleet.send("SAY[late]", mode=InputMode.INTERRUPT)
        await told_held(fleet)
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "ran"
        assert (await fleet.input(late)).attempts == 0
        assert (await hold_of(fleet)).reason == "paused: by the owner"
        assert [each.seq for each in await fleet.pauses.unpause()] == [pause.seq]
        assert (await fleet.reply_to(late)).body == "late"


async def test_what_is_paused_while_its_thread_is_made_is_not_sent(tmp_path, monkeypatch):
    """A thread takes its time: what held nothing before may hold everything by then."""
    real = ScriptedRuntime.start

    async def start(self, spec):
        await fleet.pauses.pause(until=None)
        return await real(self, spec)

    monkeypatch.setattr(ScriptedRuntime, "start", start)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("SAY[late]")
        await told_held(fleet)
        assert (await fleet.input(posted)).attempts == 0
        await fleet.pauses.unpause()
        assert (await fleet.reply_to(posted)).body == "late"


async def test_what_the_owner_pauses_is_in_the_ledger_and_what_a_limit_does_is_not(tmp_path):
    async with crew(tmp_path) as fleet:
        until = fleet.clock.now() + HOUR * 1_000
        await notice(fleet, 100, until)
        await fleet.pauses.pause(until=None)
        await fleet.pauses.pause(until=until)
        await fleet.pauses.unpause()
        await fleet.pauses.unpause()  # nothing lasts any more
        found = await fleet.database.read(lambda tx: ledger.list_(tx, limit=9))
        assert [(each.kind, dict(each.entry)) for each in found] == [
            ("paused", {"by": "owner", "until": ""}),
            ("paused", {"by": "owner", "until": iso(until)}),
            ("unpaused", {"by": "owner", "ended": "Codex's 5 h limit; by the owner"}),
        ]


async def test_a_pause_with_an_end_is_over_by_itself(tmp_path, clock):
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.pauses.pause(until=clock.now() + 2 * HOUR * 1_000)
        posted = await fleet.send("SAY[waited]")
        await told_held(fleet)
        await clock.advance(HOUR)
        assert (await fleet.input(posted)).attempts == 0
        row = await pass_time(fleet, clock, posted, HOUR)
        assert row.status is InputStatus.ANSWERED


async def test_a_clock_that_was_set_forward_ends_a_pause_within_a_minute(tmp_path, clock):
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.pauses.pause(until=clock.now() + 5 * HOUR * 1_000)
        posted = await fleet.send("SAY[waited]")
        await told_held(fleet)
        clock.set_by(5 * HOUR)
        row = await pass_time(fleet, clock, posted, 60)
        assert row.status is InputStatus.ANSWERED


async def test_a_restart_keeps_the_pause(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.pauses.pause(until=None)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("SAY[late]")
        await told_held(fleet)
        assert (await fleet.input(posted)).attempts == 0
        await fleet.pauses.unpause()
        await fleet.reply_to(posted)


async def test_a_turn_that_fails_by_a_limit_goes_on_at_the_reset_and_is_not_sent_twice(
    tmp_path, clock
):
    async with crew(tmp_path, clock=clock) as fleet:
        posted = await fleet.send(f"LIMIT{HOUR} SAY[done]")

        async def cut(tx):
            return [t for t in await turns.list_for_actor(tx, "manager0", 9) if t.completed_at]

        (failed,) = await fleet.until(cut)
        assert failed.status is TurnStatus.FAILED
        original = await fleet.input(posted)
        assert original.status is InputStatus.SEEN
        assert original.reason == "its turn was ended by Codex's usage limit"
        hold = await hold_of(fleet)
        assert "Codex's 5 h limit" in hold.reason
        assert abs(hold.until - clock.now() - HOUR * 1_000) < 10_000
        said = await fleet.database.read(lambda tx: messages.recent(tx, limit=9))
        assert [m.sender for _, m in said] == ["owner", "netsky"]

        row = await pass_time(fleet, clock, posted, HOUR + 1)
        assert row.status is InputStatus.ANSWERED
        history = await fleet.fleet.session_of("manager0").history()
        shown = [i.text for turn in history for i in turn.items if i.type == "user_message"]
        assert sum(posted.input.id in text for text in shown) == 1


async def notice(fleet, used, resets_at):
    window = {"usedPercent": used, "windowDurationMins": 300, "resetsAt": resets_at / 1_000}
    await fleet.pauses.noticed({"rateLimits": {"primary": window, "secondary": None}})


async def test_a_notice_pauses_at_a_hundred_percent_and_again_only_for_another_reset(tmp_path):
    async with crew(tmp_path) as fleet:
        reset = fleet.clock.now() + HOUR * 1_000
        await notice(fleet, 99.5, reset)
        assert await hold_of(fleet) is None
        await notice(fleet, 100, fleet.clock.now() - 1)
        assert await hold_of(fleet) is None
        await notice(fleet, 100, reset)
        assert (await hold_of(fleet)).until == reset
        await fleet.pauses.unpause()
        await notice(fleet, 100, reset + 3_000)
        assert await hold_of(fleet) is None
        await notice(fleet, 100, reset + HOUR * 1_000)
        assert (await hold_of(fleet)).until == reset + HOUR * 1_000


async def test_a_limit_whose_reset_nobody_told_rests_a_quarter_of_an_hour(tmp_path):
    async with crew(tmp_path) as fleet:
        now = fleet.clock.now()
        await fleet.database.write(lambda tx: fleet.pauses.limited(tx, at=now - UNTOLD_MS))
        assert await hold_of(fleet) is None  # it is long past
        await fleet.database.write(lambda tx: fleet.pauses.limited(tx, at=now))
        assert (await hold_of(fleet)).until == now + UNTOLD_MS


async def test_an_error_tells_of_the_limit_where_the_turns_end_does_not(tmp_path, monkeypatch):
    real = ScriptedSession.receive

    def receive(self, event):
        if event.kind is EventKind.TURN_COMPLETED and event.data["usage_limit"]:
            told = {"message": "limit", "will_retry": False, "usage_limit": True}
            real(
                self,
                CodexEvent(EventKind.ERROR, event.thread_id, event.at, event.turn_id, "", told),
            )
            event = CodexEvent(
                event.kind,
                event.thread_id,
                event.at,
                event.turn_id,
                "",
                {**event.data, "usage_limit": False},
            )
        real(self, event)

    monkeypatch.setattr(ScriptedSession, "receive", receive)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send(f"LIMIT{HOUR}")

        async def recovered(tx):
            return await inputs.recovered_by(tx, [posted.input.id])

        assert await fleet.until(recovered) == (posted.input.id,)


async def test_a_limit_that_netsky_did_not_hear_of_is_found_in_history(tmp_path, monkeypatch):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("ASK[make] LIMIT900")
        question = await fleet.question()
        over = asyncio.Event()

        def receive(self, event):
            if event.kind is EventKind.TURN_COMPLETED:
                self.active_turn = ""
                over.set()

        monkeypatch.setattr(ScriptedSession, "receive", receive)
        await fleet.decide(question)
        await asyncio.wait_for(over.wait(), 5)
        await fleet.fleet.reconcile("manager0")
        ids = [posted.input.id]
        recovered = await fleet.database.read(lambda tx: inputs.recovered_by(tx, ids))
        assert recovered == (posted.input.id,)
        assert "was not told" in (await hold_of(fleet)).reason


async def test_a_limited_turn_goes_on_though_the_threads_history_does_not_tell_the_limit(
    tmp_path, monkeypatch
):
    real = ScriptedSession.history

    async def history(self):
        return tuple(replace(turn, usage_limit=False) for turn in await real(self))

    monkeypatch.setattr(ScriptedSession, "history", history)
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("LIMIT3600 SAY[done]")
        ids = [posted.input.id]
        await fleet.until(lambda tx: inputs.recovered_by(tx, ids))
        await fleet.fleet.reconcile("manager0")
        original = await fleet.input(posted)
        assert original.status is InputStatus.SEEN
        assert original.reason == "its turn was ended by Codex's usage limit"
    async with crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)
        assert (await fleet.input(posted)).status is InputStatus.SEEN
        await fleet.pauses.unpause()
        assert (await fleet.reply_to(posted)).body == "done"


async def test_a_limits_pause_that_the_owner_ended_does_not_begin_again_by_another_look(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("LIMIT3600 SAY[done]")
        ids = [posted.input.id]
        await fleet.until(lambda tx: inputs.recovered_by(tx, ids))
        await fleet.fleet.park("manager0", "its recovery waits")
        assert await fleet.pauses.unpause()
        await fleet.fleet.reconcile("manager0")
        assert await hold_of(fleet) is None
    async with crew(tmp_path) as fleet:  # which was not told when the limit resets
        await fleet.fleet.resume_actor("manager0")
        assert (await fleet.reply_to(posted)).body == "done"


async def test_a_limit_that_resets_sooner_than_one_whose_pause_was_ended_pauses_too(tmp_path):
    async with crew(tmp_path) as fleet:
        now = fleet.clock.now()
        await notice(fleet, 100, now + 7 * 24 * HOUR * 1_000)
        await fleet.pauses.unpause()
        await notice(fleet, 100, now + HOUR * 1_000)
        assert (await hold_of(fleet)).until == now + HOUR * 1_000


async def test_after_a_pause_actors_begin_one_after_the_other_and_manager0_first(tmp_path, clock):
    async with crew(tmp_path, clock=clock) as fleet:
        await fleet.hire("SAY[hello]")
        await fleet.hire("SAY[hello]")
        await fleet.pauses.pause(until=None)
        names = ("worker2", "manager0", "worker1")
        for name in names:
            await fleet.send("SAY[go]", to=name)
        await fleet.pauses.unpause()
        over = clock.now()

        async def due(tx, actor_id):
            hold = await fleet.kit.gate(tx, actor_id)
            return 0 if hold is None else hold.until - over

        waits = {}
        for name in names:
            waits[name] = await fleet.database.read(lambda tx, n=name: due(tx, n))
        assert waits == {"manager0": 0, "worker1": STAGGER_MS, "worker2": 2 * STAGGER_MS}


async def test_pauses_of_long_ago_are_not_walked_through(tmp_path):
    async with crew(tmp_path) as fleet:
        for query in (pauses._CURRENT, pauses._OPEN_OF_KIND, pauses._ENDED):

            async def plan(tx, query=query):
                asked = [0, 0][: 2 if "?2" in query else 1]
                found = await rows.many(tx, f"EXPLAIN QUERY PLAN {query}", *asked)
                return " ".join(row["detail"] for row in found)

            assert "SEARCH pauses USING INDEX" in await fleet.database.read(plan)


async def test_pauses_that_overlap_last_until_the_last_of_them(tmp_path):
    async with crew(tmp_path) as fleet:
        now = fleet.clock.now()
        await notice(fleet, 100, now + HOUR * 1_000)
        await fleet.pauses.pause(until=now + 2 * HOUR * 1_000)
        assert (await hold_of(fleet)).until == now + 2 * HOUR * 1_000
        over = await fleet.pauses.unpause()
        assert {each.kind for each in over} == {PauseKind.OWNER, PauseKind.LIMIT}
        later = fleet.clock.now()
        assert await fleet.database.read(lambda tx: pauses.current(tx, later)) is None
