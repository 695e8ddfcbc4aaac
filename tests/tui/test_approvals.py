from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from netsky_runtime.errors import Conflict
from netsky_runtime.states import ApprovalKind, ApprovalStatus
from netsky_tui.screens.approval import ApprovalScreen
from netsky_tui.screens.dialogs import ChoiceScreen
from netsky_tui.screens.room import pane_of
from tests.tui import story
from tests.tui.rooms import NARROW, WIDE, open_room


async def test_letters_typed_in_the_composer_decide_nothing():
    async with open_room() as room:
        await room.press("y", "s", "n", "c")
        assert room.app.room.composer.text == "ysnc"
        assert room.connector.handle.asked("approvals.decide") == []


async def test_y_accepts_the_selected_question_and_no_other():
    async with open_room() as room:
        await room.press("f5", "down", "y")
        await room.until(lambda: room.connector.handle.asked("approvals.decide"))
        assert room.connector.handle.asked("approvals.decide") == [
            {"id": "a4", "decision": "accept"}
        ]


async def test_a_decision_is_echoed_until_the_database_confirms_it_and_then_goes():
    gate = asyncio.Event()

    async def slow(params):
        await gate.wait()
        return room.connector.handle.decide(params)

    async with open_room() as room:
        room.connector.handle.answers["approvals.decide"] = slow
        await room.press("f5", "n")
        await room.until(lambda: "declining…" in room.text())
        gate.set()
        await room.until(lambda: "declined" in room.text())
        assert [row.key for row in room.app.store.waiting] == ["a4"]
        room.clock.pass_seconds(10)
        room.app.changed(room.app.store.tick(room.clock.now()))
        await room.pilot.pause()
        assert "declined" not in room.text()


async def test_after_the_last_decision_the_operator_writes_on_where_he_was():
    async with open_room(story.day(approvals=story.approvals()[:1])) as room:
        await room.press(*"dra", "f5")
        await room.settle()
        await room.press("y")
        await room.until(lambda: room.connector.handle.asked("approvals.decide"))
        await room.until(lambda: room.app.focused is room.app.room.composer)
        await room.press(*"ft")
        assert room.app.room.composer.text == "draft"


async def test_approvals_that_others_decide_give_the_focus_back_when_they_go():
    for size in (NARROW, (120, 36), WIDE):
        async with open_room(story.day(approvals=story.approvals()[:1]), size=size) as room:
            await room.press("escape", "1", "f5")
            assert pane_of(room.app.focused) is room.app.room.attention
            room.connector.handle.settle("a3", ApprovalStatus.RESOLVED_ELSEWHERE)
            await room.until(lambda room=room: not room.app.store.waiting)
            room.clock.pass_seconds(10)
            await room.until(lambda room=room: not room.app.store.attention)
            await room.until(lambda room=room: room.app.focused is room.app.room.actors.view)


async def test_a_terminal_that_was_too_small_for_a_while_takes_words_again():
    async with open_room() as room:
        await room.pilot.resize_terminal(40, 10)
        await room.pilot.pause()
        await room.pilot.resize_terminal(*WIDE)
        await room.until(lambda: room.app.focused is not None)
        await room.press(*"hi")
        assert room.app.room.composer.text == "hi"


async def test_a_decision_that_fails_is_told_and_the_question_waits_on():
    async with open_room() as room:
        room.connector.handle.answers["approvals.decide"] = Conflict("a3 was decided by cli.")
        await room.press("f5", "y")
        await room.until(lambda: "a3 was decided by cli." in room.text())
        assert [row.key for row in room.app.store.waiting] == ["a3", "a4"]


async def test_a_question_that_slips_under_the_finger_is_not_decided():
    async with open_room() as room:
        await room.press("f5")
        room.connector.handle.settle("a3", ApprovalStatus.RESOLVED_ELSEWHERE)
        await room.until(lambda: len(room.app.store.waiting) == 1)
        room.clock.pass_seconds(6)
        room.app.changed(room.app.store.tick(room.clock.now()))
        await room.until(lambda: room.app.room.attention.view.current.ref == "a4")
        await room.press("y")
        assert room.connector.handle.asked("approvals.decide") == []
        await room.settle()
        await room.press("y")
        await room.until(lambda: room.connector.handle.asked("approvals.decide"))


