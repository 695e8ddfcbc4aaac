"""The page of keys: every key, and every sign that a list uses."""

from __future__ import annotations

import pytest

from netsky_tui import words
from netsky_tui.drawing import details, paragraphs
from netsky_tui.keymap import SCOPES, Keymap
from tests.tui.rooms import NARROW, WIDE

MARKS = [
    *words.HEALTH.values(),
    words.PARKED,
    words.STOPPED,
    *words.TASK.values(),
    *words.INPUT.values(),
    words.UNREAD,
    words.QUESTION,
]


def drawn(width: int, keymap: Keymap | None = None) -> str:
    page = details.help_page(keymap or Keymap({}))
    lines = [line for row in page for line in paragraphs.draw(row, width)]
    return "\n".join("".join(text for text, _ in line) for line in lines)


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.word)
def test_the_help_tells_what_a_sign_means_in_one_piece(
    size: tuple[int, int], mark: words.Mark
) -> None:
    assert f"{mark.glyph} {mark.word}" in drawn(size[0] * 9 // 10).replace("\u00a0", " ")


def test_the_help_has_every_key_by_its_name() -> None:
    page = drawn(118)
    assert all(f"({key.id})" in page for keys in SCOPES.values() for key in keys)


def test_the_help_names_the_operators_own_key_for_what_waits() -> None:
    assert "it waits for you; F9 goes there" in drawn(118, Keymap({"room.decide": "f9"}))
