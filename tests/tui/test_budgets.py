"""Budgets and pauses in the room: the status line, an actor, a message that waits."""

from dataclasses import replace

import pytest

from netsky_runtime.attention.items import Urgency
from netsky_runtime.budgets import Gauge, Hold
from netsky_runtime.errors import Conflict
from netsky_runtime.states import BudgetScope, HealthState
from netsky_runtime.vital_records import Health
from netsky_tui.drawing import actors, gauges, status
from netsky_tui.source import Snapshot
from netsky_tui.store import Store
from netsky_tui.text import cells
from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, open_room
from tests.tui.story import MINUTE, NOW

PAUSED = "paused until 14:30: Codex's 5 h limit"


def gauge(used, limit=1_000, scope=BudgetScope.ACTOR, subject="worker1"):
    return Gauge(scope=scope, subject=subject, limit=limit, used=used)


@pytest.mark.parametrize(
    ("used", "drawn", "tone"),
    [
        (0, "worker1 ▱▱▱▱▱ 0%", "dim"),
        (550, "worker1 ▰▰▱▱▱ 55%", "dim"),
        (799, "worker1 ▰▰▰▱▱ 79%", "dim"),
        (800, "worker1 ▰▰▰▰▱ 80%", "warn"),
        (999, "worker1 ▰▰▰▰▱ 99%", "warn"),
        (1_000, "worker1 ▰▰▰▰▰ 100%", "bad"),
        (99_000, "worker1 ▰▰▰▰▰ 999%", "bad"),
    ],
)
def test_a_gauge_warns_from_four_fifths_on_and_is_full_only_when_all_is_used(used, drawn, tone):
    assert gauges.short(gauge(used)) == (drawn, tone)


def test_a_gauge_of_the_day_names_the_day_and_its_numbers():
    day = gauge(2_500_000, 5_000_000, BudgetScope.DAY, "")
    assert gauges.short(day)[0] == "day ▰▰▱▱▱ 50%"
    assert gauges.whole(day) == "2,500,000 of 5,000,000 (50%)"


def held(**health):
    made = story.actor("manager0", "owner", HealthState.HEALTHY, f"waiting: {PAUSED}", 1)
    told = {"state": HealthState.HEALTHY, "reason": f"waiting: {PAUSED}", "since": NOW - MINUTE}
    hold = Hold(reason=PAUSED, until=NOW + MINUTE)
    return replace(made, health=Health(**{**told, **health}), hold=hold)


def test_the_row_of_an_actor_says_what_its_queue_waits_for():
    (row,) = actors.rows([held()], NOW)
    lines = ["".join(text for text, _ in line) for line in actors.draw(row, 60)]
    assert f"waiting: {PAUSED}" in lines[1]


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_room_shows_the_pause_the_day_and_whoever_is_selected(size):
    known = (gauge(850, subject="manager0"), gauge(1_200, 1_000, BudgetScope.DAY, ""))
    snapshot = story.day(gauges=known, hold=Hold(reason=PAUSED, until=NOW), events_of="manager0")
    async with open_room(snapshot, size=size) as room:
        await room.until(lambda: PAUSED in room.text())
        if size == WIDE:
            assert "day ▰▰▰▰▰ 120%" in room.text()
            assert "manager0 ▰▰▰▰▱ 85%" in room.text()


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_the_page_of_an_actor_has_its_budgets(size):
    async with open_room(Snapshot(actors=(held(),)), size=size) as room:
        room.connector.handle.source.gauges = (gauge(850, subject="manager0"),)
        await room.press("escape", "1", "enter")
        await room.until(lambda: "850 of 1,000 (85%)" in room.text())


async def test_a_message_that_is_held_says_so_at_once():
    async with open_room(story.day()) as room:
        room.connector.handle.answers["send"] = {
            "message_id": "m-9",
            "input_id": "i-9",
            "status": "queued",
            "held": PAUSED,
            "remedy": "netsky unpause",
        }
        await room.press(*"hello", "enter")
        await room.until(lambda: f"It waits: {PAUSED}." in room.text())
        assert "netsky unpause" in room.text()


async def test_the_room_says_what_an_actor_that_is_resumed_still_waits_for(monkeypatch):
    said = []
    async with open_room() as room:
        monkeypatch.setattr(room.app, "say", lambda text, bad=False: said.append((text, bad)))
        await room.app.operations.resume("worker1")
        answers = room.connector.handle.answers
        answers["actors.resume"] = {"held": PAUSED, "remedy": "netsky unpause"}
        await room.app.operations.resume("worker1")
        answers["actors.resume"] = Conflict("It is gone.")
        await room.app.operations.resume("worker1")
    waits = f"worker1 is back, and still waits: {PAUSED}. To let it go: netsky unpause"
    assert said == [("worker1 is back.", False), (waits, False), ("It is gone.", True)]


def test_a_narrow_status_line_keeps_the_count_of_what_is_held_and_cuts_the_reason():
    long = "paused until 14:30: the day's budget of 5,000,000 tokens is used up"
    waiting = {Urgency.SOON: 2}
    snapshot = story.day(hold=Hold(reason=long, until=NOW))
    totals = replace(snapshot.totals, unread=0, turns_running=0, waiting=waiting)
    store = Store()
    store.apply(replace(snapshot, totals=totals), NOW)
    line = "".join(text for text, _ in status.draw(store, 80))
    assert "◇ 2 held" in line
    assert "paused until 14:30: the" in line
    assert cells(line) <= 80
    wide = "".join(text for text, _ in status.draw(store, 160))
    assert long in wide
