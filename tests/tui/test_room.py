from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime.codex.events import EventKind
from netsky_runtime.errors import CodexMissing, NoDaemon
from netsky_runtime.states import HealthState, TaskStatus
from netsky_tui import keymap
from netsky_tui.drawing import bars, events
from netsky_tui.screens.dialogs import ChoiceScreen, FormScreen
from netsky_tui.screens.page import PageScreen
from netsky_tui.source import Snapshot
from netsky_tui.store import LinkState
from netsky_tui.text import line_width
from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, open_room


async def test_the_first_frame_comes_before_database_and_daemon():
    def hold(connector) -> None:
        connector.gate = asyncio.Event()
        connector.database = False

    async with open_room(ready=False, prepare=hold) as room:
        await room.until(lambda: "starting app_server" in room.text())
        assert "to manager0 · queue" in room.text()


async def test_a_start_that_failed_says_what_to_do_and_can_be_tried_again():
    def break_it(connector) -> None:
        connector.database = False
        connector.trouble = CodexMissing("No Codex was found.", hint="Run `make codex`.")

    async with open_room(ready=False, prepare=break_it) as room:
        await room.until(lambda: "No Codex was found. Run `make codex`." in room.text())
        assert "Ctrl+Q leaves" in room.text()
        room.connector.trouble, room.connector.database = None, True
        await room.press("escape", "r")
        await room.until(lambda: room.app.store.daemon.link is LinkState.HOSTING)


async def test_an_attached_room_reconnects_and_says_so_meanwhile():
    async with open_room(hosting=False) as room:
        assert "attached" in room.text()
        room.connector.trouble = NoDaemon("No daemon runs on this home.")
        room.connector.handle.vanish()
        await room.until(lambda: "reconnecting…" in room.text())
        advice = "No daemon answers. This room or another one takes over; Ctrl+Q leaves."
        await room.until(lambda: advice in room.text())
        room.connector.trouble = None
        room.connector.handle.closed = False
        await room.until(lambda: room.app.store.daemon.link is LinkState.ATTACHED)
        await room.until(lambda: advice not in room.text())


async def test_a_text_that_was_not_sent_is_no_problem_any_more_after_the_reconnection():
    async with open_room(hosting=False) as room:
        room.connector.trouble = NoDaemon("No daemon runs on this home.")
        room.connector.handle.vanish()
        await room.until(lambda: room.app.feed.handle is None)
        await room.press("h", "i", "enter")
        await room.until(lambda: "Not sent, your text is still here" in room.text())
        room.connector.trouble = None
        room.connector.handle.closed = False
        await room.until(lambda: room.app.store.daemon.link is LinkState.ATTACHED)
        assert "Not sent" not in room.text()
        assert room.app.room.composer.text == "hi"


async def test_a_worker_whose_turn_failed_does_not_look_like_a_success():
    lost = story.actor("worker9", "manager0", HealthState.UNHEALTHY, "last turn failed", 1)
    failed = replace(
        story.task(10, "Measure", TaskStatus.REPORTED, owner_id="worker9"), failed=True
    )
    day = story.day(actors=(*story.actors(), lost), tasks=(*story.tasks(), failed))
    async with open_room(day) as room:
        assert "last turn failed" in room.text()
        assert "✗ failed turn" in room.text()
        await room.press("escape", "2", "slash", *"failed turn", "enter")
        assert [row.key for row in room.app.room.tasks.view.rows] == ["t10"]


async def test_a_warning_that_codex_repeats_is_one_dim_line():
    def warn(number, text):
        return story.event(number, "manager0", EventKind.WARNING, 90 - number, message=text)

    long = "Model metadata for `x` not found. " * 9
    said = [warn(n, long if n % 2 else "Full-history hydration is deprecated") for n in range(9)]
    async with open_room(story.day(events=said)) as room:
        rows = room.app.store.events
        assert [row.tone for row in rows] == ["dim", "dim"]
        assert all(len(events.draw(row, 60)) == 1 for row in rows)


async def test_the_list_of_actors_tells_health_by_sign_and_word():
    async with open_room() as room:
        text = room.text()
        for part in ("▶ busy", "○ idle", "▲ blocked", "✗ unhealthy", "□ stopped"):
            assert part in text
        assert "its engine ended" in text


async def test_the_selected_actor_is_watched_and_its_events_shown():
    async with open_room() as room:
        await room.press("escape", "1", "down")
        await room.until(lambda: {"actor_id": "manager1"} in room.connector.handle.asked("watch"))
        assert "events · manager1" in room.text()


async def test_live_text_appears_below_the_facts():
    async with open_room() as room:
        room.connector.handle.push("live", **story.LIVE)
        await room.until(lambda: "writes" in room.text())
        assert "manager1 waits for one approval" in room.text()


async def test_a_thousand_changes_are_read_a_few_times_only():
    async with open_room() as room:
        before = len(room.connector.reader.asked)
        for number in range(1000):
            room.connector.reader.revision += 1
            room.connector.handle.push("changed", revision=number)
        await room.until(lambda: room.connector.handle._pushes.empty())
        await room.until(lambda: len(room.connector.reader.asked) > before)
        assert len(room.connector.reader.asked) - before < 20


