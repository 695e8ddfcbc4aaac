"""``events tail --follow`` in a process of its own, ended as people end it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.db import events
from tests.cli import world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky, Seed

LINE = [sys.executable, "-m", "netsky_tui", "events", "tail", "--json", "--follow", "-n", "1"]


@pytest.fixture
def follower(seed: Seed, home: Home) -> Iterator[subprocess.Popen[str]]:
    seed(world.build)
    with subprocess.Popen(
        LINE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.timeout(30)
def test_new_events_are_printed_as_they_are_stored(
    follower: subprocess.Popen[str], seed: Seed
) -> None:
    assert follower.stdout is not None
    assert json.loads(follower.stdout.readline())["data"]["text"] == "say 29"

    async def more(tx: Any) -> None:
        data = '{"text": "later"}'
        fact = ("th-1", "turn-1", "item-x", "item.completed", "worker1", world.NOW, data)
        await events.upsert_many(tx, [fact])

    seed(more)
    assert json.loads(follower.stdout.readline())["data"]["text"] == "later"


@pytest.mark.timeout(30)
def test_ctrl_c_ends_following_without_a_word(follower: subprocess.Popen[str]) -> None:
    assert follower.stdout is not None
    follower.stdout.readline()
    follower.send_signal(signal.SIGINT)
    _, said = follower.communicate(timeout=10)
    assert (follower.returncode, said) == (130, "")


@pytest.mark.timeout(30)
def test_a_reader_that_leaves_ends_following_without_a_word(
    follower: subprocess.Popen[str], seed: Seed
) -> None:
    assert follower.stdout is not None
    follower.stdout.readline()
    follower.stdout.close()

    async def more(tx: Any) -> None:
        fact = ("th-1", "turn-1", "item-x", "item.completed", "worker1", world.NOW, "{}")
        await events.upsert_many(tx, [fact])

    seed(more)
    assert follower.wait(timeout=10) == 0
    assert follower.stderr is not None
    assert follower.stderr.read() == ""


def test_there_is_nothing_to_follow_in_a_home_without_database(netsky: Netsky) -> None:
    assert netsky("events", "tail", "--follow").status == 4
