"""A terminal that nobody may type into, a door that cannot steer, a model that somebody changed."""

import asyncio

import pytest

from netsky_runtime import health
from netsky_runtime.agents.dispatch import OVERDUE_SECONDS
from netsky_runtime.codex.base import AnswerLost, ThreadBlocked, Unsupported
from netsky_runtime.codex.events import EventKind
from netsky_runtime.db import actors, approvals, events, sessions, views
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.states import ApprovalStatus, HealthState, InputMode, InputStatus
from tests.support.crew import crew
from tests.support.doors import DoorSession, app_server, mcp_server, resident, times_heard
from tests.support.fakes import ManualClock
from tests.support.patience import PATIENCE


async def session_of(fleet, actor_id="manager0"):
    return await fleet.database.read(lambda tx: sessions.current(tx, actor_id))


def said(fleet, message):
    return [fields for _, line, fields in fleet.lines if line == message]


async def health_of(fleet, actor_id="manager0"):
    view = await fleet.database.read(lambda tx: views.actor_view(tx, actor_id))
    return health.derive(
        actor=view.actor,
        session=view.session,
        turn=view.turn,
        pending_since=view.pending_since,
        question_since=view.question_since,
        uncertain=view.uncertain,
        waiting=view.open_inputs,
        last_turn=view.last_turn,
        last_event_at=view.last_event_at,
    )


async def blocked(tx):
    return (await sessions.current(tx, "manager0")).blocked


async def free(tx):
    return not await blocked(tx)


async def test_words_that_could_not_be_typed_wait_and_the_actor_says_why(tmp_path):
    door = resident(tmp_path)
    async with crew(tmp_path, runtime=door) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        door.blocked = "Codex asks which model to use."
        posted = await fleet.send("SAY[typed once]")
        await fleet.until(blocked)
        how = await health_of(fleet)
        assert (how.state, how.reason) == (HealthState.BLOCKED, door.blocked)
        assert how.since == (await session_of(fleet)).blocked_at
        waits = await fleet.input(posted)
        assert (waits.status, waits.turn_id) == (InputStatus.QUEUED, "")
        assert times_heard(tmp_path, posted.input.id) == 0
        door.blocked = ""
        thread.tell(EventKind.BLOCKED, reason="", screen="")
        assert (await fleet.reply_to(posted)).body == "typed once"
        assert fleet.fleet.session_of("manager0") is thread
        assert (await health_of(fleet)).state is HealthState.IDLE


