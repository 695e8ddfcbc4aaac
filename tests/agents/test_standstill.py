"""A worker that was interrupted and told nothing else: who hears that it waits, and who not."""

import pytest

from netsky_runtime.agents import interrupts
from netsky_runtime.db import attention, inputs, messages, notes, tasks
from netsky_runtime.states import (
    AttentionKind,
    DecisionWord,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    TaskStatus,
)
from tests.agents.test_stopping import all_heard, as_stored, working
from tests.support.crew import crew

TOLD = "The turn on t1 “T” was stopped on purpose, and worker1 was told nothing else."


async def noted(tx):
    """What netsky has noted on the worker's task."""
    return [note.body for note in await notes.list_(tx, task_id="t1") if note.author == "netsky"]


async def reports(fleet):
    found = await fleet.database.read(lambda tx: messages.recent(tx, limit=50))
    return [m for _, m in found if (m.kind, m.sender) == (MessageKind.REPORT, "worker1")]


async def the_task(fleet):
    return await fleet.database.read(lambda tx: tasks.require(tx, "t1"))


async def test_a_manager_hears_that_a_worker_was_interrupted_and_waits(tmp_path):
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        await fleet.fleet.interrupt("worker1")
        (note,) = await fleet.until(noted)
        assert note.startswith(TOLD)
        (report,) = await reports(fleet)
        row = await as_stored(fleet, cut)
        assert row.status is InputStatus.INTERRUPTED
        assert (report.target, report.body, report.task_id) == ("manager0", note, "t1")
        assert (report.thread_id, report.turn_id) == (row.thread_id, row.turn_id)
        task = await the_task(fleet)
        assert (task.status, task.owner_id) == (TaskStatus.IN_PROGRESS, "worker1")
        await fleet.until(all_heard)


async def test_what_an_interrupted_worker_answers_next_is_reported_as_ever(tmp_path):
    async with crew(tmp_path) as fleet:
        await working(fleet)
        await fleet.fleet.interrupt("worker1")
        await fleet.until(noted)
        assert (await fleet.reply_to(await fleet.send("SAY[done]", to="worker1"))).body == "done"
        _, newest = await reports(fleet)
        assert "done" in newest.body
        assert (await the_task(fleet)).status is TaskStatus.REPORTED


async def test_a_declined_question_that_stops_a_workers_turn_is_told_likewise(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("ASK[make] SAY[made]")
        await fleet.decide(await fleet.question(), DecisionWord.CANCEL)
        (note,) = await fleet.until(noted)
        assert note.startswith(TOLD)


@pytest.mark.parametrize("mode", [InputMode.INTERRUPT, InputMode.QUEUE])
async def test_a_worker_for_whom_more_waits_alarms_nobody(tmp_path, mode):
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        more = await fleet.send("SAY[blue]", to="worker1", mode=mode)
        if mode is InputMode.QUEUE:
            await fleet.fleet.interrupt("worker1")
        assert (await fleet.reply_to(more)).body == "blue"
        assert (await as_stored(fleet, cut)).status is InputStatus.INTERRUPTED
        assert await fleet.database.read(noted) == []
        (report,) = await reports(fleet)  # that it was told something else, and its answer
        assert "blue" in report.body


async def test_stopping_netsky_or_the_actor_is_a_story_of_its_own(tmp_path):
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        await fleet.fleet.drain()
        assert (await as_stored(fleet, cut)).status is InputStatus.INTERRUPTED
        assert await fleet.database.read(noted) == []
    async with crew(tmp_path) as fleet:
        again = await fleet.send("HANG", to="worker1")
        await fleet.reached(again, InputStatus.SEEN)
        await fleet.fleet.stop_actor("worker1")
        assert (await fleet.input(again)).status is InputStatus.INTERRUPTED
        assert await fleet.database.read(noted) == []
        (report,) = await reports(fleet)
        assert "t1 is open again" in report.body


async def stalled(tx):
    found = await attention.list_(tx, now=0)
    return [item for item in found if item.kind is AttentionKind.STALLED]


async def test_what_a_stop_of_netsky_left_with_nobody_waits_for_the_owner_at_the_next_start(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(interrupts, "DRAIN_SECONDS", 60)
    async with crew(tmp_path) as fleet:
        await working(fleet)
        assert await fleet.database.read(stalled) == []
        await fleet.fleet.drain()
    async with crew(tmp_path) as fleet:
        (item,) = await fleet.database.read(stalled)
        assert (item.ref, item.actor) == ("t1", "worker1")
        go_on = item.about.actions[0].params
        assert await fleet.reply_to(await fleet.send(go_on["body"], to=go_on["target"]))
        assert await fleet.database.read(stalled) == []
        assert (await the_task(fleet)).status is TaskStatus.REPORTED


async def test_an_interrupted_worker_waits_for_the_owner_once_its_manager_has_left_it_so(tmp_path):
    async with crew(tmp_path) as fleet:
        await working(fleet)
        await fleet.fleet.interrupt("worker1")
        (item,) = await fleet.until(stalled)
        assert (item.ref, item.actor) == ("t1", "worker1")
        (report,) = await reports(fleet)
        assert report.status is MessageStatus.ANSWERED


async def test_a_parked_worker_waits_for_the_owner_anyway(tmp_path):
    async with crew(tmp_path) as fleet:
        cut = await working(fleet)
        await fleet.fleet.park("worker1", "for now")
        await fleet.fleet.interrupt("worker1")

        async def interrupted(tx):
            return (await inputs.require(tx, cut.id)).status is InputStatus.INTERRUPTED

        await fleet.until(interrupted)
        assert await fleet.database.read(noted) == []


async def test_a_worker_whose_task_has_been_reported_owes_nothing(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("SAY[made]")

        async def is_reported(tx):
            return (await tasks.require(tx, "t1")).status is TaskStatus.REPORTED

        await fleet.until(is_reported)
        chat = await fleet.send("HANG", to="worker1")
        await fleet.reached(chat, InputStatus.SEEN)
        await fleet.fleet.interrupt("worker1")
        assert (await fleet.settled(chat)).status is InputStatus.INTERRUPTED
        assert await fleet.database.read(noted) == []
