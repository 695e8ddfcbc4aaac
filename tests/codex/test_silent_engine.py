"""An app-server that falls silent on one kind of request: noticed, and named for what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from netsky_runtime.codex.app_server import rejoin, silence
from netsky_runtime.codex.app_server.account import Account
from netsky_runtime.codex.app_server.door import MUTE, Door
from netsky_runtime.codex.app_server.link import ThreadLink
from netsky_runtime.codex.app_server.session import AppServerSession
from netsky_runtime.codex.app_server.silence import Unanswered
from netsky_runtime.codex.base import AnswerLost, Batch, HistoryUnavailable, ThreadUnavailable
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.wire.errors import RequestTimedOut, RpcError
from tests.support.fakes import ManualClock, settle
from tests.test_deadlines import KINDS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from netsky_runtime.codex.app_server.connection import Connection

SECONDS, TURN_SECONDS = 30.0, 60.0
BATCH = Batch(id="b", text="hello", input_ids=("i",))


class Engine:
    """Answers everything at once but one kind of request, which runs into its deadline."""

    def __init__(self, clock: ManualClock, silent_on: str) -> None:
        self._clock = clock
        self.silent_on = silent_on
        self.closed = False
        self.received = 0
        self.deadlines: dict[str, float] = {}

    async def request(self, method: str, params: dict[str, Any], *, deadline: float) -> Any:
        self.deadlines[method] = deadline
        if method == self.silent_on:
            await self._clock.advance(deadline)
            msg = f"{method} was not answered within {deadline:g} seconds."
            raise RequestTimedOut(msg, sent=True)
        self.received += 1
        if method == "thread/unarchive" and self.silent_on == "thread/loaded/list":
            raise RpcError(-32600, "no archived rollout found")
        return {"thread": {"id": "th", "status": {"type": "idle"}}, "data": [], "turns": []}

    async def close(self) -> None:
        self.closed = True


class Desk:
    def __init__(self, silent_on: str) -> None:
        self.clock = ManualClock()
        self.engine = Engine(self.clock, silent_on)
        self.door = Door(
            engine_id="e",
            seconds=SECONDS,
            turn_seconds=TURN_SECONDS,
            clock=self.clock,
            log=lambda *_: None,
        )
        self.door.opened(cast("Connection", self.engine), (0, 169), None)
        link = ThreadLink("th", ThreadChannel("th", clock=self.clock), resuming=False)
        self.door.hub.add(link)
        self.session = AppServerSession(door=self.door, link=link)


TABLE: dict[str, tuple[Callable[[Desk], Awaitable[Any]], type[Exception] | None]] = {
    "thread/read": (lambda desk: desk.session.submit(BATCH), ThreadUnavailable),
    "turn/start": (lambda desk: desk.session.submit(BATCH), AnswerLost),
    "turn/steer": (lambda desk: desk.session.steer(BATCH, turn_id="t"), AnswerLost),
    "turn/interrupt": (lambda desk: desk.session.interrupt("t"), ThreadUnavailable),
    "thread/turns/list": (lambda desk: desk.session.history(), HistoryUnavailable),
    "thread/archive": (lambda desk: desk.session.release(), ThreadUnavailable),
    "thread/unarchive": (lambda desk: desk.session.release(), ThreadUnavailable),
    "thread/loaded/list": (lambda desk: desk.session.release(), ThreadUnavailable),
    "thread/unsubscribe": (lambda desk: desk.session.close(), None),
    "thread/resume": (lambda desk: rejoin.resume(desk.door, "th", {}), ThreadUnavailable),
}


@pytest.mark.parametrize("kind", TABLE)
async def test_silence_on_a_request_is_told_when_its_deadline_is_over(kind: str) -> None:
    desk = Desk(kind)
    ask, error = TABLE[kind]
    if error is None:
        await ask(desk)
    else:
        with pytest.raises(error) as told:
            await ask(desk)
        if isinstance(told.value, AnswerLost):
            assert told.value.connected
    expected = TURN_SECONDS if KINDS[kind] == "turn_start_seconds" else SECONDS
    assert desk.engine.deadlines[kind] == expected
    assert desk.clock.monotonic() >= expected


def test_the_table_has_every_request_a_thread_makes() -> None:
    others = {"account/read", "thread/start", "ping", "initialize"}
    of_doors = {kind for kind in KINDS if not kind.startswith("tools")}
    assert set(TABLE) == of_doors - others


async def test_whoever_asks_after_the_account_waits_for_no_silent_engine() -> None:
    desk = Desk("account/read")
    account = Account(desk.door)
    assert await account.logged_out() is False
    await account.close()


async def test_silence_on_everything_hangs_up_and_the_next_asker_fails_at_once() -> None:
    desk = Desk("thread/read")
    for _ in range(MUTE):
        desk.engine.received = 0
        with pytest.raises(ThreadUnavailable):
            await desk.session.submit(BATCH)
    await settle()
    assert not desk.door.usable
    with pytest.raises(ThreadUnavailable, match="Codex has answered nobody for 90 s"):
        await desk.session.submit(BATCH)


async def test_a_question_is_unanswered_while_it_is_open_and_nothing_else_is_told() -> None:
    desk = Desk("thread/read")
    seen: list[Unanswered | None] = []

    async def hang(method: str, params: dict[str, Any], *, deadline: float) -> Any:
        seen.append(desk.door.unanswered)
        await desk.clock.advance(12)
        seen.append(desk.door.unanswered)
        desk.engine.received += 1  # it tells of something else
        seen.append(desk.door.unanswered)
        return {"thread": {"id": "th", "status": {"type": "idle"}}}

    desk.engine.request = hang  # type: ignore[method-assign]
    at = desk.clock.now()
    await desk.door.status("th")
    asked = Unanswered(at=at, began=0.0, heard=0)
    assert seen == [asked, asked, None]
    assert desk.door.unanswered is None


async def test_a_question_that_was_given_up_is_unanswered_until_anything_is_told() -> None:
    desk = Desk("thread/read")
    with pytest.raises(RequestTimedOut):
        await desk.door.status("th")
    assert desk.door.unanswered is not None
    assert desk.door.unanswered.began == 0.0
    with pytest.raises(RequestTimedOut):
        await desk.door.status("th")
    assert desk.door.unanswered.began == 0.0
    desk.engine.received += 1
    assert desk.door.unanswered is None


@pytest.mark.parametrize(
    ("silent", "since", "said"), [(0.9, None, False), (1.0, 7, False), (5.0, 7, True)]
)
def test_silence_is_told_to_who_looks_and_when_it_is_long_to_everybody(
    silent: float, since: int | None, said: bool
) -> None:
    asked = Unanswered(at=7, began=100.0, heard=3)
    at, words = silence.told(asked, monotonic=100.0 + silent, pid=4711)
    assert (at, bool(words)) == (since, said)
    assert not words or words.startswith("Codex (process 4711) has answered nobody since ")


def test_who_left_nothing_unanswered_is_not_silent() -> None:
    assert silence.told(None, monotonic=9.0, pid=None) == (None, "")
