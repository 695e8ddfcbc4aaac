"""The detached engine: it outlives its clients, is found again, replaced, and surely ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.codex.base import (
    Batch,
    Decision,
    HistoryUnavailable,
    RuntimeFailure,
    ThreadUnavailable,
    ToolResult,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.states import DecisionWord, EngineState, TurnStatus
from netsky_runtime.wire.birth import is_same_process
from tests.real_codex.conftest import PATIENCE, Bench, Told

if TYPE_CHECKING:
    from pathlib import Path

    import psutil


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


def works(process: psutil.Process) -> bool:
    return is_same_process(process.pid, process.create_time())


async def test_a_new_netsky_resumes_the_same_thread_in_the_same_engine(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()
    await first.close(keep_engine=True)
    engine = bench.engine()

    second = await bench.opened()
    again = await second.resume(session.thread_id, bench.spec())
    told = Told(again)
    await again.submit(batch("SAY[two]", 2))
    await told.turn_end()

    assert bench.engine() == engine
    assert (again.thread_id, again.engine_id) == (session.thread_id, session.engine_id)
    assert again.differences == ()
    assert [turn.items[-1].text for turn in await again.history()] == ["one", "two"]


async def test_what_came_back_other_than_asked_for_is_said(bench: Bench, tmp_path: Path) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()

    other = bench.spec(sandbox="workspace-write", approval_policy="never", cwd=str(tmp_path))
    again = await (await bench.opened()).resume(session.thread_id, other)

    assert again.differences == (
        "Sandbox is read-only, asked for was workspace-write.",
        "Approval policy is on-request, asked for was never.",
        f"Working folder is {bench.project}, asked for was {tmp_path}.",
    )


async def test_a_turn_goes_on_without_netsky_and_its_end_reaches_the_next_one(
    bench: Bench,
) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("HANG SAY[still working]"))
    bench.model.wait_hanging()
    turn_id = (await told.next(EventKind.TURN_STARTED)).turn_id
    await first.close(keep_engine=True)

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    assert again.active_turn == turn_id
    told = Told(again)
    bench.model.release()
    end = await told.turn_end()

    assert (end.turn_id, end.data["status"]) == (turn_id, "completed")
    assert told.words() == ["still working"]


async def test_a_pending_patch_is_asked_again_with_its_id_and_shown_again(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("PATCH SAY[done]"))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    await first.close(keep_engine=True)

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    told = Told(again)
    repeated = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    assert repeated["request_id"] == asked["request_id"]
    assert repeated["patch"] == asked["patch"]
    assert "+hello from patch" in repeated["patch"]
    await again.decide(repeated["request_id"], Decision(word=DecisionWord.ACCEPT))
    await told.turn_end()

    assert (bench.project / "hello.txt").read_text() == "hello from patch\n"


async def test_a_pending_tool_call_is_asked_again_with_its_id(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch('TOOL[start_worker {"title": "x"}]ENDTOOL SAY[done]'))
    call = (await told.next(EventKind.TOOL_REQUESTED)).data
    await first.close(keep_engine=True)

    again = await (await bench.opened()).resume(session.thread_id, bench.spec())
    told = Told(again)
    repeated = (await told.next(EventKind.TOOL_REQUESTED)).data
    assert repeated == call
    await again.answer_tool(call["call_id"], ToolResult(text="worker1 started"))
    await told.turn_end()

    assert told.words() == ["done"]


async def test_an_approval_answered_by_another_client_is_told_as_resolved(bench: Bench) -> None:
    session = await (await bench.opened()).start(bench.spec())
    told = Told(session)
    await session.submit(batch("ESC[true] SAY[done]"))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data

    other = await (await bench.opened()).resume(session.thread_id, bench.spec())
    await Told(other).next(EventKind.APPROVAL_REQUESTED)
    await other.decide(asked["request_id"], Decision(word=DecisionWord.DECLINE))

    resolved = await told.next(EventKind.APPROVAL_RESOLVED)
    assert resolved.data["request_id"] == asked["request_id"]
    await told.turn_end()


async def test_a_killed_engine_ends_every_session_and_is_replaced(bench: Bench) -> None:
    runtime = await bench.opened()
    sessions = [await runtime.start(bench.spec()) for _ in range(2)]
    tolds = [Told(session) for session in sessions]
    for session, told in zip(sessions, tolds, strict=True):
        await session.submit(batch("SAY[one]"))
        await told.turn_end()
    await sessions[0].submit(batch("HANG", 2))
    bench.model.wait_hanging()
    await tolds[0].until(lambda event: event.data.get("client_id") == "batch-2")
    killed = bench.engine()
    os.killpg(killed.pid, signal.SIGKILL)

    for told in tolds:
        assert (await told.next(EventKind.SESSION_LOST)).data["reason"]
    with pytest.raises(ThreadUnavailable):
        await sessions[1].submit(batch("SAY[two]", 3))
    with pytest.raises(HistoryUnavailable):
        await sessions[1].history()
    with pytest.raises(ThreadUnavailable):
        await runtime.start(bench.spec())

    await runtime.open()
    again = await runtime.resume(sessions[0].thread_id, bench.spec())
    assert bench.engine() != killed
    assert again.engine_id != sessions[0].engine_id
    assert bench.store.engines[0].state is EngineState.LOST
    cut = (await again.history())[-1]
    assert (cut.status, cut.completed_at) == (TurnStatus.INTERRUPTED, None)
    told = Told(again)
    await again.submit(batch("SAY[two]", 3))
    await told.turn_end()
    assert told.words() == ["two"]


async def test_an_engine_that_hangs_at_the_stop_is_ended_with_all_it_started(bench: Bench) -> None:
    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    told = Told(session)
    # A pending approval keeps an engine that was told to end once.
    await session.submit(batch("ESC[true]"))
    await told.next(EventKind.APPROVAL_REQUESTED)
    engine = bench.engine()
    family = [engine, *engine.children(recursive=True)]

    async with asyncio.timeout(PATIENCE):
        await runtime.close(keep_engine=False)

    assert not any(works(process) for process in family)
    assert not bench.home.engine_socket.is_symlink()
    assert not bench.home.engine_socket.exists()
    [row] = bench.store.engines
    assert (row.state, row.end_reason) == (EngineState.ENDED, "netsky was stopped")


async def test_a_command_of_an_engine_that_had_to_be_killed_ends_with_it(bench: Bench) -> None:
    runtime = await bench.opened()
    spec = bench.spec(sandbox="danger-full-access", approval_policy="never")
    session = await runtime.start(spec)
    runs = bench.root / "runs"
    os.mkfifo(runs)
    fifo = os.open(runs, os.O_RDWR | os.O_NONBLOCK)
    begun = asyncio.Event()
    asyncio.get_running_loop().add_reader(fifo, begun.set)
    await session.submit(batch(f"RUN[sleep 600 & echo > {runs}; sleep 600; true]"))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
    asyncio.get_running_loop().remove_reader(fifo)
    os.close(fifo)
    engine = bench.engine()
    family = [engine, *engine.children(recursive=True)]
    engine.suspend()  # it hears no SIGTERM

    async with asyncio.timeout(PATIENCE):
        await runtime.close(keep_engine=False)

    assert len(family) > 2
    assert not any(works(process) for process in family)


async def test_an_engine_whose_row_was_never_written_is_adopted(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()
    engine = bench.engine()
    await first.close(keep_engine=True)
    bench.store.engines.clear()

    second = await bench.opened()
    assert bench.engine() == engine
    await second.resume(session.thread_id, bench.spec())


async def test_an_engine_with_another_codex_home_is_replaced_when_it_is_idle(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("HANG SAY[one]"))
    bench.model.wait_hanging()
    await first.close(keep_engine=True)
    old = bench.engine()
    bench.other_codex_home()

    busy = await bench.opened()
    assert bench.engine() == old
    [notice] = [n for n in (await busy.info()).notices if "replaces it" in n]
    assert "CODEX_HOME" in notice
    told = Told(await busy.resume(session.thread_id, bench.spec()))
    bench.model.release()
    await told.turn_end()

    await told.next(EventKind.SESSION_LOST)  # by itself, now that nothing runs
    await busy.open()
    assert bench.engine() != old
    assert not works(old)
    assert not [n for n in (await busy.info()).notices if "replaces it" in n]
    await busy.close(keep_engine=True)


async def test_an_engine_of_another_binary_is_replaced_at_the_start_when_nothing_runs(
    bench: Bench,
) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()
    await first.close(keep_engine=True)
    old = bench.engine()
    link = bench.root / "another-codex"
    link.symlink_to(bench.codex)

    second = bench.runtime(codex=link)
    await second.open()
    assert bench.engine() != old
    assert not works(old)
    assert str(link) in (await second.info()).detail
    await second.resume(session.thread_id, bench.spec())


async def test_an_engine_that_drains_is_replaced(bench: Bench) -> None:
    first = await bench.opened()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("ESC[true]"))
    await told.next(EventKind.APPROVAL_REQUESTED)
    old = bench.engine()
    old.terminate()
    async with asyncio.timeout(PATIENCE):
        while bench.engine() == old:  # nothing tells when the signal has arrived
            second = await bench.opened()

    assert bench.store.engines[0].end_reason == "it was draining"
    again = await second.resume(session.thread_id, bench.spec())
    assert (await again.history())[-1].status is TurnStatus.INTERRUPTED


async def test_a_socket_of_a_dead_engine_is_in_nobodys_way(bench: Bench) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(bench.home.engine_socket))

    runtime = await bench.opened()

    assert (await runtime.info()).version


async def test_twenty_threads_share_one_process(bench: Bench) -> None:
    runtime = await bench.opened()
    sessions = [await runtime.start(bench.spec()) for _ in range(20)]

    async def one(number: int) -> list[str]:
        told = Told(sessions[number])
        await sessions[number].submit(batch(f"RUN[true] SAY[thread {number}]", number))
        end = await told.turn_end()
        assert all(event.thread_id == sessions[number].thread_id for event in told.events)
        assert end.data["status"] == "completed"
        return told.words()

    said = await asyncio.gather(*(one(number) for number in range(20)))

    assert said == [[f"thread {number}"] for number in range(20)]
    assert len(bench.store.engines) == 1
    assert len({session.thread_id for session in sessions}) == 20


async def test_info_names_the_version_and_who_has_to_log_in(bench: Bench) -> None:
    config = bench.root / "codex-home" / "config.toml"
    config.write_text('model = "gpt-5.4"\n')  # OpenAI's own provider, and nobody logged in
    runtime = await bench.opened()

    info = await runtime.info()

    assert info.version.count(".") == 2
    assert f"Codex is not logged in. Run: {bench.codex} login" in info.notices


async def test_no_codex_says_how_to_install_one(bench: Bench) -> None:
    runtime = bench.runtime(codex=bench.root / "nothing")

    with pytest.raises(CodexMissing, match=r"There is no Codex at .*nothing"):
        await runtime.open()


async def test_a_codex_that_answers_no_handshake_is_named_with_what_it_said(bench: Bench) -> None:
    impostor = bench.root / "impostor"
    impostor.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo codex-cli 0.1.0 && exit\n'
        "echo what is an app-server >&2; exit 2\n"
    )
    impostor.chmod(0o755)
    runtime = bench.runtime(codex=impostor)

    with pytest.raises(Unhealthy, match=r"Codex 0\.1\.0 .*what is an app-server"):
        await runtime.open()
    assert bench.store.engines == []


async def test_an_engine_is_ended_though_its_reader_had_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise AssertionError("a bug of netsky")

    runtime = await bench.opened()
    session = await runtime.start(bench.spec())
    engine = bench.engine()
    assert works(engine)
    monkeypatch.setattr("netsky_runtime.codex.app_server.hub.notification", broken)
    with suppress(RuntimeFailure):
        await session.submit(batch("SAY[one]"))
    await Told(session).next(EventKind.SESSION_LOST)

    with pytest.raises(AssertionError, match="a bug of netsky"):
        await runtime.close(keep_engine=False)

    assert not works(engine)
