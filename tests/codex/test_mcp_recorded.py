"""Recorded conversations with three mcp-servers, played to a thread: they tell the same."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.codex.base import LaunchSpec
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.mcp_server import approvals, tool
from netsky_runtime.codex.mcp_server.calls import Call
from netsky_runtime.codex.mcp_server.hub import Hub
from netsky_runtime.codex.mcp_server.thread import Thread
from netsky_runtime.states import ApprovalKind, DecisionWord
from tests.codex.recorded import FOLDER
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSIONS = ("0.120.0", "0.145.0", "0.153.4")
OVERLAP = "two overlapping replies on one thread"
WORDS = {"approved": DecisionWord.ACCEPT, "denied": DecisionWord.DECLINE}
ORDERED = (
    EventKind.TURN_STARTED,
    EventKind.ITEM_STARTED,
    EventKind.ITEM_COMPLETED,
    EventKind.APPROVAL_REQUESTED,
    EventKind.APPROVAL_RESOLVED,
    EventKind.TURN_COMPLETED,
)


def entries(version: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield mark, who speaks, and the message, in order."""
    mark = ""
    for line in (FOLDER / f"mcp-{version}.jsonl").read_text().splitlines():
        entry = json.loads(line)
        mark = entry.get("mark", mark)
        if "msg" in entry:
            yield mark, entry["dir"], entry["msg"]


class Player:
    """A thread to which a recorded conversation happens, up to where replies overlap."""

    def __init__(self, version: str) -> None:
        spec = LaunchSpec(
            cwd="/home/operator/project",
            instructions="",
            sandbox="read-only",
            approval_policy="on-request",
        )
        clock = ManualClock()
        self.thread = Thread(spec, clock=clock)
        self.channel = self.thread.attach()
        self.refused: list[tuple[Any, int]] = []
        self.hub = Hub(
            clock=clock,
            log=lambda _level, line, fields: pytest.fail(f"{line}: {fields}"),
            refuse=lambda request, code, _message: self.refused.append((request, code)),
            reply=lambda _request: None,
        )
        self.hub.add(self.thread)
        self.unread: list[bool] = []
        """Of each answer, whether nobody read the thread after it."""
        self._calls: dict[Any, Call] = {}
        self._clock = clock
        for mark, speaker, message in entries(version):
            if mark.startswith(OVERLAP) or mark == "new process: the old thread is gone":
                break
            self._play(speaker, message)

    def _play(self, speaker: str, message: dict[str, Any]) -> None:
        if message.get("method") == "tools/call":
            self._called(message)
        elif speaker == "client" and "result" in message:
            question = self.thread.questions[str(message["id"])]
            self.thread.decided(question, WORDS[message["result"]["decision"]])
        elif message.get("method") == "notifications/cancelled":
            self.thread.stopping(self.thread.active_turn)
        elif speaker == "server" and message.get("method") == "codex/event":
            self.hub.on_notification(message["method"], message["params"])
        elif speaker == "server" and "method" in message:
            self.hub.on_request(message["id"], message["method"], message["params"])
        elif speaker == "server" and message.get("id") in self._calls:
            call, answer = self._calls[message["id"]], tool.answer(message["result"])
            if not answer.unknown_thread:
                self.unread.append(self.thread.answered(call, answer, self._clock.now()))

    def _called(self, message: dict[str, Any]) -> None:
        arguments = message["params"]["arguments"]
        begun = asyncio.get_running_loop().create_future()
        text = arguments["prompt"]
        call = Call(id=message["id"], text=text, batch_id=f"b-{message['id']}", begun=begun)
        self._calls[call.id] = call
        if arguments.get("threadId", self.thread.id) == self.thread.id:
            self.thread.calls.add(call)
            self.hub.expect(call.id, self.thread)

    async def told(self) -> list[CodexEvent]:
        """Return all that the thread has told."""
        self.channel.end(None)
        return [event async for event in self.channel]


def of_turn(told: list[CodexEvent], text: str) -> list[CodexEvent]:
    """Return the events of the turn that heard these words."""
    [turn] = {e.turn_id for e in told if e.data.get("text") == text}
    return [e for e in told if e.turn_id == turn]


def order(events: list[CodexEvent]) -> list[tuple[str, str]]:
    kept = [e for e in events if e.kind in ORDERED]
    return [(e.kind.value, e.data.get("type") or e.data.get("status") or "") for e in kept]


def items(events: list[CodexEvent], kind: str) -> list[dict[str, Any]]:
    done = [e.data for e in events if e.kind is EventKind.ITEM_COMPLETED]
    return [dict(data) for data in done if data["type"] == kind]


