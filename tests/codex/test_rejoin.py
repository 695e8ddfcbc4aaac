"""Attaching to a thread again: what is asked, what comes along, and what a refusal means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from netsky_runtime.codex.app_server import rejoin
from netsky_runtime.codex.app_server.door import Door
from netsky_runtime.codex.app_server.link import ThreadLink
from netsky_runtime.codex.base import ThreadGone, ThreadUnavailable
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.wire.errors import RpcError
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.codex.app_server.connection import Connection

# What real Codexes say, 0.120 to 0.169.
NO_ROLLOUT = RpcError(-32600, "no rollout found for thread id t")
NOT_ARCHIVED = RpcError(-32600, "no archived rollout found for thread id t")
HELD = RpcError(-32600, "thread t already has an active writer")
NOT_LOADED = RpcError(-32600, "thread not loaded: t")
BEGINNING = RpcError(-32600, "list_turns is not supported yet")
NO_ID = RpcError(-32600, "invalid session id: invalid length: found 0")
DRAINING = RpcError(-32001, "draining", {"reason": "serverShuttingDown"})
RUNNING = {"id": "u2", "status": "inProgress"}
ANSWER = {"thread": {"id": "t"}, "initialTurnsPage": {"data": [RUNNING]}}


def told(status: str) -> dict[str, Any]:
    return {"thread": {"id": "t", "status": {"type": status}}}


class Engine:
    """Gives each method's answers in turn, the last one for ever."""

    def __init__(self, **answers: list[Any]) -> None:
        self.closed = False
        self.received = 0
        self.asked: list[str] = []
        self.params: dict[str, Any] = {}
        self._answers = {f"thread/{name}": queue for name, queue in answers.items()}

    async def request(self, method: str, params: dict[str, Any], *, deadline: float) -> Any:
        self.asked.append(method.removeprefix("thread/"))
        self.params = params
        queue = self._answers[method]
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, RpcError):
            raise answer
        return answer


class Desk:
    def __init__(self, engine: Engine, *, version: tuple[int, ...] = (0, 163, 0)) -> None:
        self.clock = ManualClock()
        self.logged: list[str] = []
        self.door = Door(
            engine_id="e",
            seconds=30,
            turn_seconds=30,
            clock=self.clock,
            log=lambda level, message, fields: self.logged.append(message),
        )
        self.door.opened(cast("Connection", engine), version, None)

    async def resume(self) -> rejoin.Rejoined:
        return await rejoin.resume(self.door, "t", {"cwd": "/p"})

    def link(self) -> ThreadLink:
        return ThreadLink("t", ThreadChannel("t", clock=self.clock), resuming=False)


@pytest.mark.parametrize("version", [(0, 145, 0), (0, 169, 0)])
async def test_only_the_last_turn_is_asked_for(version: tuple[int, ...]) -> None:
    engine = Engine(resume=[ANSWER])

    joined = await Desk(engine, version=version).resume()

    assert engine.params == {"threadId": "t", "cwd": "/p", **rejoin.LAST_TURN}
    assert joined.turns == [RUNNING]


@pytest.mark.parametrize("version", [(0, 120, 0), ()])
async def test_a_codex_without_pages_is_asked_for_every_turn(version: tuple[int, ...]) -> None:
    engine = Engine(resume=[{"thread": {"id": "t", "turns": [{"id": "u1"}, RUNNING]}}])

    joined = await Desk(engine, version=version).resume()

    assert engine.params == {"threadId": "t", "cwd": "/p"}
    assert joined.turns == [{"id": "u1"}, RUNNING]


@pytest.mark.parametrize("answer", [None, [], {"thread": 5}, {"initialTurnsPage": {"data": 5}}])
async def test_an_answer_of_a_strange_shape_ends_nothing(answer: Any) -> None:
    desk = Desk(Engine(resume=[answer]))
    link = desk.link()

    joined = await desk.resume()
    link.resumed(joined.turns)
    await rejoin.tell_usage(desk.door, link, joined)

    assert link.active_turn == ""


async def test_a_thread_in_the_archive_is_taken_out_and_resumed() -> None:
    engine = Engine(resume=[NO_ROLLOUT, ANSWER], unarchive=[{}])
    desk = Desk(engine)

    assert (await desk.resume()).answer == ANSWER
    assert engine.asked == ["resume", "unarchive", "resume"]
    assert desk.logged == ["a thread was taken out of Codex's archive"]


@pytest.mark.parametrize("unarchive", [NOT_ARCHIVED, HELD], ids=["0.145", "0.163"])
async def test_a_loaded_thread_without_a_turn_is_gone(unarchive: RpcError) -> None:
    engine = Engine(resume=[NO_ROLLOUT], unarchive=[unarchive], read=[told("idle")])

    with pytest.raises(ThreadGone, match="had no turn"):
        await Desk(engine).resume()

    assert engine.asked == ["resume", "unarchive", "read", "resume"]


