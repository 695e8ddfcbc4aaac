"""``netsky budgets``, ``pause`` and ``unpause``, with a daemon and without one."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import budgets, pauses, posting, spending
from netsky_runtime.errors import UsageError
from netsky_runtime.fact_records import Usage
from netsky_runtime.records import OWNER
from netsky_runtime.states import BudgetScope, MessageKind, PauseKind, Source
from netsky_tui.cli.pausing import moment, span
from tests.cli import world
from tests.cli.world import CountedIds

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from tests.cli.conftest import FakeDaemon, Netsky, Seed

HOUR = 3_600_000


async def spent(tx: Tx, *, tokens: int = 800) -> None:
    """The small home, in which worker1 has used something of its budget."""
    await world.build(tx)
    now = SystemClock().now()
    await budgets.set_(tx, BudgetScope.ACTOR, "worker1", 1_000, now=now)
    await budgets.set_(tx, BudgetScope.DAY, "", 10_000, now=now)
    usage = Usage(
        thread_id="th",
        turn_id="t1",
        actor_id="worker1",
        input_tokens=tokens,
        cached_tokens=0,
        output_tokens=0,
        reasoning_tokens=0,
        total_tokens=tokens,
        context_window=None,
        updated_at=now,
    )
    await spending.tell(tx, usage)


async def write(tx: Tx, target: str = "worker1") -> str:
    draft = posting.Draft(
        source=Source.CLI, kind=MessageKind.TEXT, sender=OWNER, target=target, body="hello"
    )
    ids = CountedIds()
    for _ in range(40):
        ids.new("m")
    return (await posting.post(tx, draft, ids=ids, now=SystemClock().now())).message.id


def test_a_home_without_budgets_says_how_to_set_one(netsky: Netsky) -> None:
    ran = netsky("budgets", "list")
    assert (ran.status, ran.out) == (0, "No budgets. Set one: netsky budgets set day 5000000\n")
    assert netsky("budgets", "list", "--json").data == []


def test_the_list_shows_what_is_used_and_what_is_left(netsky: Netsky, seed: Seed) -> None:
    seed(spent)
    day, worker = netsky("budgets", "list", "--json").data
    assert (day["scope"], day["used"], day["limit"], day["left"]) == ("day", 800, 10_000, 9_200)
    assert worker == {
        "scope": "actor",
        "subject": "worker1",
        "used": 800,
        "limit": 1_000,
        "left": 200,
        "origin": "set",
    }
    assert "worker1  800   1,000   200    80%" in netsky("budgets", "list").out


def test_a_default_of_the_settings_is_told_from_what_was_set(netsky: Netsky, seed: Seed) -> None:
    seed(spent)
    assert netsky("settings", "set", "task_budget", "70000").status == 0
    found = netsky("budgets", "list", "--json").data
    tasks = [each for each in found if each["scope"] == "task"]
    assert tasks
    assert {(each["limit"], each["origin"]) for each in tasks} == {(70_000, "default")}


def test_without_a_daemon_a_budget_is_set_raised_and_cleared(netsky: Netsky, seed: Seed) -> None:
    seed(spent)
    ran = netsky("budgets", "set", "actor", "worker1", "2_000", "--json")
    assert ran.data["limit"] == 2_000
    assert netsky("budgets", "set", "actor", "worker1", "+50", "--json").data["limit"] == 850
    said = netsky("budgets", "set", "day", "5,000,000")
    assert said.err.splitlines()[-1] == "800 of 5,000,000 used, 4,999,200 left"
    assert netsky("budgets", "clear", "day").err.splitlines()[-1] == "No budget of the day."
    assert [each["scope"] for each in netsky("budgets", "list", "--json").data] == ["actor"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("set", "actor", "worker1"),
        ("set", "day", "worker1", "5"),
        ("set", "actor", "worker1", "many"),
        ("set", "actor", "worker1", "-5"),
        ("set", "week", "5"),
        ("clear", "day", "worker1"),
        ("clear", "task"),
    ],
)
def test_what_is_no_budget_is_refused(
    netsky: Netsky, seed: Seed, arguments: tuple[str, ...]
) -> None:
    seed(spent)
    assert netsky("budgets", *arguments).status == 2


def test_an_unknown_actor_or_task_is_not_found(netsky: Netsky, seed: Seed) -> None:
    seed(spent)
    assert netsky("budgets", "set", "actor", "worker9", "5").status == 3
    assert netsky("budgets", "set", "task", "T99", "5").status == 3


def test_the_daemon_is_asked_when_one_runs(netsky: Netsky, daemon: FakeDaemon) -> None:
    standing = {"scope": "task", "subject": "T12", "limit": 500, "used": 20, "left": 480}
    daemon.answers["budgets.set"] = standing
    assert netsky("budgets", "set", "task", "T12", "+480").err == "20 of 500 used, 480 left\n"
    asked = {"scope": "task", "subject": "T12", "tokens": 480, "more": True}
    assert daemon.calls[-1] == ("budgets.set", asked)


def test_a_message_that_is_held_says_so_at_once_and_how_to_let_it_go(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["send"] = {
        "message_id": "m-1",
        "input_id": "i-1",
        "status": "queued",
        "held": "the budget of worker1, 10 tokens, is used up",
        "remedy": "netsky budgets set actor worker1 +10",
    }
    ran = netsky("send", "worker1", "hello")
    assert ran.out == "m-1\n"
    assert ran.err == (
        "It waits: the budget of worker1, 10 tokens, is used up. "
        "To let it go: netsky budgets set actor worker1 +10\n"
    )


def test_what_waits_shows_why_wherever_it_is_looked_at(netsky: Netsky, seed: Seed) -> None:
    async def body(tx: Tx) -> str:
        await spent(tx, tokens=1_500)
        return await write(tx)

    message_id = seed(body)
    why = "the budget of worker1, 1,000 tokens, is used up"
    assert netsky("messages", "show", message_id, "--json").data["waits"] == why
    assert f"waits:    {why}" in netsky("messages", "show", message_id).out
    shown = netsky("actors", "show", "worker1", "--json").data
    assert shown["held"] == why
    assert [each["subject"] for each in shown["budgets"]] == ["", "worker1"]
    assert "actor worker1: 1,500 of 1,000 tokens used" in netsky("actors", "show", "worker1").out


def test_a_pause_without_a_daemon_is_stored_shown_and_ended(netsky: Netsky, seed: Seed) -> None:
    seed(spent)
    ran = netsky("pause", "--for", "2h")
    assert ran.status == 0
    assert ran.err.splitlines()[-1].startswith("Now paused until ")
    pause = netsky("status", "--json").data["paused"]
    assert pause["reason"].endswith(": by the owner")
    assert 0 < pause["until"] - SystemClock().now() <= 2 * HOUR
    status = netsky("status")
    assert pause["reason"] in status.out
    assert "To send again: netsky unpause" in status.err
    assert netsky("unpause").status == 0
    assert netsky("status", "--json").data["paused"] is None
    assert netsky("unpause").err.splitlines()[-1] == "Nothing was paused."


def test_unpausing_ends_what_a_limit_asked_for_as_well(netsky: Netsky, seed: Seed) -> None:
    async def body(tx: Tx) -> None:
        now = SystemClock().now()
        kind = PauseKind.LIMIT
        await pauses.begin(tx, kind, "Codex's 5 h limit", resumes_at=now + HOUR, now=now)

    seed(body)
    (ended,) = netsky("unpause", "--json").data["ended"]
    assert (ended["kind"], ended["reason"]) == ("limit", "Codex's 5 h limit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2h", 2 * HOUR), ("90m", HOUR * 3 // 2), ("1d12h", 36 * HOUR), ("45s", 45_000)],
)
def test_a_span_is_written_in_days_hours_minutes_and_seconds(text: str, expected: int) -> None:
    assert span(text) == expected


@pytest.mark.parametrize("text", ["", "2", "h", "0h", "2h3d", "two hours", "9" * 20 + "d"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        span(text)


def test_a_time_is_the_next_such_hour_or_a_whole_date() -> None:
    noon = round(datetime(2026, 11, 21, 12, 0).astimezone().timestamp() * 1_000)
    assert moment("14:30", noon) == noon + 5 * HOUR // 2
    assert moment("11:00", noon) == noon + 23 * HOUR
    assert moment("2026-11-22T12:00", noon) == noon + 24 * HOUR
    for text in ("25:00", "noon", "2026-11-20T12:00", ""):
        with pytest.raises(UsageError):
            moment(text, noon)


def test_both_ends_of_a_pause_are_one_too_many(netsky: Netsky) -> None:
    assert netsky("pause", "--for", "2h", "--until", "14:30").status == 2


def test_who_is_resumed_and_still_waits_is_told_so_with_what_helps(
    netsky: Netsky, daemon: FakeDaemon
) -> None:
    daemon.answers["actors.resume"] = {
        "held": "the budget of worker1, 5 tokens, is used up",
        "remedy": "netsky budgets set actor worker1 +5",
    }
    ran = netsky("actors", "resume", "worker1")
    waits = "worker1 is back, and still waits: the budget of worker1, 5 tokens, is used up."
    helps = "To let it go on: netsky budgets set actor worker1 +5"
    assert (ran.status, ran.err) == (0, f"{waits} {helps}\n")


def test_what_is_wrong_in_a_line_is_told_in_words_of_its_own(netsky: Netsky) -> None:
    below = netsky("budgets", "set", "actor", "worker1", "-5")
    assert below.status == 2
    assert "error: -5 is no option, and no number here may be below 0.\n" in below.err
    other = netsky("budgets", "set", "foo", "5")
    assert other.status == 2
    assert other.err.startswith(
        "error: Invalid value for 'actor|task|day': 'foo' is not one of 'actor', 'task', 'day'.\n"
    )
    assert "No such option: --jsn" in netsky("budgets", "set", "day", "5", "--jsn").err
