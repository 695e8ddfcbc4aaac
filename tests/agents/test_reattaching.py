"""Threads that are let go of and attached anew on purpose, and actors that are parked."""

import pytest

from netsky_runtime.codex.base import Capabilities
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db import actors, sessions
from netsky_runtime.errors import Conflict, NotFound, Refused
from netsky_runtime.states import ActorStatus, InputStatus, SessionState
from tests.support.crew import crew


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
