"""What a session on the app-server never does: start a second turn, or forget what is asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.door import Door
from netsky_runtime.codex.app_server.link import ThreadLink
from netsky_runtime.codex.app_server.session import AppServerSession
from netsky_runtime.codex.base import (
    ApprovalGone,
    Batch,
    Decision,
    HistoryUnavailable,
    ThreadUnavailable,
    ToolResult,
    TurnRunning,
)
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.states import DecisionWord, TurnStatus
from netsky_runtime.wire.errors import PeerClosed
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from netsky_runtime.codex.app_server.connection import Connection

BATCH = Batch(id="b", text="hello", input_ids=("i",))
ACCEPT = Decision(word=DecisionWord.ACCEPT)
CUT = {"status": "interrupted", "completedAt": None}
ENDED = {"status": "completed", "completedAt": 5}


class Engine:
    """Says what it is told to say, and keeps what it is asked."""

    closed = False
    received = 0

    def __init__(self) -> None:
        self.status = "idle"
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.replies: list[Any] = []
        self.deaf = False
        """Whether it ends before it has read a reply."""
        self.read = asyncio.Event()
        """Set when it may answer what a thread's status is."""
        self.read.set()
        self.histories: list[dict[str, Any]] = []
        """The thread's one turn as it is shown, look by look; the last is shown for ever."""

    async def request(self, method: str, params: dict[str, Any], *, deadline: float) -> Any:
        self.asked.append((method, params))
        if method == "thread/turns/list":
            shown = self.histories.pop(0) if len(self.histories) > 1 else self.histories[0]
            return {"data": [{"id": "t1", "items": [], **shown}]}
        if method == "thread/read":
            await self.read.wait()
        return {"thread": {"id": "th", "status": {"type": self.status}}, "turn": {"id": "t1"}}

    async def reply(self, request_id: int | str, result: Any) -> None:
        if self.deaf:
            raise PeerClosed("It ended.", sent=True)
        self.replies.append(request_id)

    def methods(self) -> list[str]:
        return [method for method, _ in self.asked]


