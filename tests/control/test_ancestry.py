"""Who comes from what carries threads: with real processes, started in every way there is."""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.control import ancestry
from netsky_runtime.control.ancestry import Caller
from netsky_runtime.wire.credentials import peer_pid
from tests.support.carriers import carrier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.carriers import Carrier

MARK = ("NETSKY_AGENT_OF", "/some/home")
PLAIN = {"PATH": os.environ["PATH"]}
WAYS = {
    "a child": "sleep 600 & echo $!",
    "a grandchild": "sh -c 'sleep 600 & echo $!; wait' &",
    "a child of a child that has ended": "(sleep 600 & echo $!)",
    "one in a session of its own": "setsid sleep 600 & sleep 0; echo $!",
    "one whose session's leader lives": "setsid sh -c '(sleep 600 & echo $!); sleep 600' &",
}
CUT = "setsid sh -c '(sleep 600 & echo $!)' & wait"
"""Its parents have ended, and its session and group are of nobody who lives."""


@pytest.fixture
def engine() -> Iterator[Carrier]:
    with carrier(PLAIN) as engine:
        yield engine


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """Processes that nothing else ends."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        psutil.Process(pid).kill()


def look(pid: int, *engines: Carrier) -> Caller:
    carriers = [ancestry.Carrier(each.pid, each.started, "the engine") for each in engines]
    return ancestry.caller(pid, carriers, mark=MARK)


@pytest.mark.parametrize("way", WAYS)
def test_what_an_engine_starts_is_known_by_it(engine: Carrier, ended: list[int], way: str) -> None:
    pid = int(engine.tell(WAYS[way]))
    ended.append(pid)
    assert look(pid, engine).carrier == "the engine"
    assert look(engine.pid, engine).carrier == "the engine"


def test_what_has_left_parents_session_and_group_is_known_only_by_what_it_bears(
    engine: Carrier, ended: list[int]
) -> None:
    bare = int(engine.tell(CUT))
    marked = int(engine.tell(f"export {MARK[0]}={MARK[1]}; {CUT}"))
    ended += [bare, marked]
    engine.tell("echo")  # it has waited for whoever came between
    assert look(bare, engine).carrier == ""  # the README says so
    assert look(marked, engine).carrier == "an agent of this home"


def test_the_mark_of_another_home_says_nothing(engine: Carrier) -> None:
    pid = int(engine.tell(f"export {MARK[0]}=/elsewhere; {WAYS['a child']}"))
    assert look(pid).carrier == ""


def test_an_engine_whose_number_is_another_process_s_by_now_carries_nobody(
    engine: Carrier,
) -> None:
    pid = int(engine.tell(WAYS["a child"]))
    earlier = ancestry.Carrier(engine.pid, engine.started - 60, "the engine")
    found = ancestry.caller(pid, [earlier], mark=MARK)  # a shell yet, or a sleep by now
    assert (found.pid, found.carrier, found.told) == (pid, "", True)


def test_a_group_of_before_the_machine_s_start_is_another_s_by_now(
    engine: Carrier, ended: list[int]
) -> None:
    pid = int(engine.tell(WAYS["a child"]))
    ended.append(pid)
    engine.kill()
    earlier = ancestry.Carrier(engine.pid, psutil.boot_time() - 60, "the engine")
    assert look(pid, engine).carrier == "the engine"
    assert ancestry.caller(pid, [earlier], mark=MARK).carrier == ""


def test_the_owner_comes_from_no_engine(engine: Carrier) -> None:
    mine = look(os.getpid(), engine)
    assert (mine.carrier, mine.told) == ("", True)


def test_who_has_gone_cannot_be_told(engine: Carrier) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert not look(gone.pid, engine).told
    assert not look(0, engine).told


def test_a_line_of_ancestors_that_does_not_end_is_not_taken_for_the_owner_s(
    engine: Carrier, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = int(engine.tell(WAYS["a grandchild"]))
    monkeypatch.setattr(ancestry, "MAX_RELATIVES", 2)
    found = look(pid)
    assert (found.carrier, found.told) == ("", False)


def test_both_ends_of_a_socket_tell_their_process(tmp_path: Path) -> None:
    path = f"/proc/self/fd/{os.open(tmp_path, os.O_RDONLY)}/s"
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(path)
        listening.listen()
        client.connect(path)
        served, _ = listening.accept()
        with served:
            assert peer_pid(served) == os.getpid()
            assert peer_pid(client) == os.getpid()
