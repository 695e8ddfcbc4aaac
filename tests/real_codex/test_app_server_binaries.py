"""Codex binaries that differ: one without a socket, one behind a launcher, a broken setup."""

from __future__ import annotations

import os
import shlex
import signal
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.codex.base import Batch, Decision, ThreadUnavailable, ToolResult
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import DecisionWord, EngineState
from netsky_runtime.wire.birth import is_same_process
from netsky_runtime.wire.groups import group_alive
from tests.real_codex.conftest import Bench, Told

if TYPE_CHECKING:
    from pathlib import Path


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


def without_socket(bench: Bench) -> Path:
    """Return a Codex that knows no Unix socket, as 0.120."""
    path = bench.root / "codex-0.120"
    refusal = "echo \"error: unsupported --listen URL; expected 'stdio://'\" >&2; exit 2"
    path.write_text(
        f'#!/bin/sh\ncase "$*" in *--listen*) {refusal};; --version) echo 0.120.0; exit;; esac\n'
        f'exec {shlex.quote(str(bench.codex))} "$@"\n'
    )
    path.chmod(0o755)
    return path


def behind_a_launcher(bench: Bench) -> Path:
    """Return a Codex that is the child of a script, as npm's."""
    path = bench.root / "codex-launcher"
    path.write_text(f'#!/bin/sh\n{shlex.quote(str(bench.codex))} "$@"\nexit $?\n')
    path.chmod(0o755)
    return path


async def test_without_a_socket_all_works_on_a_childs_pipes_and_this_is_said(bench: Bench) -> None:
    runtime = bench.runtime(codex=without_socket(bench))
    await runtime.open()
    session = await runtime.start(bench.spec())
    told = Told(session)
    await session.watch(True)

    await session.submit(batch('ESC[true] TOOL[start_worker {"title": "x"}]ENDTOOL SAY[all done]'))
    asked = (await told.next(EventKind.APPROVAL_REQUESTED)).data
    await session.decide(asked["request_id"], Decision(word=DecisionWord.ACCEPT))
    call = (await told.next(EventKind.TOOL_REQUESTED)).data
    await session.answer_tool(call["call_id"], ToolResult(text="worker1 started"))
    await told.turn_end()

    assert told.words() == ["all done"]
    live = [event.data["text"] for event in told.events if event.kind is EventKind.DELTA]
    assert "".join(live) == "all done"
    assert not runtime.capabilities.survives_netsky
    assert any("turns end when netsky ends" in n for n in (await runtime.info()).notices)


async def test_without_a_socket_the_child_ends_with_netsky_and_the_thread_comes_back(
    bench: Bench,
) -> None:
    first = bench.runtime(codex=without_socket(bench))
    await first.open()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()
    child = bench.store.engines[-1]
    await first.close(keep_engine=True)
    assert not is_same_process(child.pid, child.pid_started)
    assert bench.store.engines[-1].state is EngineState.ENDED

    second = bench.runtime(codex=without_socket(bench))
    await second.open()
    again = await second.resume(session.thread_id, bench.spec())

    assert again.engine_id != session.engine_id
    assert [turn.items[-1].text for turn in await again.history()] == ["one"]


async def test_a_child_that_dies_ends_its_sessions_and_is_replaced(bench: Bench) -> None:
    runtime = bench.runtime(codex=without_socket(bench))
    await runtime.open()
    session = await runtime.start(bench.spec())
    told = Told(session)
    os.killpg(bench.store.engines[-1].pid, signal.SIGKILL)
    await told.next(EventKind.SESSION_LOST)

    await runtime.open()
    told = Told(again := await runtime.start(bench.spec()))
    await again.submit(batch("SAY[two]"))
    await told.turn_end()

    assert told.words() == ["two"]


async def test_a_launcher_and_the_codex_it_started_end_together(bench: Bench) -> None:
    runtime = bench.runtime(codex=behind_a_launcher(bench))
    await runtime.open()
    engine = bench.engine()
    assert engine.children()

    await runtime.close(keep_engine=False)

    assert not group_alive(engine.pid)


async def test_a_codex_whose_launcher_was_killed_is_found_and_ended(bench: Bench) -> None:
    first = bench.runtime(codex=behind_a_launcher(bench))
    await first.open()
    session = await first.start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[one]"))
    await told.turn_end()
    launcher = bench.engine()
    codex = psutil.Process(launcher.children()[0].pid)
    started = codex.create_time()
    launcher.kill()
    await first.close(keep_engine=True)

    second = bench.runtime(codex=behind_a_launcher(bench))
    await second.open()
    again = await second.resume(session.thread_id, bench.spec())
    assert again.engine_id == session.engine_id
    assert is_same_process(codex.pid, started)
    await second.close(keep_engine=False)

    assert not is_same_process(codex.pid, started)


async def test_a_broken_config_is_named_and_costs_no_input(bench: Bench) -> None:
    (bench.root / "codex-home" / "config.toml").write_text("model = [unfinished\n")
    runtime = await bench.opened()

    with pytest.raises(ThreadUnavailable, match=r"config\.toml:1"):
        await runtime.start(bench.spec())
