"""The mcp-server's door over a stand-in: what is never answered, what dies, what is not known."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.base import (
    AnswerLost,
    Batch,
    Decision,
    InputRejected,
    LaunchSpec,
    NoSuchDoor,
    ThreadGone,
    ThreadUnavailable,
    TurnRunning,
    Unsupported,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.mcp_server import McpServerRuntime, process, tool
from netsky_runtime.codex.mcp_server.door import MISSED, PULSE_SECONDS
from netsky_runtime.codex.mcp_server.thread import REST_SECONDS
from netsky_runtime.errors import Unhealthy
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings
from netsky_runtime.states import DecisionWord, EngineState
from netsky_runtime.wire.groups import group_alive
from tests.real_codex.conftest import MemoryStore, Told
from tests.support.fake_mcp_server import BROKEN, LAST_WORDS, VERSION, heard, install
from tests.support.fakes import CountingIds, ManualClock, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from netsky_runtime.codex.mcp_server.session import McpServerSession

PATIENCE = 30.0
SOON = 0.2
"""Seconds after which nobody is waited for who will never answer."""


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"b-{number}", text=text, input_ids=(f"i-{number}",))


class Stage:
    """A home, a stand-in for Codex, and the runtime over both."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock: Any = ManualClock()
        self.store = MemoryStore()
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.binary = install(root / "bin")
        self.environ = {"PATH": os.environ["PATH"], "CODEX_HOME": str(root / "codex-home")}
        self.runtime = self.made()

    def made(self, **settings: Any) -> McpServerRuntime:
        """Return a runtime; whoever is asked has the time that a busy machine needs."""
        home = Home.locate({"NETSKY_HOME": str(self.root / "home")})
        home.prepare()
        known = {"request_seconds": PATIENCE, "turn_start_seconds": PATIENCE, **settings}
        self.runtime = McpServerRuntime(
            settings=Settings(codex_bin=str(self.binary), **known),
            home=home,
            store=self.store,
            clock=self.clock,
            ids=CountingIds(),
            environ=self.environ,
            log=lambda level, line, fields: self.lines.append((level, line, dict(fields))),
        )
        return self.runtime

    async def opened(self, **settings: Any) -> McpServerRuntime:
        runtime = self.made(**settings)
        await runtime.open()
        return runtime

    def spec(self) -> LaunchSpec:
        return LaunchSpec(
            cwd=str(self.root),
            instructions="You are manager0.",
            sandbox="read-only",
            approval_policy="on-request",
            mark="tag00001",
        )

    async def started(self, text: str = "SAY[ready]") -> tuple[McpServerSession, Told]:
        """Return a thread that has had a turn."""
        session = await self.runtime.start(self.spec())
        told = Told(session)
        await session.submit(batch(text))
        await told.turn_end()
        return session, told

    def pid(self) -> int:
        return self.store.engines[-1].pid

    def kill(self) -> None:
        os.killpg(self.pid(), signal.SIGKILL)

    def logged(self, level: str) -> list[dict[str, Any]]:
        return [fields for had, _, fields in self.lines if had == level]

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait for what no event tells; the test's own deadline bounds it."""
        while not seen():  # noqa: ASYNC110 - no event tells it
            await asyncio.sleep(0.01)

    def prompts(self) -> list[str]:
        """Return the words of every call, in the order in which they were read."""
        calls = [m for m in heard(self.binary) if m.get("method") == "tools/call"]
        return [m["params"]["arguments"]["prompt"] for m in calls]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    await stage.runtime.close(keep_engine=False)
    assert [e.pid for e in stage.store.engines if e.state is EngineState.RUNNING] == []
    assert [e.pid for e in stage.store.engines if group_alive(e.pid)] == []


# -- opening ---------------------------------------------------------------------------------


async def test_a_codex_with_other_tools_has_not_the_door(stage: Stage) -> None:
    install(stage.root / "bin", mode="toolless")
    with pytest.raises(NoSuchDoor, match="has not the tools of Codex"):
        await stage.runtime.open()


async def test_a_codex_that_does_not_shake_hands_is_ill_and_is_not_left_behind(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "HANDSHAKE_SECONDS", SOON)
    install(stage.root / "bin", mode="mute")
    with pytest.raises(Unhealthy, match="does not answer as an mcp-server") as refused:
        await stage.runtime.open()
    assert not isinstance(refused.value, NoSuchDoor)
    assert (await stage.runtime.info()).notices == (str(refused.value),)
    assert stage.store.engines == []


