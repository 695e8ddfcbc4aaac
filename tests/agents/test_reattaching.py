"""Threads that are let go of and attached anew on purpose, and actors that are parked."""

import asyncio

import pytest

from netsky_runtime.agents import fleet as fleet_module
from netsky_runtime.agents import runner, runners
from netsky_runtime.codex.base import Capabilities
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, sessions
from netsky_runtime.errors import Conflict, NotFound, Refused
from netsky_runtime.states import ActorStatus, InputStatus, SessionState
from tests.support.crew import crew
from tests.support.fakes import settle
from tests.support.patience import PATIENCE


async def session_of(fleet, actor_id="manager0"):
    return await fleet.database.read(lambda tx: sessions.current(tx, actor_id))


async def test_an_idle_thread_is_loaded_afresh_and_works_on(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[one]"))
        before = fleet.fleet.session_of("manager0")
        assert await fleet.fleet.reattach("manager0", "it looked stuck")
        after = fleet.fleet.session_of("manager0")
        assert after is not before
        assert after.thread_id == before.thread_id
        assert (await session_of(fleet)).state is SessionState.LIVE
        assert (await fleet.reply_to(await fleet.send("SAY[two]"))).body == "two"
        assert ("warning", "thread is attached anew") in [line[:2] for line in fleet.lines]


async def test_a_thread_with_a_running_turn_is_attached_anew_and_the_turn_goes_on(tmp_path):
    async with crew(tmp_path) as fleet:
        asked = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        assert not await fleet.fleet.reattach("manager0", "no word for long")
        await fleet.decide(question)
        assert (await fleet.reply_to(asked)).body == "made"
        assert (await fleet.input(asked)).attempts == 1


async def test_a_door_that_forgets_what_it_lets_go_of_keeps_the_thread(tmp_path, monkeypatch):
    real = ScriptedRuntime.capabilities
    forgets = Capabilities(
        **{
            name: getattr(real, name)
            for name in Capabilities.__dataclass_fields__
            if name not in {"resume", "lacks"}
        },
        resume=False,
        lacks={"resume": "it cannot"},
    )
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[one]"))
        monkeypatch.setattr(ScriptedRuntime, "capabilities", forgets)
        assert not await fleet.fleet.reattach("manager0", "it looked stuck")
        assert (await fleet.reply_to(await fleet.send("SAY[two]"))).body == "two"


async def test_whoever_has_no_thread_to_attach_is_named(tmp_path):
    async with crew(tmp_path) as fleet:
        with pytest.raises(NotFound):
            await fleet.fleet.reattach("worker9", "why")
        await fleet.hire("SAY[done]")
        await fleet.fleet.stop_actor("worker1")
        with pytest.raises(Conflict, match="stopped"):
            await fleet.fleet.reattach("worker1", "why")
        with pytest.raises(Conflict, match="stopped"):
            await fleet.fleet.park("worker1", "why")
        with pytest.raises(Refused):
            await fleet.fleet.park("owner", "why")


async def test_a_parked_actor_gets_no_work_until_it_is_resumed(tmp_path):
    async with crew(tmp_path) as fleet:
        running = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        await fleet.fleet.park("manager0", "the turn did not end")
        actor = await fleet.database.read(lambda tx: actors.require(tx, "manager0"))
        assert (actor.status, actor.park_reason) == (ActorStatus.PARKED, "the turn did not end")
        waiting = await fleet.send("SAY[later]")
        await fleet.decide(question)
        assert (await fleet.reply_to(running)).body == "made"
        left = await fleet.input(waiting)
        assert (left.status, left.attempts) == (InputStatus.QUEUED, 0)
        await fleet.fleet.resume_actor("manager0")
        assert (await fleet.reply_to(waiting)).body == "later"


@pytest.mark.parametrize("gives_up", [False, True])
async def test_an_actor_whose_thread_does_not_let_go_is_attached_anew_once_it_has(
    tmp_path, monkeypatch, gives_up
):
    """An engine that does not answer: letting go of it outlasts whoever asked for it."""
    monkeypatch.setattr(fleet_module, "REATTACH_SECONDS", 0.05)
    monkeypatch.setattr(runners, "END_SECONDS", 0.05)
    monkeypatch.setattr(runner, "CLOSE_SECONDS", 60.0)
    letting_go, gone = asyncio.Event(), asyncio.Event()
    real = ScriptedSession.close

    async def deaf(self):
        letting_go.set()
        await gone.wait()
        await real(self)

    async with crew(tmp_path) as fleet:
        asked = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        before = fleet.fleet.session_of("manager0")
        with monkeypatch.context() as mute:
            mute.setattr(ScriptedSession, "close", deaf)
            again = asyncio.ensure_future(fleet.fleet.reattach("manager0", "no word for long"))
            async with asyncio.timeout(PATIENCE):
                await letting_go.wait()
                if gives_up:
                    again.cancel()
                await asyncio.wait([again])
            gone.set()
        async with asyncio.timeout(PATIENCE):
            while fleet.fleet.session_of("manager0") in {None, before}:
                await settle()
        await fleet.decide(question)
        assert (await fleet.reply_to(asked)).body == "made"


async def test_an_actor_whose_runner_is_ended_before_it_begins_gets_another(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.fleet.close()
        await fleet.fleet.start()
        await fleet.fleet.close()
        await fleet.fleet.start()
        assert (await fleet.reply_to(await fleet.send("SAY[here]"))).body == "here"


async def test_a_parked_actor_is_attached_again_as_often_as_it_is_lost_while_its_turn_runs(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(runner, "BACKOFF", (0.0,))
    async with crew(tmp_path) as fleet:
        asked = await fleet.send("ASK[make] SAY[made]")
        question = await fleet.question()
        await fleet.fleet.park("manager0", "its budget is spent")
        for _ in range(3):
            before = fleet.fleet.session_of("manager0")
            before.lost("the connection was lost")  # what carries the thread lives on
            async with asyncio.timeout(PATIENCE):
                while fleet.fleet.session_of("manager0") in {None, before}:
                    await settle()
        await fleet.decide(question)
        assert (await fleet.reply_to(asked)).body == "made"
        fleet.fleet.session_of("manager0").lost("the connection was lost")
        async with asyncio.timeout(PATIENCE):
            while fleet.fleet._runners:  # nothing is left to be heard
                await settle()
