"""How actors are, in the room: what they do and how long ago that was heard, and their rungs."""

from dataclasses import replace

import pytest

from netsky_runtime.states import Evidence, HealthState, RungName, RungOutcome
from netsky_runtime.vital_records import Health, Rung
from netsky_tui.drawing import actors
from netsky_tui.source import Snapshot
from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, open_room
from tests.tui.story import MINUTE, NOW


def fact(**health):
    made = story.actor("manager0", "owner", HealthState.BUSY, "turn running", 1, objective="Splits")
    told = {"state": HealthState.BUSY, "reason": "command running", "since": NOW - 9 * MINUTE}
    return replace(made, health=Health(**{**told, **health}))


def drawn(one, width=60):
    (row,) = actors.rows([one], NOW)
    return ["".join(text for text, _ in line) for line in actors.draw(row, width)]


def tones(one):
    (row,) = actors.rows([one], NOW)
    return [tone for _, tone in actors.draw(row, 60)[1]]


def test_a_busy_actor_says_what_it_does_how_that_is_known_and_how_long_ago():
    one = fact(evidence=Evidence.PROTOCOL, last_sign=NOW - 3 * MINUTE)
    assert drawn(one)[1].strip() == "command running, protocol, 3m · Splits"


def test_a_calm_room_does_not_count_seconds():
    one = fact(evidence=Evidence.LIVE_TEXT, last_sign=NOW - 2_000)
    assert drawn(one)[1].strip() == "command running, live text, now · Splits"


def test_a_silent_turn_is_bad_and_says_when_it_was_last_heard_of():
    one = fact(
        state=HealthState.UNHEALTHY, reason="silent turn", last_sign=NOW - 6 * MINUTE, silent=True
    )
    lines = drawn(one)
    assert "✗ unhealthy" in lines[0]
    assert lines[1].strip() == "silent turn, last event 6 min"
    assert "bad" in tones(one)


def test_a_sign_that_is_ahead_of_a_clock_that_was_set_back_has_no_negative_age():
    assert "protocol, now" in drawn(fact(evidence=Evidence.PROTOCOL, last_sign=NOW + MINUTE))[1]


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_page_of_an_actor_tells_what_was_done_when_its_turn_hung(size):
    one = fact(
        state=HealthState.UNHEALTHY, reason="silent turn", last_sign=NOW - 6 * MINUTE, silent=True
    )
    rung = Rung(
        seq=1,
        actor_id="manager0",
        thread_id="th",
        turn_id="t",
        rung=RungName.INTERRUPT,
        evidence="no sign of life of its turn for 10 min",
        outcome=RungOutcome.NO_CHANGE,
        detail="Codex was asked to stop the turn",
        at=NOW - MINUTE,
    )
    async with open_room(Snapshot(actors=(one,)), size=size) as room:
        room.connector.handle.source.rungs = (rung,)
        await room.press("escape", "1", "enter")
        await room.until(lambda: "silent turn, last event 6 min" in room.text())
        await room.press("end")
        await room.until(lambda: "1 min ago interrupt: no sign of life" in room.text())
