from __future__ import annotations

import asyncio

from textual import events

from netsky_runtime.errors import NoDaemon
from netsky_runtime.records import MAX_BODY_BYTES
from tests.tui.rooms import NARROW, open_room


async def test_enter_sends_to_manager0_and_empties_the_composer():
    async with open_room() as room:
        await room.press("h", "i", "enter")
        await room.until(lambda: room.connector.handle.asked("send"))
        assert room.connector.handle.asked("send") == [
            {"target": "manager0", "body": "hi", "mode": "queue", "source": "room"}
        ]
        await room.until(lambda: room.app.room.composer.text == "")
        await room.until(lambda: any(row.body == "hi" for row in room.app.store.messages))


async def test_keys_that_come_in_one_burst_keep_their_order():
    async with open_room() as room:
        for key in ("a", "b", "x", "backspace", "c", "ctrl+r", "enter"):
            character = key if len(key) == 1 else None
            room.app.post_message(events.Key(key, character))
        await room.until(lambda: room.connector.handle.asked("send"))
        sent = room.connector.handle.asked("send")[0]
        assert (sent["body"], sent["mode"]) == ("abc", "steer")


async def test_a_text_that_was_not_accepted_stays_with_the_reason():
    async with open_room() as room:
        room.connector.handle.answers["send"] = NoDaemon("The daemon has gone.")
        await room.press("h", "i", "enter")
        await room.until(lambda: "The daemon has gone." in room.text())
        assert room.app.room.composer.text == "hi"


async def test_what_is_typed_while_sending_is_kept():
    gate = asyncio.Event()

    async def slow(params):
        await gate.wait()
        return room.connector.handle.send(params)

    async with open_room() as room:
        room.connector.handle.answers["send"] = slow
        await room.press("a", "enter", "b")
        gate.set()
        await room.until(lambda: any(row.body == "a" for row in room.app.store.messages))
        assert room.app.room.composer.text == "ab"


async def test_pressing_enter_twice_sends_once():
    gate = asyncio.Event()

    async def slow(params):
        await gate.wait()
        return room.connector.handle.send(params)

    async with open_room() as room:
        room.connector.handle.answers["send"] = slow
        await room.press("a", "enter", "enter")
        gate.set()
        await room.until(lambda: room.app.room.composer.text == "")
        assert len(room.connector.handle.asked("send")) == 1


async def test_an_empty_text_is_refused_with_a_sentence():
    async with open_room() as room:
        await room.press("space", "enter")
        await room.until(lambda: "There is nothing to send yet." in room.text())
        assert room.connector.handle.asked("send") == []


async def test_a_text_over_the_limit_is_refused_and_kept():
    async with open_room() as room:
        body = "x" * (MAX_BODY_BYTES + 1)
        room.app.room.composer.text = body
        await room.press("enter")
        await room.until(lambda: "the limit is 256 KiB" in room.text())
        assert room.app.room.composer.text == body


async def test_a_paste_of_several_lines_is_kept_and_not_sent():
    async with open_room() as room:
        room.app.post_message(events.Paste("one\ntwo\nthree"))
        await room.until(lambda: room.app.room.composer.text == "one\ntwo\nthree")
        assert room.connector.handle.asked("send") == []


async def test_ctrl_j_makes_a_new_line():
    async with open_room() as room:
        await room.press("a", "ctrl+j", "b")
        assert room.app.room.composer.text == "a\nb"


async def test_the_mode_goes_round_and_is_shown():
    async with open_room() as room:
        composer = room.app.room.composer
        await room.press("ctrl+r")
        assert "steer" in str(composer.border_title)
        await room.press("ctrl+r")
        assert "interrupt" in str(composer.border_title)
        await room.press("x", "enter")
        await room.until(lambda: room.connector.handle.asked("send"))
        assert room.connector.handle.asked("send")[0]["mode"] == "interrupt"
        await room.until(lambda: "queue" in str(composer.border_title))


async def test_the_target_follows_the_selected_actor_on_a_key():
    async with open_room() as room:
        await room.press("escape", "1", "down", "i", "ctrl+t")
        assert room.app.room.composer.target == "manager1"
        await room.press("ctrl+t")
        assert room.app.room.composer.target == "manager0"


async def test_an_answer_names_the_message_it_answers():
    async with open_room() as room:
        await room.press("escape", "3")
        room.app.room.messages.view.select("m-0005")
        await room.press("r", "k", "enter")
        await room.until(lambda: room.connector.handle.asked("send"))
        sent = room.connector.handle.asked("send")[0]
        assert (sent["target"], sent["in_reply_to"]) == ("manager0", "m-0005")


async def test_up_and_down_go_through_what_was_sent_and_back_to_the_draft():
    async with open_room() as room:
        await room.press("d", "r", "a", "f", "t", "up")
        assert room.app.room.composer.text == "Keep it, with a warning."
        await room.press("down")
        assert room.app.room.composer.text == "draft"


async def test_before_the_daemon_is_there_a_text_stays_in_the_composer():
    def hold(connector) -> None:
        connector.gate = asyncio.Event()

    async with open_room(ready=False, prepare=hold) as room:
        await room.until(lambda: room.app.store.loaded)
        await room.press("a", "enter")
        await room.until(lambda: "The daemon is not there yet." in room.text())
        assert room.app.room.composer.text == "a"


async def test_a_text_longer_than_the_composer_says_how_many_lines_it_has():
    async with open_room(size=NARROW) as room:
        room.app.post_message(events.Paste("one\ntwo"))
        await room.until(lambda: "two" in room.text())
        assert "2 lines" not in room.text()
        room.app.post_message(events.Paste("\nmore" * 30))
        await room.until(lambda: "32 lines" in room.text())
