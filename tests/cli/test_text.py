from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_tui.cli.text import age, cells, cut, escape_json, fold, harmless, one_line, pad

BIDI_OVERRIDE = "\u202e"
CSI = "\x9b"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2Jgone", "␛[2Jgone"),
        ("bell\x07", "bell␇"),
        ("over\rwritten", "over␍written"),
        (f"{CSI}31m", "\\u009b31m"),
        (f"rm {BIDI_OVERRIDE}fr-", "rm \\u202efr-"),
        ("\x7f", "␡"),
        ("half \ud83d", "half \\ud83d"),
    ],
)
def test_what_steers_a_terminal_is_shown_instead(raw: str, shown: str) -> None:
    assert harmless(raw) == shown


def test_lines_tabs_accents_and_emoji_stay_as_they_are() -> None:
    text = "one\n\ttwo é 漢字 👩\u200d🚀"
    assert harmless(text) == text


@given(st.text())
def test_no_control_character_survives_but_newline_and_tab(text: str) -> None:
    left = {c for c in harmless(text) if ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0}
    assert left <= {"\n", "\t"}


@given(st.text())
def test_a_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


@given(st.text())
def test_escaped_json_means_the_same_and_holds_no_control_character(text: str) -> None:
    escaped = escape_json(json.dumps({"body": text}, ensure_ascii=False))
    assert json.loads(escaped) == {"body": text}
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 for c in escaped)


@given(st.text(alphabet=st.characters(exclude_categories=["C", "M", "Z"])), st.integers(1, 30))
def test_a_cut_text_never_takes_more_cells_than_it_may(text: str, width: int) -> None:
    assert cells(cut(text, width)) <= width
    assert cells(pad(cut(text, width), width)) == width


def test_a_cut_text_says_so() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("漢字漢字", 5) == "漢字…"
    assert cut("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    ("passed", "said"),
    [
        (0, "0 s"),
        (59_999, "59 s"),
        (3 * 60_000, "3 min"),
        (47 * 3_600_000, "47 h"),
        (5 * 86_400_000, "5 d"),
        (-1_000, "0 s"),
    ],
)
def test_ages_are_told_in_the_largest_unit_that_fits(passed: int, said: str) -> None:
    assert age(1_000_000_000 - passed, 1_000_000_000) == said


def test_an_unknown_time_has_no_age() -> None:
    assert age(None, 1) == "-"


@given(st.text(alphabet="ab 漢é-"), st.integers(min_value=2, max_value=12))
def test_folded_text_fits_and_keeps_every_character_but_spaces(text: str, width: int) -> None:
    lines = fold(text, width)
    assert lines
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_text_is_folded_between_words_where_it_can_be() -> None:
    assert fold("one two three", 8) == ["one two", "three"]
    assert fold("a-very-long-word", 8) == ["a-very-l", "ong-word"]
    assert fold("", 8) == [""]
