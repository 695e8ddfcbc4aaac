"""What the mailbox hears of a message that was typed, and of what Codex has written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.codex.base import AnswerLost, Batch, ThreadBlocked
from netsky_runtime.codex.resident.resident import Resident
from netsky_runtime.codex.resident.session import ResidentSession
from netsky_runtime.codex.resident.typing import Typist
from netsky_runtime.codex.rollout import RolloutReader
from netsky_runtime.states import TurnStatus
from tests.codex.rollout_files import line
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
    from pathlib import Path

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


async def test_a_turn_that_is_written_and_not_yet_heard_of_runs(tmp_path: Path) -> None:
    session, home = session_over(FakePane(READY))
    home.named("th", rollout_of(tmp_path, "t1"))

    assert [turn.status for turn in await session.history()] == [TurnStatus.IN_PROGRESS]


async def test_a_turn_that_was_found_without_an_end_and_a_living_codex_was_cut(
    tmp_path: Path,
) -> None:
    session, home = session_over(FakePane(READY))
    rollout = rollout_of(tmp_path, "t1")
    home.named("th", rollout)
    home.caught_up(RolloutReader("th"), cut="t1")
    cut = await session.history()
    rollout_of(tmp_path, "t1", "t2")

    assert [turn.status for turn in cut] == [TurnStatus.INTERRUPTED]
    assert [turn.status for turn in await session.history()] == [
        TurnStatus.INTERRUPTED,
        TurnStatus.IN_PROGRESS,
    ]


def rollout_of(folder: Path, *begun: str) -> Path:
    """Return a rollout in which these turns began and none ended."""
    rollout = folder / "rollout.jsonl"
    rollout.write_bytes(b"".join(line("event_msg/task_started", turn_id=t) + b"\n" for t in begun))
    return rollout
