"""The doors in the room: which one an actor has, what it has not, another one, Codex's screen."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace

import psutil
import pytest

from netsky_runtime.codex.events import EventKind
from netsky_runtime.errors import Conflict
from netsky_runtime.fact_records import StoredEvent
from netsky_runtime.states import HealthState, InputMode, RuntimeName, Source
from netsky_tui import palette
from netsky_tui.screens.dialogs import ChoiceScreen
from netsky_tui.screens.page import PageScreen
from netsky_tui.source import Snapshot
from tests.tui import story
from tests.tui.fakes import NOW
from tests.tui.rooms import NARROW, WIDE, open_room

APP, MCP, RESIDENT, SCRIPTED = RuntimeName


def one(runtime, **fields):
    """A room with one actor, on that door."""
    idle = HealthState.IDLE
    return Snapshot(
        actors=(
            story.actor("manager0", "owner", idle, "nothing to do", 1, runtime=runtime, **fields),
        )
    )


@contextmanager
def lent():
    """Stand in for the terminal that a room under test has not."""
    yield


def said(room):
    """Everything the room has told, unwrapped."""
    return "\n".join(notification.message for notification in room.app._notifications)


def terminal(*command, runtime="app_server"):
    return {"command": command, "environment": {}, "cwd": "", "runtime": runtime}


# -- which one -----------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "name"), [(NARROW, "resident"), (WIDE, "res")])
async def test_each_actor_is_listed_with_its_door(size, name):
    async with open_room(one(RESIDENT), size=size) as room:
        await room.press("escape", "1")
        (line,) = [line for line in room.text().splitlines() if "manager0" in line and "○" in line]
        assert name in line.split("○")[0].split()


async def test_an_actor_s_page_tells_old_and_new_thread_and_the_screen_that_blocks_it():
    snapshot = Snapshot(actors=(story.blocked_resident(),))

    def show(connector):
        connector.reader.screen = story.DIALOG

    async with open_room(snapshot, prepare=show) as room:
        await room.press("escape", "1", "enter")
        await room.until(lambda: "Session" in room.text())
        text = room.text()
        assert "019b-manager0" in text
        assert "019a-lost, which could not go on" in text
        assert "a dialog that netsky does not know" in text
        assert "1. Try the new model" in text


async def test_a_blocked_actor_s_page_begins_with_what_codex_asks():
    talk = "".join(f"  • line {number} of the conversation\n" for number in range(60))

    def show(connector):
        connector.reader.screen = talk + story.DIALOG

    snapshot = Snapshot(actors=(story.blocked_resident(),))
    async with open_room(snapshot, prepare=show, size=NARROW) as room:
        await room.press("escape", "1", "enter")
        await room.until(lambda: "1. Try the new model" in room.text())
        assert "Press enter to confirm" in room.text()
        await room.press("end")
        await room.until(lambda: "line 59 of the conversation" in room.text())


@pytest.mark.parametrize(("size", "badge"), [(NARROW, "1 actors ▲1"), (WIDE, "▲ blocked")])
async def test_a_screen_that_blocks_an_actor_is_seen_from_everywhere(size, badge):
    async with open_room(Snapshot(actors=(story.blocked_resident(),)), size=size) as room:
        await room.press("escape", "3")
        assert badge in room.text()
        assert "▲ 1 waiting" in room.text()
        assert "1 waits for you" in room.text()
    async with open_room(one(RESIDENT), size=size) as room:
        assert "▲ 0 waiting" in room.text()
        assert "waits for you" not in room.text()


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_f5_goes_to_a_screen_that_waits_and_one_key_shows_it(size, monkeypatch):
    idle = story.actor("worker1", "manager0", HealthState.IDLE, "nothing to do", 1)
    other = replace(story.blocked_resident(), actor=replace(idle.actor, id="worker2"))
    actors = (story.blocked_resident(), idle, other)
    async with open_room(Snapshot(actors=actors), size=size) as room:
        shown = []

        async def attach(actor_id):
            shown.append(actor_id)

        monkeypatch.setattr(room.app.attaching, "attach", attach)
        await room.press("f5")
        assert room.app.focused is room.app.room.attention.view
        assert "manager0 screen blocked a dialog that" in room.text()
        assert "a show its screen" in str(room.app.room.attention.border_subtitle)
        await room.press("down", "a")
        await room.until(lambda: shown)
        assert shown == ["worker2"]


async def test_approvals_and_blocked_screens_are_one_queue_by_their_age():
    snapshot = Snapshot(actors=(story.blocked_resident(),))
    waits = story.day(approvals=story.approvals())
    async with open_room(replace(snapshot, approvals=waits.approvals)) as room:
        await room.press("f5")
        rows = room.app.room.attention.view.rows
        assert [row.key for row in rows] == ["approval:a3", "blocked:manager0", "approval:a4"]


async def test_why_an_actor_is_blocked_is_told_whole():
    why = "Somebody's words stand in Codex's composer: send them or delete them."
    fact = story.actor("manager0", "owner", HealthState.BLOCKED, why, 1, runtime=RESIDENT)
    async with open_room(Snapshot(actors=(fact,)), size=WIDE) as room:
        left = [line.split("││")[0].strip("│▌▏ ") for line in room.text().splitlines()]
        assert why in " ".join(left)


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        (MCP, ("Not on mcp_server", "has no screen", "queue or interrupt")),
        (RESIDENT, ("Not on resident", "on its own screen")),
        (SCRIPTED, ("Not on scripted", "no screen of its own")),
    ],
)
async def test_what_a_door_has_not_is_told_with_the_reason(runtime, words):
    async with open_room(one(runtime)) as room:
        await room.press("escape", "1", "enter")
        await room.until(lambda: "Session" in room.text())
        for word in words:
            assert word in room.text()


async def test_steering_where_no_door_can_is_told_before_it_is_sent():
    async with open_room(one(MCP)) as room:
        while room.app.room.composer.mode is not InputMode.STEER:
            await room.press("ctrl+r")
        assert "takes nothing into a running turn" in room.text()


# -- what happened there -------------------------------------------------------------------


async def test_words_typed_in_codex_are_the_owner_s_and_say_where_they_were_typed():
    fact = story.message(1, "owner", "manager0", "Leave the tests alone.", 1)
    typed = replace(fact, message=replace(fact.message, source=Source.CODEX), input_status=None)
    async with open_room(replace(one(APP), messages=(typed,))) as room:
        (line,) = [line for line in room.text().splitlines() if "owner → manager0" in line]
        assert "typed in Codex" in line


async def test_a_blocked_screen_and_another_model_are_events():
    told = (
        (EventKind.BLOCKED, {"reason": "a dialog", "screen": story.DIALOG}),
        (EventKind.BLOCKED, {"reason": "", "screen": ""}),
        (EventKind.MODEL, {"model": "gpt-9"}),
    )
    events = tuple(
        StoredEvent(
            seq=seq,
            thread_id="th",
            turn_id="",
            item_id=f"i-{seq}",
            kind=kind,
            actor_id="manager0",
            at=NOW,
            data=data,
        )
        for seq, (kind, data) in enumerate(told, start=1)
    )
    async with open_room(replace(one(RESIDENT), events=events)) as room:
        text = room.text()
        assert "2. Use the existing model" in text
        assert "its screen is free again" in text
        assert "runs on gpt-9 from here" in text


# -- Codex's own screen --------------------------------------------------------------------


async def test_a_brings_codex_own_screen_and_the_room_comes_back(monkeypatch, tmp_path):
    async with open_room(one(APP)) as room:
        monkeypatch.setattr(room.app, "suspend", lent)
        seen = tmp_path / "seen"
        program = f"import os; open({str(seen)!r}, 'w').write(os.environ['CODEX_HOME'])"
        answer = terminal(sys.executable, "-c", program)
        answer["environment"] = {"CODEX_HOME": "/codex/home"}
        room.connector.handle.answers["actors.terminal"] = answer
        await room.press("escape", "1", "a")
        await room.until(lambda: "Back from Codex's screen of manager0" in said(room))
        assert seen.read_text() == "/codex/home"
        assert room.connector.handle.asked("actors.terminal") == [{"actor_id": "manager0"}]
        assert not room.app.attaching.away


async def test_a_screen_that_ends_badly_says_how(monkeypatch):
    async with open_room(one(APP)) as room:
        monkeypatch.setattr(room.app, "suspend", lent)
        room.connector.handle.answers["actors.terminal"] = terminal("sh", "-c", "exit 3")
        await room.press("escape", "1", "a")
        await room.until(lambda: "ended with status 3" in said(room))
        room.connector.handle.answers["actors.terminal"] = terminal("/no/such/codex")
        await room.press("a")
        await room.until(lambda: "/no/such/codex cannot be started" in said(room))


async def test_what_has_no_screen_says_why_and_asks_nobody():
    async with open_room(one(MCP)) as room:
        await room.press("escape", "1", "a")
        await room.until(lambda: "move it to app_server or resident" in said(room))
        assert room.connector.handle.asked("actors.terminal") == []


async def test_a_daemon_that_refuses_is_heard():
    async with open_room(one(APP)) as room:
        refusal = Conflict("It has no live thread.", hint="Send it something.")
        room.connector.handle.answers["actors.terminal"] = refusal
        await room.press("escape", "1", "a")
        await room.until(lambda: "It has no live thread." in said(room))


async def test_a_terminal_that_cannot_be_lent_is_told_with_what_to_do():
    async with open_room(one(APP)) as room:
        room.connector.handle.answers["actors.terminal"] = terminal("true")
        await room.press("escape", "1", "a")
        await room.until(lambda: "netsky actors attach manager0" in said(room))


async def test_a_ctrl_c_for_codex_leaves_the_room_and_a_stop_ends_both(monkeypatch):
    async with open_room(one(APP)) as room:
        monkeypatch.setattr(room.app, "suspend", lent)
        room.connector.handle.answers["actors.terminal"] = terminal("sleep", "600")
        await room.press("escape", "1", "a")
        await room.until(lambda: room.app.attaching.away)
        (child,) = [p for p in psutil.Process().children() if p.name() == "sleep"]
        room.app.interrupted()
        await room.pilot.pause()
        assert room.connector.stopped == []
        room.app.stop_soon(keep_engine=True)
        await room.until(lambda: room.connector.stopped)
        assert not psutil.pid_exists(child.pid)


# -- another door --------------------------------------------------------------------------


async def test_an_actor_is_moved_by_a_choice():
    async with open_room(one(APP)) as room:
        room.connector.handle.answers["actors.move"] = {
            "actor_id": "manager0",
            "runtime": "resident",
        }
        await room.press("escape", "1", "M")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        assert "app_server: it is there already" in room.text()
        await room.press("r")
        await room.until(lambda: "manager0 is on resident now" in said(room))
        (asked,) = room.connector.handle.asked("actors.move")
        assert asked == {"actor_id": "manager0", "runtime": "resident", "interrupt": False}


async def test_a_way_that_is_closed_says_why_and_moves_nothing():
    async with open_room(one(APP)) as room:
        for key, words in (("m", "threads that it has started itself"), ("a", "there already")):
            await room.press("escape", "1", "M")
            await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
            await room.press(key)
            await room.until(lambda w=words: w in said(room))
        await room.press("M", "s")
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.connector.handle.asked("actors.move") == []


async def test_a_script_is_not_moved():
    async with open_room(one(SCRIPTED)) as room:
        await room.press("escape", "1", "M")
        await room.until(lambda: "no thread of Codex" in said(room))


async def test_the_palette_offers_both_and_says_where_there_is_no_screen():
    for runtime, words in ((APP, "the room comes back"), (MCP, "not here: ")):
        async with open_room(one(runtime)) as room:
            offered = {name: about for name, about, _ in palette.commands(room.app)}
            assert words in offered["Attach: Codex's own screen of manager0"]
            assert "Move manager0 to another door…" in offered


async def test_enter_still_opens_the_page_of_an_actor():
    async with open_room(one(APP)) as room:
        await room.press("escape", "1", "enter")
        await room.until(lambda: isinstance(room.app.screen, PageScreen))
        assert "Not on" not in room.text()
