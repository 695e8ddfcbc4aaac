"""What a seed plans, and how a report adds up."""

from __future__ import annotations

from collections import Counter

import pytest

from netsky_runtime.states import RuntimeName
from netsky_runtime.torture.plan import Target, plan
from netsky_runtime.torture.points import POINTS, Step, When
from netsky_runtime.torture.report import Report, percentile


def test_the_same_seed_plans_the_same_kills_and_another_one_others():
    first = plan(7, 50, RuntimeName.SCRIPTED)
    assert plan(7, 50, RuntimeName.SCRIPTED) == first
    assert plan(8, 50, RuntimeName.SCRIPTED) != first


def test_every_named_place_has_its_turn_before_one_comes_again():
    planned = plan(7, 2 * len(POINTS), RuntimeName.SCRIPTED)
    places = Counter(kill.point for kill in planned if kill.point)
    assert places == {point.name: 1 for point in POINTS}


def test_each_step_has_places_on_both_sides_of_its_commits():
    for step in Step:
        sides = {point.when for point in POINTS if point.step is step}
        assert sides == set(When)


@pytest.mark.parametrize(
    ("runtime", "targets"),
    [
        (RuntimeName.SCRIPTED, {Target.DAEMON, Target.TREE}),
        (RuntimeName.APP_SERVER, {Target.DAEMON, Target.TREE, Target.ENGINE}),
    ],
)
def test_what_is_killed_is_what_the_door_has(runtime, targets):
    assert {kill.target for kill in plan(7, len(targets), runtime)} == targets


def test_a_place_is_found_whatever_the_line_breaks_of_its_statement():
    (handed,) = [point for point in POINTS if point.name == "handed:before"]
    assert handed.matches("\nUPDATE actor_inputs\n    SET status = 'handed', turn_id = 't'")
    assert not handed.matches("UPDATE actor_inputs SET status = 'seen'")


def report(**given) -> Report:
    """What a torture of 40 inputs comes to."""
    found = Report(runtime="scripted", seed=7, inputs=40, **given)
    found.ends["answered"] += 40
    return found


def test_a_report_is_clean_until_something_is_found():
    assert report().clean
    for name in ("lost", "doubled", "early", "approvals_lost", "orphans", "violations", "failures"):
        found = report()
        getattr(found, name).append("something")
        assert not found.clean
        assert found.told()["ok"] is False
        assert any(line.endswith("something") for line in found.told()["broken"])


def test_a_few_uncertain_inputs_are_told_and_are_no_failure():
    assert report(uncertain=4).told()["ok"] is True


@pytest.mark.parametrize(
    ("idle", "why"),
    [
        (Report(runtime="scripted", seed=7), "no input was accepted"),
        (Report(runtime="scripted", seed=7, inputs=40), "none of 40 inputs was answered"),
        (report(uncertain=5), "5 of 40 inputs are uncertain"),
        (report(refusals=Counter({"send: Conflict": 41})), "41 wishes were refused"),
    ],
)
def test_zeros_that_prove_nothing_are_a_failure(idle, why):
    (line,) = idle.broken()
    assert why in line
    assert idle.told()["ok"] is False
    assert idle.found() == []  # while it goes on, nothing is wrong yet


@pytest.mark.parametrize(("percent", "value"), [(1, 1.0), (50, 50.0), (99, 99.0), (100, 100.0)])
def test_a_percentile_is_a_value_that_was_measured(percent, value):
    assert percentile([float(each) for each in range(100, 0, -1)], percent) == value


def test_of_nothing_there_is_no_percentile():
    assert percentile([], 99) == 0.0
