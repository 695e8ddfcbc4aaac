"""What a torture calls a failure beside what is lost: daemons that live, logs and histories."""

from __future__ import annotations

import os
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import turns
from netsky_runtime.invariants.histories import Heard
from netsky_runtime.paths import Home
from netsky_runtime.records import Turn
from netsky_runtime.states import RuntimeName, TurnStatus
from netsky_runtime.torture import daemon as daemons
from netsky_runtime.torture import runner
from netsky_runtime.torture.accounts import Accounts
from netsky_runtime.torture.reckoning import EXPLAINED, reckon
from netsky_runtime.torture.report import Report
from netsky_runtime.torture.runner import Torture

if TYPE_CHECKING:
    from pathlib import Path


async def reckoned(making, **heard) -> Report:
    report = Report(runtime="scripted", seed=7)
    histories = Heard(**{"inputs": {}, "ran": {}, "unread": {}} | heard)
    await reckon(report, Accounts(), making.database, histories, deeds=None)
    return report


async def log(making, level, message):
    async def body(tx):
        await tx.execute(
            "INSERT INTO logs (at, level, component, message, fields_json)"
            " VALUES (1, ?, 'test', ?, '{}')",
            (level, message),
        )

    await making.write(body)


async def test_every_error_that_no_kill_explains_is_a_failure(making):
    for message in ("a fact cannot be stored and was left out", *EXPLAINED):
        await log(making, "error", message)
    await log(making, "warning", "slow")
    assert (await reckoned(making)).failures == ["a fact cannot be stored and was left out {}"]


@pytest.mark.parametrize(
    ("status", "failures"), [(TurnStatus.COMPLETED, 1), (TurnStatus.INTERRUPTED, 0)]
)
async def test_a_history_with_a_whole_turn_that_was_not_read_is_a_failure(making, status, failures):
    async def body(tx):
        turn = Turn(
            thread_id="th", id="t", actor_id="worker1", status=TurnStatus.IN_PROGRESS, started_at=1
        )
        await turns.start(tx, turn)
        await turns.complete(tx, "th", "t", status=status, completed_at=2, error="", final_text="")

    await making.write(body)
    report = await reckoned(making, unread={"th": "it is gone"})
    assert len(report.failures) == failures
    assert report.told()["histories_unread"] == 1
    read = await reckoned(making, inputs={"th": Counter()})
    assert (read.failures, read.told()["histories_read"]) == ([], 1)


# Says that it is ready, and then nothing more to anybody.
MUTE = """
import sys
sys.stdin.readline()
print('{"said": "ready", "seconds": 0.1}', flush=True)
sys.stdin.read()
"""


async def test_a_daemon_that_lives_and_takes_no_connection_is_a_failure_by_name(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(daemons, "_VICTIM", (sys.executable, "-c", MUTE))
    monkeypatch.setattr(runner, "DYING_SECONDS", 0.1)
    torture = Torture(
        Home.locate({"NETSKY_HOME": str(tmp_path / "home")}),
        runtime=RuntimeName.SCRIPTED,
        seed=7,
        kills=1,
        environ={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        clock=SystemClock(),
        progress=print,
    )
    await torture.run()
    assert "a daemon that lives takes no connection" in torture.report.failures
    assert "a daemon that lives answers nobody" in torture.report.failures
    assert any("the last daemon" in line for line in torture.report.broken())
