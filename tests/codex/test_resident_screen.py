"""What recorded screens of five Codex versions allow."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime.codex.resident.screen import (
    CODE_TOLD,
    Capture,
    Look,
    Reading,
    how_ended,
    plain,
    read,
    says_how,
    shows,
    tail,
)
from tests.codex import screens

LOOKS = {
    "approval": Look.APPROVAL,
    "busy": Look.BUSY,
    "busy-typed": Look.BUSY,
    "dead": Look.DEAD,
    "interrupted": Look.READY,
    "limit": Look.DIALOG,
    "loading": Look.STARTING,
    "login": Look.DIALOG,
    "model-gone": Look.DIALOG,
    "models": Look.DIALOG,
    "ready": Look.READY,
    "shortcuts": Look.READY,
    "side": Look.DIALOG,
    "side-busy": Look.DIALOG,
    "starting": Look.STARTING,
    "transcript": Look.DIALOG,
    "trust": Look.TRUST,
    "typed": Look.TYPED,
    "typed-command": Look.TYPED,
    "typed-large": Look.TYPED,
    "typed-lines": Look.TYPED,
    "unfinished": Look.READY,
}
VERSIONS = ("0.120.0", "0.145.0", "0.153.4", "0.163.0", "0.169.0")
ANGLE = "\u203a"
LINES = 'HANG line one\nline two "q" $x `y`\n\ttab <b> é ☃\nend'


@pytest.mark.parametrize("name", screens.names())
def test_a_recorded_screen_is_read_as_what_it_was(name: str) -> None:
    _, what = name.split("-", 1)

    assert read(screens.capture(name)).look is LOOKS[what]


def test_a_ready_composer_shows_whether_codex_has_started() -> None:
    for name in screens.names():
        what = name.split("-", 1)[1]
        if what in {"ready", "interrupted", "unfinished"}:
            assert read(screens.capture(name)).started is (what != "unfinished")


def test_every_version_has_the_screens_that_matter_most() -> None:
    for version in VERSIONS:
        for what in ("ready", "busy", "typed", "approval", "login", "dead"):
            assert f"{version}-{what}" in screens.names()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_human_reads_why_nothing_is_typed(version: str) -> None:
    assert "not logged in" in read(screens.capture(f"{version}-login")).reason
    assert "Would you like to run" in read(screens.capture(f"{version}-approval")).reason
    assert "words" in read(screens.capture(f"{version}-typed")).reason
    assert read(screens.capture(f"{version}-ready")).reason == ""
    assert read(screens.capture(f"{version}-busy")).reason == ""


@pytest.mark.parametrize(
    ("version", "model"), [("0.153.4", "gpt-5.6-luna"), ("0.163.0", "gpt-6-luna")]
)
def test_what_codex_asks_when_a_limit_is_near_is_told_with_the_key_that_changes_nothing(
    version: str, model: str
) -> None:
    assert read(screens.capture(f"{version}-limit")).reason == (
        f"Codex asks on its own screen: Switch to {model} for lower credit usage? "
        "Escape there keeps the model."
    )


@pytest.mark.parametrize("version", ["0.153.4", "0.163.0"])
def test_a_side_conversation_is_told_as_what_it_is_with_a_turn_of_its_own_too(version: str) -> None:
    for what in ("side", "side-busy"):
        assert "side conversation" in read(screens.capture(f"{version}-{what}")).reason


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_pasted_is_recognised(version: str) -> None:
    lines = read(screens.capture(f"{version}-typed-lines"))
    large = read(screens.capture(f"{version}-typed-large"))

    assert shows(lines, LINES)
    assert not shows(lines, LINES + " and more")
    assert shows(large, "x" * 3000)
    assert not shows(large, "x" * 3001)


@pytest.mark.parametrize("version", VERSIONS)
def test_somebody_elses_words_are_not_taken_for_what_was_pasted(version: str) -> None:
    typed = read(screens.capture(f"{version}-typed"))
    busy = read(screens.capture(f"{version}-busy-typed"))

    assert typed.typed == "half typed text"
    assert busy.typed == "human words while busy"
    assert not shows(typed, LINES)
    assert not shows(typed, "x" * 3000)


def test_a_word_before_a_long_paste_is_seen() -> None:
    reading = Reading(look=Look.TYPED, typed="wait [Pasted Content 3000 chars]")

    assert not shows(reading, "x" * 3000)


def test_a_text_whose_letters_a_terminal_draws_otherwise_is_recognised_by_the_rest() -> None:
    reading = Reading(look=Look.TYPED, typed="caf  ok")

    assert shows(reading, "café ☕ ok")
    assert not shows(reading, "café ☕ no")


def test_an_empty_composer_shows_nothing_that_was_pasted() -> None:
    assert not shows(Reading(look=Look.READY), "é")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ready_screen_without_its_cursor_is_not_ready(version: str) -> None:
    ready = screens.capture(f"{version}-ready")

    assert read(replace(ready, cursor_shown=False)).look is not Look.READY
    assert read(replace(ready, scrolled=True)).look is Look.UNREADABLE
    assert read(replace(ready, dead=True)).look is Look.DEAD
    assert read(replace(ready, cursor_y=0)).look is not Look.READY


@pytest.mark.parametrize("version", VERSIONS)
def test_a_trust_dialog_on_which_no_is_chosen_is_left_to_the_human(version: str) -> None:
    shot = screens.capture(f"{version}-trust")
    moved = shot.text.replace(f"{ANGLE} 1.", "  1.").replace("  2.", f"{ANGLE} 2.")

    assert read(shot).look is Look.TRUST
    assert read(replace(shot, text=moved)).look is Look.DIALOG


@pytest.mark.parametrize("version", VERSIONS)
def test_a_message_of_the_past_is_not_the_composer(version: str) -> None:
    ready = screens.capture(f"{version}-ready")
    lines = [plain(line) for line in ready.text.split("\n")]
    row = next(y for y, line in enumerate(lines) if line.startswith(f"{ANGLE} You are"))

    assert read(replace(ready, cursor_x=2, cursor_y=row)).look is not Look.READY


def test_words_whose_author_went_back_to_their_start_are_words() -> None:
    typed = screens.capture("0.163.0-typed")

    assert read(replace(typed, cursor_x=2)).look is Look.TYPED


def test_a_shell_command_in_the_composer_is_typed_words() -> None:
    ready = screens.capture("0.163.0-typed")
    text = ready.text.replace(f"\x1b[1m{ANGLE}\x1b[0m", "\x1b[1m\x1b[38;5;9m!\x1b[0m")

    reading = read(replace(ready, text=text))

    assert (reading.look, reading.typed) == (Look.TYPED, "!half typed text")


def test_the_composer_without_colours_is_not_trusted() -> None:
    ready = screens.capture("0.163.0-ready")

    assert read(replace(ready, text=plain(ready.text))).look is not Look.READY


def test_a_terminal_that_shows_nothing_yet_is_starting() -> None:
    empty = Capture(text="\n" * 40, cursor_x=0, cursor_y=0, cursor_shown=True)

    assert read(empty).look is Look.STARTING
    assert read(replace(empty, cursor_shown=False)).look is Look.STARTING


def test_the_last_lines_that_say_something_are_quoted_without_colours() -> None:
    quoted = tail(screens.capture("0.163.0-dead"), 2)

    assert "\x1b" not in quoted
    assert "codex resume" in quoted
    assert len(quoted.splitlines()) == 2


@given(text=st.text(), x=st.integers(0, 300), y=st.integers(0, 100), shown=st.booleans())
def test_a_screen_that_nobody_knows_is_never_ready(text: str, x: int, y: int, shown: bool) -> None:
    # Only Codex's own composer is bold: random text has no styles.
    garbage = re.sub("\x1b", "", text)

    reading = read(Capture(text=garbage, cursor_x=x, cursor_y=y, cursor_shown=shown))

    assert reading.look not in {Look.READY, Look.TYPED, Look.BUSY}


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("signal 9, Sat", "Codex has ended: its process was killed by signal 9."),
        ("status 137, Sat", "Codex has ended: its process was killed by signal 9."),
        ("status 2, Sat", "Codex has ended with code 2: bad config."),
        ("status 0, Sat", "Codex has ended."),
        ("status 1, Sat", "Codex has ended with code 1: bad config."),
    ],
)
def test_how_a_program_has_ended_is_said_and_its_screen_quoted_only_when_it_failed(
    told: str, reason: str
) -> None:
    text = f"\x1b[31mbad config.\x1b[0m\nPane is dead ({told} Nov 21)\n"
    shot = Capture(text=text, cursor_x=0, cursor_y=0, cursor_shown=False, dead=True)
    assert how_ended(shot) == reason


@pytest.mark.parametrize("tmux", ["", "Pane is dead (status 137, Sat Nov 21)"])
def test_how_a_program_has_ended_is_known_also_when_tmux_never_hears_of_it(tmux: str) -> None:
    text = f"boom\r\n{CODE_TOLD} 137\r\n{tmux}\n"
    shot = Capture(text=text, cursor_x=0, cursor_y=0, cursor_shown=False, dead=True)
    assert how_ended(shot) == "Codex has ended: its process was killed by signal 9."
    assert tail(shot) == "boom"
    assert not says_how(replace(shot, text="boom"))
