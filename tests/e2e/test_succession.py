"""Several rooms in one home: the one that hosts goes, and the others go on."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netsky_runtime.torture.model_server import ModelServer
    from tests.e2e.conftest import House, Room


def test_after_a_kill_one_of_two_rooms_hosts_and_keeps_what_was_being_typed(demo: House) -> None:
    demo.environ["AGENT_RUNTIME"] = "scripted"
    host = demo.room()
    first, second = demo.room(link="attached"), demo.room(link="attached")
    epoch = demo.json("status")["daemon"]["epoch"]
    for room in (first, second):
        room.type("SAY[half a")
        room.until("SAY[half a")

    host.signal(signal.SIGKILL)
    assert host.wait_exit() == -signal.SIGKILL
    rooms = [first, second]
    first.watch(lambda: second.pump() and _links(*rooms) == {"attached", "hosting"})
    told = demo.json("status")["daemon"]
    assert told["epoch"] == epoch + 1
    assert told["pid"] in {first.process.pid, second.process.pid}

    rooms.sort(key=lambda room: "hosting" in room.text)
    attached, hosting = rooms
    for room in rooms:
        room.say(" word]")
        room.until("  half a word")
    attached.quits()
    hosting.quits()
    demo.leaves_nothing()


def test_a_host_that_leaves_codex_working_hands_the_home_to_the_room_that_is_attached(
    house: House, model: ModelServer
) -> None:
    host = house.room()
    other = house.room(link="attached")
    host.say("HANG SAY[went on]")
    host.until("▶ 1 turn ")
    engine = house.engine()
    host.press("ctrl+q")
    host.until("Leave the room?", "a room that is attached goes on with it")
    host.press("l")
    host.leaves()
    other.until("● hosting")
    assert house.engine() == engine
    model.release()
    other.until("  went on")
    other.quits()
    house.leaves_nothing()


def test_a_stop_from_elsewhere_ends_no_attached_room_which_hosts_when_it_is_told_to(
    demo: House,
) -> None:
    demo.environ["AGENT_RUNTIME"] = "scripted"
    demo.start()
    room = demo.room(link="attached")
    assert demo.stop() == 0
    room.until("netsky was stopped", "F8 hosts one here")
    room.press("f8")
    room.until("● hosting")
    room.quits()
    demo.leaves_nothing()


def _links(*rooms: Room) -> set[str]:
    return {link for room in rooms for link in ("attached", "hosting") if link in room.text}
