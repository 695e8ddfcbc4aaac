"""The queue of what waits: every kind with its keys, and what they do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from netsky_runtime.attention.items import ASK_AGAIN, PUT_AWAY, SEND_AGAIN
from netsky_runtime.errors import Conflict
from netsky_runtime.states import AttentionKind
from netsky_tui.screens.approval import ApprovalScreen
from netsky_tui.screens.dialogs import ChoiceScreen
from netsky_tui.screens.page import PageScreen
from netsky_tui.screens.room import pane_of
from tests.tui import story
from tests.tui.fakes import waits
from tests.tui.rooms import NARROW, WIDE, Room, open_room

KINDS = {item.kind: item for item in (*story.queue(), *story.holds(), *story.unseen())}


def queue(*kinds: AttentionKind):
    """A day on which only these wait."""
    return story.day(approvals=(), attention=tuple(KINDS[kind] for kind in kinds))


async def called(room: Room, method: str) -> list[dict]:
    await room.until(lambda: room.connector.handle.asked(method))
    return room.connector.handle.asked(method)


def full():
    resident = story.blocked_resident()
    blocked = replace(resident, actor=replace(resident.actor, id="worker6"))
    return story.day(actors=(*story.actors(), blocked), attention=story.queue())


@pytest.mark.parametrize("size", [NARROW, (120, 36), WIDE])
async def test_everything_that_waits_is_in_one_list_the_most_urgent_first(size):
    async with open_room(full(), size=size) as room:
        assert "5 wait for you" in room.text()
        await room.press("f5")
        shown = [(row.actor, row.what) for row in room.app.room.attention.view.rows]
        assert shown == [
            ("worker3", "command"),
            ("manager0", "asks you"),
            ("worker2", "uncertain"),
            ("worker6", "screen blocked"),
            ("worker1", "patch"),
            ("worker5", "parked"),
            ("worker4", "crash loop"),
            ("agentci", "bad file"),
            ("worker3", "approval lost"),
            ("worker2", "message failed"),
        ]
        for told in ("▲ 5 waiting", "◇ 2 held", "✗ 3 failed"):
            assert told in room.text()


@pytest.mark.parametrize("size", [NARROW, WIDE])
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (AttentionKind.QUESTION, ["a answer"]),
        (AttentionKind.UNCERTAIN, ["a send again", "d let it go"]),
        (AttentionKind.PARKED, ["a resume"]),
        (AttentionKind.CRASH_LOOP, ["a resume"]),
        (AttentionKind.BUDGET, ["a 5,000,000 tokens more"]),
        (AttentionKind.PAUSED, ["a go on"]),
        (AttentionKind.STUCK, ["a wait for t8 no more", "d cancel it"]),
        (AttentionKind.STALLED, ["a tell it to go on", "d cancel it"]),
        (AttentionKind.RUNS_ON, ["a stop netsky"]),
        (AttentionKind.LOST, ["a ask again", "d put away"]),
        (AttentionKind.FAILED, ["a send again", "d put away"]),
        (AttentionKind.QUARANTINED, ["d put away"]),
    ],
)
async def test_the_keys_that_do_something_about_it_are_named(size, kind, keys):
    async with open_room(queue(kind), size=size) as room:
        await room.press("f5")
        line = "".join(text for text, _ in room.app.room.keys.line)
        shown = room.text()
        for key in keys:
            assert key in line
            assert key.replace(" ", "  ", 1) in shown
        for other in {"y accept", "n decline", "a ", "d "} - {key[:2] for key in keys}:
            assert f" {other}" not in f" {line}"


async def test_a_question_is_answered_in_the_composer_as_its_answer():
    async with open_room(queue(AttentionKind.QUESTION)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("a", *"keep", "enter")
        (sent,) = await called(room, "send")
        assert (sent["target"], sent["body"]) == ("manager0", "keep")
        assert sent["in_reply_to"] == KINDS[AttentionKind.QUESTION].ref


@pytest.mark.parametrize(("key", "action"), [("a", "resend"), ("d", "drop")])
async def test_an_uncertain_input_is_decided_after_a_second_look(key, action):
    async with open_room(queue(AttentionKind.UNCERTAIN)) as room:
        await room.press("f5")
        await room.settle()
        await room.press(key)
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("n")
        assert room.connector.handle.asked("inputs.resolve") == []
        await room.press(key)
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("y")
        assert await called(room, "inputs.resolve") == [{"input_id": "i-0007", "action": action}]


@pytest.mark.parametrize("kind", [AttentionKind.PARKED, AttentionKind.CRASH_LOOP])
async def test_a_parked_actor_is_resumed(kind):
    async with open_room(queue(kind)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("a")
        assert await called(room, "actors.resume") == [{"actor_id": KINDS[kind].ref}]


async def test_a_pause_is_ended_at_once_and_a_budget_raised_after_a_second_look():
    async with open_room(queue(AttentionKind.PAUSED)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("a")
        assert await called(room, "unpause") == [{}]
    async with open_room(queue(AttentionKind.BUDGET)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("a")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        assert room.connector.handle.asked("budgets.set") == []
        await room.press("y")
        (wanted,) = await called(room, "budgets.set")
        assert (wanted["scope"], wanted["tokens"], wanted["more"]) == ("day", 5_000_000, True)


@pytest.mark.parametrize(("key", "method"), [("a", "tasks.depend"), ("d", "tasks.cancel")])
async def test_a_stuck_task_is_freed_or_cancelled_after_a_second_look(key, method):
    async with open_room(queue(AttentionKind.STUCK)) as room:
        await room.press("f5")
        await room.settle()
        await room.press(key)
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        assert room.connector.handle.asked(method) == []
        await room.press("y")
        (wanted,) = await called(room, method)
        assert wanted["id"] == "t4"


async def test_a_stalled_task_goes_on_at_once_and_is_cancelled_after_a_second_look():
    async with open_room(queue(AttentionKind.STALLED)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("a")
        (sent,) = await called(room, "send")
        assert sent["target"] == "worker2"
        assert "Go on with your task t3" in sent["body"]
        await room.press("d")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        assert room.connector.handle.asked("tasks.cancel") == []
        await room.press("y")
        assert await called(room, "tasks.cancel") == [{"id": "t3"}]


async def test_a_turn_that_runs_on_is_ended_with_netsky_after_a_second_look():
    async with open_room(queue(AttentionKind.RUNS_ON)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("a")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("n")
        assert room.connector.handle.asked("stop") == []
        await room.press("a")
        await room.until(lambda: isinstance(room.app.screen, ChoiceScreen))
        await room.press("y")
        assert await called(room, "stop") == [{}]


@pytest.mark.parametrize(
    ("kind", "key", "method", "params"),
    [
        (AttentionKind.LOST, "a", ASK_AGAIN, {"id": "a1"}),
        (AttentionKind.LOST, "d", PUT_AWAY, {"key": "lost:a1"}),
        (AttentionKind.FAILED, "a", SEND_AGAIN, {"key": "failed:i-0008"}),
        (AttentionKind.FAILED, "d", PUT_AWAY, {"key": "failed:i-0008"}),
        (AttentionKind.QUARANTINED, "d", PUT_AWAY, {"key": "quarantined:agentci"}),
    ],
)
async def test_what_came_to_nothing_is_done_again_or_put_away(kind, key, method, params):
    async with open_room(queue(kind), size=NARROW) as room:
        await room.press("f5")
        await room.settle()
        await room.press(key)
        assert await called(room, method) == [params]


async def test_an_action_that_fails_is_told():
    async with open_room(queue(AttentionKind.PARKED)) as room:
        room.connector.handle.answers["actors.resume"] = Conflict("Its door is shut.")
        await room.press("f5")
        await room.settle()
        await room.press("a")
        await room.until(lambda: "Its door is shut." in room.text())


async def test_keys_of_approvals_do_nothing_to_other_things_and_say_so():
    async with open_room(queue(AttentionKind.LOST)) as room:
        await room.press("f5")
        await room.settle()
        await room.press("y")
        await room.until(lambda: "That is no approval. a ask again · d put away" in room.text())
        assert room.connector.handle.asked("approvals.decide") == []
    async with open_room() as room:
        await room.press("f5")
        await room.settle()
        await room.press("a")
        await room.until(lambda: "Not here. y accept" in room.text())


async def test_a_paste_into_the_queue_does_nothing():
    async with open_room(queue(AttentionKind.FAILED)) as room:
        await room.press("f5")
        await room.settle()
        await room.pilot.press(*"bad")
        await room.pilot.pause()
        assert room.connector.handle.asked(SEND_AGAIN) == []
        assert room.connector.handle.asked(PUT_AWAY) == []


async def test_what_slips_under_the_finger_is_left_alone():
    async with open_room(queue(AttentionKind.PARKED, AttentionKind.FAILED)) as room:
        await room.press("f5")
        await room.settle()
        room.connector.reader.change(attention=(KINDS[AttentionKind.FAILED],))
        await room.until(lambda: len(room.app.store.attention) == 1)
        await room.press("a")
        assert room.connector.handle.asked(SEND_AGAIN) == []
        await room.settle()
        await room.press("a")
        await called(room, SEND_AGAIN)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (AttentionKind.QUESTION, "Shall 1.4 drop the old API"),
        (AttentionKind.PARKED, "Session"),
        (AttentionKind.BUDGET, "over at midnight"),
        (AttentionKind.STUCK, "Measure the parser"),
        (AttentionKind.STALLED, "Read hex and octal numbers"),
        (AttentionKind.RUNS_ON, "nobody hears it"),
        (AttentionKind.LOST, "git push --dry-run"),
        (AttentionKind.QUARANTINED, "channels/agentci/poison/1795.json"),
    ],
)
async def test_enter_opens_what_it_is_about(kind, told):
    lost = replace(story.approvals()[0], id="a1", status="lost")
    async with open_room(queue(kind), size=NARROW) as room:
        await room.press("f5")
        room.connector.reader.change(approvals=(lost,))
        await room.press("enter")
        await room.until(lambda: isinstance(room.app.screen, PageScreen))
        await room.until(lambda: told in room.text())
        await room.press("escape")
        assert room.app.screen is room.app.room


async def test_enter_opens_an_approval_and_the_page_of_a_blocked_screen():
    resident = story.blocked_resident()

    def show(connector) -> None:
        connector.reader.screen = story.DIALOG

    day = story.day(actors=(resident,), approvals=story.approvals()[:1])
    async with open_room(day, prepare=show, size=NARROW) as room:
        await room.press("f5", "enter")
        await room.until(lambda: isinstance(room.app.screen, ApprovalScreen))
        await room.press("escape", "down", "enter")
        await room.until(lambda: "1. Try the new model" in room.text())


async def test_the_frame_says_how_many_more_there_are():
    bad = KINDS[AttentionKind.FAILED]
    many = tuple(
        waits(bad.kind, f"i-{number}", "worker2", bad.since + number, bad.about)
        for number in range(40)
    )
    async with open_room(story.day(approvals=(), attention=many)) as room:
        assert str(room.app.room.attention.border_title) == "5 waiting"
        room.app.room.attention.show_queue(room.app.store.attention, 300)
        assert str(room.app.room.attention.border_title) == "5 waiting · 40 of 300"


@pytest.mark.parametrize("size", [NARROW, WIDE])
async def test_an_empty_queue_gives_the_focus_back_and_says_that_nothing_waits(size):
    async with open_room(queue(AttentionKind.PARKED), size=size) as room:
        await room.press("escape", "1", "f5")
        assert pane_of(room.app.focused) is room.app.room.attention
        room.connector.reader.change(attention=())
        await room.until(lambda: not room.app.store.attention)
        await room.until(lambda: room.app.focused is room.app.room.actors.view)
        await room.press("f5")
        await room.until(lambda: "Nothing waits for you." in room.text())


async def test_escape_leaves_the_composer_after_the_queue_has_gone():
    async with open_room(queue(AttentionKind.PARKED)) as room:
        composer = room.app.room.composer
        await room.press("f5", "i")
        assert room.app.focused is composer
        room.connector.reader.change(attention=())
        await room.until(lambda: not room.app.store.attention)
        await room.press("escape", "2")
        assert room.app.focused is room.app.room.tasks.view
        assert composer.text == ""


async def test_after_a_decision_the_next_that_somebody_stands_still_for_comes_up():
    day = story.day(
        approvals=story.approvals()[:1],
        attention=(KINDS[AttentionKind.UNCERTAIN], KINDS[AttentionKind.PARKED]),
    )
    async with open_room(day) as room:
        await room.press("f5")
        await room.settle()
        await room.press("y")
        view = room.app.room.attention.view
        await room.until(lambda: view.current.kind is AttentionKind.UNCERTAIN)
        assert room.app.focused is view
    calm = story.day(approvals=story.approvals()[:1], attention=(KINDS[AttentionKind.PARKED],))
    async with open_room(calm) as room:
        await room.press("f5")
        await room.settle()
        await room.press("y")
        await room.until(lambda: room.app.focused is room.app.room.composer)


async def test_what_waits_but_keeps_nobody_from_work_is_no_alarm():
    async with open_room(queue(AttentionKind.FAILED)) as room:
        assert "for you" not in room.text()
        assert "✗ 1 failed" in room.text()


async def test_words_that_wait_are_never_read_as_markup():
    bad = KINDS[AttentionKind.FAILED]
    tricky = replace(bad, about=replace(bad.about, text="[red]calm[/red] \x1b[2J"))
    async with open_room(story.day(approvals=(), attention=(tricky,))) as room:
        assert "[red]calm[/red] ␛[2J" in room.text()


@pytest.mark.parametrize(
    ("kind", "asked"),
    [(AttentionKind.UNCERTAIN, "i-0007"), (AttentionKind.LOST, "a1")],
)
async def test_what_waits_can_be_traced(kind, asked, monkeypatch):
    async with open_room(queue(kind)) as room:
        traced = []
        monkeypatch.setattr(room.app.pages, "trace", traced.append)
        await room.press("f5", "T")
        await room.until(lambda: traced)
        assert traced == [asked]


async def test_a_room_that_has_closed_its_screens_marks_nothing_as_read():
    async with open_room() as room:
        await room.press("f5")
        app = room.app
    assert app.screen_stack == []
    app._mark_read()  # its timer may come once more on the way out
