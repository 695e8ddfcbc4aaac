"""What the mailbox hears of a message that was typed and not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.codex.base import AnswerLost, Batch, ThreadBlocked
from netsky_runtime.codex.resident.resident import Resident
from netsky_runtime.codex.resident.session import ResidentSession
from netsky_runtime.codex.resident.typing import Typist
from tests.codex.test_resident_typing import (
    BUSY,
    LARGE,
    LETTER,
    READY,
    TYPED,
    FakePane,
    Hastening,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.codex.resident.screen import Capture


class Running(Hastening):
    """A clock on which every look at it takes ten seconds."""

    def monotonic(self) -> float:
        self._elapsed += 10
        return self._elapsed


class Nameless:
    """Follows a Codex that never begins a thread."""

    async def learn_name(self) -> bool:
        return False


def session_over(pane: FakePane) -> tuple[ResidentSession, Resident]:
    clock = Running()
    home = Resident(pane=pane, leader=None, mark="m", typist=Typist(pane, clock=clock), clock=clock)
    session = ResidentSession(
        home,
        following=Nameless(),
        house=None,
        engine_id="tmux",
        screen=(),
        seconds=10,
        clock=clock,
    )
    return session, home


LETTER_OF_ONE = Batch(id="b-1", text=LETTER, input_ids=())


@pytest.mark.parametrize(
    ("after", "words"), [((LARGE,), "still stands"), ((LARGE, BUSY), "written nothing")]
)
async def test_a_message_that_codex_does_not_take_may_be_taken_yet(
    after: Sequence[Capture], words: str
) -> None:
    pane = FakePane(READY, after=after)
    session, home = session_over(pane)

    with pytest.raises(AnswerLost, match=words) as lost:
        await session.submit(LETTER_OF_ONE)

    assert lost.value.connected
    assert pane.done[0] == LETTER
    assert set(pane.done[1:]) == {"C-m"}
    assert not home.typing


async def test_words_that_stood_there_before_are_told_and_nothing_is_typed() -> None:
    pane = FakePane(TYPED)
    session, home = session_over(pane)

    with pytest.raises(ThreadBlocked):
        await session.submit(LETTER_OF_ONE)

    assert pane.done == []
    assert "words" in home.reason