async def test_a_codex_that_takes_the_word_for_a_prompt_has_not_the_door(stage: Stage) -> None:
    install(stage.root / "bin", mode="prompt")
    with pytest.raises(NoSuchDoor, match=r"has no mcp-server: it takes the word for a prompt\. "):
        await stage.runtime.open()


@pytest.mark.parametrize(
    ("mode", "words"), [("broken", BROKEN), ("stranger", "mcp-server: no disk is left")]
)
async def test_a_codex_that_fails_as_it_starts_is_ill_in_its_own_words_and_can_be_mended(
    stage: Stage, mode: str, words: str
) -> None:
    install(stage.root / "bin", mode=mode)
    with pytest.raises(Unhealthy) as refused:
        await stage.runtime.open()
    assert not isinstance(refused.value, NoSuchDoor)
    assert refused.value.message.endswith(f"{words}.")
    install(stage.root / "bin")
    await stage.runtime.open()
    assert (await stage.runtime.info()).version == VERSION


async def test_what_an_earlier_netsky_left_is_ended_before_another_is_started(
    stage: Stage,
) -> None:
    stage.clock = SystemClock()  # it looks again and again whether the process is gone
    first = await stage.opened()
    left = stage.pid()
    await stage.opened()  # as the next netsky does, when the first is gone without a word
    assert stage.pid() != left
    assert not group_alive(left)
    assert [e.state for e in stage.store.engines] == [EngineState.LOST, EngineState.RUNNING]
    await first.close(keep_engine=False)


async def test_a_process_that_keeps_dying_is_started_more_slowly_each_time(stage: Stage) -> None:
    await stage.runtime.open()
    waits = []
    for number in range(4):
        _, told = await stage.started()
        stage.kill()
        await told.next(EventKind.SESSION_LOST)
        async with asyncio.TaskGroup() as group:
            group.create_task(stage.runtime.open())
            await settle()  # the old pulse sleeps no more
            if number:
                waits.append(await stage.clock.pass_next())
    assert waits == [0.5, 1.0, 2.0]
    assert [fields["seconds"] for fields in stage.logged("warning")] == waits


