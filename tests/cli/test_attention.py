"""``netsky attention``: the list, the exact commands, and what it does."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
import typer

from netsky_runtime.db import (
    actors,
    attention,
    budgets,
    bus_poison,
    inputs,
    pauses,
    posting,
    sessions,
)
from netsky_runtime.db.bus_poison import PoisonedFile
from netsky_runtime.records import OWNER
from netsky_runtime.states import (
    ActorStatus,
    AttentionKind,
    BudgetScope,
    InputStatus,
    MessageKind,
    PauseKind,
    Source,
)
from netsky_tui.cli import root
from netsky_tui.cli.attention import command
from tests.cli import world
from tests.cli.world import NOW, CountedIds
from tests.support.holding import spend, stick, use_up_the_day
from tests.support.unseen import run_on, stall

if TYPE_CHECKING:
    from netsky_runtime.attention.items import AttentionItem
    from netsky_runtime.db.connection import Tx
    from tests.cli.conftest import FakeDaemon, Netsky, Seed

NETSKY = typer.main.get_command(root.build(completion=False))


async def one_of_each(tx: Tx) -> None:
    """The small home, with one of everything that can wait."""
    await world.build(tx)
    ids = CountedIds()

    async def post(sender: str, target: str, kind: MessageKind, body: str) -> posting.Posted:
        draft = posting.Draft(source=Source.CLI, kind=kind, sender=sender, target=target, body=body)
        ids.new("m")
        return await posting.post(tx, draft, ids=Prefixed(ids), now=NOW)

    await post("manager0", OWNER, MessageKind.QUESTION, "Which one?")
    doubtful = await post(OWNER, "worker1", MessageKind.TEXT, "Build it")
    failed = await post(OWNER, "manager0", MessageKind.TEXT, "Ship it")
    assert doubtful.input is not None
    assert failed.input is not None
    await inputs.settle(tx, [doubtful.input.id], InputStatus.UNCERTAIN, now=NOW)
    await inputs.hand(tx, [failed.input.id], now=NOW)
    await inputs.settle(tx, [failed.input.id], InputStatus.FAILED, reason="model down", now=NOW)
    await sessions.set_blocked(tx, "s-1", "a dialog", now=NOW)
    await sessions.set_unattached(tx, "s-1", NOW)
    await actors.set_status(tx, "manager0", ActorStatus.PARKED, reason="thread gone", now=NOW)
    bad = PoisonedFile(address="worker1", file="bad.json", reason="not JSON", at=NOW)
    await bus_poison.update(tx, added=[bad], removed=())
    await post(OWNER, "worker1", MessageKind.TEXT, "Test it")
    await budgets.set_(tx, BudgetScope.ACTOR, "worker1", 1_000, now=NOW)
    await spend(tx, "worker1", 1_000, now=NOW)
    await pauses.begin(tx, PauseKind.OWNER, "x", resumes_at=None, now=NOW)
    await stick(tx, now=NOW)


class Prefixed:
    """Ids that the small home does not have yet."""

    def __init__(self, ids: CountedIds) -> None:
        self._ids = ids

    def new(self, prefix: str) -> str:
        return self._ids.new(f"{prefix}-more")

    def tag(self) -> str:
        return "tag"

    def token(self) -> str:
        return self._ids.token()


def test_what_waits_is_listed_by_urgency_with_the_command_for_each_way_out(
    netsky: Netsky, seed: Seed
) -> None:
    seed(one_of_each)
    ran = netsky("attention")
    assert ran.status == 0
    headings = [line for line in ran.out.splitlines() if line and not line.startswith(" ")]
    assert headings == [
        "Somebody stands still until you act",
        "Does no work until you act",
        "Came to nothing",
    ]
    for line in (
        "netsky approvals decide a1 accept",
        "netsky approvals decide a1 decline",
        "netsky actors attach worker1",
        "model down",
        "netsky actors resume manager0",
        "netsky budgets set actor worker1 +1000",
        "netsky unpause",
        "netsky tasks depend t4 t3 --remove",
        "netsky attention put-away quarantined:worker1",
    ):
        assert line in ran.out


def test_every_command_that_is_named_is_one_that_netsky_takes(seed: Seed) -> None:
    found = seed(list_after)
    kinds = {item.kind for item in found}
    assert kinds == set(AttentionKind) - {AttentionKind.CRASH_LOOP, AttentionKind.LOST}
    for item in found:
        assert item.about.actions
        for action in item.about.actions:
            words = shlex.split(command(action).replace("JSON", "'{}'"))[1:]
            taking = NETSKY
            while hasattr(taking, "commands"):
                taking = taking.commands[words.pop(0)]
            taking.make_context("netsky", words)


async def list_after(tx: Tx) -> tuple[AttentionItem, ...]:
    await one_of_each(tx)
    await run_on(tx, now=NOW)
    await sessions.unreached(tx, "s-8", now=NOW)
    await stall(tx, now=NOW, manager=None)
    await use_up_the_day(tx, now=NOW)
    return await attention.list_(tx, now=NOW)


def test_the_list_is_json_for_scripts(netsky: Netsky, seed: Seed) -> None:
    seed(one_of_each)
    ran = netsky("attention", "--json")
    by_kind = {item["kind"]: item for item in ran.data}
    approval = by_kind["approval"]
    assert (approval["key"], approval["urgency"], approval["actor"]) == (
        "approval:a1",
        "now",
        "worker1",
    )
    assert approval["since"].endswith("Z")
    assert approval["actions"][0] == {
        "name": "accept",
        "label": "accept",
        "method": "approvals.decide",
        "params": {"id": "a1", "decision": "accept"},
        "sure": "",
        "types": "",
        "command": "netsky approvals decide a1 accept",
    }
    assert "\x1b" not in netsky("attention").out


def test_a_bound_says_how_much_there_is(netsky: Netsky, seed: Seed) -> None:
    seed(one_of_each)
    ran = netsky("attention", "--limit", "2")
    assert "actors attach" in ran.out
    assert "actors resume" not in ran.out
    assert "2 of 11: --limit shows more." in ran.err
    assert len(netsky("attention", "--limit", "2", "--json").data) == 2


def test_it_is_listed_by_a_verb_too_like_every_other_noun(netsky: Netsky, seed: Seed) -> None:
    seed(one_of_each)
    bound = ("--limit", "2", "--json")
    assert netsky("attention", "list", "--json").data == netsky("attention", "--json").data
    assert netsky("attention", "list", *bound).data == netsky("attention", *bound).data
    assert "netsky approvals decide a1 accept" in netsky("attention", "list").out


def test_a_home_without_anything_says_so(netsky: Netsky) -> None:
    assert netsky("attention").out == "Nothing waits for you.\n"
    assert netsky("attention", "--json").data == []


def test_what_is_put_away_is_gone_from_the_list_and_the_count(netsky: Netsky, seed: Seed) -> None:
    seed(one_of_each)
    key = "quarantined:worker1"
    before = netsky("status", "--json").data["counts"]["attention"]
    ran = netsky("attention", "put-away", key)
    assert (ran.status, ran.out) == (0, f"{key} put away\n")
    assert key not in netsky("attention").out
    assert netsky("status", "--json").data["counts"]["attention"] == before - 1
    again = netsky("attention", "put-away", key)
    assert again.status == 3


def test_what_ends_by_its_own_action_is_not_put_away(netsky: Netsky, seed: Seed) -> None:
    seed(one_of_each)
    ran = netsky("attention", "put-away", "approval:a1")
    assert ran.status == 1
    assert "hint: It can: accept, decline." in ran.err


def test_a_message_that_failed_is_sent_again_as_a_new_one(netsky: Netsky, seed: Seed) -> None:
    seed(one_of_each)
    (failed,) = [i for i in netsky("attention", "--json").data if i["kind"] == "failed"]
    ran = netsky("attention", "send-again", failed["key"], "--json")
    assert ran.data["key"] == failed["key"]
    assert failed["key"] not in netsky("attention").out
    said = netsky("messages", "show", ran.data["message_id"], "--json").data
    assert (said["body"], said["sender"], said["target"]) == ("Ship it", "owner", "manager0")
    assert netsky("attention", "send-again", "approval:a1").status == 1


@pytest.mark.parametrize("verb", ["put-away", "send-again"])
def test_a_daemon_is_asked_when_there_is_one(netsky: Netsky, daemon: FakeDaemon, verb: str) -> None:
    method = f"attention.{verb.replace('-', '_')}"
    daemon.answers[method] = {"key": "k", "message_id": "m-1"}
    assert netsky("attention", verb, "k").status == 0
    assert daemon.calls == [(method, {"key": "k"})]


def test_an_answer_names_the_question_it_is_for(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers["send"] = {
        "message_id": "m-1",
        "input_id": "i-1",
        "status": "queued",
        "held": "",
    }
    netsky("send", "manager0", "That one.", "--answers", "m-9")
    assert daemon.calls[0][1]["in_reply_to"] == "m-9"
