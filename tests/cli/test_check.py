"""``netsky check``: the invariants of a home, told to people and to scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.db import actors, posting
from netsky_runtime.records import MANAGER0, OWNER, Actor
from netsky_runtime.states import ActorKind, ActorStatus, MessageKind, Source
from tests.cli.conftest import NOW
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky, Seed


async def _first_words(tx: Tx) -> None:
    """The owner has written to manager0, which has not heard it yet."""
    for name, kind in ((OWNER, ActorKind.OWNER), (MANAGER0, ActorKind.MANAGER)):
        made = Actor(id=name, kind=kind, status=ActorStatus.ACTIVE, created_at=NOW, updated_at=NOW)
        await actors.insert(tx, made)
    draft = posting.Draft(
        source=Source.CLI, kind=MessageKind.TEXT, sender=OWNER, target=MANAGER0, body="hello"
    )
    await posting.post(tx, draft, ids=CountingIds(), now=NOW)


async def _lose_the_delivery(tx: Tx) -> None:
    await _first_words(tx)
    await tx.execute("DELETE FROM deliveries")


def test_a_home_that_is_as_it_must_be_says_so(netsky: Netsky, seed: Seed) -> None:
    seed(_first_words)
    ran = netsky("check")
    assert ran.status == 0
    assert "0 violations" in ran.out


def test_what_is_violated_is_told_with_its_number_and_its_ids(netsky: Netsky, seed: Seed) -> None:
    seed(_lose_the_delivery)
    ran = netsky("check", "--json")
    assert ran.status == 5
    assert ran.data["ok"] is False
    told = {each["check"]: each for each in ran.data["violations"]}
    assert set(told) == {"message_has_delivery", "one_delivery"}
    assert told["message_has_delivery"]["invariant"] == 1
    assert told["message_has_delivery"]["ids"][0] in told["message_has_delivery"]["sentence"]
    assert {each["invariant"] for each in ran.data["checks"]} == set(range(1, 12))


def test_people_read_each_violation_on_a_line(netsky: Netsky, seed: Seed) -> None:
    seed(_lose_the_delivery)
    ran = netsky("check")
    assert ran.status == 5
    (line,) = [line for line in ran.out.splitlines() if "message_has_delivery" in line]
    assert line.startswith("1 ")
    assert "2 violations" in ran.out


def test_a_home_without_anything_in_it_violates_nothing(netsky: Netsky, home: Home) -> None:
    ran = netsky("check")
    assert ran.status == 0
    assert str(home.root) in ran.err
    assert netsky("check", "--json").data["violations"] == []
