"""Rules: which questions they answer, and that they answer no other."""

from __future__ import annotations

import pytest

from netsky_runtime.agents import rules
from netsky_runtime.agents.rules import RuleBook, applies, parse
from netsky_runtime.approval_records import Rule
from netsky_runtime.clock import SystemClock
from netsky_runtime.codex import commands
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.db import approvals, ledger
from netsky_runtime.db import rules as rule_rows
from netsky_runtime.errors import Conflict, NotFound, UsageError
from netsky_runtime.records import OWNER, Actor
from netsky_runtime.states import (
    ActorKind,
    ActorStatus,
    ApprovalKind,
    ApprovalStatus,
    DecisionWord,
    LedgerKind,
)
from tests.support.crew import crew


def actor(kind: ActorKind = ActorKind.WORKER, actor_id: str = "worker1") -> Actor:
    return Actor(id=actor_id, kind=kind, status=ActorStatus.ACTIVE, created_at=1, updated_at=1)


def rule(pattern: str = "pytest *", cwd: str = "/w", actors: str = "workers") -> Rule:
    return Rule(id="r1", cwd=cwd, pattern=pattern, actors=actors, created_at=1)


def book(fleet) -> RuleBook:
    return RuleBook(database=fleet.database, clock=SystemClock())


async def allow(fleet, pattern: str, *, who: str = "managers", cwd: str = "") -> Rule:
    return await book(fleet).add(cwd=cwd or str(fleet.cwd), pattern=pattern, who=who, by=OWNER)


@pytest.mark.parametrize(
    "pattern",
    [
        "bash *",
        "/bin/sh -c *",
        "zsh script.sh *",
        "env A=1 *",
        "/usr/bin/env *",
        "sudo make *",
        "xargs *",
        "timeout 5 *",
        "nohup *",
        "find . *",
        "python *",
        "python3.11 -c *",
        "/usr/bin/perl -e *",
        "command *",
        "exec *",
        "printf *",
        "test *",
        "[ *",
    ],
)
def test_no_rule_lets_any_words_follow_what_runs_its_words(pattern: str) -> None:
    with pytest.raises(UsageError, match="is no rule"):
        parse(pattern)
    kept = rule(pattern)  # as an earlier netsky took it
    words = (*pattern.removesuffix(" *").split(), "-x")
    assert not applies(kept, actor(), "/w", words)


def test_a_program_named_from_where_one_stands_is_the_one_in_the_rule_s_own_folder() -> None:
    for pattern, below in (("./check.sh", False), ("bin/x *", False), ("/bin/ls", True)):
        words = tuple(pattern.removesuffix(" *").split())
        assert applies(rule(pattern), actor(), "/w", words)
        assert applies(rule(pattern), actor(), "/w/sub", words) is below


@pytest.mark.parametrize(
    "pattern", ["bash build.sh", "env A=1 pytest", "python -m pytest *", "python3 tools/run.py *"]
)
def test_what_runs_its_words_can_be_allowed_with_all_of_them_named(pattern: str) -> None:
    words = tuple(pattern.removesuffix(" *").split())
    assert applies(rule(pattern), actor(), "/w", words)


@pytest.mark.parametrize(
    ("pattern", "words", "matches"),
    [
        ("pytest *", "pytest", True),
        ("pytest *", "pytest -x tests", True),
        ("pytest *", "pytest --rootdir=/ -p evil", True),  # the owner wrote *
        ("pytest *", "pytest-3 -x", False),
        ("pytest *", "./pytest", False),
        ("pytest *", "python -m pytest", False),
        ("pytest", "pytest", True),
        ("pytest", "pytest -x", False),
        ("git status", "git status", True),
        ("git status *", "git status -s", True),
        ("git status *", "git push", False),
        ("git status *", "git", False),
        ("make 'a b'", "make 'a b'", True),
        ("make 'a b'", "make a b", False),
        ("echo '*'", "echo '*'", True),
        ("echo '*'", "echo x", False),
    ],
)
def test_a_rule_matches_word_for_word_and_its_last_star_any_more(pattern, words, matches):
    assert applies(rule(pattern), actor(), "/w", commands.split(words)) is matches


