"""A thread of an mcp-server at the edges of its turns: asked, ended and let go of once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from netsky_runtime.codex.base import (
    LaunchSpec,
    NoActiveTurn,
    RuntimeFailure,
    ThreadUnavailable,
    TurnRunning,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.mcp_server import approvals, normalise
from netsky_runtime.codex.mcp_server.calls import Call
from netsky_runtime.codex.mcp_server.hub import Hub
from netsky_runtime.codex.mcp_server.session import McpServerSession
from netsky_runtime.codex.mcp_server.thread import Thread, note
from netsky_runtime.codex.mcp_server.tool import Answer
from netsky_runtime.states import DecisionWord, TurnStatus
from tests.codex.rollout_files import line
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.codex.channel import ThreadChannel
    from netsky_runtime.codex.mcp_server.door import Door

SPEC = LaunchSpec(cwd="/w", instructions="", sandbox="read-only", approval_policy="on-request")
ASKED = {"call_id": "c", "command": ["make"], "cwd": "/w", "parsed_cmd": []}


class Stand:
    """A thread with a name, and the hub through which Codex speaks of it."""

    engine_id = "e"
    pid = 1

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.cancelled: list[Call] = []
        self.hub = Hub(
            clock=self.clock,
            log=lambda *_: None,
            refuse=lambda *_: None,
            reply=lambda *_: None,
        )
        self.thread = Thread(SPEC, clock=self.clock)
        self.hub.add(self.thread)
        self.hub.name(self.thread, "th")

    async def cancel(self, call: Call) -> None:
        self.cancelled.append(call)

    def tell(self, kind: str, turn_id: str = "t1", **members: Any) -> None:
        message = {"type": kind, "turn_id": turn_id, **members}
        params = {"_meta": {"threadId": "th"}, "id": turn_id, "msg": message}
        self.hub.on_notification(normalise.EVENT, params)

    def ask(self, **announced: Any) -> None:
        self.tell(normalise.COMMAND_ASKED, **ASKED, **announced)
        params = {
            "threadId": "th",
            "codex_elicitation": "exec-approval",
            "codex_call_id": "c",
            "codex_event_id": "t1",
            "codex_command": ["make"],
            "codex_cwd": "/w",
        }
        self.hub.on_request(7, approvals.METHOD, params)

    def heard(self, words: str, turn_id: str) -> None:
        item = {"type": "UserMessage", "id": words, "content": [{"type": "text", "text": words}]}
        self.tell("item_completed", turn_id, item=item)

    def called(self, text: str = "hello", batch_id: str = "b") -> Call:
        """Let words of netsky's be on their way."""
        begun: asyncio.Future[RuntimeFailure | None] = asyncio.get_running_loop().create_future()
        call = Call(id=f"call of {text}", text=text, batch_id=batch_id, begun=begun)
        self.thread.calls.add(call)
        return call

    def session(self, home: Path) -> McpServerSession:
        door = cast("Door", self)
        return McpServerSession(door=door, thread=self.thread, codex_home=home, clock=self.clock)


@pytest.fixture
def stand() -> Stand:
    return Stand()


async def told(channel: ThreadChannel, *kinds: EventKind) -> list[CodexEvent]:
    channel.end(None)
    return [event async for event in channel if event.kind in kinds]


async def test_whoever_attaches_is_asked_what_the_one_before_was(stand: Stand) -> None:
    first = stand.thread.attach()
    stand.tell("task_started")
    stand.ask()
    again = stand.thread.attach()
    [asked] = await told(first, EventKind.APPROVAL_REQUESTED)
    [repeated] = await told(again, EventKind.APPROVAL_REQUESTED)
    assert (repeated.turn_id, repeated.data) == (asked.turn_id, asked.data)


async def test_a_question_is_told_as_over_with_its_turn(stand: Stand) -> None:
    channel = stand.thread.attach()
    stand.tell("task_started")
    stand.ask()
    stand.tell("turn_aborted", reason="interrupted")
    assert stand.thread.questions == {}
    ended = await told(channel, EventKind.TURN_COMPLETED, EventKind.APPROVAL_RESOLVED)
    assert [event.kind for event in ended] == [
        EventKind.TURN_COMPLETED,
        EventKind.APPROVAL_RESOLVED,
    ]


async def test_a_turn_that_is_over_does_not_begin_again(stand: Stand) -> None:
    """Two calls that read may change the places of its start and its end."""
    channel = stand.thread.attach()
    stand.tell("task_complete")
    stand.tell("task_started")
    assert stand.thread.active_turn == ""
    assert await told(channel, EventKind.TURN_STARTED) == []


async def test_an_end_that_cannot_be_read_is_looked_for_in_history(stand: Stand) -> None:
    channel = stand.thread.attach()
    stand.tell("task_started")
    stand.tell("turn_aborted", completed_at=1e308)  # no moment that there is
    assert stand.thread.active_turn == ""
    assert len(await told(channel, EventKind.RESYNC)) == 1


