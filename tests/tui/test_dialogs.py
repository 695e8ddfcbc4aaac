from __future__ import annotations

import pytest
from textual import events

from netsky_tui import palette
from netsky_tui.screens.dialogs import ChoiceScreen, FormScreen
from netsky_tui.screens.page import PageScreen
from netsky_tui.screens.room import SMALLEST
from tests.tui.rooms import Room, open_room


async def burst(room: Room, *keys: str) -> None:
    """Put keys into the app's queue before it can handle any of them."""
    for key in keys:
        room.app.post_message(events.Key(key, key if len(key) == 1 else None))
    await room.pilot.pause()


@pytest.mark.parametrize("keys", [("n", "n"), ("escape", "escape"), ("enter", "enter")])
async def test_two_quick_keys_leave_a_choice_once(keys):
    async with open_room() as room:
        await room.press("escape", "2", "x")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        screen = room.app.screen
        await burst(room, *keys)
        for _ in range(2):
            screen.dismiss(None)
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.app.is_running


async def test_two_quick_keys_leave_a_form_and_a_page_once():
    async with open_room() as room:
        await room.press("escape", "2", "a")
        await room.until(lambda: isinstance(room.app.screen, FormScreen))
        form = room.app.screen
        await room.press(*"New", "enter", "enter", "enter")
        form.action_done()
        form.action_done()
        await room.until(lambda: room.connector.handle.asked("tasks.add"))
        assert len(room.connector.handle.asked("tasks.add")) == 1
        await room.press("f1")
        await room.until(lambda: isinstance(room.app.screen, PageScreen))
        page = room.app.screen
        page.action_close()
        page.action_close()
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.app.is_running


async def test_a_pasted_yes_does_nothing_and_says_so():
    async with open_room() as room:
        await room.press("escape", "2")
        await room.press("x")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.pilot.press("y")
        await room.pilot.pause()
        assert "faster than fingers" in room.text()
        assert room.connector.handle.asked("tasks.cancel") == []
        await room.press("y")
        await room.until(lambda: room.connector.handle.asked("tasks.cancel"))


async def test_enter_at_once_does_no_harm():
    async with open_room() as room:
        await room.press("escape", "2", "x")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("enter")
        await room.until(lambda: room.app.screen is room.app.room)
        room.connector.handle.turns_running = 1
        await room.press("ctrl+q")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("enter")
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.connector.handle.asked("tasks.cancel") == []
        assert room.connector.stopped == []


async def test_turns_that_end_with_netsky_cannot_be_left_working():
    async with open_room() as room:
        room.connector.handle.survives = False
        room.connector.handle.turns_running = 1
        await room.until(lambda: not room.app.store.daemon.survives)
        assert "Leave, Codex goes on" not in [name for name, *_ in palette.commands(room.app)]
        await room.press("ctrl+q")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        text = " ".join(room.text().split())
        assert "leave them working" not in text
        assert "cannot go on alone" in text
        await room.press("l")
        assert room.connector.stopped == []


async def test_commands_fit_the_task_under_the_cursor_and_lead_to_the_approvals():
    async with open_room() as room:
        offered = {name: about for name, about, _ in palette.commands(room.app)}
        first = room.app.room.tasks.view.current.key
        assert f"Mark {first} done" in offered
        assert "y accept" in offered["What waits for you: go to"]
        room.app.room.tasks.view.select("t1")
        offered = {name: about for name, about, _ in palette.commands(room.app)}
        assert "Mark t1 done" not in offered
        assert "Cancel t1" not in offered
        assert "Add a note to t1…" in offered


async def test_the_last_line_of_a_form_can_be_seen_on_the_smallest_terminal():
    async with open_room(size=SMALLEST) as room:
        await room.press("escape", "2", "a")
        await room.until(lambda: isinstance(room.app.screen, FormScreen))
        await room.press(*"New", "enter", "enter", "enter", *"t3")
        await room.until(lambda: "t3" in room.text())


async def test_a_form_tells_its_keys_and_is_done_from_any_field():
    async with open_room() as room:
        await room.press("escape", "2", "a")
        await room.until(lambda: isinstance(room.app.screen, FormScreen))
        assert "Enter goes on · Ctrl+S is done · Esc gives up" in room.text()
        await room.press(*"New", "ctrl+s")
        await room.until(lambda: room.connector.handle.asked("tasks.add"))
