"""Rules, the ledger, and approvals that are decided together, from the command line."""

from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.db import approval_ends, approvals
from netsky_runtime.errors import Conflict
from netsky_runtime.states import ApprovalStatus
from tests.cli import world
from tests.cli.conftest import NOW

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.paths import Home
    from tests.cli.conftest import FakeDaemon, Netsky, Seed

MANY = "approvals.decide_many"


async def decided(tx):
    await world.build(tx)
    await approvals.decide(tx, "a1", status=ApprovalStatus.DECLINED, decided_by="owner", now=NOW)


async def lost(tx):
    await world.build(tx)
    known = await approvals.require(tx, "a1")
    await approval_ends.lose_engine(tx, known.engine_id, reason="it was killed", now=NOW)


async def asking_more(tx):
    await world.build(tx)
    raw = '{"additionalPermissions": {"network": {"enabled": true}}, "grantRoot": "/srv"}'
    await tx.execute("UPDATE approvals SET raw_json = ? WHERE id = 'a1'", (raw,))


# -- rules ---------------------------------------------------------------------------------


def test_rules_are_made_listed_and_revoked_without_a_daemon(netsky: Netsky, tmp_path: Path) -> None:
    assert netsky("rules", "list").out == "No rules: every approval waits for you.\n"
    made = netsky("rules", "add", "--cwd", str(tmp_path), "--allow", "pytest *", "--json")
    assert made.data == {
        "rule_id": "r1",
        "cwd": str(tmp_path.resolve()),
        "allow": "pytest *",
        "for": "workers",
        "revoked": False,
    }
    (rule,) = netsky("rules", "list", "--json").data
    assert (rule["id"], rule["allow"], rule["revoked_at"]) == ("r1", "pytest *", None)
    assert "pytest *" in netsky("rules", "list").out
    assert netsky("rules", "revoke", "r1").out == "r1 is revoked\n"
    assert netsky("rules", "list", "--json").data == []
    (rule,) = netsky("rules", "list", "--all", "--json").data
    assert rule["revoked_at"]
    assert netsky("rules", "revoke", "r1").status == 1
    assert netsky("rules", "revoke", "r9").status == 3