async def test_pressing_twice_does_not_decide_the_next_question():
    async with open_room() as room:
        await room.press("f5", "y")
        await room.until(lambda: room.app.room.attention.view.current.ref == "a4")
        await room.press("y")
        assert len(room.connector.handle.asked("approvals.decide")) == 1


async def test_a_paste_into_the_approvals_decides_nothing():
    async with open_room() as room:
        await room.press("f5")
        await room.settle()
        await room.pilot.press(*"easy")
        await room.pilot.pause()
        assert room.connector.handle.asked("approvals.decide") == []
        assert "faster than fingers" in room.text()


async def test_what_is_not_offered_is_refused_with_what_is():
    only = replace(story.approvals()[0], available_decisions=("accept", "decline"))
    async with open_room(story.day(approvals=(only,))) as room:
        await room.press("f5", "s")
        words = "The question of worker3 does not offer 'for session'. It offers: accept, decline."
        await room.until(lambda: words in {told.message for told in room.app._notifications})
        assert room.connector.handle.asked("approvals.decide") == []


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_only_keys_that_the_selected_question_offers_are_named(size):
    first, second = story.approvals()
    only = replace(first, available_decisions=("accept", "decline"))
    async with open_room(story.day(approvals=(only, second)), size=size) as room:
        await room.press("f5")
        pane, keys = room.app.room.attention, room.app.room.keys

        def named():
            return str(pane.border_subtitle), "".join(text for text, _ in keys.line)

        assert named()[0] == "y accept · n decline"
        assert "for session" not in named()[1]
        await room.press("down")
        assert named()[0] == "y accept · s for session · n decline · c cancel"
        assert "for session" in named()[1]
        await room.press("up", "enter")
        (page,) = room.app.screen.query("#page")
        assert str(page.border_subtitle) == "y accept · n decline · Esc closes"


async def test_a_question_with_choices_is_answered_by_its_id():
    async with open_room(story.day(approvals=(story.question(),))) as room:
        await room.press("f5", "y")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("2")
        await room.until(lambda: room.connector.handle.asked("approvals.decide"))
        assert room.connector.handle.asked("approvals.decide") == [
            {"id": "a5", "decision": "accept", "answer": {"base": "017"}}
        ]


async def test_leaving_a_question_open_sends_nothing():
    async with open_room(story.day(approvals=(story.question(),))) as room:
        await room.press("f5", "y")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("escape")
        await room.until(lambda: room.app.store.doing("a5") == "")
        assert room.connector.handle.asked("approvals.decide") == []


async def test_the_page_of_a_question_decides_that_question_and_closes():
    async with open_room(size=NARROW) as room:
        await room.press("f5", "down", "enter")
        await room.until(lambda: isinstance(room.app.screen, ApprovalScreen))
        await room.press("c")
        await room.until(lambda: room.app.screen is room.app.room)
        assert room.connector.handle.asked("approvals.decide") == [
            {"id": "a4", "decision": "cancel"}
        ]


async def test_the_bell_rings_when_the_daemon_says_so_and_not_for_what_is_read(monkeypatch):
    async with open_room(story.day(approvals=())) as room:
        rung = []
        monkeypatch.setattr(room.app, "bell", lambda: rung.append(1))
        room.connector.reader.change(approvals=story.approvals())
        await room.until(lambda: len(room.app.store.waiting) == 2)
        assert rung == []
        room.connector.handle.push("notice", level="ring", text="worker1 asks for an approval.")
        await room.until(lambda: rung)
        told = [told.message for told in room.app._notifications]
        assert (rung, told) == ([1], ["worker1 asks for an approval."])


async def test_what_waits_is_named_above_the_composer_whatever_is_shown():
    for size in (NARROW, (120, 36), (160, 45)):
        async with open_room(size=size) as room:
            assert "2 approvals wait" in room.text()
            assert "git push" in room.text()


async def test_a_question_that_arrives_takes_no_focus_from_the_composer():
    async with open_room(story.day(approvals=())) as room:
        await room.press("h", "i")
        room.connector.reader.change(approvals=story.approvals())
        await room.until(lambda: room.app.store.waiting)
        await room.press("y")
        assert room.app.room.composer.text == "hiy"


async def test_a_command_is_never_read_as_markup():
    tricky = story.approval(
        7, "worker1", ApprovalKind.COMMAND, 0, command="echo [red]calm[/red] \x1b[2J"
    )
    async with open_room(story.day(approvals=(tricky,))) as room:
        assert "[red]calm[/red] ␛[2J" in room.text()
