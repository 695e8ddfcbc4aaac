"""Numbers with their noun."""

from __future__ import annotations

import pytest

from netsky_runtime.budgets import Gauge
from netsky_runtime.codex.bounds import head
from netsky_runtime.counting import count
from netsky_runtime.health import _queue
from netsky_runtime.states import BudgetScope


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 tokens"),
        (1, "1 token"),
        (2, "2 tokens"),
        (1_200, "1,200 tokens"),
        (5_000_000_000_000, "5,000,000,000,000 tokens"),
        (1.0, "1 token"),
        (0.2, "0.2 tokens"),
        (30.0, "30 tokens"),
    ],
)
def test_a_number_is_said_with_the_form_of_the_noun_it_takes(number: float, said: str) -> None:
    assert count(number, "token") == said


def test_a_noun_that_takes_more_than_an_s_has_its_own_plural() -> None:
    said = [count(number, "entry", "entries") for number in (0, 1, 2)]
    assert said == ["0 entries", "1 entry", "2 entries"]


@pytest.mark.parametrize(
    ("scope", "subject", "name"),
    [
        (BudgetScope.DAY, "", "the day's budget of 1 token"),
        (BudgetScope.ACTOR, "worker1", "the budget of worker1, 1 token"),
    ],
)
def test_a_budget_of_one_token_is_said_to_be_of_one_token(
    scope: BudgetScope, subject: str, name: str
) -> None:
    assert Gauge(scope=scope, subject=subject, limit=1, used=0).name == name


def test_a_single_character_or_input_is_no_plural() -> None:
    assert "[netsky: 1 more character is not shown]" in head("ab", 1)
    assert _queue(1, None)[1] == "1 input waiting"
    assert _queue(2, None)[1] == "2 inputs waiting"