async def test_words_go_at_once_when_the_way_is_free_though_they_were_to_rest(tmp_path):
    door, clock = resident(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        door.blocked = "A dialog is open."
        posted = await fleet.send("SAY[at last]")
        async with asyncio.timeout(PATIENCE):
            await clock.pass_next()
            await clock.until_sleeping()
        door.blocked = ""
        fleet.fleet.session_of("manager0").tell(EventKind.BLOCKED, reason="", screen="")
        assert (await fleet.reply_to(posted)).body == "at last"


async def test_words_are_tried_again_by_themselves_and_free_the_actor_that_told_nothing(tmp_path):
    door, clock = resident(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        door.blocked = "A human is typing."
        posted = await fleet.send("SAY[at last]")
        async with asyncio.timeout(PATIENCE):
            rests = [await clock.pass_next() for _ in range(3)]
        assert rests == [0.5, 1.0, 2.0]
        assert len(said(fleet, "thread is blocked")) == 1
        async with asyncio.timeout(PATIENCE):
            await clock.until_sleeping()
            door.blocked = ""
            await clock.pass_next()
        assert (await fleet.reply_to(posted)).body == "at last"
        await fleet.until(free)


@pytest.mark.parametrize(
    "said",
    [
        AnswerLost("It stands in the composer.", connected=True),
        ThreadBlocked("It stands in the composer."),
    ],
    ids=["as-promised", "as-if-nothing-was-typed"],
)
async def test_words_that_stand_in_the_composer_are_sent_once_whoever_sends_them(tmp_path, said):
    """Also where the door says that it did not type them, as one that is mistaken does."""
    door, clock = resident(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        door.sticks = said
        posted = await fleet.send("SAY[once]")
        await fleet.until(blocked)
        async with asyncio.timeout(PATIENCE):
            await clock.until_sleeping()
        door.sticks = None
        await fleet.fleet.session_of("manager0").press_enter()
        assert (await fleet.reply_to(posted)).body == "once"
        assert (await fleet.reply_to(await fleet.send("SAY[next]"))).body == "next"
        assert times_heard(tmp_path, posted.input.id) == 1


@pytest.mark.parametrize("away", [False, True], ids=["while-netsky-is-there", "while-it-is-not"])
async def test_words_that_stand_in_the_composer_when_netsky_comes_back_are_sent_once(
    tmp_path, away
):
    door, clock = resident(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=door) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        door.sticks = AnswerLost("It stands in the composer.", connected=True)
        posted = await fleet.send("SAY[once]")
        await fleet.until(blocked)
    door.sticks = None
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        await fleet.until(blocked)
        async with asyncio.timeout(PATIENCE):
            await clock.until_sleeping()
        waits = await fleet.input(posted)  # history did not show it: it is to be sent anew
        assert (waits.status, waits.batch_id) == (InputStatus.QUEUED, "")
        thread = fleet.fleet.session_of("manager0")
        if not away:
            await thread.press_enter()
            assert (await fleet.reply_to(posted)).body == "once"
    if away:
        await door.open()
        thread = await door.resume(thread.thread_id, door.specs[-1])
        await thread.press_enter()
        async with asyncio.timeout(PATIENCE):
            while not (await thread.history())[-1].completed_at:
                await anext(aiter(thread.events()))
        await thread.close()
    async with crew(tmp_path, runtime=door) as fleet:
        assert (await fleet.reply_to(posted)).body == "once"
        assert times_heard(tmp_path, posted.input.id) == 1


async def test_words_that_nobody_sends_are_left_to_the_owner_and_found_when_somebody_does(tmp_path):
    door, clock = resident(tmp_path), ManualClock()
    async with crew(tmp_path, runtime=door, clock=clock) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        door.sticks = AnswerLost("It stands in the composer.", connected=True)
        posted = await fleet.send("SAY[once]")
        waited = 0.0
        async with asyncio.timeout(PATIENCE):
            while waited < OVERDUE_SECONDS:
                waited += await clock.pass_next()
        row = await fleet.reached(posted, InputStatus.UNCERTAIN)
        assert (row.attempts, times_heard(tmp_path, row.id)) == (1, 0)
        await fleet.fleet.session_of("manager0").press_enter()
        await fleet.reached(posted, InputStatus.ANSWERED)
        assert times_heard(tmp_path, row.id) == 1


async def test_a_door_that_says_it_is_blocked_shows_why_since_when_and_what_is_on_screen(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        thread.tell(EventKind.BLOCKED, reason="A dialog is open.", screen="1. Yes\n2. No")
        await fleet.until(blocked)
        since = (await session_of(fleet)).blocked_at
        thread.tell(EventKind.BLOCKED, reason="Another dialog is open.", screen="Quit?")

        async def other(tx):
            return (await blocked(tx)).startswith("Another")

        await fleet.until(other)
        assert (await session_of(fleet)).blocked_at == since
        await fleet.facts.flush()
        stored = await fleet.database.read(lambda tx: events.recent(tx, "manager0", limit=200))
        screens = [e.data["screen"] for e in stored if e.kind == EventKind.BLOCKED]
        assert screens[-1] == "Quit?"
        thread.tell(EventKind.BLOCKED, reason="", screen="")
        await fleet.until(free)
        assert (await session_of(fleet)).blocked_at is None


async def test_a_thread_that_is_attached_anew_is_not_blocked_until_its_door_says_so(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        fleet.fleet.session_of("manager0").tell(EventKind.BLOCKED, reason="A dialog.", screen="")
        await fleet.until(blocked)
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        await fleet.until(free)


async def test_steering_waits_for_the_turns_end_where_no_door_can_steer(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        steered = await fleet.send("SAY[afterwards]", mode=InputMode.STEER)
        later = await fleet.send("SAY[last]")
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "made"
        assert (await fleet.reply_to(steered)).body == "afterwards"
        assert (await fleet.reply_to(later)).body == "last"
        first, second = await fleet.input(running), await fleet.input(steered)
        assert first.turn_id != second.turn_id
        assert second.attempts == 1


async def test_interrupt_and_send_waits_where_no_door_can_interrupt(tmp_path):
    door = app_server(tmp_path, interrupt=False)
    async with crew(tmp_path, runtime=door) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        urgent = await fleet.send("SAY[urgent]", mode=InputMode.INTERRUPT)
        waiting = await fleet.database.read(
            lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
        )
        assert [asked.id for asked in waiting] == [question.id]
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "made"
        assert (await fleet.reply_to(urgent)).body == "urgent"


async def test_an_interrupt_that_may_not_be_typed_blocks_the_actor_and_loses_nothing(
    tmp_path, monkeypatch
):
    async def refuse(self, turn_id):
        raise ThreadBlocked("A dialog is open.")

    async with crew(tmp_path, runtime=app_server(tmp_path)) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        thread = fleet.fleet.session_of("manager0")
        monkeypatch.setattr(DoorSession, "interrupt", refuse, raising=False)
        urgent = await fleet.send("SAY[urgent]", mode=InputMode.INTERRUPT)
        await fleet.until(blocked)
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "made"
        assert (await fleet.reply_to(urgent)).body == "urgent"
        assert fleet.fleet.session_of("manager0") is thread
        await fleet.until(free)


async def test_what_an_actors_door_can_do_is_known_before_anything_is_sent(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        await fleet.fleet.settled(seconds=5)
        capabilities = await fleet.fleet.capabilities_of("manager0")
        assert (capabilities.steer, capabilities.tools) == (False, False)
        with pytest.raises(NotFound):
            await fleet.fleet.capabilities_of("worker9")
        assert await fleet.fleet.capabilities_of("owner") is None


async def test_a_model_that_somebody_changed_is_shown_and_logged_once(tmp_path):
    async with crew(tmp_path, runtime=app_server(tmp_path)) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        asked_for = (await session_of(fleet)).model
        for _ in range(2):
            thread.tell(EventKind.MODEL, model="gpt-other")

        async def shown(tx):
            return "gpt-other" in (await sessions.current(tx, "manager0")).differences

        await fleet.until(shown)
        await fleet.reply_to(await fleet.send("SAY[more]"))
        assert len(said(fleet, "model was changed")) == 1
        assert (await session_of(fleet)).model == asked_for


async def test_a_model_that_somebody_changed_back_is_no_difference(tmp_path):
    async with crew(tmp_path, runtime=app_server(tmp_path)) as fleet:

        async def choose(tx):
            worker = await actors.require(tx, "manager0")
            await sessions.insert(tx, fleet.kit.new_session(worker, model="gpt-x"))

        await fleet.fleet.settled(seconds=5)
        await fleet.fleet.close()
        row = await session_of(fleet)
        await fleet.database.write(lambda tx: sessions.end(tx, row.id, reason="over", now=1))
        await fleet.database.write(choose)
        await fleet.fleet.start()
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        thread.tell(EventKind.MODEL, model="gpt-other")

        async def shown(tx):
            return (await sessions.current(tx, "manager0")).differences

        await fleet.until(shown)
        thread.tell(EventKind.MODEL, model="gpt-x")

        async def gone(tx):
            return not await shown(tx)

        await fleet.until(gone)


async def test_codexs_own_screen_is_shown_by_the_door_that_has_one(tmp_path):
    async with crew(tmp_path, runtime=resident(tmp_path)) as fleet:
        with pytest.raises(Conflict, match="no live thread"):
            await fleet.fleet.terminal("manager0")
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread_id = fleet.fleet.session_of("manager0").thread_id
        assert await fleet.fleet.terminal("manager0") == ("codex", "resume", thread_id)
        with pytest.raises(NotFound):
            await fleet.fleet.terminal("worker9")


async def test_a_door_without_a_screen_says_so(tmp_path):
    async with crew(tmp_path, runtime=mcp_server(tmp_path), others=[app_server(tmp_path)]) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        with pytest.raises(Unsupported, match="no screen"):
            await fleet.fleet.terminal("manager0")


async def test_a_fleet_for_one_actor_leaves_the_others_messages_where_they_are(tmp_path):
    async with crew(tmp_path, runtime=app_server(tmp_path)) as fleet:
        await fleet.hire("SAY[one]")
        await fleet.fleet.close()
        await fleet.fleet.start(frozenset({"worker1"}))
        other = await fleet.send("SAY[not now]")
        assert (await fleet.reply_to(await fleet.send("SAY[two]", to="worker1"))).body == "two"
        assert fleet.fleet.session_of("manager0") is None
        assert (await fleet.input(other)).status is InputStatus.QUEUED