def test_a_folder_is_meant_from_where_the_command_is_typed(
    netsky: Netsky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    made = netsky("rules", "add", "--cwd", "link", "--allow", "make", "--json")
    assert made.data["cwd"] == str((tmp_path / "sub").resolve())


@pytest.mark.parametrize(
    "words", ["pytest && rm x", "*", "pytest $X", "pytest 'a", "pytest; ls", "X=1 pytest"]
)
def test_what_is_no_rule_is_refused_with_the_way_to_write_one(
    netsky: Netsky, tmp_path: Path, words: str
) -> None:
    ran = netsky("rules", "add", "--cwd", str(tmp_path), "--allow", words, "--json")
    assert ran.status == 2
    assert "is no rule" in ran.error["message"]
    assert "`pytest *`" in ran.error["hint"]


def test_a_daemon_is_asked_for_a_rule(netsky: Netsky, daemon: FakeDaemon, tmp_path: Path) -> None:
    said = {"rule_id": "r7", "cwd": "/w", "allow": "make", "for": "worker3", "revoked": False}
    daemon.answers["rules.add"] = said
    ran = netsky("rules", "add", "--cwd", str(tmp_path), "--allow", "make", "--for", "worker3")
    assert ran.out == "r7 allows make for worker3 in /w\n"
    assert daemon.calls[-1] == (
        "rules.add",
        {"cwd": str(tmp_path), "allow": "make", "who": "worker3"},
    )


# -- the ledger ----------------------------------------------------------------------------


def test_the_ledger_says_who_decided_what(netsky: Netsky, seed: Seed) -> None:
    assert netsky("ledger", "list").out == "Nothing has been decided yet.\n"
    assert netsky("ledger", "verify", "--json").data == {
        "whole": True,
        "count": 0,
        "hash": "0" * 64,
    }
    seed(decided)
    (entry,) = netsky("ledger", "list", "--json").data
    assert (entry["kind"], entry["approval_id"]) == ("decided", "a1")
    assert entry["entry"]["by"] == "owner"
    assert entry["entry"]["seen"]["actor"] == "worker1"
    told = netsky("ledger", "list").out
    assert "a1" in told
    assert "owner" in told
    assert "1 entry" in netsky("ledger", "verify").out


def test_an_export_can_be_checked_by_anybody(netsky: Netsky, seed: Seed, tmp_path: Path) -> None:
    seed(decided)
    lines = netsky("ledger", "export").lines
    assert lines == netsky("ledger", "export", "--json").data
    file = tmp_path / "out.jsonl"
    assert netsky("ledger", "export", "--jsonl", str(file)).out == ""
    assert [json.loads(line) for line in file.read_text().splitlines()] == lines
    assert lines[0]["at"] == NOW
    ran = netsky("ledger", "export", "--jsonl", str(tmp_path / "no" / "out.jsonl"))
    assert ran.status == 1
    assert "cannot be written" in ran.err


def test_a_ledger_that_was_tampered_with_exits_unhealthy_at_the_first_bad_link(
    netsky: Netsky, seed: Seed, home: Home
) -> None:
    seed(decided)
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE ledger SET entry_json = replace(entry_json, 'owner', 'rule')")
    connection.close()
    ran = netsky("ledger", "verify", "--json")
    assert ran.status == 5
    assert "at entry 1" in ran.error["message"]
    head = netsky("ledger", "list", "--json").data[-1]["hash"]
    assert ran.data == {
        "whole": False,
        "seq": 1,
        "why": "it was changed after it was written",
        "count": 1,
        "hash": head,
    }
    assert netsky("ledger", "list").status == 0


def test_the_ledger_can_be_read_where_nothing_can_be_written(
    netsky: Netsky, seed: Seed, home: Home
) -> None:
    seed(decided)
    home.database.chmod(0o400)
    assert netsky("ledger", "verify").status == 0
    assert netsky("ledger", "export").status == 0


# -- approvals -----------------------------------------------------------------------------


def test_several_are_decided_by_their_ids_and_each_is_told_of(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers[MANY] = {
        "decided": [{"id": "a1", "status": "accepted"}, {"id": "a2", "status": "accepted"}],
        "failed": [],
    }
    ran = netsky("approvals", "decide", "a1", "a2", "accept")
    assert (ran.status, ran.out) == (0, "a1 accepted\na2 accepted\n")
    assert daemon.calls[-1] == (
        MANY,
        {"ids": ["a1", "a2"], "same_as": None, "decision": "accept"},
    )


def test_those_that_ask_the_same_are_named_by_one_of_them(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers[MANY] = {"decided": [{"id": "a3", "status": "declined"}], "failed": []}
    assert netsky("approvals", "decide", "--same-as", "a3", "decline").out == "a3 declined\n"
    assert daemon.calls[-1][1] == {"ids": [], "same_as": "a3", "decision": "decline"}


def test_what_was_not_decided_is_an_error_that_names_it(netsky: Netsky, daemon: FakeDaemon) -> None:
    daemon.answers[MANY] = {
        "decided": [{"id": "a1", "status": "accepted"}],
        "failed": [{"id": "a2", "code": "conflict", "error": "It was lost."}],
    }
    ran = netsky("approvals", "decide", "a1", "a2", "accept")
    assert (ran.status, ran.out) == (1, "a1 accepted\n")
    assert "a2: It was lost." in ran.err
    assert "1 of 2 were not decided: a2." in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["accept"],
        ["a1", "yes"],
        ["a1", "a2", "accept", "--answer", "{}"],
        ["--same-as", "a1", "accept", "--answer", "{}"],
    ],
)
def test_what_decides_nothing_is_refused_before_anybody_is_asked(
    netsky: Netsky, daemon: FakeDaemon, arguments: list[str]
) -> None:
    assert netsky("approvals", "decide", *arguments).status == 2
    assert daemon.calls == []


def test_what_is_asked_beside_a_command_is_listed_and_shown(netsky: Netsky, seed: Seed) -> None:
    seed(asking_more)
    assert "(+ additionalPermissions, grantRoot)" in netsky("approvals", "list").out
    shown = netsky("approvals", "show", "a1").out
    assert 'additionalPermissions: {"network": {"enabled": true}}' in shown
    assert "grantRoot: /srv" in shown


def test_a_lost_approval_is_listed_says_why_and_how_to_have_it_asked_again(
    netsky: Netsky, seed: Seed
) -> None:
    seed(lost)
    (row,) = netsky("approvals", "list", "--json").data
    assert (row["id"], row["status"], row["lost_reason"]) == ("a1", "lost", "it was killed")
    shown = netsky("approvals", "show", "a1").out
    assert "it was killed" in shown
    assert "netsky approvals ask-again a1" in shown
    assert netsky("approvals", "ask-again", "a1").status == 4


def test_asking_again_tells_the_input_and_asking_twice_is_refused(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["approvals.ask_again"] = {
        "id": "a1",
        "actor_id": "worker1",
        "message_id": "m-1",
        "input_id": "i-1",
    }
    assert netsky("approvals", "ask-again", "a1").out == ("worker1 is told to ask a1 again: i-1\n")
    assert daemon.calls[-1] == ("approvals.ask_again", {"id": "a1"})
    daemon.answers["approvals.ask_again"] = Conflict("a1 was asked again already, by i-1.")
    ran = netsky("approvals", "ask-again", "a1")
    assert ran.status == 1
    assert "i-1" in ran.err


@pytest.mark.parametrize("ids", [("a1",), ("a3", "a12")])
def test_who_forgot_to_say_what_to_decide_is_told_where_to_write_it(
    netsky: Netsky, daemon: FakeDaemon, ids: tuple[str, ...]
) -> None:
    ran = netsky("approvals", "decide", *ids)
    assert (ran.status, daemon.calls) == (2, [])
    assert "It is not said what to decide." in ran.err
    assert f"Write it last: netsky approvals decide {ids[-1]} accept|" in ran.err
