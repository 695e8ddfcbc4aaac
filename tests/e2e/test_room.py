"""The room on the real Codex, as an operator uses it."""

import signal
import sqlite3
from contextlib import closing

import pytest

from tests.e2e.conftest import NARROW, WIDE


@pytest.fixture(autouse=True)
def _real(codex_binary):
    """Every test here runs the real Codex."""


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["160x45", "80x24"])
def test_an_answer_of_codex_is_read_in_the_room(house, size):
    room = house.room(size=size)
    room.say("SAY[hello from codex]")
    room.until("manager0 → owner", "hello from codex")
    room.quits()
    assert house.empty()


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["160x45", "80x24"])
def test_one_key_accepts_what_codex_asks(house, size):
    room = house.room(size=size)
    room.say(f"ESC[touch {house.work}/made] SAY[it is made]")
    room.until("1 approval", "touch")
    assert not (house.work / "made").exists()
    room.decide("y")
    room.watch((house.work / "made").exists)
    room.quits()


def test_text_and_enter_in_one_burst_are_sent_whole(house):
    room = house.room()
    said = [f"SAY[burst {number} of words that nobody types this fast]" for number in range(5)]
    for words in said:
        room.say(words)
        room.watch(lambda words=words: words in from_owner(house))
    assert from_owner(house) == said


def from_owner(house):
    """Return what this home's owner has said."""
    with closing(sqlite3.connect(house.home / "meta.db")) as database:
        found = database.execute("SELECT body FROM messages WHERE sender = 'owner' ORDER BY seq")
        return [row[0] for row in found]


def test_a_second_room_attaches_and_its_ctrl_q_only_detaches(house):
    first = house.room()
    second = house.room(link="attached")
    second.say("SAY[said by the second]")
    first.until("said by the second")
    second.quits()
    first.say("SAY[still here]")
    first.until("manager0 → owner", "still here")
    assert house.engine() is not None


def test_a_room_attaches_to_a_headless_daemon_and_leaves_it_working(house):
    house.start()
    room = house.room(link="attached")
    room.say("SAY[through the door]")
    room.until("manager0 → owner", "through the door")
    room.quits()
    assert house.json("status")["daemon"]["state"] == "ready"
    assert house.stop() == 0
    assert house.empty()


def test_an_attached_room_waits_for_a_daemon_that_was_stopped(house):
    house.start()
    room = house.room(link="attached")
    assert house.stop() == 0
    room.until("netsky was stopped")
    house.start()
    room.until("attached")
    room.quits()


def hanging(house, model, words):
    """Open a room with a turn that runs until the model is released."""
    room = house.room()
    room.say(f"HANG SAY[{words}]")
    model.wait_hanging(60)
    room.until("1 turn ", "busy")
    return room


def test_ctrl_q_with_a_running_turn_asks_and_staying_stays(house, model):
    room = hanging(house, model, "stayed")
    room.press("ctrl+q")
    room.until("Leave the room?", "1 turn runs")
    room.press("t")
    room.until_gone("Leave the room?")
    model.release()
    room.until("manager0 → owner", "stayed")


def test_leaving_them_working_ends_netsky_and_the_next_room_shows_the_result(house, model):
    room = hanging(house, model, "went on")
    room.press("ctrl+q")
    room.until("Leave the room?")
    room.press("l")
    room.leaves()
    engine = house.engine()
    assert engine is not None
    model.release()
    again = house.room()
    again.until("manager0 → owner", "went on")
    assert house.engine() == engine


def test_stopping_everything_interrupts_the_turn_and_ends_the_engine(house, model):
    room = hanging(house, model, "never said")
    room.press("ctrl+q")
    room.until("Leave the room?")
    room.press("s")
    room.leaves()
    assert house.empty()
    assert settled(house) == ["interrupted"]


def settled(house):
    """Return how the inputs of this home have ended."""
    with closing(sqlite3.connect(house.home / "meta.db")) as database:
        return [row[0] for row in database.execute("SELECT status FROM actor_inputs")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_to_the_hosting_room_ends_everything_and_restores_the_terminal(
    house, model, number
):
    room = hanging(house, model, "never said")
    room.signal(number)
    room.leaves()
    assert house.empty()
    assert settled(house) == ["interrupted"]


def test_sighup_leaves_the_engine_working_and_the_next_room_shows_the_result(house, model):
    room = hanging(house, model, "after the hangup")
    room.signal(signal.SIGHUP)
    room.wait_exit()
    shows_what_went_on(house, model, "after the hangup")


def test_a_closed_window_leaves_the_engine_working(house, model):
    room = hanging(house, model, "after the window")
    room.hang_up()
    room.process.wait(60)
    shows_what_went_on(house, model, "after the window")


def test_a_killed_room_leaves_the_engine_working(house, model):
    room = hanging(house, model, "after the kill")
    room.signal(signal.SIGKILL)
    room.wait_exit()
    shows_what_went_on(house, model, "after the kill")


def shows_what_went_on(house, model, words):
    """Check that the engine outlived its netsky and the next room shows what it did."""
    (engine,) = [p for p in house.processes() if "app-server" in p.cmdline()]
    model.release()
    again = house.room()
    again.until("manager0 → owner", words)
    assert house.engine() == engine
    again.quits()
    assert house.empty()


def test_a_window_too_small_says_what_it_needs_and_comes_back_when_it_grows(house):
    room = house.open(size=(40, 10))
    room.until("at least 60 by 15")
    room.resize(*NARROW)
    room.until("manager0", "hosting")
    room.resize(*WIDE)
    room.until("1 actors", "2 tasks", "3 messages", "4 events")
    room.resize(50, 45)
    room.until("at least 60 by 15")
    room.quits()
