"""``netsky restart``: one daemon goes, the next comes, and what was running runs on."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.netsky import Netsky

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Netsky]:
    netsky = Netsky(tmp_path, environ={})
    yield netsky
    netsky.clean_up()


def test_a_restarted_daemon_begins_as_the_one_before_it(here: Netsky) -> None:
    daemon = here.start("--runtime", "scripted")
    before = here.json("status")["daemon"]
    elsewhere = here.root / "elsewhere"
    elsewhere.mkdir()
    here.work, work = elsewhere, here.work
    told = here.json("restart")
    try:
        assert daemon.wait(60) == 0
        now = here.json("status")
        assert told == {
            "before": before["pid"],
            "pid": now["daemon"]["pid"],
            "epoch": before["epoch"] + 1,
        }
        assert now["runtime"]["name"] == "scripted"
        process = psutil.Process(told["pid"])
        assert process.cwd() == str(work)
        assert os.getsid(told["pid"]) == told["pid"]  # it outlives the terminal
        assert here.ask("SAY[as ever]")["reply"]["body"] == "as ever"
    finally:
        assert here.run("stop").returncode == 0
    here.leaves_nothing()


def test_whoever_was_parked_for_a_crash_loop_gets_another_chance(here: Netsky) -> None:
    here.start("--runtime", "scripted")
    here.ask("SAY[warm]")
    with closing(sqlite3.connect(here.home / "meta.db")) as database:
        database.execute(
            "UPDATE actors SET status = 'parked', park_reason = 'crash loop: it died'"
            " WHERE id = 'manager0'"
        )
        database.commit()
    try:
        ran = here.run("restart")
        assert "manager0 was parked for a crash loop and goes on" in ran.stderr
        assert here.ask("SAY[again]")["reply"]["body"] == "again"
    finally:
        assert here.run("stop").returncode == 0
    here.leaves_nothing()


def test_without_a_daemon_there_is_nothing_to_restart(here: Netsky) -> None:
    ran = here.run("restart")
    assert (ran.returncode, ran.stdout) == (4, "")
    assert "No daemon runs for this home." in ran.stderr
