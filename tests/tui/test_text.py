from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime.codex.events import EventKind
from netsky_runtime.comms.envelope import Letter, render
from netsky_runtime.states import ApprovalKind, MessageKind, Source
from netsky_tui import text
from netsky_tui.drawing import approvals, events, messages, paragraphs
from netsky_tui.text import beside, cells, clock_time, line_width, pad, short_age, truncate, wrap
from tests.tui import story
from tests.tui.fakes import NOW

anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(anything, st.integers(2, 40))
def test_no_wrapped_row_is_wider_than_its_column(text, width):
    assert all(cells(row) <= width for row in wrap(text, width))


@given(anything, st.integers(2, 40))
def test_wrapping_loses_nothing_but_spaces(text, width):
    def letters(value: str) -> str:
        return "".join(value.split())

    assert letters("".join(wrap(text, width))) == letters("".join(wrap(text, 10_000)))


@given(anything, st.integers(1, 40))
def test_padded_text_takes_exactly_its_cells(text, width):
    assert cells(pad(text, width)) == width


@given(anything, anything, st.integers(4, 60))
def test_a_line_of_two_ends_is_never_wider_than_its_place(left, right, width):
    line = beside([(left, "text")], [(right, "dim")], width)
    assert line_width(truncate(line, width)) <= width


def test_code_keeps_its_indentation():
    assert wrap("def f():\n    return 1", 40) == ["def f():", "    return 1"]


def test_what_steers_a_terminal_is_made_visible():
    (row,) = wrap("a\x1b[31mb\u202ec", 40)
    assert "\x1b" not in row
    assert "\u202e" not in row
    assert "␛" in row


def test_ages_say_nothing_finer_than_a_minute():
    assert short_age(NOW - 59_000, NOW) == "now"
    assert short_age(NOW - 61_000, NOW) == "1m"
    assert short_age(NOW - 3 * 3_600_000, NOW) == "3h"
    assert short_age(NOW - 9 * 86_400_000, NOW) == "9d"


def test_a_time_of_another_day_carries_its_date():
    assert clock_time(NOW, NOW) == "14:30"
    assert clock_time(NOW - 86_400_000, NOW) == "19 Nov 14:30"


def test_an_approval_shows_all_that_is_needed_to_decide():
    document = paragraphs.approval_document(story.approvals()[0])
    text = "\n".join(para.text for para in document)
    for part in ("worker3", "git push --dry-run", story.PROJECT, "needs the network"):
        assert part in text


def test_a_patch_keeps_its_signs_and_is_shown_to_the_last_line():
    document = paragraphs.approval_document(story.approvals()[1])
    drawn = [line for para in document for line in paragraphs.draw(para, 60)]
    text = "\n".join("".join(part for part, _ in line).rstrip() for line in drawn)
    assert '-        return Node("number", int(token.text))' in text
    assert "+        try:" in text
    assert "-    pass" in text


def test_the_rest_of_a_long_patch_line_cannot_look_like_another_sign():
    writer = paragraphs.Writer()
    writer.patch("+" + "x " * 20 + "- y")
    rows = paragraphs.draw(writer.done()[0], 30)
    assert len(rows) > 1
    assert all(line[1][0].startswith("    ") for line in rows[1:])


def test_a_removed_comment_is_a_removal_and_not_a_file_s_name():
    patch = "--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,1 @@\n--- drop nothing\n select 1;\n"
    assert paragraphs.diff_stat(patch) == (0, 1)
    tones = dict(paragraphs.diff_tones(patch.split("\n")))
    assert tones["--- drop nothing"] == "del"
    assert tones["--- a/x.sql"] == "strong"


def test_a_command_cannot_hide_a_second_line():
    approval = story.approval(9, "worker1", ApprovalKind.COMMAND, 0, command="ls\nrm -rf /")
    row = approvals.row(approval, NOW)
    assert "⏎" in row.summary
    text = "\n".join(para.text for para in paragraphs.approval_document(approval))
    assert "rm -rf /" in text


def test_words_that_came_in_an_envelope_are_shown_without_it():
    letter = Letter(
        input_id="i-1",
        sender="owner",
        source=Source.ROOM,
        kind=MessageKind.TEXT,
        sent_at=NOW,
        tag="ab12cd34",
        body="if a < b:\n    go()",
    )
    told = story.event(
        1,
        "manager0",
        EventKind.ITEM_COMPLETED,
        0,
        item="i",
        type="user_message",
        text=render(letter),
    )
    (row,) = events.rows([told], NOW)
    assert (row.head, row.body) == ("told by owner", "if a < b:\n    go()")


def test_the_latest_messages_are_shown_whole_and_older_ones_folded():
    long = "\n".join(f"line {number}" for number in range(50))
    facts = [story.message(number, "owner", "manager0", long, 60 - number) for number in range(20)]
    rows = messages.rows(facts, NOW)
    first, last = (messages.draw(row, 60) for row in (rows[0], rows[-1]))
    assert "more lines" in first[-2][0][0]
    assert any("line 49" in span for line in last for span, _ in line)


def test_a_long_line_of_wide_characters_is_measured_once_not_for_each_of_its_rows(monkeypatch):
    measured = []
    cells = text.cells

    def measuring(part):
        measured.append(len(part))
        return cells(part)

    monkeypatch.setattr(text, "cells", measuring)
    line = "日本語のテスト " * 2000
    rows = wrap(line, 60)
    assert " ".join(rows) == line.rstrip()
    assert sum(measured) < 2 * len(line)


@given(st.text("a é日❤☺\u200d\ufe0f👩\u0301", max_size=60), st.integers(2, 12))
def test_no_row_is_wider_than_its_column_for_signs_that_change_each_others_width(line, width):
    rows = wrap(line, width)
    assert all(cells(row) <= width for row in rows)
    assert "".join("".join(rows).split()) == "".join(line.split())