@pytest.mark.parametrize(
    ("folder", "matches"),
    [("/w", True), ("/w/sub/deep", True), ("/wx", False), ("/", False), ("/x/w", False)],
)
def test_a_rule_holds_in_its_folder_and_below(folder, matches):
    assert applies(rule(), actor(), folder, ("pytest",)) is matches


@pytest.mark.parametrize(
    ("who", "kind", "actor_id", "matches"),
    [
        ("workers", ActorKind.WORKER, "worker1", True),
        ("workers", ActorKind.SIDECAR, "worker2", True),
        ("workers", ActorKind.MANAGER, "manager0", False),
        ("managers", ActorKind.MANAGER, "manager0", True),
        ("managers", ActorKind.WORKER, "worker1", False),
        ("worker1", ActorKind.WORKER, "worker1", True),
        ("worker1", ActorKind.WORKER, "worker11", False),
    ],
)
def test_a_rule_is_for_some_actors(who, kind, actor_id, matches):
    assert applies(rule(actors=who), actor(kind, actor_id), "/w", ("pytest",)) is matches


@pytest.mark.parametrize(
    "pattern",
    ["", "*", " * ", "pytest && x", "pytest * x", "pytest *x", "X=1 pytest", "sh -c 'a' | b", "a*"],
)
def test_what_is_not_the_words_of_one_command_is_no_rule(pattern):
    with pytest.raises(UsageError, match="is no rule"):
        parse(pattern)


async def test_a_rule_answers_in_the_transaction_that_stores_the_question(tmp_path, monkeypatch):
    said = []
    real = ScriptedSession.decide

    async def decide(self, request_id, decision):
        said.append(decision.word)
        await real(self, request_id, decision)

    monkeypatch.setattr(ScriptedSession, "decide", decide)
    async with crew(tmp_path) as fleet:
        made = await allow(fleet, "make *")
        posted = await fleet.send("ASK[make -j4 all] SAY[made]")
        assert (await fleet.reply_to(posted)).body == "made"
        (answered,) = await fleet.database.read(approvals.list_)
        assert (answered.status, answered.rule_id) == (ApprovalStatus.ACCEPTED, made.id)
        assert answered.decided_by == f"rule {made.id}"
        assert answered.decided_at is not None
        assert answered.sent_at is not None
        assert said == [DecisionWord.ACCEPT]
        (entry,) = await fleet.database.read(lambda tx: ledger.of(tx, answered.id))
        assert (entry.kind, entry.entry["rule"]) == (LedgerKind.DECIDED, made.id)
        assert entry.entry["seen"]["command"] == "make -j4 all"
        (same,) = await fleet.database.read(
            lambda tx: approvals.about(tx, [answered.thread_id, "x"], [answered.item_id, ""])
        )
        assert same == answered


@pytest.mark.parametrize(
    "order",
    ["ASK[make && rm -rf x]", "ASK[make $(id)]", "ASK[make > x]", "ASK[X=1 make]", "ASK[maker]"],
)
async def test_what_a_rule_does_not_match_is_held(tmp_path, order):
    async with crew(tmp_path) as fleet:
        await allow(fleet, "make *")
        await fleet.send(order)
        held = await fleet.question()
        assert (held.status, held.rule_id) == (ApprovalStatus.PENDING, "")


async def test_a_rule_answers_what_is_asked_from_then_on_and_not_what_waits(tmp_path):
    async with crew(tmp_path) as fleet:
        await fleet.send("ASK[make]")
        waits = await fleet.question()
        session = fleet.fleet.session_of("manager0")
        again = session._thread.held(waits.request_id)
        await allow(fleet, "make")
        await fleet.desk.requested("manager0", session, again)
        assert await fleet.approval(waits) == waits


