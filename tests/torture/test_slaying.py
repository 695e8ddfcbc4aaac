"""Whatever was started for a throw-away home is found and killed, and nothing else is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from netsky_runtime.torture.slaying import kill_engine, kill_tree, of_home

# Starts a child that only waits, says its pid, and waits as well.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
print(child.pid, flush=True)
input()
"""


@contextmanager
def family(**given) -> Iterator[tuple[int, int]]:
    """Run a parent with a child; yield their pids."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **given,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            yield parent.pid, child
        finally:
            kill_tree(parent.pid)


def test_what_was_started_for_the_home_is_of_it_with_what_it_started(tmp_path):
    with family(env={"HOME": str(tmp_path)}) as (parent, child), family(cwd=tmp_path) as (other, _):
        found = {process.pid for process in of_home(tmp_path)}
        assert {parent, child} <= found
        assert other not in found


def test_a_tree_is_killed_to_its_leaves():
    with family() as (parent, child):
        leaf = psutil.Process(child)
        kill_tree(parent)
        assert leaf.wait(10) is None or not leaf.is_running()


def test_a_process_that_is_gone_is_no_error():
    with family() as (parent, _):
        pass
    kill_tree(parent)


def test_a_home_without_an_engine_has_none_to_kill(tmp_path):
    assert kill_engine(tmp_path / "meta.db") is False
