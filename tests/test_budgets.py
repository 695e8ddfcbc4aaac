"""The arithmetic of budgets and days."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from netsky_runtime.budgets import Gauge, midnight, next_midnight
from netsky_runtime.states import BudgetScope

HOUR = 3_600_000
BERLIN = ZoneInfo("Europe/Berlin")


def gauge(used, limit, scope=BudgetScope.ACTOR, subject="worker3"):
    return Gauge(scope=scope, subject=subject, limit=limit, used=used)


@pytest.mark.parametrize(
    ("used", "limit", "left", "spent"),
    [
        (0, 100, 100, False),
        (99, 100, 1, False),
        (100, 100, 0, True),
        (250, 100, 0, True),
    ],
)
def test_a_budget_is_spent_once_nothing_is_left(used, limit, left, spent):
    found = gauge(used, limit)
    assert (found.left, found.spent) == (left, spent)
    assert found.part == used / limit


def test_a_budget_names_itself_and_the_command_that_raises_it():
    own = gauge(5, 200_000)
    assert own.reason == "the budget of worker3, 200,000 tokens, is used up"
    assert own.remedy == "netsky budgets set actor worker3 +200000"
    day = gauge(5, 10, BudgetScope.DAY, "")
    assert day.reason == "the day's budget of 10 tokens is used up"
    assert day.remedy == "netsky budgets set day +10"


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        ("2026-11-21 12:00", 24),
        ("2026-11-21 00:00", 24),
        ("2026-03-29 12:00", 23),
        ("2026-10-25 12:00", 25),
    ],
)
def test_a_day_lasts_from_midnight_to_midnight_also_where_the_clock_is_moved(now, hours):
    at = round(datetime.fromisoformat(now).replace(tzinfo=BERLIN).timestamp() * 1_000)
    first, last = midnight(at, BERLIN), next_midnight(at, BERLIN)
    assert first <= at < last
    assert last - first == hours * HOUR
    assert midnight(last, BERLIN) == last
    assert midnight(last - 1, BERLIN) == first