async def test_a_rule_answers_nothing_but_commands_and_only_for_whom_it_is(tmp_path):
    async with crew(tmp_path) as fleet:
        await allow(fleet, "make *", who="workers")
        await fleet.send("ASK[make]")
        held = await fleet.question()
        assert held.kind is ApprovalKind.COMMAND
        await fleet.decide(held)
        await allow(fleet, "make *")
        await fleet.send("USER[make?]")
        asked = await fleet.question(after=held)
        assert asked.kind is ApprovalKind.USER_INPUT


async def test_a_rule_elsewhere_or_revoked_answers_nothing(tmp_path):
    async with crew(tmp_path) as fleet:
        (tmp_path / "below").mkdir()
        await allow(fleet, "make *", cwd=str(tmp_path / "below"))
        made = await allow(fleet, "make *")
        await book(fleet).revoke(made.id, by=OWNER)
        await fleet.send("ASK[make]")
        assert (await fleet.question()).rule_id == ""
        kinds = [e.kind for e in await fleet.database.read(lambda tx: ledger.list_(tx, limit=9))]
        assert kinds == [LedgerKind.RULE_ADDED, LedgerKind.RULE_ADDED, LedgerKind.RULE_REVOKED]
        with pytest.raises(Conflict, match="revoked already"):
            await book(fleet).revoke(made.id, by=OWNER)
        with pytest.raises(NotFound):
            await book(fleet).revoke("r9", by=OWNER)


async def test_accepting_that_is_not_on_offer_is_not_done_by_a_rule(tmp_path):
    async with crew(tmp_path) as fleet:
        await allow(fleet, "make")
        known = {
            "engine_id": "e",
            "request_id": "1",
            "thread_id": "th",
            "turn_id": "t",
            "item_id": "i",
            "actor_id": "manager0",
            "kind": ApprovalKind.COMMAND,
            "raw": {"command": "make"},
            "now": 1,
        }

        async def look(tx):
            folder = str(tmp_path.resolve())
            for number, offered in enumerate((["decline", "cancel"], [], ["accept"])):
                asked = known | {"request_id": str(number), "available_decisions": offered}
                approval, _ = await approvals.store(tx, **asked)
                answer = await rules.answering(tx, approval, folder)
                found.append(answer.id if answer else "")
            approval, _ = await approvals.store(
                tx, **known | {"request_id": "9", "available_decisions": ["accept"]}
            )
            found.append(await rules.answering(tx, approval, ""))

        found: list[object] = []
        await fleet.database.write(look)
        assert found == ["", "", "r1", None]


async def test_a_folder_counts_by_where_it_really_is(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    (inside / "file").touch()
    (inside / "loop").symlink_to(inside / "loop")
    assert await rules.resolved(str(inside / "link")) == str(outside.resolve())
    assert await rules.resolved(str(outside / "back")) == str(inside.resolve())
    assert await rules.resolved(str(inside / "link" / ".." / "in")) == str(inside.resolve())
    for nowhere in ("", "in", str(inside / "no"), str(inside / "file"), "/x\0y"):
        assert await rules.resolved(nowhere) == ""
    assert await rules.resolved(str(inside / "loop")) == ""


async def test_a_rule_that_cannot_hold_is_refused(tmp_path):
    async with crew(tmp_path) as fleet:
        with pytest.raises(UsageError, match="There is no folder"):
            await allow(fleet, "make", cwd=str(tmp_path / "nowhere"))
        with pytest.raises(NotFound):
            await allow(fleet, "make", who="worker99")
        with pytest.raises(UsageError, match="owner"):
            await allow(fleet, "make", who=OWNER)
        first = await allow(fleet, "make")
        with pytest.raises(Conflict, match=f"Rule {first.id} says the same"):
            await allow(fleet, "make")
        (stored,) = await fleet.database.read(rule_rows.list_)
        assert stored == first
