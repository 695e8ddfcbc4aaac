"""What the shell offers after Tab."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.cli import world

if TYPE_CHECKING:
    from netsky_runtime.paths import Home
    from tests.cli.conftest import Seed


def _complete(line: str, home: Home) -> list[str]:
    words = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    asked = {"NETSKY_HOME": str(home.root), "_NETSKY_COMPLETE": "complete_bash", **words}
    done = subprocess.run(
        [sys.executable, "-m", "netsky_tui"],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("netsky st", ["status", "stop"]),
        ("netsky approvals de", ["decide"]),
        ("netsky send ma", ["manager0"]),
        ("netsky tasks done ", ["t1", "t2"]),
        ("netsky approvals decide ", ["a1"]),
        ("netsky approvals decide a1 acc", ["accept", "accept-for-session"]),
        ("netsky settings get ru", ["runtime"]),
        ("netsky tasks set t1 --priority ", ["P0", "P1", "P2", "P3"]),
    ],
)
def test_verbs_words_and_ids_are_offered(
    seed: Seed, home: Home, line: str, offered: list[str]
) -> None:
    seed(world.build)
    assert _complete(line, home) == offered


def test_an_empty_home_offers_nothing_and_says_nothing(home: Home) -> None:
    assert _complete("netsky send ", home) == []
    assert not home.root.exists()


def test_a_broken_database_offers_nothing_and_says_nothing(home: Home) -> None:
    home.prepare()
    home.database.write_text("no database " * 100)
    assert _complete("netsky send ", home) == []


def test_the_home_on_the_line_is_the_one_that_is_asked(seed: Seed, home: Home) -> None:
    seed(world.build)
    elsewhere = replace(home, root=home.root.with_name("elsewhere"))
    assert _complete(f"netsky --home {home.root} send ma", elsewhere) == ["manager0"]
