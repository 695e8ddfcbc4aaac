"""How actors are, on the command line: what they do, how that is known, what was done for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.clock import SystemClock
from netsky_runtime.db import approvals, events, rungs, turns
from netsky_runtime.records import Turn
from netsky_runtime.states import ApprovalStatus, RungName, RungOutcome, TurnStatus
from tests.cli import world

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from tests.cli.conftest import Netsky, Seed

HOUR = 3_600_000
NOT_ANY_MORE = "UPDATE approvals SET status = ?"


async def busy(tx: Tx) -> None:
    """Let worker1 run a command, with nothing that waits for a decision."""
    await world.build(tx)
    pending = await approvals.pending(tx)
    for one in pending:
        await tx.execute_fetchall(NOT_ANY_MORE, (ApprovalStatus.LOST.value,))
        assert one.actor_id == "worker1"
    fact = ("th-1", "turn-1", "c", "item.started", "worker1", world.NOW + 50, '{"type": "command"}')
    await events.upsert_many(tx, [fact])


async def hung(tx: Tx) -> None:
    """The same, and the watchdog has tried something."""
    await busy(tx)
    seq = await rungs.begin(
        tx,
        actor_id="worker1",
        thread_id="th-1",
        turn_id="turn-1",
        rung=RungName.RECONCILE,
        evidence="no sign of life of its turn for 5 min",
        now=world.NOW + 90,
    )
    detail = "history shows it running, 3 items"
    await rungs.end(tx, seq, RungOutcome.NO_CHANGE, detail=detail, now=world.NOW + 95)


def test_a_busy_actor_says_what_it_does_and_how_that_is_known(netsky: Netsky, seed: Seed) -> None:
    seed(busy)
    shown = netsky("actors", "show", "worker1", "--json").data
    assert (shown["health"], shown["health_reason"]) == ("busy", "command running")
    assert (shown["health_evidence"], shown["silent"]) == ("protocol", False)
    assert shown["last_sign_at"].endswith("Z")
    assert "command running, protocol, " in netsky("actors", "list").out
    assert "command running, protocol, " in netsky("actors", "show", "worker1").out


def test_a_turn_that_hangs_is_shown_with_what_was_done_about_it(netsky: Netsky, seed: Seed) -> None:
    seed(hung)
    shown = netsky("actors", "show", "worker1", "--json").data
    assert (shown["health"], shown["health_reason"]) == ("unhealthy", "silent turn")
    (rung,) = shown["rungs"]
    assert (rung["rung"], rung["outcome"]) == ("reconcile", "no change")
    assert rung["detail"] == "history shows it running, 3 items"
    assert "silent turn, last event " in netsky("actors", "list").out
    words = netsky("actors", "show", "worker1").out
    assert "reconcile: no sign of life of its turn for 5 min; no change (history shows it" in words


async def over(tx: Tx) -> None:
    """One turn of worker1's that ended by itself, and one that was cut."""
    await world.build(tx)
    now = SystemClock().now()
    status = TurnStatus.IN_PROGRESS
    for number, (began, ended, how) in enumerate(
        (
            (now - 9 * HOUR, now - 5 * HOUR // 2, TurnStatus.COMPLETED),
            (now - 11 * HOUR // 2, None, TurnStatus.INTERRUPTED),
        )
    ):
        row = Turn(
            thread_id="th-1", id=f"o{number}", actor_id="worker1", status=status, started_at=began
        )
        await turns.start(tx, row)
        await turns.complete(tx, "th-1", row.id, status=how, completed_at=ended)


def test_how_long_ago_a_turn_ended_is_told_by_its_end_where_that_is_known(
    netsky: Netsky, seed: Seed
) -> None:
    seed(over)
    shown = netsky("actors", "show", "worker1").out
    assert "2 h ago completed" in shown
    assert "began 5 h ago, interrupted" in shown
