"""Which thread the processes of a pane write: never one that they only read."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.codex.resident.processes import open_rollout, shown_thread
from tests.codex.test_rollout_locate import MARK, OTHER, THREAD, changed_at, meta, rollout, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Opener = Callable[..., psutil.Process]

OPENS = """
import os, sys
how, beneath, *paths = sys.argv[1:]
if beneath:
    if os.fork():
        os.wait()
        sys.exit()
    os.setsid() if beneath == "detached" else None
held = [open(path, how) for path in paths]
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def opener() -> Iterator[Opener]:
    """Give a process of its own session that has files open, itself or one beneath it."""
    started: list[subprocess.Popen[bytes]] = []

    def opened(how: str, *paths: Path, beneath: str = "") -> psutil.Process:
        process = subprocess.Popen(
            [sys.executable, "-c", OPENS, how, beneath, *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        return psutil.Process(process.pid)

    yield opened
    for process in started:
        process.communicate()


def test_a_thread_that_codex_only_reads_is_not_its_own(opener: Opener, tmp_path: Path) -> None:
    listed = changed_at(rollout(tmp_path, OTHER, meta(OTHER), says("hello")), 2000)

    assert open_rollout(opener("rb", listed)) is None


@pytest.mark.parametrize("how", ["ab", "a+b"])
@pytest.mark.parametrize("beneath", ["", "in its session"])
def test_the_thread_that_codex_writes_is_found_in_the_pane_and_beneath(
    opener: Opener, tmp_path: Path, how: str, beneath: str
) -> None:
    own = rollout(tmp_path, THREAD, meta(THREAD), says("hello"))

    assert open_rollout(opener(how, own, beneath=beneath)) == (THREAD, own)


def test_what_another_codex_writes_that_this_one_has_started_is_not_its_own(
    opener: Opener, tmp_path: Path
) -> None:
    nested = rollout(tmp_path, OTHER, meta(OTHER), says("hello"))

    assert open_rollout(opener("ab", nested, beneath="detached")) is None


def test_of_what_is_written_only_a_thread_with_the_mark_is_found_where_one_is_given(
    opener: Opener, tmp_path: Path
) -> None:
    own = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says(f"You are {MARK}.")), 1000)
    opened = changed_at(rollout(tmp_path, OTHER, meta(OTHER), says("hello")), 2000)
    fork = meta("f0", forked_from_id=THREAD)
    forked = changed_at(rollout(tmp_path, "f0", fork, says(f"You are {MARK}.")), 1500)
    leader = opener("ab", own, opened, forked)

    assert open_rollout(leader) == (OTHER, opened)
    assert open_rollout(leader, mark=MARK) == (THREAD, own)
    assert open_rollout(leader, mark="another") is None


def lock(home: Path, thread_id: str, at: float) -> Path:
    """Make the lock that Codex holds for a thread whose screen it came to show at a time."""
    file = home / "thread-writer-locks" / f"{thread_id}.lock"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    return changed_at(file, at)


def test_a_thread_in_which_nobody_has_said_anything_is_known_by_its_lock_to_be_shown(
    opener: Opener, tmp_path: Path
) -> None:
    own = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says("hello")), 3000)
    locks = [lock(tmp_path, ".coordination", 9000), lock(tmp_path, THREAD, 1000)]
    leader = opener("r+b", own, *locks, lock(tmp_path, OTHER, 2000))

    assert shown_thread(leader) == OTHER
    lock(tmp_path, THREAD, 4000)
    assert shown_thread(leader) == THREAD
    assert open_rollout(leader) == (THREAD, own)


def test_a_thread_that_a_human_came_back_to_is_shown_though_another_was_written_last(
    opener: Opener, tmp_path: Path
) -> None:
    own = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says("hello")), 1000)
    left = changed_at(rollout(tmp_path, OTHER, meta(OTHER), says("hello")), 3000)

    leader = opener("r+b", own, left, lock(tmp_path, OTHER, 2000), lock(tmp_path, THREAD, 4000))

    assert shown_thread(leader) == THREAD


def test_a_sub_agents_lock_is_no_thread_on_the_screen(opener: Opener, tmp_path: Path) -> None:
    own = rollout(tmp_path, THREAD, meta(THREAD), says("hello"))
    child = rollout(tmp_path, OTHER, meta(OTHER, parent_thread_id=THREAD))

    leader = opener("r+b", own, child, lock(tmp_path, THREAD, 1000), lock(tmp_path, OTHER, 2000))

    assert shown_thread(leader) == THREAD


def test_a_codex_that_locks_nothing_shows_what_it_wrote_last(
    opener: Opener, tmp_path: Path
) -> None:
    own = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says("hello")), 1000)
    other = changed_at(rollout(tmp_path, OTHER, meta(OTHER), says("hello")), 2000)
    lock(tmp_path, THREAD, 3000)  # of another Codex, or left by one that was killed

    assert shown_thread(opener("ab", own, other)) == OTHER
    assert shown_thread(opener("ab")) == ""