async def test_owner_messages_on_the_screen_are_marked_read_while_somebody_is_there():
    async with open_room() as room:
        room.app._mark_read()
        assert room.connector.handle.asked("messages.read") == []
        await room.press("a")
        room.app._mark_read()
        await room.until(lambda: room.connector.handle.asked("messages.read"))
        assert room.connector.handle.asked("messages.read") == [{"ids": ["m-0005"]}]


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("key", ["1", "2", "3", "4", "5"])
async def test_a_filter_that_nothing_passes_is_not_taken_for_an_empty_list(size, key):
    async with open_room(size=size) as room:
        await room.press("escape", key, "slash", *"zzz")
        pane = room.app.room._pane(room.app.room.active)
        await room.until(lambda: "Nothing here matches “zzz”." in room.text())
        assert pane._empty.split("\n")[0] not in room.text()
        await room.press("escape")
        await room.until(lambda: pane.view.rows)
        assert pane.view.empty == pane._empty


async def test_a_list_that_is_empty_says_so_also_when_it_is_filtered():
    async with open_room(story.day(tasks=()), size=NARROW) as room:
        await room.press("escape", "2", "slash", "z")
        await room.until(lambda: "No tasks." in room.text())


async def test_a_narrow_room_names_whose_events_it_shows():
    async with open_room(size=NARROW) as room:
        await room.press("escape", "4")
        assert "[4 events · manager0]" in room.text().splitlines()[0]
        await room.press("1", "down", "4")
        chosen = room.app.store.ask.actor_id
        assert chosen != "manager0"
        assert f"[4 events · {chosen}]" in room.text().splitlines()[0]


def test_tabs_leave_a_name_out_that_does_not_fit():
    counts = {"blocked": 1, "waiting": 12, "urgent": 1, "unread": 12}
    line = bars.tabs("events", actor="manager" + "0" * 40, width=80, **counts)
    assert "[4 events]" in "".join(text for text, _ in line)
    assert line_width(line) <= 80


async def test_a_filter_narrows_a_list_and_escape_ends_it():
    async with open_room() as room:
        await room.press("escape", "2", "slash", *"hex", "enter")
        assert [row.key for row in room.app.room.tasks.view.rows] == ["t3"]
        await room.press("escape")
        assert len(room.app.room.tasks.view.rows) == 9


async def test_enter_on_a_task_shows_it_with_its_messages():
    async with open_room() as room:
        await room.press("escape", "2")
        room.app.room.tasks.view.select("t3")
        await room.press("enter")
        await room.until(lambda: isinstance(room.app.screen, PageScreen))
        await room.until(lambda: "Keep `number()` small." in room.text())


async def test_t_follows_a_message_through_netsky():
    async with open_room() as room:
        await room.press("escape", "3", "T")
        await room.until(lambda: isinstance(room.app.screen, PageScreen))
        await room.until(lambda: "Codex accepted it" in room.text())


async def test_an_actor_that_has_no_thread_has_nothing_to_follow():
    async with open_room() as room:
        room.app.pages.trace_thread("worker9")
        told = "worker9 has no thread yet."
        await room.until(lambda: told in {each.message for each in room.app._notifications})


async def test_a_task_is_cancelled_only_after_a_yes():
    async with open_room() as room:
        await room.press("escape", "2", "x")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("n")
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.connector.handle.asked("tasks.cancel") == []
        await room.press("x")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("y")
        await room.until(lambda: room.connector.handle.asked("tasks.cancel"))
        assert room.connector.handle.asked("tasks.cancel") == [{"id": "t5"}]


async def test_a_task_is_added_by_a_form():
    async with open_room() as room:
        await room.press("escape", "2", "a")
        await room.until(lambda: isinstance(room.app.screen, FormScreen))
        await room.press(*"New", "enter", "enter", *"P1", "enter", *"t3,t4", "enter")
        await room.until(lambda: room.connector.handle.asked("tasks.add"))
        assert room.connector.handle.asked("tasks.add") == [
            {"title": "New", "priority": "P1", "depends_on": ["t3", "t4"]}
        ]


async def test_quitting_stops_the_daemon_when_nothing_runs():
    async with open_room() as room:
        await room.press("ctrl+q")
        await room.until(lambda: room.connector.stopped)
        assert room.connector.stopped == [False]


async def test_quitting_while_turns_run_asks_and_can_leave_them_working():
    async with open_room() as room:
        room.connector.handle.turns_running = 2
        await room.press("ctrl+q")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        assert "2 turns run" in room.text()
        assert room.connector.stopped == []
        await room.press("l")
        await room.until(lambda: room.connector.stopped)
        assert room.connector.stopped == [True]


async def test_staying_stays():
    async with open_room() as room:
        room.connector.handle.rooms = 1
        await room.press("ctrl+q")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("t")
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.connector.stopped == []


