"""Every tool in the hands of every kind of actor, through both doors: what is done, what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.agents import tools
from netsky_runtime.agents.authority import Role
from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.hiring import Limits
from netsky_runtime.agents.launch import new_session
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.db import actors, sessions
from netsky_runtime.records import MANAGER0, Actor, Session
from netsky_runtime.settings import Settings
from netsky_runtime.states import ActorKind, RuntimeName, ToolsDoor
from netsky_runtime.tool_verbs import ToolVerbs
from netsky_runtime.verbs import VerbTable
from tests.support.society import Society, society

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from netsky_runtime.db.connection import Tx

# worker1 (t1) is manager0's; manager1 has worker2 (t2) and worker3 (t3); worker9 is a sidecar.
WHO = {
    "manager0": Role.MANAGER0,
    "manager1": Role.MANAGER,
    "worker2": Role.WORKER,
    "worker9": Role.SIDECAR,
}
NEW = {"title": "Paint", "body": "green"}
YES, NO = True, False
TABLE: list[tuple[str, dict[str, Any], dict[str, bool]]] = [
    ("start_manager", {"objective": "o"}, {"manager0": YES, "manager1": NO, "worker2": NO}),
    ("start_worker", NEW, {"manager0": YES, "manager1": YES, "worker2": NO}),
    ("start_worker", {**NEW, "cwd": "/etc"}, {"manager0": NO, "manager1": NO, "worker2": NO}),
    ("list_tasks", {}, {"manager0": YES, "manager1": YES, "worker2": YES}),
    (
        "update_task",
        {"id": "t1", "status": "done"},
        {"manager0": YES, "manager1": NO, "worker2": NO},
    ),
    (
        "update_task",
        {"id": "t2", "status": "done"},
        {"manager0": YES, "manager1": YES, "worker2": NO},
    ),
    (
        "update_task",
        {"id": "t2", "status": "reported"},
        {"manager0": NO, "manager1": NO, "worker2": YES},
    ),
    (
        "update_task",
        {"id": "t3", "status": "reported"},
        {"manager0": NO, "manager1": NO, "worker2": NO},
    ),
    (
        "update_task",
        {"id": "t2", "priority": "P0"},
        {"manager0": YES, "manager1": YES, "worker2": NO},
    ),
    (
        "update_task",
        {"id": "t2", "note": "why"},
        {"manager0": YES, "manager1": YES, "worker2": YES},
    ),
    (
        "send_message",
        {"to": "worker1", "body": "b"},
        {"manager0": YES, "manager1": NO, "worker2": NO},
    ),
    (
        "send_message",
        {"to": "worker3", "body": "b"},
        {"manager0": YES, "manager1": YES, "worker2": NO},
    ),
    (
        "send_message",
        {"to": "manager1", "body": "b"},
        {"manager0": YES, "manager1": NO, "worker2": YES},
    ),
    (
        "send_message",
        {"to": "manager0", "body": "b"},
        {"manager0": NO, "manager1": YES, "worker2": NO},
    ),
    (
        "send_message",
        {"to": "owner", "body": "b"},
        {"manager0": YES, "manager1": NO, "worker2": NO},
    ),
    ("add_note", {"body": "b"}, {"manager0": YES, "manager1": YES, "worker2": YES}),
    (
        "add_note",
        {"body": "b", "task_id": "t1"},
        {"manager0": YES, "manager1": NO, "worker2": NO},
    ),
    ("ask_owner", {"question": "q?"}, {"manager0": YES, "manager1": YES, "worker2": YES}),
]
OWNERS = ("approvals_decide", "settings_set", "rules_add", "stop", "update", "send", "codex_run")
"""What is the owner's alone is no tool of anybody."""


