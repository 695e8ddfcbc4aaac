"""Codex's own screen joined to a thread of the engine, as an operator has it in a terminal."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from netsky_runtime.codex.base import Batch
from netsky_runtime.codex.events import CodexEvent, EventKind
from tests.real_codex.conftest import Bench, Told
from tests.support.pane import Pane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from netsky_runtime.codex.app_server.session import AppServerSession

SEEN = '[notice.model_migrations]\n"gpt-5.4" = "gpt-5.6-terra"\n'
"""Without it 0.145 and 0.153.4 ask about the model before they show the thread."""
READY = "gpt-5.4 default"
"""The line below the composer."""
QUESTION = "Would you like to run"


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=(f"i-{number}",))


async def one_turn(bench: Bench) -> tuple[AppServerSession, Told]:
    session = await (await bench.opened()).start(bench.spec())
    told = Told(session)
    await session.submit(batch("SAY[hello]"))
    await told.turn_end()
    return session, told


@asynccontextmanager
async def screen_of(session: AppServerSession, bench: Bench, shows: str) -> AsyncIterator[Pane]:
    """Run what ``terminal`` says until it shows the thread."""
    with (bench.root / bench.codex_home / "config.toml").open("a") as config:
        config.write(SEEN)
    async with Pane(session.terminal(), environ=bench.environ, cwd=bench.project) as pane:
        await pane.until(shows)
        yield pane


def user_message(event: CodexEvent) -> bool:
    return event.kind is EventKind.ITEM_COMPLETED and event.data["type"] == "user_message"


async def test_what_a_human_types_in_codexs_own_screen_is_a_turn_for_netsky_too(
    bench: Bench,
) -> None:
    session, told = await one_turn(bench)
    async with screen_of(session, bench, READY) as pane:
        await pane.type("SAY[typed and answered]")
        words = await told.until(user_message)
        end = await told.turn_end()
        await session.submit(batch("SAY[from netsky]", 2))
        await told.turn_end()
        await pane.until("• from netsky")

    assert words.data["text"] == "SAY[typed and answered]"
    assert words.data["client_id"] != "batch-1"
    assert end.turn_id == words.turn_id
    assert told.words() == ["hello", "typed and answered", "from netsky"]
    # Its screen has threads of its own in the engine, which make the title: they are nobody's.
    assert {event.thread_id for event in told.events} <= {session.thread_id, ""}
    assert [line for line in bench.logged if line[0] != "info"] == []


async def test_a_question_that_waits_is_answered_in_a_screen_that_joins_then(bench: Bench) -> None:
    session, told = await one_turn(bench)
    await session.submit(batch("ESC[true] SAY[done]", 2))
    asked = await told.next(EventKind.APPROVAL_REQUESTED)
    async with screen_of(session, bench, QUESTION) as pane:
        await pane.press_away(QUESTION, "y")
        resolved = await told.next(EventKind.APPROVAL_RESOLVED)
        await told.turn_end()

    assert resolved.data["request_id"] == asked.data["request_id"]
    assert told.words() == ["hello", "done"]


async def test_a_screen_that_joins_in_the_middle_of_a_turn_shows_its_end(bench: Bench) -> None:
    session, told = await one_turn(bench)
    await session.submit(batch("HANG SAY[late but here]", 2))
    await asyncio.to_thread(bench.model.wait_hanging)
    async with screen_of(session, bench, "esc to interrupt") as pane:
        bench.model.release()
        await pane.until("• late but here")

    assert (await told.turn_end()).data["status"] == "completed"


async def test_a_model_that_is_chosen_in_a_screen_is_told_once(bench: Bench) -> None:
    session, told = await one_turn(bench)
    async with screen_of(session, bench, READY) as pane:
        await pane.type("/model")
        await pane.until("Select Model")
        await pane.press("Down")
        await pane.press_away("Select Model", "Enter")
        await pane.until("Select Reasoning")
        await pane.press_away("Select Reasoning", "Enter")
        chosen = await told.next(EventKind.MODEL)
        await pane.until(f"Model changed to {chosen.data['model']}")
        await pane.type("SAY[on another model]")
        await told.turn_end()

    assert chosen.thread_id == session.thread_id
    assert chosen.data["model"] != "gpt-5.4"
    assert chosen.data["model"] in [request["model"] for request in bench.model.requests]
    assert [event for event in told.events if event.kind is EventKind.MODEL] == [chosen]


async def test_a_thread_is_released_from_under_a_screen(bench: Bench) -> None:
    session, _ = await one_turn(bench)
    runtime = await bench.opened()
    async with screen_of(session, bench, READY):
        await session.release()
        again = await runtime.resume(session.thread_id, bench.spec())
        told = Told(again)
        await again.submit(batch("SAY[anew]", 2))
        await told.turn_end()

    assert [turn.items[-1].text for turn in await again.history()] == ["hello", "anew"]
