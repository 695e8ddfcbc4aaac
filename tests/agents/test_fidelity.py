"""A thread comes back with everything it was started with, and says where it did not."""

from dataclasses import fields, replace

import pytest

from netsky_runtime.codex.base import LaunchSpec
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db import actors, sessions
from netsky_runtime.records import MANAGER0
from netsky_runtime.states import RuntimeName
from tests.support.crew import crew

OTHER = {
    "model": "gpt-other",
    "effort": "high",
    "sandbox": "read-only",
    "approval_policy": "untrusted",
    "config": {"model_verbosity": "low", "mcp_servers": {"docs": {"command": "serve"}}},
}
"""What the session asks for, none of it what the settings would."""


@pytest.fixture
def launched(monkeypatch):
    """What threads were started and resumed with, in order."""
    specs = []
    start, resume = ScriptedRuntime.start, ScriptedRuntime.resume

    async def started(self, spec):
        specs.append(spec)
        return await start(self, spec)

    async def resumed(self, thread_id, spec):
        specs.append(spec)
        return await resume(self, thread_id, spec)

    monkeypatch.setattr(ScriptedRuntime, "start", started)
    monkeypatch.setattr(ScriptedRuntime, "resume", resumed)
    return specs


async def launch(fleet, folder):
    """Give manager0 a session of its own kind and a thread."""
    cwd = folder / "elsewhere"
    cwd.mkdir()

    async def make(tx):
        actor = await actors.require(tx, MANAGER0)
        row = fleet.kit.new_session(actor)
        await sessions.insert(tx, replace(row, cwd=str(cwd), **OTHER))

    await fleet.database.write(make)
    await fleet.fleet.start()
    await fleet.reply_to(await fleet.send("SAY[warm]"))


async def session_of(fleet):
    return await fleet.database.read(lambda tx: sessions.current(tx, MANAGER0))


@pytest.mark.parametrize("how", ["restart", "engine death", "reattach"])
async def test_a_thread_comes_back_as_it_was_started(tmp_path, launched, how):
    async with crew(tmp_path, starts=False) as fleet:
        await launch(fleet, tmp_path)
        if how == "engine death":
            before = fleet.fleet.session_of(MANAGER0)
            fleet.runtime.kill()
            await fleet.reply_to(await fleet.send("SAY[again]"))
            assert fleet.fleet.session_of(MANAGER0) is not before
        elif how == "reattach":
            assert await fleet.fleet.reattach(MANAGER0, "why")
    if how == "restart":
        async with crew(tmp_path) as fleet:
            await fleet.fleet.settled(seconds=5)
    started, resumed = launched
    names = [field.name for field in fields(LaunchSpec)]
    asked = {name: getattr(started, name) for name in names}
    assert {name: getattr(resumed, name) for name in names} == asked
    for name in ("model", "effort", "sandbox", "approval_policy"):
        assert asked[name] == OTHER[name]
    assert asked["cwd"] == str(tmp_path / "elsewhere")
    assert asked["config"]["model_verbosity"] == "low"
    assert asked["config"]["mcp_servers"]["docs"] == {"command": "serve"}
    assert asked["instructions"]
    assert asked["tools"]
    assert asked["mark"]


async def test_a_thread_comes_back_through_the_door_it_went_through(tmp_path, launched):
    async with crew(tmp_path, starts=False) as fleet:
        await launch(fleet, tmp_path)
        kept = await session_of(fleet)
    async with crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)
        assert replace(await session_of(fleet), engine_id="") == replace(kept, engine_id="")
        assert kept.runtime is RuntimeName.SCRIPTED


async def test_what_came_back_different_is_recorded_until_it_comes_back_the_same(
    tmp_path, monkeypatch
):
    told = "Model is gpt-mini, asked for was gpt-other."
    async with crew(tmp_path, starts=False) as fleet:
        await launch(fleet, tmp_path)
        assert (await session_of(fleet)).differences == ""
    real = ScriptedRuntime.resume

    async def different(self, thread_id, spec):
        session = await real(self, thread_id, spec)
        session.differences = (told,)
        return session

    with monkeypatch.context() as patch:
        patch.setattr(ScriptedRuntime, "resume", different)
        async with crew(tmp_path) as fleet:
            await fleet.fleet.settled(seconds=5)
            row = await session_of(fleet)
            assert (row.differences, row.model) == (told, "gpt-other")
            said = {"actor": MANAGER0, "differences": told}
            assert ("warning", "thread came back different", said) in fleet.lines
    async with crew(tmp_path) as fleet:
        await fleet.fleet.settled(seconds=5)
        assert (await session_of(fleet)).differences == ""
