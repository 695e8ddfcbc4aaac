"""What a human types in Codex's own screen: the owner's words, once, and nobody answers them."""

from dataclasses import replace

from netsky_runtime.codex.base import Batch
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, inputs, messages, sessions, turns
from netsky_runtime.records import OWNER
from netsky_runtime.states import (
    Direction,
    InputStatus,
    MessageKind,
    MessageStatus,
    Source,
    TurnStatus,
)
from tests.support.crew import crew, scripted


def typed(text):
    """Return what a human says: a batch that no input is in."""
    return Batch(id="", text=text, input_ids=())


async def all_messages(fleet):
    return [message for _, message in await fleet.database.read(messages.recent)]


async def owners_words(fleet, actor_id="manager0"):
    return [
        message
        for message in await all_messages(fleet)
        if message.source is Source.CODEX and message.target == actor_id
    ]


async def turns_over(fleet, count, actor_id="manager0"):
    """Wait until so many of the actor's turns are over; return them, oldest first."""

    async def look(tx):
        found = await turns.list_for_actor(tx, actor_id, limit=50)
        over = [turn for turn in found if turn.status is not TurnStatus.IN_PROGRESS]
        return sorted(over, key=lambda turn: turn.started_at) if len(over) >= count else None

    return await fleet.until(look)


async def test_words_typed_in_codexs_own_screen_are_recorded_as_the_owners(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        before = await all_messages(fleet)
        await thread.submit(typed("SAY[to whom it may concern]"))
        _, turn = await turns_over(fleet, 2)

        (words,) = await owners_words(fleet)
        (item, *_) = (await thread.history())[-1].items
        assert (words.sender, words.target) == (OWNER, "manager0")
        assert (words.direction, words.kind) == (Direction.INBOUND, MessageKind.TEXT)
        assert words.status is MessageStatus.CLOSED
        assert (words.body, words.metadata) == ("SAY[to whom it may concern]", {"item": item.id})
        assert (words.thread_id, words.turn_id) == (thread.thread_id, turn.id)
        assert turn.final_text == "to whom it may concern"
        assert len(await all_messages(fleet)) == len(before) + 1
        assert await fleet.database.read(lambda tx: messages.deliveries_of(tx, words.id)) == ()
        assert await fleet.database.read(lambda tx: inputs.open_for(tx, "manager0")) == ()


async def test_words_typed_at_a_worker_make_no_report(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("SAY[did it]")
        await turns_over(fleet, 1, "worker1")
        await turns_over(fleet, 2)  # manager0 has heard the report
        before = await all_messages(fleet)
        await fleet.fleet.session_of("worker1").submit(typed("SAY[for your eyes only]"))
        await turns_over(fleet, 2, "worker1")

        (words,) = await owners_words(fleet, "worker1")
        assert await all_messages(fleet) == [*before, words]


async def test_what_netsky_sent_is_nobody_elses_words(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[one]"))
        await fleet.reply_to(await fleet.send("SAY[two]"))
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[three]"))
        assert await owners_words(fleet) == []


async def test_words_typed_while_netsky_was_down_are_recorded_when_it_is_back(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        session = await fleet.database.read(lambda tx: sessions.current(tx, "manager0"))
        manager = await fleet.database.read(lambda tx: actors.require(tx, "manager0"))
        spec = fleet.kit.launcher.spec(manager, session, fleet.runtime.capabilities)
    runtime = scripted(tmp_path)
    await runtime.open()
    thread = await runtime.resume(session.thread_id, spec)
    await thread.submit(typed("SAY[alone]"))
    async for event in thread.events():
        if event.kind is EventKind.TURN_COMPLETED:
            break
    await runtime.close(keep_engine=False)

    for _ in range(2):
        async with crew(tmp_path) as fleet:
            await fleet.reply_to(await fleet.send("SAY[again]"))
            (words,) = await owners_words(fleet)
    (turn,) = [t for t in await fleet_turns(tmp_path) if t.id == words.turn_id]
    assert (words.body, words.created_at) == ("SAY[alone]", turn.started_at)


async def fleet_turns(folder):
    async with crew(folder) as fleet:
        return await fleet.database.read(lambda tx: turns.list_for_actor(tx, "manager0", limit=50))


async def test_words_heard_live_are_known_again_in_a_history_that_names_them_anew(
    tmp_path, monkeypatch
):
    """Codex 0.145 calls an item otherwise in history than when it comes."""
    real = ScriptedSession.history

    async def renamed(self):
        return [
            replace(
                turn,
                items=tuple(replace(i, id=f"item-{n}") for n, i in enumerate(turn.items)),
            )
            for turn in await real(self)
        ]

    monkeypatch.setattr(ScriptedSession, "history", renamed)
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        for count in (2, 3):  # the same words in two turns were said twice
            await thread.submit(typed("SAY[go on]"))
            await turns_over(fleet, count)
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[again]"))
        first, second = await owners_words(fleet)
        assert first.turn_id != second.turn_id


async def test_a_turn_in_which_a_human_and_netsky_spoke_answers_netskys_input(tmp_path):
    async with crew(tmp_path) as fleet:
        posted = await fleet.send("ASK[make] SAY[built]")
        question = await fleet.question()
        thread = fleet.fleet.session_of("manager0")
        for _ in range(2):
            await thread.steer(typed("and be quick"), turn_id=thread.active_turn)
        await fleet.decide(question)
        row = await fleet.settled(posted)

        assert row.status is InputStatus.ANSWERED
        words = await owners_words(fleet)
        assert [message.body for message in words] == ["and be quick"] * 2
        assert {message.turn_id for message in words} == {row.turn_id}


async def test_a_gap_in_what_was_heard_is_filled_with_the_words_that_were_in_it(
    tmp_path, monkeypatch
):
    real = ScriptedSession.receive
    hidden = []

    def receive(self, event):
        if event.data.get("type") == "user_message" and not hidden:
            hidden.append(event)
            event = CodexEvent(EventKind.RESYNC, event.thread_id, event.at)
        real(self, event)

    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        monkeypatch.setattr(ScriptedSession, "receive", receive)
        await fleet.fleet.session_of("manager0").submit(typed("SAY[unheard]"))
        await turns_over(fleet, 2)

        assert hidden
        assert [words.body for words in await owners_words(fleet)] == ["SAY[unheard]"]


async def test_what_is_said_in_a_sub_agents_thread_is_not_the_owners(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        told = {"type": "user_message", "text": "look into it", "client_id": ""}
        thread.receive(
            CodexEvent(EventKind.ITEM_COMPLETED, "child", fleet.clock.now(), "t1", "i1", told)
        )
        await thread.submit(typed("SAY[after it]"))
        await turns_over(fleet, 2)

        assert [words.body for words in await owners_words(fleet)] == ["SAY[after it]"]


async def test_long_and_strange_words_are_kept_as_far_as_a_message_goes(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.reply_to(await fleet.send("SAY[warm]"))
        thread = fleet.fleet.session_of("manager0")
        await thread.submit(typed("\x1b[31m" + "\N{SNOWMAN}" * 300_000))
        await turns_over(fleet, 2)
        await thread.submit(typed("  \n"))
        await turns_over(fleet, 3)

        (words,) = await owners_words(fleet)
        assert words.body.startswith("\N{REPLACEMENT CHARACTER}[31m\N{SNOWMAN}")
        assert 32_000 < len(words.body) < 33_000
