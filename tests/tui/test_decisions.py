"""Deciding alike, and beforehand: nothing is answered that was not listed."""

from __future__ import annotations

from dataclasses import replace

from netsky_runtime.approval_records import Rule
from netsky_runtime.states import ApprovalKind, ApprovalStatus
from netsky_tui.drawing.paragraphs import approval_document
from netsky_tui.screens.dialogs import ChoiceScreen, FormScreen
from netsky_tui.screens.room import SMALLEST
from tests.tui import story
from tests.tui.rooms import NARROW, open_room


def asks(number: int, who: str = "worker3", command: str = "pytest -x", **fields):
    raw = {"command": f"/bin/bash -lc '{command}'"}
    known = {"command": command, "raw": raw} | fields
    return story.approval(number, who, ApprovalKind.COMMAND, 60 - number, **known)


SAME = (
    asks(13),
    asks(14, "worker1"),
    asks(15, "worker1", cwd="/elsewhere"),
    asks(16, "manager1"),
    asks(17, command="pytest"),
)


def decided(params):
    return {
        "decided": [{"id": each, "status": "accepted"} for each in params["ids"]],
        "failed": [],
    }


async def test_all_that_ask_the_same_are_listed_and_answered_by_one_key_and_a_yes():
    for size in (NARROW, (160, 45)):
        async with open_room(story.day(approvals=SAME), size=size) as room:

            async def answer(params):
                return decided(params)

            room.connector.handle.answers["approvals.decide_many"] = answer
            await room.press("f5")
            await room.until(lambda room=room: room.app.room.attention.view.current is not None)
            room.app.room.attention.view.select("approval:a13")
            await room.settle()
            await room.pilot.pause()
            before = room.text()
            await room.press("A")
            await room.until(lambda room=room: isinstance(room.app.screen, ChoiceScreen))
            shown = room.text()
            assert "answer all 2 that ask the same" in before
            assert "a13 worker3: pytest -x" in shown
            assert "a14 worker1: pytest -x" in shown
            for other in ("a15", "a16 ", "a17"):
                assert f"{other} worker" not in shown
            await room.settle()
            await room.press("y")
            handle = room.connector.handle
            await room.until(lambda handle=handle: handle.asked("approvals.decide_many"))
            (params,) = handle.asked("approvals.decide_many")
            assert sorted(params["ids"]) == ["a13", "a14"]
            assert params["decision"] == "accept"


async def test_every_answer_to_many_long_questions_is_in_view_on_a_small_terminal():
    many = tuple(asks(number, command="tar " + "x" * 90) for number in range(20, 30))
    for size in (NARROW, SMALLEST):
        async with open_room(story.day(approvals=many), size=size) as room:
            await room.press("f5")
            await room.until(lambda room=room: room.app.room.attention.view.current is not None)
            await room.settle()
            await room.press("A")
            await room.until(lambda room=room: isinstance(room.app.screen, ChoiceScreen))
            for answer in ("accept all 8", "decline all 8", "leave them"):
                await room.until(lambda room=room, answer=answer: answer in room.text())


async def test_leaving_the_list_answers_nothing():
    async with open_room(story.day(approvals=SAME)) as room:
        await room.press("f5")
        room.app.room.attention.view.select("approval:a13")
        await room.settle()
        await room.press("A")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("enter")  # the safe choice is under the cursor
        await room.until(lambda: not isinstance(room.app.screen, ChoiceScreen))
        assert room.connector.handle.asked("approvals.decide_many") == []


async def test_a_question_without_another_like_it_is_not_answered_in_passing():
    async with open_room(story.day(approvals=(SAME[2],))) as room:
        await room.press("f5")
        await room.settle()
        await room.press("A")
        await room.until(lambda: "No other question that waits asks the same" in room.text())
        assert room.connector.handle.asked("approvals.decide_many") == []


async def test_no_more_are_answered_than_were_listed():
    many = tuple(asks(number) for number in range(20, 40))
    async with open_room(story.day(approvals=many), size=NARROW) as room:

        async def answer(params):
            return decided(params)

        room.connector.handle.answers["approvals.decide_many"] = answer
        await room.press("f5")
        await room.settle()
        await room.press("A")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        shown = room.text()
        assert "12 more ask the same" in shown
        await room.settle()
        await room.press("n")
        await room.until(lambda: room.connector.handle.asked("approvals.decide_many"))
        (params,) = room.connector.handle.asked("approvals.decide_many")
        assert len(params["ids"]) == 8
        assert all(f"{each} worker3" in shown for each in params["ids"])
        assert params["decision"] == "decline"


async def test_what_does_not_go_through_is_told_by_its_id():
    async with open_room(story.day(approvals=SAME)) as room:

        async def answer(params):
            return {
                "decided": [{"id": params["ids"][0], "status": "accepted"}],
                "failed": [{"id": params["ids"][1], "code": "conflict", "error": "It was lost."}],
            }

        room.connector.handle.answers["approvals.decide_many"] = answer
        await room.press("f5")
        room.app.room.attention.view.select("approval:a13")
        await room.settle()
        await room.press("A")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.settle()
        await room.press("y")
        await room.until(lambda: "a14: It was lost." in room.text())


async def test_a_rule_is_made_of_a_question_after_its_words_were_read_and_confirmed():
    async with open_room(story.day(approvals=SAME[:1])) as room:
        await room.press("f5")
        await room.settle()
        await room.press("R")
        await room.until(lambda: isinstance(room.app.screen, FormScreen))
        # From "pytest -x" to "pytest *".
        await room.press("end", "backspace", "backspace", "*", "enter", "enter", "enter")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        shown = room.text()
        assert "Accept without asking you" in shown
        assert "also with any options" in shown
        assert "a13 itself still waits for you" in shown
        assert room.connector.handle.asked("rules.add") == []
        await room.settle()
        await room.press("y")
        await room.until(lambda: room.connector.handle.asked("rules.add"))
        (params,) = room.connector.handle.asked("rules.add")
        assert (params["cwd"], params["who"]) == (story.PROJECT, "workers")
        assert params["allow"] == "pytest *"


async def test_what_no_rule_could_answer_is_refused_before_anything_is_typed():
    asked = (asks(13, command="pytest && rm x"),)
    async with open_room(story.day(approvals=asked)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("R")
        await room.until(lambda: "No rule can answer a13" in room.text())
        assert room.connector.handle.asked("rules.add") == []


async def test_rules_are_listed_and_revoked_after_a_yes():
    standing = Rule(id="r3", cwd="/w", pattern="pytest *", actors="workers", created_at=1)
    async with open_room() as room:
        room.app.feed.source.standing = (standing,)
        room.app.do(room.app.decisions.rules(), "rules")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        assert "r3  pytest *  for workers in /w" in room.text()
        await room.press("up", "enter")
        await room.until(lambda: "Revoke r3?" in room.text())
        assert room.connector.handle.asked("rules.revoke") == []
        await room.settle()
        await room.press("y")
        await room.until(lambda: room.connector.handle.asked("rules.revoke"))
        assert room.connector.handle.asked("rules.revoke") == [{"id": "r3"}]


async def test_a_lost_question_says_why_and_what_took_its_place():
    lost = replace(
        asks(13),
        status=ApprovalStatus.LOST,
        lost_reason="its process is gone",
        successor_id="a20",
    )
    said = "\n".join(f"{para.label}{para.text}" for para in approval_document(lost))
    assert "its process is gone" in said
    assert "a20" in said