@pytest.mark.parametrize("read", [NOT_LOADED, told("notLoaded")])
async def test_a_thread_that_is_nowhere_is_gone(read: Any) -> None:
    engine = Engine(resume=[NO_ROLLOUT], unarchive=[NOT_ARCHIVED], read=[read])

    with pytest.raises(ThreadGone):
        await Desk(engine).resume()

    assert engine.asked == ["resume", "unarchive", "read"]


@pytest.mark.parametrize("read", [NOT_LOADED, told("notLoaded")])
async def test_a_thread_that_another_codex_holds_is_not_gone(read: Any) -> None:
    engine = Engine(resume=[NO_ROLLOUT], unarchive=[HELD], read=[read])

    with pytest.raises(ThreadUnavailable, match="Another Codex holds"):
        await Desk(engine).resume()


@pytest.mark.parametrize("unarchive", [NOT_ARCHIVED, HELD])
async def test_a_thread_whose_first_turn_has_just_begun_is_not_gone(unarchive: RpcError) -> None:
    engine = Engine(resume=[NO_ROLLOUT], unarchive=[unarchive], read=[told("active")])

    with pytest.raises(ThreadUnavailable, match="first turn"):
        await Desk(engine).resume()


async def test_a_first_turn_that_begins_while_the_thread_is_looked_for_is_noticed() -> None:
    looked_for = {"unarchive": [HELD], "read": [told("idle")]}
    written = Engine(resume=[NO_ROLLOUT, ANSWER], **looked_for)
    beginning = Engine(resume=[NO_ROLLOUT, BEGINNING], **looked_for)

    assert (await Desk(written).resume()).turns == [RUNNING]
    with pytest.raises(ThreadUnavailable):
        await Desk(beginning).resume()


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ({"resume": [HELD]}, ThreadUnavailable),
        ({"resume": [DRAINING]}, ThreadUnavailable),
        ({"resume": [NO_ID], "unarchive": [NO_ID]}, ThreadGone),
        ({"resume": [NO_ROLLOUT], "unarchive": [DRAINING]}, ThreadUnavailable),
        (
            {"resume": [NO_ROLLOUT], "unarchive": [NOT_ARCHIVED], "read": [DRAINING]},
            ThreadUnavailable,
        ),
    ],
)
async def test_a_refusal_means_what_it_says(answers: dict[str, list[Any]], kind: type) -> None:
    with pytest.raises(kind):
        await Desk(Engine(**answers)).resume()


USED = (
    b'{"timestamp":"2026-11-20T10:00:00Z","type":"event_msg","payload":{"type":"token_count",'
    b'"info":{"total_token_usage":{"input_tokens":100,"total_tokens":120},'
    b'"model_context_window":1000}}}\n'
)


def joined(rollout: Path, turns: Any) -> rejoin.Rejoined:
    thread = {"id": "t", "path": str(rollout)}
    return rejoin.Rejoined(thread_id="t", answer={"thread": thread}, turns=turns)


async def usage(link: ThreadLink) -> list[tuple[str, int]]:
    link.end(None)
    return [(event.turn_id, event.data["total_tokens"]) async for event in link.channel]


async def test_what_was_used_meanwhile_is_told_as_of_the_last_turn(tmp_path: Path) -> None:
    desk = Desk(Engine())
    link = desk.link()
    rollout = tmp_path / "rollout.jsonl"
    rollout.write_bytes(USED)

    await rejoin.tell_usage(desk.door, link, joined(rollout, [{"id": "u1"}, RUNNING]))

    assert await usage(link) == [("u2", 120)]


async def test_what_was_used_since_is_not_told_over_with_an_older_total(tmp_path: Path) -> None:
    desk = Desk(Engine())
    link = desk.link()
    rollout = tmp_path / "rollout.jsonl"
    rollout.write_bytes(USED)
    link.take(CodexEvent(EventKind.USAGE, "t", 1, "u2", data={"total_tokens": 240}))

    await rejoin.tell_usage(desk.door, link, joined(rollout, [RUNNING]))

    assert await usage(link) == [("u2", 240)]


@pytest.mark.parametrize("turns", [[], None, [{"id": None}]])
async def test_usage_of_no_turn_is_not_told(tmp_path: Path, turns: Any) -> None:
    desk = Desk(Engine())
    link = desk.link()
    rollout = tmp_path / "rollout.jsonl"
    rollout.write_bytes(USED)

    await rejoin.tell_usage(desk.door, link, joined(rollout, turns))

    assert await usage(link) == []


async def test_a_rollout_that_cannot_be_read_costs_no_thread(tmp_path: Path) -> None:
    desk = Desk(Engine())
    link = desk.link()

    await rejoin.tell_usage(desk.door, link, joined(tmp_path / "nothing", [RUNNING]))

    assert await usage(link) == []
    assert desk.logged == ["what a thread has used could not be read"]
