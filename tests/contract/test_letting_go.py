"""Codex's own screen, letting go of a thread, and finding one by its mark, on every runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.codex.base import RuntimeFailure, TurnRunning, Unsupported
from netsky_runtime.codex.events import EventKind
from netsky_runtime.states import TurnStatus
from tests.contract.rigs import DECLINE, Stage, batch, says

if TYPE_CHECKING:
    from collections.abc import Sequence


async def test_a_thread_has_a_screen_or_says_where_there_is_one(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")

    command: Sequence[str] = ()
    refusal: Unsupported | None = None
    try:
        command = session.terminal()
    except Unsupported as error:
        refusal = error

    if refusal is None:
        assert command
        assert all(isinstance(word, str) and word for word in command)
    else:
        assert refusal.message
        assert refusal.hint


async def test_a_thread_is_not_let_go_of_while_its_turn_runs(stage: Stage) -> None:
    session, told = await stage.start()
    await session.submit(batch("HANG"))
    begun = await stage.hanging(told)

    with pytest.raises(TurnRunning):
        await session.release()

    assert session.active_turn == begun.turn_id
    await session.interrupt(begun.turn_id)
    assert (await told.turn_end()).data["status"] == "interrupted"
    stage.rig.release()
    await says(session, told, "SAY[still here]", 2)
    assert told.words()[-1] == "still here"


async def test_a_session_that_let_go_does_nothing_to_its_thread_again(stage: Stage) -> None:
    session, told = await stage.start()
    end = await says(session, told, "SAY[one]")

    await session.release()

    assert session.active_turn == ""
    with pytest.raises(RuntimeFailure):
        await session.submit(batch("SAY[two]", 2))
    with pytest.raises(RuntimeFailure):
        await session.steer(batch("SAY[two]", 2), turn_id=end.turn_id)
    with pytest.raises(RuntimeFailure):
        await session.interrupt(end.turn_id)
    with pytest.raises(RuntimeFailure):
        await session.decide("0", DECLINE)
    rest = [event.kind async for event in session.events()]
    assert EventKind.SESSION_LOST not in rest
    assert EventKind.TURN_STARTED not in rest


async def test_a_thread_that_was_let_go_of_is_continued_by_who_can(stage: Stage) -> None:
    session, told = await stage.start()
    await says(session, told, "SAY[one]")
    await session.release()

    if not stage.runtime.capabilities.resume:
        with pytest.raises(RuntimeFailure):
            await stage.resume(session.thread_id)
        return
    again, told = await stage.resume(session.thread_id)
    await says(again, told, "SAY[two]", 2)

    turns = await again.history()
    assert [stage.batches(turn) for turn in turns] == [["batch-1"], ["batch-2"]]
    assert [turn.status for turn in turns] == [TurnStatus.COMPLETED] * 2


async def test_a_mark_that_no_thread_carries_finds_none(stage: Stage) -> None:
    session, told = await stage.start(mark="k3v9x2mq")
    await says(session, told, "SAY[one] k3v9x2mq")

    assert await stage.runtime.find("q2x9v3mk", since=0) == ""
