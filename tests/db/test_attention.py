"""What waits for a human: each kind comes with its cause, and goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netsky_runtime.attention.items import ASK_AGAIN, PUT_AWAY, SEND_AGAIN, Urgency
from netsky_runtime.db import (
    actors,
    approvals,
    attention,
    attention_sources,
    bus_poison,
    counts,
    inputs,
    pauses,
    sessions,
)
from netsky_runtime.db.bus_poison import PoisonedFile
from netsky_runtime.errors import Conflict, NotFound
from netsky_runtime.records import CRASH_LOOP, MANAGER0, OWNER
from netsky_runtime.states import (
    ActorStatus,
    ApprovalKind,
    ApprovalStatus,
    AttentionKind,
    InputStatus,
    MessageKind,
    PauseKind,
    SessionState,
)
from tests.db.making import session
from tests.support.holding import stick, use_up_the_day
from tests.support.unseen import run_on, stall

if TYPE_CHECKING:
    from netsky_runtime.attention.items import AttentionItem


NOW = 100


async def ask(making, request_id: str = "1", *, now: int = 5, **fields) -> str:
    known = {"kind": ApprovalKind.COMMAND, "command": "make"}
    stored, _ = await making.write(
        lambda tx: approvals.store(
            tx,
            engine_id="e",
            request_id=request_id,
            thread_id="th",
            turn_id="t",
            item_id="i",
            actor_id="worker1",
            now=now,
            **{**known, **fields},
        )
    )
    return stored.id


async def waits(making) -> tuple[AttentionItem, ...]:
    return await making.read(lambda tx: attention.list_(tx, now=NOW))


async def keys(making) -> list[str]:
    return [item.key for item in await waits(making)]


async def decide(making, approval_id: str) -> None:
    await making.write(
        lambda tx: approvals.decide(
            tx, approval_id, status=ApprovalStatus.DECLINED, decided_by=OWNER, now=9
        )
    )


async def settle(making, input_id: str, *states: InputStatus, **fields) -> None:
    for status in states:
        match status:
            case InputStatus.HANDED:
                await making.write(lambda tx: inputs.hand(tx, [input_id], now=2))
            case InputStatus.SEEN:
                await making.write(
                    lambda tx: inputs.see(tx, [input_id], thread_id="th", turn_id="t", now=3)
                )
            case _:
                await making.write(
                    lambda tx, status=status: inputs.settle(tx, [input_id], status, now=7, **fields)
                )


async def refused(making, **fields) -> str:
    """An input that Codex would not take, with the message that told so."""
    found = await making.input(**fields)
    told = await making.post(sender="worker1", target=MANAGER0)
    reason = "Codex refused it: too large"
    await settle(making, found, InputStatus.CANCELLED, reason=reason, reply_id=told.message.id)
    return found


async def poison(making, *names: str, at: int = 8) -> None:
    added = [PoisonedFile(address="worker3", file=n, reason="not JSON", at=at) for n in names]
    await making.write(lambda tx: bus_poison.update(tx, added=added, removed=()))


async def park(making, reason: str) -> None:
    await making.write(
        lambda tx: actors.set_status(tx, "worker1", ActorStatus.PARKED, reason=reason, now=6)
    )


async def lose(making) -> None:
    statement = "UPDATE approvals SET status = 'lost' WHERE status = 'pending'"
    await making.write(lambda tx: tx.execute_fetchall(statement))


async def test_an_approval_waits_with_the_decisions_it_offers_until_it_is_decided(making):
    approval_id = await ask(making, available_decisions=("accept", "decline", "strange"))
    (item,) = await waits(making)
    assert (item.key, item.kind, item.actor) == ("approval:a1", AttentionKind.APPROVAL, "worker1")
    assert (item.since, item.about.text, item.urgency) == (5, "wants to run: make", Urgency.NOW)
    assert [(each.method, dict(each.params)) for each in item.about.actions] == [
        ("approvals.decide", {"id": "a1", "decision": "accept"}),
        ("approvals.decide", {"id": "a1", "decision": "decline"}),
    ]
    await decide(making, approval_id)
    assert await keys(making) == []


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"command": "", "patch": "--- a/x\n+++ b/x\n@@ -1 +1 @@\n"}, "wants to change files: x"),
        ({"command": "", "questions": ({"question": "Which?"},)}, "asks: Which?"),
        ({"command": "", "reason": "Network."}, "wants more permissions: Network."),
        ({"command": ""}, "wants a form filled in"),
    ],
)
async def test_every_kind_of_approval_says_what_is_asked(making, fields, text):
    kinds = {
        "wants to change files": ApprovalKind.FILE_CHANGE,
        "asks": ApprovalKind.USER_INPUT,
        "wants more permissions": ApprovalKind.PERMISSIONS,
        "wants a form filled in": ApprovalKind.ELICITATION,
    }
    kind = kinds[text.partition(":")[0]]
    await ask(making, kind=kind, **fields)
    (item,) = await waits(making)
    assert item.about.text == text
    asks = kind in {ApprovalKind.USER_INPUT, ApprovalKind.ELICITATION}
    assert (item.about.actions[0].types, item.about.actions[0].label) == (
        ("answer", "answer") if asks else ("", "accept")
    )


async def test_a_question_to_the_owner_waits_until_it_is_answered(making):
    asked = await making.post(
        sender=MANAGER0, target=OWNER, kind=MessageKind.QUESTION, body="Which?"
    )
    await making.post(sender="worker1", target=MANAGER0, kind=MessageKind.QUESTION)
    (item,) = await waits(making)
    assert (item.kind, item.ref, item.about.text) == (
        AttentionKind.QUESTION,
        asked.message.id,
        "Which?",
    )
    (answer,) = item.about.actions
    assert (answer.method, answer.types) == ("send", "body")
    await making.post(**answer.params, body="This one.")
    assert await keys(making) == []


async def test_a_question_of_an_actor_that_is_stopped_waits_no_more(making):
    await making.post(sender="worker1", target=OWNER, kind=MessageKind.QUESTION, body="Which?")
    assert len(await keys(making)) == 1
    await making.write(
        lambda tx: actors.set_status(tx, "worker1", ActorStatus.STOPPED, reason="", now=5)
    )
    assert await keys(making) == []


async def test_an_uncertain_input_waits_until_it_is_resolved(making):
    found = await making.input(target="worker1", body="Build it")
    await settle(making, found, InputStatus.UNCERTAIN, reason="no history")
    (item,) = await waits(making)
    assert (item.kind, item.ref, item.since) == (AttentionKind.UNCERTAIN, found, 7)
    assert (item.about.text, item.about.detail) == ("Build it", "no history")
    assert all(action.sure for action in item.about.actions)
    assert [dict(action.params)["action"] for action in item.about.actions] == ["resend", "drop"]
    await making.write(lambda tx: inputs.requeue(tx, [found], reason="again"))
    assert await keys(making) == []


async def test_a_blocked_screen_waits_until_it_is_free_or_its_actor_takes_no_work(making):
    await making.session(session("s-1", "worker1"))
    await making.write(lambda tx: sessions.set_blocked(tx, "s-1", "a dialog", now=4))
    (item,) = await waits(making)
    assert (item.key, item.since, item.about.text) == (
        "blocked:worker1",
        4,
        "a dialog",
    )
    assert item.about.actions[0].method == "actors.terminal"
    await park(making, "by hand")
    assert await keys(making) == ["parked:worker1"]
    await making.write(lambda tx: actors.set_status(tx, "worker1", ActorStatus.ACTIVE, now=7))
    assert await keys(making) == ["blocked:worker1"]
    await making.write(lambda tx: sessions.set_blocked(tx, "s-1", "", now=8))
    assert await keys(making) == []


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("no door finds its thread", AttentionKind.PARKED),
        (f"{CRASH_LOOP}: brought back 5 times in 10 min", AttentionKind.CRASH_LOOP),
    ],
)
async def test_a_parked_actor_waits_until_it_is_resumed_and_a_crash_loop_is_named(
    making, reason, kind
):
    await park(making, reason)
    (item,) = await waits(making)
    assert (item.key, item.kind) == (f"{kind}:worker1", kind)
    assert (item.since, item.urgency) == (6, Urgency.SOON)
    assert item.about.text == reason.removeprefix("crash loop: ")
    assert item.about.actions[0].method == "actors.resume"
    await making.write(lambda tx: actors.set_status(tx, "worker1", ActorStatus.ACTIVE, now=7))
    assert await keys(making) == []


async def test_threads_that_cannot_be_attached_wait_as_one_of_their_door_until_all_can(making):
    async def away(session_id, since):
        lost = SessionState.LOST
        await making.write(
            lambda tx: sessions.set_state(tx, session_id, lost, reason=f"{session_id} is locked")
        )
        await making.write(lambda tx: sessions.set_unattached(tx, session_id, since))

    await making.session(session("s-0", MANAGER0))
    await making.session(session("s-1", "worker1"))
    await away("s-1", 5)
    (one,) = await waits(making)
    assert (one.key, one.actor, one.since) == ("unattached:scripted", "worker1", 5)
    assert (one.urgency, one.about.text) == (Urgency.SOON, "s-1 is locked")
    assert one.about.detail.startswith("Without a thread at scripted: worker1. netsky tries")
    (again,) = one.about.actions
    assert (again.method, dict(again.params)) == ("actors.resume", {"actor_id": "worker1"})
    await away("s-0", 7)
    (both,) = await waits(making)
    assert (both.key, both.actor, both.since) == (one.key, MANAGER0, 5)
    assert ": manager0, worker1. " in both.about.detail
    await making.write(lambda tx: sessions.set_unattached(tx, "s-0", None))
    await park(making, "by hand")
    assert await keys(making) == ["parked:worker1"]


async def test_a_lost_approval_waits_until_it_was_asked_again_or_put_away(making):
    first, second = await ask(making, "1"), await ask(making, "2")
    await lose(making)
    one, two = await waits(making)
    assert (one.key, one.about.text) == ("lost:a1", "wants to run: make")
    again, away = one.about.actions
    assert (again.method, dict(again.params)) == (ASK_AGAIN, {"id": first})
    assert (away.method, dict(away.params)) == (PUT_AWAY, {"key": one.key})
    statement = "UPDATE approvals SET asked_again_input = 'i-9' WHERE id = ?"
    await making.write(lambda tx: tx.execute_fetchall(statement, (first,)))
    assert await keys(making) == [two.key]
    await making.write(lambda tx: attention.put_away(tx, f"lost:{second}", now=9))
    assert await keys(making) == []


async def test_a_message_of_the_owner_s_that_failed_or_was_refused_waits_until_put_away(making):
    failed = await making.input(target="worker1", body="Build it")
    handed = (InputStatus.HANDED, InputStatus.SEEN, InputStatus.FAILED)
    await settle(making, failed, *handed, reason="the model is down")
    taken_back = await making.input(target="worker1")
    await settle(making, taken_back, InputStatus.CANCELLED, reason="taken back by the owner")
    an_actor_s = await making.input(sender=MANAGER0, target="worker1")
    await settle(making, an_actor_s, *handed)
    large = await refused(making, target="worker1", body="Too much")
    found = await waits(making)
    assert [item.ref for item in found] == [failed, large]
    assert [item.about.text for item in found] == ["Build it", "Too much"]
    assert found[0].about.detail == "the model is down."
    assert [action.method for action in found[0].about.actions] == [SEND_AGAIN, PUT_AWAY]
    await making.write(lambda tx: attention.put_away(tx, f"failed:{failed}", now=9))
    assert await keys(making) == [f"failed:{large}"]


async def test_bad_files_of_an_address_wait_as_one_until_put_away_or_gone(making):
    await poison(making, "1.json")
    (one,) = await waits(making)
    assert (one.key, one.actor, one.since) == ("quarantined:worker3", "worker3", 8)
    assert (one.about.text, one.about.detail) == (
        "not JSON",
        "channels/worker3/poison/1.json",
    )
    await poison(making, "2.json", at=9)
    (both,) = await waits(making)
    assert (both.key, both.since) == (one.key, 8)
    assert both.about.text == "2 files, the last: not JSON"
    assert both.about.detail == "channels/worker3/poison/2.json, the last"
    gone = [("worker3", "1.json"), ("worker3", "2.json")]
    await making.write(lambda tx: bus_poison.update(tx, added=(), removed=gone))
    assert await keys(making) == []


async def test_a_bad_file_that_comes_after_the_others_were_put_away_is_news_again(making):
    await poison(making, "1.json", at=8)
    await making.write(lambda tx: attention.tell(tx, ["quarantined:worker3"], now=9))
    await making.write(lambda tx: attention.put_away(tx, "quarantined:worker3", now=10))
    assert await keys(making) == []
    await poison(making, "2.json", at=11)
    (item,) = await waits(making)
    assert (item.since, item.about.text) == (11, "not JSON")
    (told,) = await making.read(lambda tx: attention.waiting(tx, now=NOW, limit=5))
    assert not told.told


async def everything(making) -> None:
    """One of each kind, and two approvals."""
    await ask(making, "0", now=1, command="make install")
    await lose(making)
    await ask(making, "1", now=20)
    await ask(making, "2", now=10)
    await making.session(session("s-1", MANAGER0))
    await making.write(lambda tx: sessions.set_blocked(tx, "s-1", "a dialog", now=15))
    await making.write(lambda tx: sessions.set_unattached(tx, "s-1", 4))
    await making.post(sender=MANAGER0, target=OWNER, kind=MessageKind.QUESTION)
    doubtful = await making.input(target=MANAGER0)
    await settle(making, doubtful, InputStatus.UNCERTAIN)
    await refused(making)
    await poison(making, "1.json", at=3)
    await making.input(target=MANAGER0)
    await making.write(lambda tx: use_up_the_day(tx, now=NOW))
    await making.write(lambda tx: pauses.begin(tx, PauseKind.OWNER, "x", resumes_at=None, now=NOW))
    await making.write(lambda tx: stick(tx, now=NOW))
    await making.write(lambda tx: run_on(tx, now=NOW))
    await making.write(lambda tx: sessions.unreached(tx, "s-8", now=NOW))
    await making.write(lambda tx: stall(tx, now=NOW, manager=None))
    await park(making, "x")


async def test_what_is_urgent_comes_first_and_of_that_the_oldest(making):
    await everything(making)
    found = await waits(making)
    assert [item.urgency for item in found] == sorted(item.urgency for item in found)
    for rank in Urgency:
        since = [item.since for item in found if item.urgency is rank]
        assert since == sorted(since)
    assert {item.kind for item in found} == set(AttentionKind) - {AttentionKind.CRASH_LOOP}


@pytest.mark.parametrize("size", [1, 2, 3, 100])
async def test_pages_add_up_to_the_whole_queue_without_a_gap(making, size):
    await everything(making)
    found: list[AttentionItem] = []
    after = None
    while page := await making.read(
        lambda tx, after=after: attention.list_(tx, now=NOW, limit=size, after=after)
    ):
        assert len(page) <= size
        found += page
        after = page[-1]
    assert tuple(found) == await waits(making)


async def test_the_counts_are_those_of_the_list(making):
    await everything(making)
    found = await waits(making)
    told = await making.read(lambda tx: attention.counts(tx, now=NOW))
    assert sum(told.values()) == len(found)
    assert all(told[kind] == sum(item.kind is kind for item in found) for kind in told)
    status = await making.read(lambda tx: counts.status_counts(tx, now=NOW))
    assert (status.attention, status.approvals_pending, status.screens_blocked) == (
        len(found),
        2,
        1,
    )


async def test_only_the_newest_of_what_came_to_nothing_are_looked_at(making, monkeypatch):
    for number in range(attention_sources.LOOKED_AT + 3):
        await ask(making, f"r{number}", now=number)
    await lose(making)
    found = await making.read(lambda tx: attention.list_(tx, now=NOW, limit=10_000))
    assert len(found) == attention_sources.LOOKED_AT
    assert found[0].ref == "a4"


async def test_what_ends_by_its_own_action_cannot_be_put_away(making):
    await ask(making)
    with pytest.raises(Conflict, match="waits until somebody acts"):
        await making.write(lambda tx: attention.put_away(tx, "approval:a1", now=9))
    with pytest.raises(NotFound):
        await making.write(lambda tx: attention.put_away(tx, "approval:a2", now=9))


async def test_the_owner_is_told_of_a_key_once_until_it_has_gone_and_was_forgotten(making):
    await park(making, "x")
    (before,) = await making.read(lambda tx: attention.waiting(tx, now=NOW, limit=10))
    assert (before.key, before.told) == ("parked:worker1", False)
    await making.write(lambda tx: attention.tell(tx, [before.key], now=9))
    (after,) = await making.read(lambda tx: attention.waiting(tx, now=NOW, limit=10))
    assert after.told
    assert await making.read(lambda tx: attention.gone(tx, now=NOW)) == frozenset()
    await making.write(lambda tx: actors.set_status(tx, "worker1", ActorStatus.ACTIVE, now=7))
    assert await making.read(lambda tx: attention.gone(tx, now=NOW)) == {"parked:worker1"}
    await making.write(lambda tx: attention.forget(tx, {"parked:worker1"}))
    await park(making, "y")
    (again,) = await making.read(lambda tx: attention.waiting(tx, now=NOW, limit=10))
    assert not again.told


async def test_what_was_put_away_is_not_gone_and_stays_away(making):
    failed = await refused(making, target="worker1")
    await making.write(lambda tx: attention.tell(tx, [f"failed:{failed}"], now=8))
    await making.write(lambda tx: attention.put_away(tx, f"failed:{failed}", now=9))
    assert await making.read(lambda tx: attention.gone(tx, now=NOW)) == frozenset()
    assert await keys(making) == []


async def test_what_was_put_away_takes_no_place_of_what_was_not(making, monkeypatch):
    for number in range(6):
        await ask(making, f"r{number}", now=number, command=f"make {number}")
    await lose(making)
    monkeypatch.setattr(attention, "_LIST", attention._LIST.replace("LIMIT 500", "LIMIT 2"))
    assert await keys(making) == ["lost:a5", "lost:a6"]
    for newest in ("lost:a5", "lost:a6"):
        await making.write(lambda tx, newest=newest: attention.put_away(tx, newest, now=9))
    assert await keys(making) == ["lost:a3", "lost:a4"]
