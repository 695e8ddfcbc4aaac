"""What is pressed on which screen: nothing over anybody's words, and no dialog but the one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.codex.base import (
    AnswerLost,
    Batch,
    InputRejected,
    ThreadBlocked,
    ThreadUnavailable,
    TurnRunning,
)
from netsky_runtime.codex.events import EventKind
from netsky_runtime.codex.resident import launching, processes
from netsky_runtime.codex.resident.control import ControlLost
from netsky_runtime.codex.resident.following import Following
from netsky_runtime.codex.resident.resident import Resident, is_batch
from netsky_runtime.codex.resident.screen import Capture
from netsky_runtime.codex.resident.typing import Typist
from tests.codex import screens
from tests.support.fakes import ManualClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

READY = screens.capture("0.153.4-ready")
BUSY = screens.capture("0.153.4-busy")
TYPED = screens.capture("0.153.4-typed")
TRUST = screens.capture("0.153.4-trust")
MODEL_GONE = screens.capture("0.153.4-model-gone")
STARTING = screens.capture("0.153.4-starting")
UNFINISHED = screens.capture("0.163.0-unfinished")
DEAD = screens.capture("0.153.4-dead")
LARGE = screens.capture("0.153.4-typed-large")
NOTHING = Capture(text="\n" * 40, cursor_x=0, cursor_y=0, cursor_shown=True)
LETTER = "x" * 3000
"""What ``LARGE`` shows."""


class Hastening(ManualClock):
    """A clock on which every wait is over at once."""

    async def sleep(self, seconds: float) -> None:
        self._elapsed += seconds


class FakePane:
    """Shows one screen after another, the last for ever; ``after`` says what a paste leads to."""

    id = "%1"
    session = "worker1"

    def __init__(self, *shown: Capture, after: Sequence[Capture] = ()) -> None:
        self.shown = list(shown)
        self.after = after
        self.done: list[str] = []
        self.moves = 0
        self.lost = ""
        """Over what tmux is lost: a step of the paste, or a key."""
        self.loaded = ""

    async def look(self) -> Capture:
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    async def load(self, text: str) -> None:
        if self.lost == "load":
            raise ControlLost("gone")
        self.loaded = text

    async def paste(self, *, onto: Capture) -> bool:
        if self._moved():
            return False
        self.done.append(self.loaded)
        if self.lost == "paste":
            raise ControlLost("gone")
        self.shown = list(self.after) or self.shown
        return True

    async def press(self, key: str, *, on: Capture) -> bool:
        if key == self.lost:
            raise ControlLost("gone")
        if self._moved():
            return False
        self.done.append(key)
        return True

    def _moved(self) -> bool:
        self.moves -= 1
        return self.moves >= 0


def typist(pane: FakePane) -> Typist:
    return Typist(pane, clock=Hastening())


async def test_a_text_is_pasted_into_a_ready_composer_and_sent_once_it_is_seen() -> None:
    pane = FakePane(READY, after=(READY, READY, LARGE))

    await typist(pane).enter(LETTER)

    assert pane.done == [LETTER, "C-m"]


@pytest.mark.parametrize("shown", [(NOTHING, STARTING), (BUSY, BUSY)])
async def test_a_screen_that_is_being_drawn_is_waited_for(shown: tuple[Capture, ...]) -> None:
    pane = FakePane(*shown, READY, after=(LARGE,))

    await typist(pane).enter(LETTER)

    assert pane.done == [LETTER, "C-m"]


@pytest.mark.parametrize(
    ("screen", "error"),
    [
        (TYPED, ThreadBlocked),
        (TRUST, ThreadBlocked),
        (MODEL_GONE, ThreadBlocked),
        (replace(READY, scrolled=True), ThreadBlocked),
        (BUSY, TurnRunning),
        (STARTING, ThreadUnavailable),
        (DEAD, ThreadUnavailable),
    ],
)
async def test_nothing_is_typed_on_any_other_screen(
    screen: Capture, error: type[Exception]
) -> None:
    pane = FakePane(screen)

    with pytest.raises(error):
        await typist(pane).enter(LETTER)

    assert pane.done == []


@pytest.mark.parametrize("screen", [MODEL_GONE, TYPED, BUSY, DEAD])
async def test_enter_is_not_pressed_on_what_came_between_and_the_text_may_stand_there(
    screen: Capture,
) -> None:
    pane = FakePane(READY, after=(screen,))

    with pytest.raises(AnswerLost, match="typed and not sent") as lost:
        await typist(pane).enter(LETTER)

    assert lost.value.connected
    assert lost.value.hint

    assert pane.done == [LETTER]


async def test_a_frame_that_is_being_drawn_is_no_dialog() -> None:
    undrawn = [replace(shot, cursor_shown=False) for shot in (READY, LARGE)]
    pane = FakePane(undrawn[0], READY, after=(undrawn[0], undrawn[1], LARGE))

    await typist(pane).enter(LETTER)

    assert pane.done == [LETTER, "C-m"]


async def test_a_silent_pane_is_an_error_that_names_pane_and_looks() -> None:
    pane = FakePane(READY, after=(READY,))

    with pytest.raises(AnswerLost, match=r"worker1 never showed .* in \d+ looks"):
        await typist(pane).enter(LETTER)

    assert pane.done == [LETTER]


async def test_what_was_left_in_the_composer_is_sent_and_not_pasted_again() -> None:
    pane = FakePane(READY, after=(READY,))
    hand = typist(pane)
    with pytest.raises(AnswerLost):
        await hand.enter(LETTER)
    pane.shown = [LARGE]

    with pytest.raises(ThreadBlocked):
        await hand.enter("y" * 2000)
    await hand.enter(LETTER)

    assert pane.done == [LETTER, "C-m"]


async def test_a_cursor_that_moves_under_the_hand_makes_it_look_again() -> None:
    pane = FakePane(READY, after=(LARGE,))
    pane.moves = 2

    await typist(pane).enter(LETTER)

    assert pane.done == [LETTER, "C-m"]


async def test_a_screen_that_never_rests_is_left_alone() -> None:
    pane = FakePane(READY)
    pane.moves = 1_000

    with pytest.raises(ThreadBlocked, match="rest"):
        await typist(pane).enter(LETTER)

    assert pane.done == []


@pytest.mark.parametrize("step", ["paste", "C-m"])
async def test_when_tmux_is_lost_over_the_typing_nobody_knows_what_was_done(step: str) -> None:
    pane = FakePane(READY, after=(LARGE,))
    hand = typist(pane)
    pane.lost = step

    with pytest.raises(AnswerLost, match="tmux does not say"):
        await hand.enter(LETTER)
    pane.lost, pane.shown = "", [LARGE]
    await hand.enter(LETTER)

    assert pane.done == [LETTER, "C-m"]


async def test_when_tmux_is_lost_before_the_typing_nothing_was_done() -> None:
    pane = FakePane(READY, after=(LARGE,))
    pane.lost = "load"

    with pytest.raises(ControlLost):
        await typist(pane).enter(LETTER)

    assert pane.done == []


@pytest.mark.parametrize("screen", [TYPED, MODEL_GONE, BUSY])
async def test_what_may_still_stand_under_another_screen_is_not_said_to_be_nowhere(
    screen: Capture,
) -> None:
    pane = FakePane(READY, after=(screen,))
    hand = typist(pane)

    for _ in range(2):
        with pytest.raises(AnswerLost):
            await hand.enter(LETTER)

    assert pane.done == [LETTER]


async def test_enter_is_pressed_again_only_while_the_text_still_stands_there() -> None:
    pane = FakePane(LARGE, READY, TYPED, MODEL_GONE, BUSY)
    hand = typist(pane)

    again = [await hand.again(LETTER) for _ in range(5)]

    assert again == [True, False, False, False, False]
    assert pane.done == ["C-m"]


async def come_up(pane: FakePane, *, speaks: bool, named_after: int = 10_000) -> Capture | None:
    looks = 0

    async def named() -> bool:
        nonlocal looks
        looks += 1
        return looks > named_after

    return await launching.come_up(pane, named=named, speaks=speaks, seconds=30, clock=Hastening())


async def test_the_trust_dialog_is_answered_before_anything_else() -> None:
    pane = FakePane(NOTHING, TRUST, STARTING, READY)

    assert await come_up(pane, speaks=True, named_after=5) is None

    assert pane.done == ["C-m"]


async def test_a_trust_dialog_that_does_not_go_is_left_to_a_human() -> None:
    pane = FakePane(TRUST)

    assert await come_up(pane, speaks=True) is TRUST

    assert pane.done == ["C-m"] * launching.TRUST_PRESSES


async def test_no_other_dialog_is_answered() -> None:
    pane = FakePane(STARTING, MODEL_GONE)

    assert await come_up(pane, speaks=True) is MODEL_GONE

    assert pane.done == []


async def test_an_empty_startup_touches_nothing_and_waits_for_a_composer_that_stays() -> None:
    pane = FakePane(NOTHING, READY, STARTING, READY, READY, READY)

    assert await come_up(pane, speaks=False) is None

    assert pane.done == []
    assert pane.shown == [READY]


@pytest.mark.parametrize("early", [[READY] * 2, [UNFINISHED] * 20])
async def test_a_composer_that_shows_before_a_dialog_is_not_taken_for_ready(
    early: list[Capture],
) -> None:
    pane = FakePane(*early, MODEL_GONE)

    assert await come_up(pane, speaks=False) is MODEL_GONE


async def test_a_composer_that_never_tells_whether_codex_has_started_is_believed_later() -> None:
    pane = FakePane(UNFINISHED)

    assert await come_up(pane, speaks=False) is None


async def test_codex_that_never_begins_is_an_error_with_its_screen() -> None:
    with pytest.raises(ThreadUnavailable, match=r"worker1 never began .* in \d+ looks") as silent:
        await come_up(FakePane(READY), speaks=True)

    assert "OpenAI Codex" in silent.value.hint


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        ("error: invalid value 'x' for '--sandbox'", 2, InputRejected),
        ("", 2, InputRejected),
        ("error: boom", 1, ThreadUnavailable),
    ],
)
async def test_codex_that_ends_is_an_error_with_its_words(
    words: str, code: int, error: type[Exception]
) -> None:
    text = f"{words}\nPane is dead (status {code}, Sat Nov 21)"
    ended = Capture(text=text, cursor_x=0, cursor_y=1, cursor_shown=False, dead=True)

    with pytest.raises(error, match=f"ended at once: {words or 'it said nothing'}"):
        await come_up(FakePane(ended), speaks=True)


async def test_how_codex_ended_is_waited_for_and_not_for_ever() -> None:
    silent = Capture(text="boom", cursor_x=0, cursor_y=0, cursor_shown=False, dead=True)
    told = replace(silent, text="boom\nPane is dead (status 2, Sat Nov 21)")

    with pytest.raises(InputRejected, match="boom"):
        await come_up(FakePane(silent, silent, told), speaks=True)
    with pytest.raises(ThreadUnavailable, match="boom"):
        await come_up(FakePane(silent), speaks=True)


def resident() -> Resident:
    pane = FakePane(READY)
    return Resident(pane=pane, leader=None, mark="m", typist=typist(pane), clock=ManualClock())


async def told(home: Resident) -> list[str]:
    home.end(None)
    return [e.data["reason"] async for e in home.channel if e.kind is EventKind.BLOCKED]


async def test_what_blocks_is_told_when_it_is_seen_twice_and_when_it_is_over() -> None:
    home = resident()
    looks: list[str] = []

    for shot in (MODEL_GONE, MODEL_GONE, MODEL_GONE, READY, READY):
        home.seen(shot, look_again=lambda: looks.append("again"))

    reasons = await told(home)
    assert reasons[-1] == ""
    assert len(reasons) == 2
    assert looks == ["again"]


async def test_a_screen_that_only_passes_by_is_not_told() -> None:
    home = resident()

    for shot in (MODEL_GONE, READY, TYPED, BUSY, STARTING, READY):
        home.seen(shot, look_again=lambda: None)

    assert await told(home) == []


async def test_a_thread_that_was_left_for_another_is_blocked_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shown = "another"
    monkeypatch.setattr(processes, "shown_thread", lambda leader: shown)
    home = resident()
    home.named("its own", tmp_path)
    following = Following(
        home, notify=tmp_path, codex_home=tmp_path, rollouts=None, tasks=None, named=None
    )

    home.block("another thread", READY, elsewhere=True)
    for shot in (READY, BUSY, MODEL_GONE, MODEL_GONE, READY):
        home.seen(shot, look_again=lambda: None)
        await following.look()
    assert home.reason == "another thread"
    shown = "its own"
    await following.look()

    assert await told(home) == ["another thread", ""]


async def test_netskys_own_typing_blocks_nothing() -> None:
    home = resident()
    home.typing = True

    for shot in (TYPED, TYPED, TYPED):
        home.seen(shot, look_again=lambda: None)

    assert await told(home) == []


def test_a_batch_is_known_by_its_ids_or_word_for_word() -> None:
    letter = Batch(id="b", text="<i-1> hello <i-2>", input_ids=("i-1", "i-2"))
    plain = Batch(id="b", text=" hello\nyou ", input_ids=())

    assert is_batch("drawn otherwise i-2 i-1", letter)
    assert not is_batch("only i-1", letter)
    assert is_batch("hello\nyou", plain)
    assert not is_batch("hello", plain)
