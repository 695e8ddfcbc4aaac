"""How each way to end a netsky ends it: whoever runs, whatever signal, with a turn under way."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM
from typing import TYPE_CHECKING

import psutil
import pytest

from netsky_runtime.lock import HomeLock
from tests.support.netsky import PATIENCE

if TYPE_CHECKING:
    from netsky_runtime.torture.model_server import ModelServer
    from tests.e2e.conftest import House

STOPS = [(SIGTERM,), (SIGINT,), (SIGINT, SIGINT)]
"""They interrupt turns and end all that was started."""
LEAVES = [(SIGHUP,), (SIGQUIT,)]
"""They let go of it in good order."""
KILL = (SIGKILL,)
EVERY = [*STOPS, *LEAVES, KILL]


def name(numbers: tuple[signal.Signals, ...]) -> str:
    return "+".join(number.name for number in numbers)


def scripted(house: House) -> House:
    house.environ["AGENT_RUNTIME"] = "scripted"
    return house


def after(house: House, sent: str, numbers: tuple[signal.Signals, ...]) -> None:
    """See that nothing but the rows is left, and what they say of the turn."""
    assert house.empty()
    with HomeLock(house.home / "daemon.lock"):  # nobody holds it
        pass
    expected = "interrupted" if numbers in STOPS else "seen"
    assert house.input(sent)["status"] == expected


@pytest.mark.parametrize("numbers", EVERY, ids=name)
def test_a_headless_daemon(demo: House, numbers: tuple[signal.Signals, ...]) -> None:
    house = scripted(demo)
    daemon = house.start()
    sent = house.send("HANG")
    house.seen(sent)
    for number in numbers:
        daemon.send_signal(number)
    assert daemon.wait(PATIENCE) == (-SIGKILL if numbers == KILL else 0)
    after(house, sent, numbers)


@pytest.mark.parametrize("numbers", EVERY, ids=name)
def test_a_hosting_room(demo: House, numbers: tuple[signal.Signals, ...]) -> None:
    house = scripted(demo)
    room = house.room()
    sent = house.send("HANG")
    room.watch(lambda: house.input(sent)["status"] == "seen")
    for number in numbers:
        room.signal(number)
    if numbers == KILL:
        assert room.wait_exit() == -SIGKILL
    else:
        room.leaves()
    after(house, sent, numbers)


def test_an_attached_room_only_detaches_whatever_signal_it_gets(demo: House) -> None:
    house = scripted(demo)
    house.start()
    sent = house.send("HANG")
    house.seen(sent)
    for numbers in [*STOPS[:2], *LEAVES, KILL]:
        room = house.room(link="attached")
        for number in numbers:
            room.signal(number)
        if numbers == KILL:
            assert room.wait_exit() == -SIGKILL
        else:
            room.leaves()
        house.until(lambda: house.json("status")["rooms"] == 0)
        assert house.json("status")["counts"]["turns_running"] == 1
    assert house.stop() == 0
    after(house, sent, (SIGTERM,))


@pytest.mark.parametrize("numbers", [(SIGINT, SIGINT), (SIGQUIT,)], ids=name)
def test_the_engine_under_a_hosting_room(
    house: House, model: ModelServer, numbers: tuple[signal.Signals, ...]
) -> None:
    room = house.room()
    sent = house.send("HANG SAY[went on]")
    room.watch(lambda: house.input(sent)["status"] == "seen")
    engine = house.engine()
    for number in numbers:
        room.signal(number)
    room.wait_exit()
    if numbers in STOPS:
        assert house.input(sent)["status"] == "interrupted"
        assert house.engine() is None
    else:
        assert house.engine() == engine
        model.release()
        house.start()
        assert house.engine() == engine
        assert house.settled(sent)["status"] == "answered"
    house.leaves_nothing()


def test_an_engine_s_row_that_names_another_process_by_now_ends_nothing(house: House) -> None:
    house.start()
    house.ask("SAY[warm]")
    house.kill()
    engine = house.engine()
    assert engine is not None
    engine.kill()
    engine.wait(PATIENCE)
    with psutil.Popen(["sleep", "600"], start_new_session=True) as stranger:
        with closing(sqlite3.connect(house.home / "meta.db")) as database, database:
            change = "UPDATE engines SET pid = ? WHERE state = 'running'"
            assert database.execute(change, (stranger.pid,)).rowcount == 1
        house.start()
        assert house.ask("SAY[anew]")["reply"]["body"] == "anew"
        assert house.stop() == 0
        assert stranger.is_running()
        stranger.kill()
    house.leaves_nothing()
