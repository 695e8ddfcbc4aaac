"""Looking up and joining sub-agents' threads, when the engine is slow, refuses or is gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.door import LONGEST_PAUSE, MUTE, Door
from netsky_runtime.codex.app_server.link import ThreadLink
from netsky_runtime.codex.base import HistoryUnavailable
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError, WireError
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from netsky_runtime.codex.app_server.connection import Connection

SLOW = RequestTimedOut("thread/read was not answered within 30 seconds.", sent=True)
BUSY = RpcError(-32001, "Server overloaded; retry later.")
INTERNAL = RpcError(-32603, "something broke inside")
UNKNOWN = RpcError(-32600, "thread not loaded: child")
GONE = PeerClosed("It ended.", sent=True)


class Engine:
    """Answers for a parent with one sub-agent, after the failures it is told to have first."""

    def __init__(self) -> None:
        self.closed = False
        self.received = 0
        self.asked: list[tuple[str, str]] = []
        self.failures: list[WireError] = []
        self.turns: Any = []
        self.rollout = ""
        self.resumed: Callable[[str], None] | None = None
        self.hang: asyncio.Event | None = None

    async def request(self, method: str, params: dict[str, Any], *, deadline: float) -> Any:
        thread_id = params["threadId"]
        self.asked.append((method, thread_id))
        if method == "thread/turns/list":
            raise RpcError(-32601, "method not found")
        if self.failures:
            raise self.failures.pop(0)
        thread: dict[str, Any] = {"id": thread_id, "turns": self.turns, "path": self.rollout}
        if thread_id == "child":
            thread["parentThreadId"] = "parent"
        if method == "thread/resume" and self.resumed is not None:
            self.resumed(thread_id)
        if self.hang is not None:
            self.hang.set()
            await asyncio.Event().wait()
        return {"thread": thread}

    async def close(self) -> None:
        self.closed = True


class Desk:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.engine = Engine()
        self.logged: list[str] = []
        self.door = Door(
            engine_id="e",
            seconds=30,
            turn_seconds=30,
            clock=self.clock,
            log=lambda level, message, fields: self.logged.append(message),
        )
        self.door.opened(cast("Connection", self.engine), (0, 169), None)

    def attach(self) -> ThreadLink:
        link = ThreadLink("parent", ThreadChannel("parent", clock=self.clock), resuming=False)
        self.door.hub.add(link)
        return link

    def ask(self, request_id: int = 7, method: str = approvals.COMMAND) -> None:
        params = {"threadId": "child", "turnId": "u", "itemId": "i"}
        self.door.hub.on_request(request_id, method, params)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def told(link: ThreadLink) -> list[CodexEvent]:
    link.end(None)
    return [event async for event in link.channel]


@pytest.mark.parametrize("failure", [SLOW, BUSY, INTERNAL])
async def test_a_question_outlives_look_ups_that_fail(desk: Desk, failure: WireError) -> None:
    link = desk.attach()
    desk.engine.failures = [failure] * 4

    desk.ask()
    await desk.clock.advance(LONGEST_PAUSE)

    assert list(link.questions) == ["7"]


async def test_a_question_of_a_thread_codex_does_not_know_is_forsaken_at_once(desk: Desk) -> None:
    link = desk.attach()
    desk.engine.failures = [UNKNOWN]

    desk.ask()
    await desk.clock.advance(10 * LONGEST_PAUSE)

    assert link.questions == {}
    assert desk.engine.asked == [("thread/read", "child")]
    assert "a question of a thread that is not netsky's is left to others" in desk.logged


async def test_nobody_is_looked_up_any_more_when_the_connection_has_ended(desk: Desk) -> None:
    desk.engine.failures = [SLOW, GONE]
    desk.ask()
    await settle()
    desk.engine.closed = True

    await desk.clock.advance(10 * LONGEST_PAUSE)

    assert len(desk.engine.asked) == 2
    assert desk.clock.sleepers == 0


async def test_a_sub_agent_that_could_not_be_joined_is_joined_later(desk: Desk) -> None:
    link = desk.attach()
    desk.engine.failures = [SLOW]
    # What Codex does: a resume of the child repeats the child's question.
    desk.engine.resumed = lambda thread_id: desk.ask()

    await desk.door.adopt("child", "parent")
    assert link.questions == {}
    await desk.clock.advance(LONGEST_PAUSE)

    assert list(link.questions) == ["7"]
    assert desk.engine.asked == [("thread/resume", "child")] * 2
    started = [e for e in await told(link) if e.kind is EventKind.THREAD_STARTED]
    assert len(started) == 1


async def test_a_question_waits_for_a_parent_that_is_not_attached_yet(desk: Desk) -> None:
    desk.ask()
    await settle()
    assert desk.door.hub.parents == {"child": "parent"}

    link = desk.attach()
    await desk.door.adopt("child", "parent")

    assert list(link.questions) == ["7"]


async def test_a_repeated_question_waits_for_the_patch_it_is_about(desk: Desk) -> None:
    desk.attach()
    await desk.door.adopt("child", "parent")
    link = desk.attach()
    changes = [{"path": "/p/f", "kind": {"type": "add"}, "diff": "one\n"}]
    patch = {"id": "i", "type": "fileChange", "changes": changes}
    desk.engine.turns = [{"id": "u", "items": [patch]}]
    desk.engine.resumed = lambda thread_id: desk.ask(method=approvals.FILE_CHANGE)

    await desk.door.adopt("child", "parent")

    [asked] = [e for e in await told(link) if e.kind is EventKind.APPROVAL_REQUESTED]
    assert "+one\n" in asked.data["patch"]


async def test_what_a_sub_agent_used_meanwhile_is_told_as_its_own(
    desk: Desk, tmp_path: Path
) -> None:
    link = desk.attach()
    rollout = tmp_path / "rollout.jsonl"
    rollout.write_text(
        '{"type":"event_msg","payload":{"type":"token_count",'
        '"info":{"total_token_usage":{"total_tokens":120}}}}\n'
    )
    desk.engine.rollout = str(rollout)
    desk.engine.turns = [{"id": "u", "status": "completed"}]

    await desk.door.adopt("child", "parent")

    used = (await told(link))[-1]
    assert (used.kind, used.thread_id, used.turn_id) == (EventKind.USAGE, "child", "u")
    assert used.data["total_tokens"] == 120


async def test_questions_are_let_go_when_joining_is_cancelled(desk: Desk) -> None:
    link = desk.attach()
    desk.engine.resumed = lambda thread_id: desk.ask()
    desk.engine.hang = asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        joining = asyncio.ensure_future(desk.door.adopt("child", "parent"))
        await desk.engine.hang.wait()
        joining.cancel()
        await asyncio.wait({joining})

    assert list(link.questions) == ["7"]


@pytest.mark.parametrize("turns", [5, ["?"], [{"id": "u", "items": 5}]])
async def test_a_history_of_a_strange_shape_is_said_to_be_unreadable(
    desk: Desk, turns: Any
) -> None:
    desk.engine.turns = turns

    with pytest.raises(HistoryUnavailable, match="another shape than is known"):
        await desk.door.history("parent")


async def unanswered(desk: Desk, *, after: float) -> None:
    await desk.clock.advance(after)
    desk.engine.failures = [SLOW]
    with pytest.raises(RequestTimedOut):
        await desk.door.status("parent")


async def test_an_engine_that_answers_nobody_and_says_nothing_is_hung_up_on(desk: Desk) -> None:
    link = desk.attach()
    for _ in range(MUTE):
        await unanswered(desk, after=30)
    assert desk.door.usable
    await unanswered(desk, after=30)
    await settle()
    assert not desk.door.usable
    (lost,) = [event async for event in link.channel]
    assert lost.kind is EventKind.SESSION_LOST
    assert lost.data["reason"] == "Codex has answered nobody for 90 s."


async def test_an_engine_that_still_tells_of_anything_is_not(desk: Desk) -> None:
    desk.attach()
    for _ in range(3 * MUTE):
        await unanswered(desk, after=29)
        desk.engine.received += 1
    assert desk.door.usable
