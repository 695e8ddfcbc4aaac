"""The daemon's side: whose token it is, from which thread and turn, and what is done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from netsky_runtime import tool_verbs
from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.hiring import Limits
from netsky_runtime.agents.launch import new_session
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.control import protocol
from netsky_runtime.db import notes, sessions
from netsky_runtime.errors import NetskyError, Refused, UsageError
from netsky_runtime.records import MANAGER0, OWNER, Actor, Session
from netsky_runtime.settings import Settings
from netsky_runtime.states import ActorStatus, RuntimeName, ToolsDoor
from netsky_runtime.tool_verbs import ToolVerbs
from netsky_runtime.verbs import VerbTable
from tests.support.patience import PATIENCE
from tests.support.society import Society, society

NOTE = {"body": "milk"}


@dataclass
class Scene:
    """A real database and toolbox behind the verbs."""

    people: Society
    woken: list[str] = field(default_factory=list)
    turns: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        folder = Path("/")
        limits = Limits(max_live_workers=3, work_dir=folder, allowed_roots=(folder,))
        delegation = Delegation(
            clock=self.people.clock, ids=self.people.ids, limits=limits, new_session=self._new
        )
        toolbox = Toolbox(
            database=self.people.database,
            delegation=delegation,
            clock=self.people.clock,
            ids=self.people.ids,
            wake=self.woken.append,
        )
        verbs = ToolVerbs(
            database=self.people.database,
            call_tool=toolbox.call,
            turn_of=lambda actor_id: self.turns.get(actor_id, ""),
        )
        self.verbs = VerbTable(verbs.table())

    def _new(self, actor: Actor, **options: Any) -> Session:
        return new_session(
            actor,
            Settings(),
            runtime=RuntimeName.SCRIPTED,
            ids=self.people.ids,
            now=self.people.clock.now(),
        )

    async def session(self, actor_id: str) -> Session:
        """Give an actor a session whose thread has no name yet."""
        session = self._new(await self.people.actor(actor_id))
        await self.people.database.write(lambda tx: sessions.insert(tx, session))
        return session

    async def name(self, session: Session, thread_id: str) -> None:
        await self.people.database.write(
            lambda tx: sessions.bind_thread(
                tx, session.id, thread_id=thread_id, engine_id="", tools_door=ToolsDoor.MCP, now=1
            )
        )

    async def call(self, token: str, **changes: Any) -> Mapping[str, Any]:
        params = {"token": token, "call_id": "c1", "tool": "add_note", "arguments": NOTE}
        return await self.verbs("tools.call", {**params, **changes})

    async def notes(self) -> list[str]:
        found = await self.people.database.read(lambda tx: notes.list_(tx, limit=10))
        return [note.body for note in found]

    async def recorded(self) -> list[tuple[str, str, str]]:
        """Return thread, turn and call of every recorded call."""

        async def body(tx: Any) -> Any:
            cursor = await tx.execute("SELECT thread_id, turn_id, call_id FROM tool_calls")
            return [tuple(row) for row in await cursor.fetchall()]

        return await self.people.database.read(body)


@asynccontextmanager
async def made(folder: Path) -> AsyncIterator[Scene]:
    async with society(folder) as people:
        await people.hire("manager1", MANAGER0, cwd=str(folder))
        await people.hire("worker1", MANAGER0, cwd=str(folder))
        yield Scene(people)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with made(tmp_path) as scene:
        yield scene


@pytest.mark.parametrize(
    ("actor_id", "has", "has_not"),
    [
        (MANAGER0, {"start_manager", "start_worker"}, set()),
        ("manager1", {"start_worker", "list_tasks"}, {"start_manager"}),
        ("worker1", {"add_note", "ask_owner"}, {"start_worker", "start_manager"}),
    ],
)
async def test_a_token_is_given_the_tools_of_its_actors_role(
    scene: Scene, actor_id: str, has: set[str], has_not: set[str]
) -> None:
    session = await scene.session(actor_id)
    listed = await scene.verbs("tools.list", {"token": session.token})
    names = {tool["name"] for tool in listed["tools"]}
    assert has <= names
    assert not has_not & names
    assert all(
        tool["description"] and tool["schema"]["type"] == "object" for tool in listed["tools"]
    )


@pytest.mark.parametrize(("token", "refusal"), [("", UsageError), ("nobody's", Refused)])
async def test_a_token_of_nobody_is_refused(
    scene: Scene, token: str, refusal: type[NetskyError]
) -> None:
    await scene.people.thread("worker1")
    old = "UPDATE sessions SET token = ''"  # as a session of an older netsky has it
    await scene.people.database.write(lambda tx: tx.execute(old))
    with pytest.raises(refusal):
        await scene.verbs("tools.list", {"token": token})
    with pytest.raises(refusal):
        await scene.call(token)
    assert await scene.recorded() == []


async def test_a_token_whose_session_is_over_is_refused(scene: Scene) -> None:
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    await scene.people.database.write(lambda tx: sessions.end(tx, session.id, reason="r", now=2))
    with pytest.raises(Refused, match="over"):
        await scene.call(session.token)
    with pytest.raises(Refused):
        await scene.verbs("tools.list", {"token": session.token})
    assert await scene.notes() == []


async def test_a_call_of_a_stopped_actor_has_no_effect_and_is_told_so(scene: Scene) -> None:
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    await scene.people.set_status("worker1", ActorStatus.STOPPED)
    told = await scene.call(session.token)
    assert not told["success"]
    assert "stopped" in told["text"]
    assert await scene.notes() == []


async def test_a_call_is_done_for_the_tokens_actor_and_recorded_with_what_codex_told(
    scene: Scene,
) -> None:
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    scene.turns["worker1"] = "another-turn"
    told = await scene.call(session.token, thread_id="thread-a", turn_id="turn-b")
    assert told == {"text": "Kept as n1.", "success": True}
    assert await scene.notes() == ["milk"]
    assert await scene.recorded() == [("thread-a", "turn-b", "c1")]


async def test_where_codex_tells_nothing_it_is_the_turn_that_runs_in_the_sessions_thread(
    scene: Scene,
) -> None:
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    scene.turns["worker1"] = "turn-b"
    await scene.call(session.token)
    assert await scene.recorded() == [("thread-a", "turn-b", "c1")]


async def test_the_same_call_asked_again_is_answered_from_the_record(scene: Scene) -> None:
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    both = await asyncio.gather(
        scene.call(session.token, turn_id="turn-b"), scene.call(session.token, turn_id="turn-b")
    )
    third = await scene.call(session.token, turn_id="turn-b")
    assert both == [third, third]
    assert await scene.notes() == ["milk"]


async def test_what_a_role_may_not_do_is_refused_in_words(scene: Scene) -> None:
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    told = await scene.call(
        session.token, tool="start_worker", arguments={"title": "t", "body": "b"}
    )
    assert not told["success"]
    assert "start_worker" in told["text"]
    assert scene.woken == []


async def test_a_call_that_is_quicker_than_its_threads_name_waits_for_it(scene: Scene) -> None:
    session = await scene.session("worker1")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        called = group.create_task(scene.call(session.token, thread_id="thread-a"))
        untold = group.create_task(scene.call(session.token, call_id="c2"))
        await scene.people.post(OWNER, "worker1")  # a commit that names nothing
        assert not called.done()
        await scene.name(session, "thread-a")
    assert called.result()["success"]
    assert untold.result()["success"]
    assert {thread for thread, _, _ in await scene.recorded()} == {"thread-a"}


async def test_a_thread_that_stays_unknown_is_refused(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tool_verbs, "NAME_SECONDS", 0.01)
    session = await scene.session("worker1")
    await scene.name(session, "thread-a")
    told = await scene.call(session.token, thread_id="thread-of-nobody")
    assert not told["success"]
    assert "does not speak for worker1" in told["text"]
    assert await scene.notes() == []


async def test_a_thread_of_another_actor_is_refused(scene: Scene) -> None:
    session = await scene.session("worker1")
    other = await scene.session("manager1")
    await scene.name(session, "thread-a")
    await scene.name(other, "thread-b")
    told = await scene.call(session.token, thread_id="thread-b")
    assert not told["success"]
    assert await scene.notes() == []


def test_a_token_is_in_no_description_of_a_request() -> None:
    call = protocol.ToolsCall(token="secret", call_id="c", tool="t", arguments={})
    assert "secret" not in f"{call!r} {call} {protocol.ToolsList(token='secret')!r}"


async def test_a_token_is_in_no_error_about_a_request(scene: Scene) -> None:
    with pytest.raises(UsageError) as caught:
        await scene.verbs("tools.call", {"token": ["secret"], "call_id": "c"})
    assert "secret" not in str(caught.value)
