"""What a row of the tasks keeps when there is little room."""

from __future__ import annotations

import pytest

from netsky_runtime.states import Priority, TaskStatus
from netsky_tui.drawing.tasks import TaskRow, draw, height
from netsky_tui.text import line_width


def row(key: str, owner: str, hint: str) -> TaskRow:
    return TaskRow(key, Priority.P2, TaskStatus.REPORTED, "Mend the login test " * 9, owner, hint)


def text(line) -> str:
    return "".join(part for part, _ in line)


@pytest.mark.parametrize("width", [38, 42, 50, 72, 78, 110])
@pytest.mark.parametrize(("key", "owner"), [("t7", "worker7"), ("t41234", "worker41233")])
def test_id_status_and_owner_are_whole_whatever_else_there_is_to_say(width, key, owner):
    lines = draw(row(key, owner, "manager0 decides"), width)
    whole = "\n".join(map(text, lines))
    assert f"{key} " in whole
    assert "reported" in whole
    assert owner in whole
    assert len(lines) == height(width)
    assert all(line_width(line) == width for line in lines)