async def test_what_codex_does_not_list_is_not_on_offer_but_declining(stand: Stand) -> None:
    channel = stand.thread.attach()
    stand.tell("task_started")
    stand.ask(available_decisions=["approved"])
    [asked] = await told(channel, EventKind.APPROVAL_REQUESTED)
    assert asked.data["available_decisions"] == ["accept", "decline"]


@pytest.mark.parametrize("word", [DecisionWord.DECLINE, DecisionWord.CANCEL])
async def test_a_command_that_was_not_allowed_is_told_as_declined(
    stand: Stand, word: DecisionWord
) -> None:
    channel = stand.thread.attach()
    stand.tell("task_started")
    stand.ask()
    stand.thread.decided(stand.thread.questions["7"], word)
    [item] = await told(channel, EventKind.ITEM_COMPLETED)
    assert (item.item_id, item.data["status"]) == ("c", "declined")


async def test_words_on_their_way_are_told_when_the_process_ends(stand: Stand) -> None:
    call = stand.called()
    lost = ThreadUnavailable("it ended")
    stand.thread.end("it ended", lambda: lost)
    assert call.begun.result() is lost


async def test_only_the_turn_that_runs_is_interrupted(stand: Stand, tmp_path: Path) -> None:
    session = stand.session(tmp_path)
    call = stand.called()
    stand.tell("task_started")
    with pytest.raises(NoActiveTurn):
        await session.interrupt("the one before")
    assert stand.cancelled == []
    await session.interrupt("t1")
    assert stand.cancelled == [call]


async def test_a_thread_is_not_let_go_of_while_codex_may_work_on_it(
    stand: Stand, tmp_path: Path
) -> None:
    """Another door would be its second writer."""
    session = stand.session(tmp_path)
    stand.tell("task_started")
    with pytest.raises(TurnRunning):
        await session.release()
    stand.tell("task_complete")
    stand.thread.unread = True
    with pytest.raises(ThreadUnavailable, match="may be working"):
        await session.release()
    stand.thread.unread = False
    await session.release()
    assert stand.hub.thread("th") is None


async def test_words_that_only_let_codex_read_hold_no_thread_after_an_interrupt(
    stand: Stand,
) -> None:
    """They went with the turn they were put into, and their call is never answered."""
    first = stand.called("first")
    stand.tell("task_started", "t1")
    failed = Answer(thread_id="th", text="The model broke.", failed=True)
    stand.thread.answered(first, failed, stand.clock.now())
    second = stand.called("second")
    silent = Answer(thread_id="th", text="", failed=False)
    assert stand.thread.answered(second, silent, stand.clock.now())  # nobody reads: so more is said
    stand.called(note(SPEC), batch_id="")
    stand.tell("task_started", "t2")
    stand.heard("second", "t2")
    assert second.begun.done()

    stand.tell("turn_aborted", "t2", reason="interrupted")

    assert not stand.thread.busy
    third = stand.called("third")
    stand.tell("task_started", "t3")
    assert (third.begun.done(), third.turn_id) == (True, "t3")


@pytest.mark.parametrize("written", [True, False])
async def test_history_shows_a_turn_as_it_was_told_to_end(
    stand: Stand, tmp_path: Path, written: bool
) -> None:
    """A failed turn is answered at its error, before Codex writes its end down."""
    rollout = tmp_path / "rollout.jsonl"
    stand.thread.configured = {"rollout_path": str(rollout)}
    call = stand.called()
    begun = [line("event_msg/task_started", turn_id="t1")]
    end = [
        line("event_msg/error", message="The model broke."),
        line("event_msg/task_complete", turn_id="t1"),
    ]
    rollout.write_bytes(b"".join(said + b"\n" for said in [*begun, *(end if written else [])]))
    stand.tell("task_started")
    stand.thread.answered(
        call, Answer(thread_id="th", text="The model broke.", failed=True), stand.clock.now()
    )

    [turn] = await stand.session(tmp_path).history()

    assert (turn.status, turn.error) == (TurnStatus.FAILED, "The model broke.")
    assert turn.completed_at is not None


async def test_a_turn_that_nobody_reads_is_not_taken_for_one_that_a_crash_cut(
    stand: Stand, tmp_path: Path
) -> None:
    """Codex works on it, and writes it down, though it tells nothing of it."""
    rollout = tmp_path / "rollout.jsonl"
    stand.thread.configured = {"rollout_path": str(rollout)}
    rollout.write_bytes(line("event_msg/task_started", turn_id="t1") + b"\n")
    silent = Answer(thread_id="th", text="", failed=False)
    stand.thread.answered(stand.called(), silent, stand.clock.now())
    stand.thread.answered(stand.called(note(SPEC), batch_id=""), silent, stand.clock.now())
    assert not stand.thread.busy

    [turn] = await stand.session(tmp_path).history()

    assert turn.status is TurnStatus.IN_PROGRESS
