from __future__ import annotations

import os

import pytest

from netsky_tui.cli import output
from netsky_tui.cli.output import Column, emit, fields, paint, say, table
from netsky_tui.cli.text import cells

COLUMNS = (Column("ID"), Column("STATUS", state=True), Column("TEXT", flex=True), Column("AGE"))
LONG = "word " * 40


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make standard output a terminal of 40 columns."""
    monkeypatch.setattr(output, "on_terminal", lambda: True)
    monkeypatch.setattr(output.shutil, "get_terminal_size", lambda: os.terminal_size((40, 24)))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    return monkeypatch


def test_columns_are_aligned_whatever_the_width_of_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table(COLUMNS, [("a", "open", "漢字", "1 s"), ("bb", "done", "x", "2 s")])
    lines = capsys.readouterr().out.splitlines()
    assert {cells(line[: line.index("s", 5)]) for line in lines[1:]} == {
        cells("bb  open    漢字  2 ")
    }
    assert lines[0] == "ID  STATUS  TEXT  AGE"


def test_a_pipe_gets_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    table(COLUMNS, [("a", "open", LONG, "1 s")])
    assert LONG.strip() in capsys.readouterr().out


def test_a_terminal_gets_lines_that_fit(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("NO_COLOR", "1")
    table(COLUMNS, [("a", "open", LONG, "1 s"), ("b", "done", "short", "2 s")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cells, lines)) == 40
    assert lines[1].endswith("…  1 s")


def test_a_column_that_folds_loses_nothing_on_a_narrow_terminal(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("NO_COLOR", "1")
    columns = (Column("ID"), Column("TEXT", flex=True, folds=True), Column("AGE"))
    table(columns, [("a", "漢字 " * 12 + "x" * 40, "1 s"), ("b", "short", "2 s")])
    _, first, *others, last = capsys.readouterr().out.splitlines()
    assert max(map(cells, (first, *others))) <= 40
    assert first.startswith("a   漢字")
    assert first.endswith("1 s")
    assert all(line.startswith("    ") for line in others)
    words = "".join((first, *others)).replace(" ", "")
    assert words.count("漢字") == 12
    assert words.count("x") == 40
    assert last.split() == ["b", "short", "2", "s"]


def test_a_terminal_too_narrow_for_all_columns_still_gets_lines_that_fit(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal.setenv("NO_COLOR", "1")
    terminal.setattr(output.shutil, "get_terminal_size", lambda: os.terminal_size((26, 24)))
    table(COLUMNS, [("a-long-identifier", "interrupted", LONG, "1 s")])
    assert max(map(cells, capsys.readouterr().out.splitlines())) <= 26


def test_states_are_coloured_on_a_terminal_and_stay_words(
    terminal: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table(COLUMNS, [("a", "done", "x", "1 s")])
    assert "\x1b[32mdone" in capsys.readouterr().out
    terminal.setenv("NO_COLOR", "1")
    table(COLUMNS, [("a", "done", "x", "1 s")])
    assert "\x1b" not in capsys.readouterr().out


def test_a_dumb_terminal_and_a_pipe_get_no_colour(terminal: pytest.MonkeyPatch) -> None:
    terminal.setenv("TERM", "dumb")
    assert paint("done") == "done"
    terminal.setenv("TERM", "xterm")
    terminal.setattr(output, "on_terminal", lambda: False)
    assert paint("done") == "done"


def test_bodies_cannot_steer_the_terminal_from_any_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    evil = "\x1b]0;owned\x07\r\x9b2J"
    say(evil)
    fields({"body": evil, "long": f"one\n{evil}"})
    table(COLUMNS, [(evil, evil, evil, evil)])
    emit({"body": evil})
    assert not {"\x1b", "\x07", "\r", "\x9b"} & set(capsys.readouterr().out)


def test_values_of_several_lines_are_indented_and_empty_ones_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields({"a": "one\ntwo", "bc": None, "d": 0})
    assert capsys.readouterr().out == "a:\n    one\n    two\nd:  0\n"
