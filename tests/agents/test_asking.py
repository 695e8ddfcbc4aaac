"""A lost question: seen, asked again once, and followed to the one that takes its place."""

from __future__ import annotations

import pytest

from netsky_runtime.agents.asking import Asking, text
from netsky_runtime.db import approval_ends, approvals, inputs, ledger, messages
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import OWNER
from netsky_runtime.states import ApprovalKind, ApprovalStatus, InputStatus, LedgerKind, Source
from tests.support.crew import crew

ASKED = {
    "engine_id": "gone",
    "request_id": "1",
    "thread_id": "th-gone",
    "turn_id": "t",
    "item_id": "i",
    "actor_id": "manager0",
    "kind": ApprovalKind.COMMAND,
    "command": "make install",
    "cwd": "/w",
    "reason": "the prefix is outside of the workspace",
    "now": 1,
}


async def lose(fleet, **fields):
    async def body(tx):
        approval, _ = await approvals.store(tx, **{**ASKED, **fields})
        await approval_ends.lose_engine(tx, "gone", reason="its Codex process is gone", now=2)
        return await approvals.require(tx, approval.id)

    return await fleet.database.write(body)


def asking(fleet) -> Asking:
    return Asking(database=fleet.database, clock=fleet.clock, ids=fleet.ids, wake=fleet.wake)


async def test_the_actor_is_told_what_it_had_asked_and_asks_again(tmp_path):
    async with crew(tmp_path) as fleet:
        # The stand-in takes orders from what it is told: the quoted reason makes it ask again.
        lost = await lose(fleet, reason="ASK[make install] SAY[installed]")
        assert (lost.status, lost.lost_reason) == (
            ApprovalStatus.LOST,
            "its Codex process is gone",
        )
        posted = await asking(fleet).ask_again(lost.id, source=Source.CLI)
        said = await fleet.database.read(lambda tx: messages.require(tx, posted.message.id))
        assert (said.sender, said.target) == (OWNER, "manager0")
        for part in (lost.id, "command: make install", "folder: /w", "do it again"):
            assert part in said.body
        again = await fleet.question()
        assert (again.repeats_id, again.command) == (lost.id, "make install")
        row = await fleet.approval(lost)
        assert (row.asked_again_input, row.successor_id) == (posted.input.id, again.id)
        await fleet.decide(again)
        assert (await fleet.reply_to(posted)).body == "installed"
        kinds = [e.kind for e in await fleet.database.read(lambda tx: ledger.of(tx, lost.id))]
        assert kinds == [LedgerKind.LOST, LedgerKind.ASKED_AGAIN]


async def test_asking_twice_is_refused_with_what_the_first_has_made(tmp_path):
    async with crew(tmp_path) as fleet:
        lost = await lose(fleet, reason="SAY[not needed any more]")
        first = await asking(fleet).ask_again(lost.id, source=Source.CLI)
        with pytest.raises(Conflict, match=first.input.id):
            await asking(fleet).ask_again(lost.id, source=Source.CLI)
        await fleet.settled(first)
        same = ASKED | {"engine_id": "new"}
        after, _ = await fleet.database.write(lambda tx: approvals.store(tx, **same))
        with pytest.raises(Conflict, match=f"as {after.id}"):
            await asking(fleet).ask_again(lost.id, source=Source.CLI)
        with pytest.raises(Conflict, match="not lost"):
            await asking(fleet).ask_again(after.id, source=Source.CLI)
        with pytest.raises(NotFound):
            await asking(fleet).ask_again("a99", source=Source.CLI)
        found = await fleet.database.read(lambda tx: inputs.by_ids(tx, [first.input.id]))
        assert [each.status for each in found] == [InputStatus.ANSWERED]


async def test_what_a_recovered_turn_asks_by_itself_takes_the_place_of_the_lost_one(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make]")
        lost = await fleet.question()
    async with crew(tmp_path) as fleet:
        again = await fleet.question(after=lost)
        assert again.repeats_id == lost.id
        row = await fleet.approval(lost)
        assert (row.status, row.successor_id) == (ApprovalStatus.LOST, again.id)
        assert row.lost_reason
        with pytest.raises(Conflict, match=again.id):
            await asking(fleet).ask_again(lost.id, source=Source.CLI)


async def test_nothing_is_posted_to_an_actor_that_is_stopped(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.hire("SAY[x]")
        lost = await lose(fleet, actor_id="worker1")
        await fleet.fleet.stop_actor("worker1")
        with pytest.raises(Conflict, match="stopped"):
            await asking(fleet).ask_again(lost.id, source=Source.CLI)
        assert (await fleet.approval(lost)).asked_again_input == ""


async def test_a_patch_and_a_question_are_quoted_too(tmp_path):
    async with crew(tmp_path) as fleet:
        lost = await lose(
            fleet,
            kind=ApprovalKind.FILE_CHANGE,
            command="",
            patch="+++ b/x\n" + "+long\n" * 9000,
            questions=({"id": "q", "question": "which branch?"},),
        )
        told = text(lost)
        assert "kind: file change" in told
        assert "question: which branch?" in told
        assert "command:" not in told
        assert len(told) < 6000
