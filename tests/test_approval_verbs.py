"""Approvals and rules as a daemon's verbs."""

from __future__ import annotations

import asyncio

import pytest

from netsky_runtime.agents.asking import Asking
from netsky_runtime.agents.rules import RuleBook
from netsky_runtime.approval_verbs import ApprovalVerbs, RuleVerbs
from netsky_runtime.db import approvals, ledger
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.states import ApprovalStatus
from netsky_runtime.verbs import VerbTable
from tests.support.crew import crew


def verbs_of(fleet) -> VerbTable:
    asking = Asking(database=fleet.database, clock=fleet.clock, ids=fleet.ids, wake=fleet.wake)
    decisions = ApprovalVerbs(database=fleet.database, desk=fleet.desk, asking=asking)
    rules = RuleVerbs(book=RuleBook(database=fleet.database, clock=fleet.clock))
    return VerbTable(decisions.table(), rules.table())


async def three_ask(fleet):
    """Two workers that ask the same, and one that asks something else."""
    for order in ("ASK[make all]", "ASK[make  'all']", "ASK[make clean]"):
        await fleet.hire(f"{order} SAY[done]")

    async def all_ask(tx):
        waiting = await approvals.pending(tx)
        return waiting if len(waiting) == 3 else None

    found = await fleet.until(all_ask)
    return {each.command: each.id for each in found}


async def test_what_asks_the_same_is_decided_together_and_nothing_else(tmp_path):
    async with crew(tmp_path) as fleet:
        verbs, ids = verbs_of(fleet), await three_ask(fleet)
        same = {ids["make all"], ids["make  'all'"]}
        told = await verbs(
            "approvals.decide_many", {"same_as": ids["make all"], "decision": "accept"}
        )
        assert {each["id"] for each in told["decided"]} == same
        assert {each["status"] for each in told["decided"]} == {"accepted"}
        assert told["failed"] == []
        (left,) = await fleet.database.read(approvals.pending)
        assert left.id == ids["make clean"]
        entries = await fleet.database.read(lambda tx: ledger.list_(tx, limit=9))
        assert {entry.approval_id for entry in entries} == same


async def test_two_rooms_that_decide_the_same_at_once_make_one_decision_for_each(tmp_path):
    async with crew(tmp_path) as fleet:
        verbs, ids = verbs_of(fleet), await three_ask(fleet)
        named = list(ids.values())
        one, other = await asyncio.gather(
            *(
                verbs("approvals.decide_many", {"ids": named, "decision": word})
                for word in ("accept", "decline")
            )
        )
        decided = [each["id"] for each in (*one["decided"], *other["decided"])]
        assert sorted(decided) == sorted(named)
        refused = [*one["failed"], *other["failed"]]
        assert sorted(each["id"] for each in refused) == sorted(named)
        assert all("by owner" in each["error"] for each in refused)


async def test_what_cannot_be_decided_together_says_so(tmp_path):
    async with crew(tmp_path) as fleet:
        verbs, ids = verbs_of(fleet), await three_ask(fleet)
        with pytest.raises(UsageError, match="No approval is named"):
            await verbs("approvals.decide_many", {"decision": "accept"})
        with pytest.raises(NotFound):
            await verbs("approvals.decide_many", {"same_as": "a99", "decision": "accept"})
        await verbs("approvals.decide", {"id": ids["make clean"], "decision": "accept"})
        with pytest.raises(Conflict, match="not pending any more"):
            await verbs(
                "approvals.decide_many", {"same_as": ids["make clean"], "decision": "accept"}
            )
        with pytest.raises(Conflict, match="not lost"):
            await verbs("approvals.ask_again", {"id": ids["make clean"]})


async def test_a_rule_answers_from_the_moment_it_is_made_until_it_is_revoked(tmp_path):
    async with crew(tmp_path) as fleet:
        verbs = verbs_of(fleet)
        told = await verbs("rules.add", {"cwd": str(tmp_path), "allow": "make *"})
        assert (told["rule_id"], told["for"]) == ("r1", "workers")
        await fleet.hire("ASK[make all] SAY[made]")

        async def accepted(tx):
            return await approvals.list_(tx, statuses=[ApprovalStatus.ACCEPTED])

        (answered,) = await fleet.until(accepted)
        assert answered.rule_id == "r1"
        assert (await verbs("rules.revoke", {"id": "r1"}))["revoked"]
        await fleet.hire("ASK[make all] SAY[made]")
        assert (await fleet.question()).rule_id == ""