@pytest.fixture(params=VERSIONS)
async def player(request: pytest.FixtureRequest) -> Player:
    return Player(request.param)


async def test_a_plain_turn(player: Player) -> None:
    told = await player.told()
    turn = of_turn(told, "hello SAY[<netsky-reply>ready</netsky-reply>]")
    assert order(turn) == [
        ("turn.started", ""),
        ("item.started", "user_message"),
        ("item.completed", "user_message"),
        ("item.started", "agent_message"),
        ("item.completed", "agent_message"),
        ("turn.completed", "completed"),
    ]
    assert items(turn, "user_message")[0]["client_id"] == "b-3"
    assert items(turn, "agent_message")[0]["text"] == "<netsky-reply>ready</netsky-reply>"
    assert {event.thread_id for event in told[1:]} >= {player.thread.id}
    usage = next(event.data for event in told if event.kind is EventKind.USAGE)
    assert usage["total_tokens"] > 0
    assert usage["context_window"]
    assert [e.data for e in told if e.kind is EventKind.UNKNOWN] == []
    assert player.refused == []


async def test_a_command(player: Player) -> None:
    turn = of_turn(await player.told(), "RUN[echo hi && ls]")
    [command] = items(turn, "command")
    assert command["command"] == "/bin/bash -lc 'echo hi && ls'"
    assert command["output"].startswith("hi\n")
    assert (command["exit_code"], command["status"]) == (0, "completed")
    assert order(turn).count(("item.started", "command")) == 1


async def test_questions_carry_all_that_is_needed_to_decide(player: Player) -> None:
    told = await player.told()
    asked = [e.data for e in told if e.kind is EventKind.APPROVAL_REQUESTED]
    kinds = [ApprovalKind.COMMAND, ApprovalKind.COMMAND, ApprovalKind.FILE_CHANGE]
    assert [data["kind"] for data in asked] == kinds
    for data, name in zip(asked, "ab", strict=False):
        assert data["command"] == f"touch /home/operator/project/{name}"
        assert data["cwd"] == "/home/operator/project"
        assert data["reason"] == "needs to write outside the workspace"
        assert {"accept", "decline", "cancel"} <= set(data["available_decisions"])
    assert "hello.txt" in asked[2]["patch"]
    assert "+hello from patch" in asked[2]["patch"]
    resolved = [e.data["request_id"] for e in told if e.kind is EventKind.APPROVAL_RESOLVED]
    assert resolved == [data["request_id"] for data in asked]
    waits = [e.data["flags"] for e in told if e.kind is EventKind.THREAD_STATUS]
    assert waits.count(["waitingOnApproval"]) == 3


async def test_what_was_accepted_is_run_and_what_was_declined_is_told_as_that(
    player: Player,
) -> None:
    told = await player.told()
    accepted = of_turn(told, "ESC[touch /home/operator/project/a]")
    assert [c["status"] for c in items(accepted, "command")] == ["completed"]
    declined = of_turn(told, "ESC[touch /home/operator/project/b]")
    assert [c["status"] for c in items(declined, "command")] == ["declined"]
    patched = of_turn(told, "PATCH please")
    [change] = items(patched, "file_change")
    assert change["status"] == "completed"
    for turn in (accepted, declined, patched):
        assert order(turn)[-1] == ("turn.completed", "completed")


async def test_a_failure_of_the_model_is_told_once_with_its_words(player: Player) -> None:
    turn = of_turn(await player.told(), "FAIL please")
    [end] = [e.data for e in turn if e.kind is EventKind.TURN_COMPLETED]
    assert end["status"] == "failed"
    assert "scripted failure" in end["error"]
    errors = [e.data for e in turn if e.kind is EventKind.ERROR]
    assert [data["will_retry"] for data in errors][-1] is False


async def test_the_call_after_a_failed_turn_reads_only_its_end_and_somebody_has_to_read_on(
    player: Player,
) -> None:
    """In these conversations it is the one that was cancelled."""
    assert player.unread == [False] * 6 + [True]
    [silent] = player.thread.calls.waiting
    assert silent.text == "SLOW5 go"
    ends = [e for e in await player.told() if e.kind is EventKind.TURN_COMPLETED]
    assert len(ends) == len({e.turn_id for e in ends}) == 6


async def test_a_question_of_a_thread_that_is_not_known_is_refused(player: Player) -> None:
    player.hub.on_request("r-9", approvals.METHOD, {"threadId": "of-nobody"})
    assert player.refused == [("r-9", -32602)]
    assert "r-9" not in player.thread.questions