class Fleet:
    """A small fleet, whose calls come through one of the two doors."""

    def __init__(self, people: Society, folder: Path, door: ToolsDoor) -> None:
        self.people = people
        self._door = door
        self._calls = 0
        limits = Limits(max_live_workers=9, work_dir=folder, allowed_roots=(folder.resolve(),))
        toolbox = Toolbox(
            database=people.database,
            delegation=Delegation(
                clock=people.clock, ids=people.ids, limits=limits, new_session=self._session
            ),
            clock=people.clock,
            ids=people.ids,
            wake=lambda _actor_id: None,
        )
        self._call_tool = toolbox.call
        verbs = ToolVerbs(
            database=people.database, call_tool=toolbox.call, turn_of=lambda _actor_id: "turn"
        )
        self._verbs = VerbTable(verbs.table())

    def _session(self, actor: Actor, **options: Any) -> Session:
        return new_session(
            actor,
            Settings(),
            runtime=RuntimeName.SCRIPTED,
            ids=self.people.ids,
            now=self.people.clock.now(),
            model=options.get("model", ""),
        )

    async def call(
        self, actor_id: str, tool: str, arguments: dict[str, Any], *, thread_id: str = ""
    ) -> tuple[str, bool]:
        """Return what the model is told, and whether it was done."""
        self._calls += 1
        if self._door is ToolsDoor.DYNAMIC:  # Codex's connection says whose thread it is
            result = await self._call_tool(
                actor_id=actor_id,
                thread_id=thread_id or f"thread-{actor_id}",
                turn_id="turn",
                call_id=f"call{self._calls}",
                tool=tool,
                arguments=arguments,
            )
            return result.text, result.success
        session = await self.people.database.read(lambda tx: sessions.current(tx, actor_id))
        assert session is not None
        told = await self._verbs(
            "tools.call",
            {
                "token": session.token,
                "call_id": f"call{self._calls}",
                "thread_id": thread_id or f"thread-{actor_id}",
                "tool": tool,
                "arguments": arguments,
            },
        )
        return told["text"], told["success"]

    async def written(self) -> list[tuple[Any, ...]]:
        """Return every row that a tool could have an effect on."""

        async def body(tx: Tx) -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = []
            for table in ("actors", "tasks", "messages", "actor_inputs", "notes", "settings"):
                cursor = await tx.execute(f"SELECT * FROM {table}")
                found += [(table, *row) for row in await cursor.fetchall()]
            return found

        return await self.people.database.read(body)


@pytest.fixture(params=[ToolsDoor.DYNAMIC, ToolsDoor.MCP], ids=lambda door: door.value)
async def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    async with society(tmp_path) as people:
        manager0 = await people.actor(MANAGER0)
        await people.database.write(
            lambda tx: actors.set_cwd(tx, manager0.id, str(tmp_path), now=1)
        )
        await people.hire("manager1", MANAGER0, cwd=str(tmp_path))
        for number, manager_id in ((1, MANAGER0), (2, "manager1"), (3, "manager1")):
            await people.hire(f"worker{number}", manager_id)
            await people.give(f"worker{number}", manager_id)
        now = people.clock.now()
        aside = replace(manager0, id="worker9", kind=ActorKind.SIDECAR, manager_id=MANAGER0)
        aside = replace(aside, created_at=now, updated_at=now)
        await people.database.write(lambda tx: actors.insert(tx, aside))
        for name in (MANAGER0, "manager1", "worker1", "worker2", "worker3", "worker9"):
            await people.thread(name)
        yield Fleet(people, tmp_path, request.param)


def allowed() -> list[Any]:
    """Return every call that is to be done."""
    return [
        pytest.param(who, tool, arguments, id=f"{who} {tool} {list(arguments.values())}")
        for tool, arguments, may in TABLE
        for who in WHO
        if may.get(who, NO)
    ]


def test_the_table_knows_every_tool_and_every_role() -> None:
    assert {tool for tool, _, _ in TABLE} == set(tools.TOOLS)
    assert set(WHO.values()) == set(Role)


@pytest.mark.parametrize(("who", "tool", "arguments"), allowed())
async def test_what_an_actor_may_do_is_done(
    fleet: Fleet, who: str, tool: str, arguments: dict[str, Any]
) -> None:
    text, done = await fleet.call(who, tool, arguments)
    assert done, text


@pytest.mark.parametrize("who", WHO)
async def test_what_an_actor_may_not_do_changes_nothing(fleet: Fleet, who: str) -> None:
    refused = [(tool, arguments) for tool, arguments, may in TABLE if not may.get(who, NO)]
    before = await fleet.written()
    for tool, arguments in [*refused, *((tool, {}) for tool in OWNERS)]:
        text, done = await fleet.call(who, tool, arguments)
        assert not done, (tool, arguments, text)
    assert await fleet.written() == before


@pytest.mark.parametrize("who", ["worker2", "manager1"])
async def test_nobody_calls_in_the_name_of_another_s_thread(fleet: Fleet, who: str) -> None:
    before = await fleet.written()
    text, done = await fleet.call(who, "add_note", {"body": "b"}, thread_id="thread-manager0")
    assert (done, await fleet.written()) == (False, before)
    assert "does not speak for" in text