async def test_an_attached_room_only_detaches():
    async with open_room(hosting=False) as room:
        room.connector.handle.turns_running = 2
        await room.press("ctrl+q")
        await room.until(lambda: not room.app.is_running or room.app._exit)
        assert room.connector.stopped == []
        assert room.connector.handle.asked("stop") == []


async def test_a_daemon_told_to_stop_by_others_takes_its_room_along():
    async with open_room() as room:
        room.connector.obey.set()
        await room.until(lambda: room.connector.stopped)
        assert room.connector.stopped == [True]


async def test_a_terminal_that_is_too_small_gets_one_sentence():
    async with open_room(size=(50, 12)) as room:
        text = " ".join(room.text().split())
        assert "netsky needs at least 60 by 15 characters" in text
        assert "manager0" not in text
        await room.pilot.resize_terminal(*WIDE)
        await room.until(lambda: "manager0" in room.text())


async def test_numbers_switch_the_one_pane_of_a_narrow_room():
    async with open_room(size=NARROW) as room:
        await room.press("escape")
        for number, part in (
            ("1", "unhealthy"),
            ("2", "Changelog"),
            ("4", "git log"),
            ("5", "why"),
        ):
            await room.press(number)
            shown = room.text()
            assert (part in shown) or number == "5"
            assert "to manager0 · queue" in shown
        await room.press("5")
        assert "worker3 wants to run a command" in room.text()


async def test_a_click_on_a_tab_opens_its_pane():
    async with open_room(size=NARROW) as room:
        await room.pilot.click("#tabs", offset=(14, 0))
        await room.until(lambda: room.app.room.active == "tasks")


async def test_every_theme_draws_the_room():
    async with open_room() as room:
        for name in ("netsky-light", "netsky-16", "textual-dark", "nord", "ansi-dark"):
            room.app.theme = name
            await room.pilot.pause()
            assert "2 approvals wait" in room.text()


async def test_the_style_sheet_stays_below_the_parser_s_cache():
    async with open_room() as room:
        await room.press("f1", "escape", "ctrl+p")
        await room.pilot.pause()
        await room.press("escape", "escape", "2", "a")
        await room.until(lambda: isinstance(room.app.screen, FormScreen))
        await room.press("escape", "slash", "escape", "5", "enter")
        await room.pilot.pause()
        assert len(room.app.stylesheet.source) < 56


async def test_the_operator_s_own_keys_hold():
    own = keymap.Keymap({"room.tasks": "ctrl+g"})
    async with open_room(keymap=own) as room:
        await room.press("escape", "2")
        assert room.app.room.active == "messages"
        await room.press("ctrl+g")
        assert room.app.room.active == "tasks"


def test_mistakes_in_keys_toml_are_told_and_the_rest_holds(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text(
        '"room.tasks" = "f6"\n"room.nothing" = "f7"\n"room.quit" = 3\n"room.events" = "f6"\n'
    )
    found = keymap.load(path)
    assert found.keys == {"room.tasks": "f6", "room.events": "f6"}
    assert len(found.errors) == 3
    path.write_text("not toml at all")
    assert "The usual keys hold." in keymap.load(path).errors[0]
    assert keymap.load(tmp_path / "none.toml") == keymap.Keymap({})


async def test_a_feed_that_breaks_starts_again():
    async with open_room() as room:
        broken = room.connector.reader.snapshot

        async def fail(_ask):
            room.connector.reader.snapshot = broken
            raise RuntimeError("boom")

        room.connector.reader.snapshot = fail
        room.app.feed.touch()
        await room.until(lambda: "lost its feed (RuntimeError: boom)" in room.text())
        await room.until(lambda: room.app.feed.handle is not None)


async def test_an_empty_home_says_what_to_do():
    async with open_room(Snapshot()) as room:
        text = " ".join(room.text().split())
        assert "Write below what you want done" in text
        assert "Tell manager0 what you want, or press" in text


async def test_actors_of_an_unknown_manager_are_shown_all_the_same():
    lost = story.actor("worker9", "gone", HealthState.IDLE, "nothing to do", 1)
    async with open_room(story.day(actors=(*story.actors(), lost))) as room:
        assert "worker9" in [row.key for row in room.app.store.actors]


async def test_help_lists_every_key_with_its_name():
    async with open_room() as room:
        await room.press("f1")
        await room.until(lambda: isinstance(room.app.screen, PageScreen))
        view = room.app.screen.query_one("#page-view")
        text = "\n".join(para.text for para in view.rows)
        names = [key.id for keys in keymap.SCOPES.values() for key in keys]
        assert all(f"({name})" in text for name in names)


async def test_the_keys_of_an_actor_s_row_fit_into_eighty_columns():
    async with open_room(size=NARROW) as room:
        await room.press("escape", "1")
        shown = "".join(text for text, _ in room.app.room.keys.line)
        for key in ("t talk to", "x interrupt", "a attach", "M move", "Enter open", "F1 help"):
            assert key in shown