class Desk:
    """A session of the thread ``th`` on such an engine."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.engine = Engine()
        self.door = Door(
            engine_id="e", seconds=30, turn_seconds=30, clock=clock, log=lambda *_: None
        )
        self.door.opened(cast("Connection", self.engine), (0, 169), None)
        self.link = ThreadLink("th", ThreadChannel("th", clock=clock), resuming=False)
        self.door.hub.add(self.link)
        self.session = AppServerSession(door=self.door, link=self.link)

    def tell(self, method: str) -> None:
        turn = {"id": "t1", **ENDED}
        self.door.hub.on_notification(method, {"threadId": "th", "turn": turn})

    def ask(self, method: str) -> None:
        params = {"threadId": "th", "turnId": "t", "itemId": "i", "callId": "c", "tool": "x"}
        self.door.hub.on_request(7, method, params)


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_turn_that_somebody_else_began_unheard_is_not_steered_by_the_next(
    desk: Desk,
) -> None:
    """``turn/start`` on a busy thread would steer, so the thread is asked first."""
    desk.engine.status = "active"
    with pytest.raises(TurnRunning):
        await desk.session.submit(BATCH)
    assert desk.engine.methods() == ["thread/read"]


async def test_nothing_is_sent_to_a_thread_that_codex_has_unloaded(desk: Desk) -> None:
    desk.engine.status = "notLoaded"
    with pytest.raises(ThreadUnavailable, match="unloaded"):
        await desk.session.submit(BATCH)
    assert desk.engine.methods() == ["thread/read"]


async def test_of_two_turns_that_begin_at_once_one_does(desk: Desk) -> None:
    desk.engine.read.clear()
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        first = group.create_task(desk.session.submit(BATCH))
        await settle()
        with pytest.raises(TurnRunning):
            await desk.session.submit(BATCH)
        desk.engine.read.set()
        await first
    assert desk.engine.methods() == ["thread/read", "turn/start"]


async def test_a_steer_names_the_turn_it_is_for(desk: Desk) -> None:
    await desk.session.steer(BATCH, turn_id="t9")
    [(method, params)] = desk.engine.asked
    assert (method, params["expectedTurnId"]) == ("turn/steer", "t9")
    assert params["clientUserMessageId"] == BATCH.id


async def test_a_review_is_stopped_by_the_turn_inside_it(desk: Desk) -> None:
    """Its items are those of another turn, of which Codex says that it does not run."""
    desk.tell("turn/started")
    item = {"id": "i", "type": "agentMessage", "text": ""}
    params = {"threadId": "th", "turnId": "review", "item": item}
    desk.door.hub.on_notification("item/started", params)
    assert desk.session.active_turn == "review"
    await desk.session.interrupt("review")
    [(method, asked)] = desk.engine.asked
    assert (method, asked["turnId"]) == ("turn/interrupt", "t1")


async def test_a_decision_that_could_not_be_sent_leaves_its_question_open(desk: Desk) -> None:
    desk.ask(approvals.COMMAND)
    desk.engine.deaf = True
    with pytest.raises(ThreadUnavailable):
        await desk.session.decide("7", ACCEPT)
    desk.engine.deaf = False
    await desk.session.decide("7", ACCEPT)
    assert desk.engine.replies == [7]
    with pytest.raises(ApprovalGone):
        await desk.session.decide("7", ACCEPT)
    assert desk.engine.replies == [7]


async def test_a_tools_answer_that_could_not_be_sent_can_be_sent_again(desk: Desk) -> None:
    desk.ask(approvals.TOOL_CALL)
    done = ToolResult(text="done", success=True)
    desk.engine.deaf = True
    with pytest.raises(ThreadUnavailable):
        await desk.session.answer_tool("c", done)
    desk.engine.deaf = False
    await desk.session.answer_tool("c", done)
    assert desk.engine.replies == [7]
    with pytest.raises(ApprovalGone):
        await desk.session.answer_tool("c", done)


async def test_what_a_lost_thread_had_asked_is_out_of_reach_and_not_answered_elsewhere(
    desk: Desk,
) -> None:
    """It may ask again when it is attached: nobody may take its question for gone."""
    desk.ask(approvals.COMMAND)
    desk.door.lost("the engine ended")
    with pytest.raises(ThreadUnavailable):
        await desk.session.decide("7", ACCEPT)
    with pytest.raises(ThreadUnavailable):
        await desk.session.answer_tool("c", ToolResult(text="done", success=True))


async def test_a_lost_thread_s_history_is_unknown_though_another_session_could_ask(
    desk: Desk,
) -> None:
    desk.link.end("the thread was attached to anew")
    with pytest.raises(HistoryUnavailable):
        await desk.session.history()
    assert desk.engine.asked == []


@pytest.mark.parametrize("told", ["before its history is read", "after that"])
async def test_a_turn_that_just_ends_is_not_shown_as_cut_by_a_crash(desk: Desk, told: str) -> None:
    """Codex's history shows it so for some milliseconds, before the end is told."""
    desk.engine.histories = [CUT, ENDED]
    desk.tell("turn/started")
    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        if told.startswith("before"):
            desk.tell("turn/completed")
        reading = group.create_task(desk.session.history())
        await settle()
        if told.startswith("after"):
            desk.tell("turn/completed")
    [turn] = reading.result()
    assert (turn.status, turn.completed_at) == (TurnStatus.COMPLETED, 5_000)


async def test_a_turn_that_was_cut_before_anybody_heard_of_it_is_shown_so_at_once(
    desk: Desk,
) -> None:
    desk.engine.histories = [CUT]
    [turn] = await desk.session.history()
    assert turn.is_cut
    assert desk.engine.methods() == ["thread/turns/list"]
