"""What netsky has to tell the operator, and how it gets out of the way."""

from __future__ import annotations

import pytest

from netsky_runtime.states import HealthState
from netsky_tui import keymap, notices, palette
from netsky_tui.screens.notices import NoticesScreen
from tests.tui import story
from tests.tui.rooms import NARROW, Room, open_room

LOGIN = "Codex is not logged in. Run: /home/ada/.local/share/tools/codex-0.169.0/bin/codex login"
ADVICE = (
    "could not find bubblewrap on PATH; the bundled one is used, and sandboxed commands of actors "
    "may be slower to start. Install bubblewrap from your distribution, then restart netsky."
)


async def tell(room: Room, *told: str, version: str = "0.169.0") -> None:
    room.connector.handle.notices = list(told)
    room.connector.handle.version = version
    await room.until(lambda: room.app.store.daemon.notices == told)
    room.app.changed(room.app.store.tick(room.clock.now()))
    await room.pilot.pause()


def words(room: Room) -> str:
    return " ".join(room.text().split())


async def test_not_logged_in_shows_its_command_in_a_narrow_room():
    async with open_room(size=NARROW) as room:
        await tell(room, ADVICE, LOGIN)
        lines = " ".join(line.strip() for line in room.text().splitlines())
        assert LOGIN in " ".join(lines.split())
        assert "bubblewrap" not in lines
        assert "! 1 notice: F2" in lines


@pytest.mark.parametrize(
    "pressing",
    [
        "Codex (process 4711) has answered nobody since 14:32:05.",
        "netsky's own herald ends again and again by an error, since 14:32:05.",
    ],
)
async def test_what_nothing_works_with_has_the_line_that_cannot_be_overlooked(pressing):
    async with open_room(size=NARROW) as room:
        await tell(room, pressing, ADVICE)
        assert pressing in words(room)
        assert "! 1 notice: F2" in words(room)


def test_that_a_task_of_netskys_own_fails_is_no_reason_to_say_that_codex_is_missing():
    told = ["netsky's own herald ends again and again by an error, since 14:32:05."]
    assert notices.no_codex(told, version="", detail="not open") == ""


async def test_that_nothing_can_be_stored_stands_above_all_else_until_it_is_over():
    async with open_room(size=NARROW) as room:
        room.connector.handle.trouble = "Nothing is stored since 14:30:00: the disk is full."
        await tell(room, ADVICE, LOGIN)
        assert "Nothing is stored since" in words(room)
        assert "! 2 notices: F2" in words(room)
        room.connector.handle.trouble = ""
        await tell(room, ADVICE)
        assert "Nothing is stored" not in words(room)


async def test_all_notices_are_read_whole_the_pressing_ones_first():
    mistakes = keymap.Keymap({}, ("keys.toml: room.help and room.quit are both on F9.",))
    async with open_room(size=NARROW, keymap=mistakes) as room:
        await tell(room, ADVICE, LOGIN)
        await room.press("f2")
        await room.until(lambda: isinstance(room.app.screen, NoticesScreen))
        text = [para.text for para in room.app.screen.view.rows]
        places = [text.index(each) for each in (LOGIN, mistakes.errors[0], ADVICE)]
        assert places == sorted(places)


async def test_a_click_and_a_command_lead_to_the_notices_and_the_help_names_the_key():
    async with open_room() as room:
        await tell(room, ADVICE)
        await room.pilot.click("#status", offset=(5, 0))
        await room.until(lambda: isinstance(room.app.screen, NoticesScreen))
        await room.press("escape")
        await tell(room, LOGIN)
        await room.pilot.click("#alarm", offset=(5, 0))
        await room.until(lambda: isinstance(room.app.screen, NoticesScreen))
        await room.press("escape")
        assert "Notices" in [name for name, *_ in palette.commands(room.app)]
        await room.press("f1")
        await room.pilot.pause()
        help_page = room.app.screen.query_one("#page-view")
        assert any(row.label.startswith("F2") for row in help_page.rows)


async def test_notices_that_were_put_away_stay_away_until_there_is_a_new_one():
    async with open_room() as room:
        await tell(room, ADVICE, LOGIN)
        await room.press("f2", "d")
        await room.until(lambda: room.app.screen is room.app.room)
        assert "codex login" not in room.text()
        assert "notice: F2" not in room.text()
        await tell(room, ADVICE, LOGIN, "Another thing.")
        assert "! 1 notice: F2" in room.text()


async def test_a_message_that_cannot_go_says_why_at_the_actor_and_the_composer():
    waits = story.actor("worker9", "manager0", HealthState.HEALTHY, "1 input waiting", 1, waiting=1)
    async with open_room(story.day(actors=(*story.actors(), waits))) as room:
        assert "no Codex" not in room.text()
        await tell(room, "No Codex was found. Run `make codex`.", version="")
        row = next(row for row in room.app.store.actors if row.key == "worker9")
        assert row.why == "no Codex: F2 notices"
        assert "no Codex, what you send is kept: F2 notices" in room.text()
        await tell(room)
        row = next(row for row in room.app.store.actors if row.key == "worker9")
        assert row.why == ""
        assert "what you send is kept" not in room.text()


async def test_a_codex_that_is_being_started_is_no_missing_one():
    async with open_room() as room:
        await tell(room, "Codex is being started; messages wait for it.", version="")
        assert room.app.store.no_codex == ""
        assert room.app.store.alarm == ""


def test_keys_that_meet_in_one_place_are_told_whatever_table_they_are_in(tmp_path):
    path = tmp_path / "keys.toml"
    path.write_text('"actors.target" = "z"\n"composer.mode" = "f5"\n"tasks.note" = "n"\n')
    assert keymap.load(path).errors == (
        "keys.toml: actors.target and room.zoom are both on z.",
        "keys.toml: composer.mode and room.decide are both on F5.",
    )
