"""The resident door over a program that only looks like Codex."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.base import HistoryUnavailable, LaunchSpec, ThreadUnavailable
from netsky_runtime.codex.resident import ResidentRuntime
from netsky_runtime.codex.resident.tmux import TmuxServer
from netsky_runtime.paths import Home
from netsky_runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

THREAD = "01a00000-0000-7000-8000-000000000001"
PROGRAM = '#!/bin/sh\n[ "$1" = --version ] && { echo codex-cli 0.163.0; exit; }\nexec cat\n'


@pytest.fixture
async def runtime(tmp_path: Path) -> AsyncIterator[ResidentRuntime]:
    codex = tmp_path / "codex"
    codex.write_text(PROGRAM)
    codex.chmod(0o755)
    home = Home.locate({"NETSKY_HOME": str(tmp_path / "home")})
    home.prepare()
    clock = SystemClock()
    runtime = ResidentRuntime(
        settings=Settings(codex_bin=str(codex)),
        home=home,
        clock=clock,
        ids=SortableIds(clock),
        environ={"PATH": os.environ["PATH"], "CODEX_HOME": str(tmp_path / "codex-home")},
        log=lambda *_: None,
    )
    await runtime.open()
    yield runtime
    await runtime.close(keep_engine=False)


def spec_in(folder: Path) -> LaunchSpec:
    return LaunchSpec(
        cwd=str(folder),
        instructions="",
        sandbox="read-only",
        approval_policy="never",
        mark="tag",
        label="worker1",
    )


async def test_a_thread_that_cannot_be_looked_for_just_now_is_not_gone(
    runtime: ResidentRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, real = tmp_path / "codex-home/sessions", os.scandir

    def refused(folder: Path) -> Any:
        if folder == home:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return real(folder)

    with monkeypatch.context() as full:
        full.setattr(os, "scandir", refused)
        with pytest.raises(ThreadUnavailable, match="cannot be searched"):
            await runtime.resume(THREAD, spec_in(tmp_path))
        with pytest.raises(HistoryUnavailable, match="cannot be searched"):
            await runtime.find("tag", since=0)

    assert await runtime.find("tag", since=0) == ""


async def test_a_thread_whose_rollout_cannot_be_read_gets_no_pane_that_stays(
    runtime: ResidentRuntime, tmp_path: Path
) -> None:
    day = tmp_path / "codex-home/sessions/2026/01/01"
    day.mkdir(parents=True)
    (day / f"rollout-2026-01-01T00-00-00-{THREAD}.jsonl").symlink_to("nowhere")

    with pytest.raises(ThreadUnavailable, match="cannot be read"):
        await runtime.resume(THREAD, spec_in(tmp_path))

    server = TmuxServer(socket=tmp_path / "home/tmux.sock", environ=os.environ)
    assert server.panes() == []
