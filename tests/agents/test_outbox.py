"""Nothing leaves netsky that is not on the disk: seen by another connection at that very moment."""

from contextlib import asynccontextmanager

import pytest

from netsky_runtime.codex.base import AnswerLost
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import actors, approvals, inputs, sessions, tasks, tool_calls, turns
from netsky_runtime.db.connection import ReadDatabase
from netsky_runtime.states import ApprovalStatus, InputMode, InputStatus, TaskStatus
from tests.support.crew import crew


@asynccontextmanager
async def watched(folder, monkeypatch, where, name, look):
    """A crew, and what ``look(tx, *args)`` sees of the disk each time ``where.name`` is called."""
    seen = []
    real = getattr(where, name)
    async with crew(folder) as fleet:
        disk = await ReadDatabase.open(folder / "meta.db")

        async def call(self, *args, **given):
            seen.append(await disk.read(lambda tx: look(tx, *args, **given)))
            return await real(self, *args, **given)

        monkeypatch.setattr(where, name, call)
        try:
            yield fleet, seen
        finally:
            await disk.close()


async def attempted(tx, batch, **_given):
    return [
        (row.batch_id == batch.id, row.status, row.envelope in batch.text)
        for row in (await inputs.by_ids(tx, batch.input_ids))
    ]


SENT = [(True, InputStatus.QUEUED, True)]


async def test_an_input_is_on_the_disk_as_sent_before_it_is(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch, ScriptedSession, "submit", attempted) as (
        crew_,
        seen,
    ):
        await crew_.reply_to(await crew_.send("SAY[one]"))
        await crew_.reply_to(await crew_.send("SAY[two]"))
        assert seen == [SENT, SENT]


async def test_a_steer_is_on_the_disk_as_sent_before_it_is(tmp_path, monkeypatch):
    async with watched(tmp_path, monkeypatch, ScriptedSession, "steer", attempted) as (crew_, seen):
        await crew_.send("ASK[make] SAY[made]")
        asked = await crew_.question()
        steered = await crew_.send("SAY[more]", mode=InputMode.STEER)
        await crew_.reached(steered, InputStatus.HANDED)
        await crew_.decide(asked)
        assert seen == [SENT]


async def test_a_steer_whose_answer_was_lost_waits_for_history_and_is_not_sent_again(
    tmp_path, monkeypatch
):
    sent = []
    real = ScriptedSession.steer

    async def steer(self, batch, *, turn_id):
        sent.append(turn_id)
        await real(self, batch, turn_id=turn_id)
        msg = "It was sent and nobody answered."
        raise AnswerLost(msg, connected=True)

    monkeypatch.setattr(ScriptedSession, "steer", steer)
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make] SAY[made]")
        asked = await fleet.question()
        steered = await fleet.send("SAY[more]", mode=InputMode.STEER)
        await fleet.reached(steered, InputStatus.HANDED)
        await fleet.decide(asked)
        await fleet.reply_to(steered)
        assert sent == [asked.turn_id]


@pytest.mark.parametrize("by", ["verb", "message", "stop", "drain"])
async def test_that_a_turn_is_to_stop_is_on_the_disk_before_codex_hears_it(
    tmp_path, monkeypatch, by
):
    async def look(tx, turn_id):
        found = [turn for turn in await turns.running(tx) if turn.id == turn_id]
        return [turn.error for turn in found]

    async with watched(tmp_path, monkeypatch, ScriptedSession, "interrupt", look) as (crew_, seen):
        await crew_.hire("HANG")

        async def runs(_tx):
            return "worker1" in crew_.fleet.running()

        await crew_.until(runs)
        if by == "verb":
            await crew_.fleet.interrupt("worker1")
        elif by == "message":
            await crew_.reply_to(
                await crew_.send("SAY[now]", to="worker1", mode=InputMode.INTERRUPT)
            )
        elif by == "stop":
            await crew_.fleet.stop_actor("worker1")
        else:
            await crew_.fleet.drain()
        assert seen == [[turns.ASKED]]


async def test_a_decision_is_on_the_disk_before_codex_hears_it(tmp_path, monkeypatch):
    async def look(tx, request_id, _decision):
        found = await approvals.list_(tx, limit=9)
        return [row.status for row in found if row.request_id == request_id]

    async with watched(tmp_path, monkeypatch, ScriptedSession, "decide", look) as (crew_, seen):
        posted = await crew_.send("ASK[make] SAY[made]")
        await crew_.decide(await crew_.question())
        await crew_.reply_to(posted)
        assert seen == [[ApprovalStatus.ACCEPTED]]


async def test_what_a_tool_did_is_on_the_disk_with_its_answer_before_the_model_hears_it(
    tmp_path, monkeypatch
):
    async def look(tx, call_id, result):
        worker = await actors.require(tx, "worker1")
        (task,) = await tasks.of_owner(tx, worker.id)
        rows = await tx.execute_fetchall(
            "SELECT thread_id, turn_id FROM tool_calls WHERE call_id = ?", (call_id,)
        )
        ((thread_id, turn_id),) = rows
        known = await tool_calls.get(tx, thread_id, turn_id, call_id)
        return task.status, known.text == result.text

    async with watched(tmp_path, monkeypatch, ScriptedSession, "answer_tool", look) as (
        crew_,
        seen,
    ):
        await crew_.hire("HANG")
        assert seen == [(TaskStatus.IN_PROGRESS, True)]


async def test_a_threads_mark_is_on_the_disk_before_the_thread_begins(tmp_path, monkeypatch):
    """By it the next netsky finds a thread whose id this one did not live to learn."""

    async def look(tx, spec):
        row = await sessions.current(tx, "manager0")
        return row.tag == spec.mark

    async with watched(tmp_path, monkeypatch, ScriptedRuntime, "start", look) as (crew_, seen):
        await crew_.reply_to(await crew_.send("SAY[one]"))
        assert seen == [True]
