"""Questions from Codex: stored once, decided once."""

from __future__ import annotations

import pytest

from netsky_runtime.db import approval_ends, approvals, ledger
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import OWNER
from netsky_runtime.states import ApprovalKind, ApprovalStatus


async def ask(making, request_id: str = "7", **fields):
    known = {
        "engine_id": "e-1",
        "request_id": request_id,
        "thread_id": "th",
        "turn_id": "t-1",
        "item_id": "item",
        "actor_id": "worker1",
        "kind": ApprovalKind.COMMAND,
        "now": 5,
    }
    return await making.write(lambda tx: approvals.store(tx, **{**known, **fields}))


async def decide(making, approval_id: str, status=ApprovalStatus.ACCEPTED, **fields):
    known = {"decided_by": OWNER, "now": 8}
    return await making.write(
        lambda tx: approvals.decide(tx, approval_id, status=status, **{**known, **fields})
    )


async def statuses(making) -> dict[str, str]:
    return {each.id: each.status.value for each in await making.read(approvals.list_)}


async def test_a_question_comes_back_as_it_was_stored(making):
    stored, new = await ask(
        making,
        command="rm -rf x",
        cwd="/w",
        reason="why",
        patch="+a",
        questions=({"id": "q", "options": ["a"]},),
        available_decisions=("accept", "decline"),
        raw={"deep": {"er": [1, None]}},
    )
    assert new
    assert stored.id == "a1"
    assert await making.read(lambda tx: approvals.require(tx, "a1")) == stored


async def test_the_same_request_again_is_the_stored_one_with_its_decision(making):
    first, _ = await ask(making)
    decided = await decide(making, first.id, answer={"q": "yes"})
    again, new = await ask(making, reason="told anew", now=9)
    assert not new
    assert again == decided
    assert again.answer == {"q": "yes"}


@pytest.mark.parametrize(
    "other",
    [
        {"command": "rm -rf /"},
        {"thread_id": "th-2"},
        {"item_id": "item-2"},
        {"kind": ApprovalKind.PERMISSIONS},
        {"cwd": "/"},
        {"patch": "+b"},
        {"raw": {"additionalPermissions": {"network": True}}},
        {"raw": {"permissions": {"network": True}}},
        {"questions": ({"id": "q"},)},
    ],
)
async def test_what_asks_something_else_under_the_same_id_is_not_answered_by_the_stored_decision(
    making, other
):
    first, _ = await ask(making, command="ls", patch="+a")
    await decide(making, first.id)
    fields = {"command": "ls", "patch": "+a"} | other
    second, new = await ask(making, **fields, now=9)
    assert (new, second.id, second.status) == (True, "a2", ApprovalStatus.PENDING)
    assert (await ask(making, **fields))[0] == second
    old = await making.read(lambda tx: approvals.require(tx, first.id))
    assert (old.status, old.decided_by) == (ApprovalStatus.LOST, OWNER)
    *_, told = await making.read(lambda tx: ledger.of(tx, first.id))
    assert (told.kind, told.entry["why"]) == ("lost", "Codex asks something else under its id")


async def test_what_had_its_decision_keeps_it_when_its_id_is_used_for_something_else(making):
    first, _ = await ask(making, command="ls")
    await decide(making, first.id)
    await making.write(lambda tx: approvals.sent(tx, first.id, now=9))
    _, new = await ask(making, command="id")
    assert new
    assert await statuses(making) == {"a1": "accepted", "a2": "pending"}


async def test_a_patch_that_is_not_told_again_is_the_stored_one(making):
    first, _ = await ask(making, patch="+a")
    assert await ask(making) == (first, False)


async def test_another_engine_counts_its_requests_anew(making):
    first, _ = await ask(making)
    second, new = await ask(making, engine_id="e-2")
    assert new
    assert (first.id, second.id) == ("a1", "a2")


async def test_a_decision_holds_and_says_whose_it_was(making):
    stored, _ = await ask(making)
    decided = await decide(making, stored.id, ApprovalStatus.ACCEPTED_FOR_SESSION)
    assert (decided.status, decided.decided_by, decided.decided_at) == (
        ApprovalStatus.ACCEPTED_FOR_SESSION,
        OWNER,
        8,
    )
    with pytest.raises(Conflict, match="it was accepted for session by owner"):
        await decide(making, stored.id, ApprovalStatus.DECLINED, decided_by="web")
    assert await making.read(lambda tx: approvals.require(tx, stored.id)) == decided


async def test_an_unknown_approval_is_named(making):
    with pytest.raises(NotFound, match="'a9'"):
        await decide(making, "a9")


async def test_only_what_is_pending_is_settled(making):
    for number, turn_id in enumerate(("t-1", "t-1", "t-2"), start=1):
        await ask(making, str(number), turn_id=turn_id)
    await decide(making, "a1")
    lost = ApprovalStatus.LOST
    await making.write(lambda tx: approvals.sent(tx, "a1", now=8))
    settled = await making.write(
        lambda tx: approval_ends.turn_over(tx, thread_id="th", turn_id="t-1", status=lost, now=9)
    )
    assert settled == ("a2",)
    assert await statuses(making) == {"a1": "accepted", "a2": "lost", "a3": "pending"}


async def test_a_request_or_a_whole_engine_is_settled(making):
    for number in ("1", "2", "3"):
        await ask(making, number)
    await ask(making, "1", engine_id="e-2")
    await making.write(lambda tx: approval_ends.resolved(tx, "e-1", "2", now=9))
    gone = await making.write(
        lambda tx: approval_ends.lose_engine(tx, "e-1", reason="it died", now=9)
    )
    assert sorted(gone) == ["a1", "a3"]
    assert await statuses(making) == {
        "a1": "lost",
        "a2": "resolved_elsewhere",
        "a3": "lost",
        "a4": "pending",
    }


async def test_a_decision_that_its_engine_did_not_live_to_hear_is_lost_and_a_heard_one_is_not(
    making,
):
    for number in ("1", "2"):
        await ask(making, number)
        await decide(making, f"a{number}")
    await making.write(lambda tx: approvals.sent(tx, "a1", now=9))
    assert await making.write(
        lambda tx: approval_ends.lose_engine(tx, "e-1", reason="it died", now=9)
    ) == ("a2",)
    assert await statuses(making) == {"a1": "accepted", "a2": "lost"}


async def test_a_decision_that_was_no_answer_can_be_made_again(making):
    await ask(making, "1")
    await decide(making, "a1")
    await making.write(lambda tx: approvals.reopen(tx, "a1", why="no answer", now=9))
    assert await statuses(making) == {"a1": "pending"}
    await decide(making, "a1")


async def test_what_a_thread_asked_is_lost_with_it(making):
    await ask(making, "1")
    assert await making.write(
        lambda tx: approval_ends.lose_thread(tx, "th", reason="it is gone", now=9)
    ) == ("a1",)
    assert await statuses(making) == {"a1": "lost"}


async def test_lists_are_bounded_and_oldest_first(making):
    for number in range(5):
        await ask(making, str(number))
    await decide(making, "a2")
    last = await making.read(lambda tx: approvals.list_(tx, limit=2))
    assert [each.id for each in last] == ["a4", "a5"]
    pending = await making.read(
        lambda tx: approvals.list_(tx, statuses=[ApprovalStatus.PENDING], limit=10)
    )
    assert [each.id for each in pending] == ["a1", "a3", "a4", "a5"]
    longest = await making.read(lambda tx: approvals.pending(tx, limit=2))
    assert [each.id for each in longest] == ["a1", "a3"]
