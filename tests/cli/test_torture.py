"""``netsky torture``: what it prints and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.torture import entry
from netsky_runtime.torture.report import Report

if TYPE_CHECKING:
    from tests.cli.conftest import Netsky


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Report:
    """What the next torture comes to."""
    report = Report(runtime="scripted", seed=3, inputs=12, reconcile=[0.1, 0.2, 0.4])
    report.ends["answered"] += 12
    report.places["seen:after"] += 2
    report.targets["daemon"] += 2
    report.missed["seen:after"] += 1

    async def tortured(**_given: Any) -> tuple[Report, None]:
        return report, None

    monkeypatch.setattr(entry, "tortured", tortured)
    return report


def test_a_short_torture_of_scripted_threads_prints_zeros(netsky: Netsky) -> None:
    ran = netsky("torture", "--kills", "2", "--seed", "3", "--json")
    assert ran.status == 0, ran.out
    told = ran.data
    assert (told["kills"], told["seed"], told["runtime"]) == (2, 3, "scripted")
    zeros = ("lost", "doubled", "approvals_lost_silently", "orphans", "violations", "failures")
    assert [told[name] for name in zeros] == [0] * len(zeros)
    assert told["inputs_by_end"]["answered"] > 0
    assert told["histories_read"] > 0
    assert told["histories_unread"] == 0
    assert "come to rest" in ran.err


def test_the_report_tells_where_was_killed_and_how_long_a_start_takes(
    netsky: Netsky, found: Report
) -> None:
    ran = netsky("torture")
    assert ran.status == 0
    assert "inputs by end: 12 answered" in ran.out
    assert "2  seen:after, 1 not reached in time" in ran.out
    assert "time to reconcile p99:   0.4 s" in ran.out


def test_what_must_be_zero_and_is_not_is_told_and_ends_with_a_failure(
    netsky: Netsky, found: Report
) -> None:
    found.doubled.append("n1 is stored 2 times")
    ran = netsky("torture")
    assert ran.status == 1
    assert "doubled: n1 is stored 2 times" in ran.out


def test_a_door_that_cannot_be_tortured_is_a_mistake_in_the_command(netsky: Netsky) -> None:
    ran = netsky("torture", "--runtime", "resident")
    assert ran.status == 2
    assert "scripted, app_server" in ran.err


def test_its_numbers_are_called_as_those_of_other_verbs(netsky: Netsky) -> None:
    told = netsky("torture", "--help").out
    assert "--kills N" in told
    assert "--seed N" in told