async def test_a_launch_that_this_codex_does_not_offer_is_rejected_before_anything_is_sent(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    with pytest.raises(InputRejected, match="no sandbox 'danger-full-access'"):
        await stage.runtime.start(replace(stage.spec(), sandbox="danger-full-access"))
    with pytest.raises(InputRejected, match="no approval policy 'untrusted'"):
        await stage.runtime.start(replace(stage.spec(), approval_policy="untrusted"))
    assert stage.prompts() == []


# -- what is never answered ------------------------------------------------------------------


async def test_a_call_that_begins_no_turn_is_given_up_and_costs_its_process_when_it_stays_mute(
    stage: Stage,
) -> None:
    runtime = await stage.opened(turn_start_seconds=SOON)
    other, other_told = await stage.started()
    session = await runtime.start(stage.spec())
    told = Told(session)
    with pytest.raises(AnswerLost, match=r"no turn began within 0\.2 seconds") as lost:
        await session.submit(batch("MUTE"))
    assert lost.value.connected  # it answers a ping: the message may be taken late
    with pytest.raises(TurnRunning):
        await session.submit(batch("SAY[too soon]", 2))
    first = stage.pid()
    await stage.clock.until_sleeping(2)  # its pulse, and its last chance
    await stage.clock.advance(SOON)
    for each in (told, other_told):
        ended = await each.next(EventKind.SESSION_LOST)
        assert "has not taken a message within 0.4 s" in ended.data["reason"]
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[anybody?]", 3))
    await runtime.open()
    assert stage.pid() != first
    assert not group_alive(first)
    _, fresh = await stage.started("SAY[fresh]")
    assert fresh.words() == ["fresh"]
    with pytest.raises(ThreadGone, match="no thread"):
        await runtime.resume(other.thread_id, stage.spec())
    assert stage.prompts() == ["SAY[ready]", "MUTE", "SAY[fresh]"]


async def test_a_call_into_a_process_that_answers_nothing_at_all_ends_it_at_once(
    stage: Stage,
) -> None:
    runtime = await stage.opened(turn_start_seconds=SOON, request_seconds=SOON)
    session = await runtime.start(stage.spec())
    told = Told(session)
    first = stage.pid()
    with pytest.raises(AnswerLost, match="no turn began") as lost:
        await session.submit(batch("DEAF"))
    assert not lost.value.connected
    assert "does not answer" in (await told.next(EventKind.SESSION_LOST)).data["reason"]
    assert not group_alive(first)


async def test_an_idle_process_that_misses_its_pings_is_replaced_and_one_miss_is_forgiven(
    stage: Stage,
) -> None:
    runtime = await stage.opened(request_seconds=SOON)
    _, told = await stage.started()
    session = await runtime.start(stage.spec())
    calling = asyncio.ensure_future(_failure(session.submit(batch("DEAF"))))
    await stage.until(lambda: "DEAF" in stage.prompts())
    first = stage.pid()
    await stage.clock.until_sleeping()
    await stage.clock.advance(PULSE_SECONDS)
    await stage.clock.until_sleeping()  # it sleeps again: one ping was missed, and no more follows
    assert group_alive(first)
    for _ in range(MISSED - 1):
        await stage.clock.until_sleeping()
        await stage.clock.advance(PULSE_SECONDS)
    lost = await told.next(EventKind.SESSION_LOST)
    assert "does not answer any more" in lost.data["reason"]
    await runtime.open()
    assert not group_alive(first)
    assert isinstance(await calling, AnswerLost)


async def test_a_process_that_answers_its_pings_is_left_alone_for_as_long_as_a_turn_takes(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    session = await stage.runtime.start(stage.spec())
    told = Told(session)
    await session.submit(batch("HANG"))
    for _ in range(5):
        await stage.clock.until_sleeping()
        await stage.clock.advance(PULSE_SECONDS)
    await stage.clock.until_sleeping()
    pings = [m for m in heard(stage.binary) if m.get("method") == "ping"]
    assert len(pings) == 5
    await session.interrupt(session.active_turn)
    assert (await told.turn_end()).data["status"] == "interrupted"


async def _failure(submitting: Awaitable[None]) -> BaseException | None:
    [failure] = await asyncio.gather(submitting, return_exceptions=True)
    return failure


# -- what dies -------------------------------------------------------------------------------


async def test_a_process_that_dies_is_told_to_every_session_and_once_to_the_operator(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    crowd = [await stage.started(f"SAY[{number}]") for number in range(5)]
    gone, _ = crowd.pop()
    await gone.close()  # nobody attends its thread any more
    session = await stage.runtime.start(stage.spec())
    with pytest.raises(AnswerLost) as lost:
        await session.submit(batch("DIE"))
    assert not lost.value.connected
    for _, told in crowd:
        assert LAST_WORDS in (await told.next(EventKind.SESSION_LOST)).data["reason"]
    [(_, line, fields)] = [line for line in stage.lines if line[0] == "error"]
    assert line == "mcp-server ended, its threads look for other doors"
    assert fields["threads"] == 5
    assert fields["reason"].endswith(f"It said: {LAST_WORDS}")  # and nothing it always says
    assert fields["reason"].startswith("It ended with code ")


async def test_a_process_that_is_killed_is_lost_by_that_and_not_by_what_it_said_before(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    _, told = await stage.started()
    stage.kill()
    reason = (await told.next(EventKind.SESSION_LOST)).data["reason"]
    assert reason == "Its process was killed by signal 9. The other side ended the connection."


async def test_nothing_is_said_to_a_thread_right_after_a_failed_turn(stage: Stage) -> None:
    await stage.runtime.open()
    session, told = await stage.started()
    await session.submit(batch("FAIL", 2))
    assert (await told.turn_end()).data["status"] == "failed"
    resting = stage.clock.sleepers

    async with asyncio.TaskGroup() as group:
        group.create_task(session.submit(batch("SAY[again]", 3)))
        await stage.until(lambda: stage.clock.sleepers > resting)
        assert "SAY[again]" not in stage.prompts()
        await stage.clock.advance(REST_SECONDS)
    await told.turn_end()

    assert told.words()[-1] == "again"


async def test_a_process_that_nobody_attends_dies_unnoticed_and_is_replaced(stage: Stage) -> None:
    await stage.runtime.open()
    first = stage.pid()
    session, _ = await stage.started()
    await session.close()
    unborn = await stage.runtime.start(stage.spec())
    await unborn.close()
    stage.kill()
    while (await stage.runtime.info()).detail != "not open":  # noqa: ASYNC110 - nobody is told
        await asyncio.sleep(0.01)
    await stage.runtime.open()
    assert stage.pid() != first
    assert stage.store.engines[0].end_reason == "it has ended"
    assert stage.logged("error") == []


async def test_ending_the_process_on_purpose_is_no_error(stage: Stage) -> None:
    await stage.runtime.open()
    session, told = await stage.started()
    await stage.runtime.close(keep_engine=False)
    assert stage.logged("error") == []
    assert EventKind.SESSION_LOST not in [event.kind for event in told.events]
    with pytest.raises(ThreadUnavailable):
        await session.submit(batch("SAY[too late]", 2))


# -- what is not known -----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["FORGET", "FORGET_SOFTLY"])
async def test_a_thread_that_the_process_has_forgotten_is_lost_and_the_others_live(
    stage: Stage, how: str
) -> None:
    await stage.runtime.open()
    session, told = await stage.started()
    other, other_told = await stage.started()
    with pytest.raises(ThreadUnavailable, match="does not know the thread any more") as refused:
        await session.submit(batch(how, 2))
    assert f"Session not found for thread_id: {session.thread_id}" in str(refused.value)
    await told.next(EventKind.SESSION_LOST)
    with pytest.raises(ThreadGone):
        await stage.runtime.resume(session.thread_id, stage.spec())
    await other.submit(batch("SAY[still here]", 3))
    await other_told.turn_end()
    assert other_told.words() == ["ready", "still here"]


async def test_a_call_that_codex_refuses_consumed_nothing_and_the_thread_can_be_told_more(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    session, told = await stage.started()
    with pytest.raises(ThreadUnavailable, match="no such profile"):
        await session.submit(batch("REFUSE", 2))
    await session.submit(batch("SAY[better]", 3))
    await told.turn_end()
    assert told.words() == ["ready", "better"]


async def test_a_launch_that_cannot_be_written_as_json_is_rejected_at_once(stage: Stage) -> None:
    await stage.runtime.open()
    session = await stage.runtime.start(replace(stage.spec(), cwd="/project/\udcff"))
    with pytest.raises(InputRejected, match=r"cannot be written as JSON.*must be valid UTF-8"):
        await session.submit(batch("SAY[never]"))
    assert stage.prompts() == []
    assert stage.logged("error") == []
    _, told = await stage.started("SAY[the others live]")
    assert told.words() == ["the others live"]


async def test_a_flaw_in_the_reading_of_an_answer_is_reported_and_leaves_nobody_waiting(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stage.runtime.open()
    session = await stage.runtime.start(stage.spec())
    told = Told(session)
    with monkeypatch.context() as flawed:
        flawed.setattr(tool, "answer", {}.__getitem__)
        with pytest.raises(AnswerLost, match="its answer was not read") as lost:
            await session.submit(batch("REFUSE"))
    assert lost.value.connected
    [fields] = stage.logged("error")
    assert fields["job"].startswith("codex call")
    assert "TypeError" in fields["error"]
    await session.submit(batch("SAY[on]", 2))
    await told.turn_end()
    assert told.words() == ["on"]


async def test_messages_of_unknown_shapes_are_kept_or_refused_and_the_turn_goes_on(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    session, told = await stage.started("ODD SAY[fine]")
    assert told.words() == ["fine"]
    unknown = [e.data["method"] for e in told.events if e.kind is EventKind.UNKNOWN]
    assert unknown == ["a_kind_of_tomorrow", "item_completed"]
    await session.submit(batch("SAY[again]", 2))
    await told.turn_end()
    replies = {m["id"]: m for m in heard(stage.binary) if str(m.get("id")).startswith("s-")}
    assert replies["s-1"]["error"]["code"] == -32601
    assert replies["s-2"]["result"] == {}
    assert "no such thread" in replies["s-3"]["error"]["message"]


async def test_a_question_is_answered_in_codexs_own_words(stage: Stage) -> None:
    await stage.runtime.open()
    session = await stage.runtime.start(stage.spec())
    told = Told(session)
    await session.submit(batch("ASK"))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    assert (asked["command"], asked["cwd"], asked["reason"]) == (
        "touch made",
        "/project",
        "needs to write",
    )
    await session.decide(asked["request_id"], Decision(word=DecisionWord.ACCEPT_FOR_SESSION))
    await told.turn_end()
    assert told.words() == ["approved_for_session"]


# -- one after the other ---------------------------------------------------------------------


async def test_no_second_call_is_sent_while_a_thread_has_one(stage: Stage) -> None:
    await stage.runtime.open()
    session, told = await stage.started()
    await session.submit(batch("HANG", 2))
    for number in (3, 4):
        with pytest.raises(TurnRunning):
            await session.submit(batch("SAY[next]", number))
    await session.interrupt(session.active_turn)
    await told.turn_end()
    await session.submit(batch("SAY[next]", 5))
    await told.turn_end()
    assert stage.prompts() == ["SAY[ready]", "HANG", "SAY[next]"]


async def test_what_the_door_cannot_do_is_refused_with_the_command_that_moves_the_actor(
    stage: Stage,
) -> None:
    await stage.runtime.open()
    session = await stage.runtime.start(replace(stage.spec(), label="worker8"))
    with pytest.raises(Unsupported) as refused:
        session.terminal()
    assert "`netsky actors move worker8 --runtime app_server`" in refused.value.hint
