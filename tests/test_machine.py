"""What the machine's clocks say of time that was slept through, and of clocks that were set."""

import pytest

from netsky_runtime.machine import Moment, between, boottime

BEFORE = Moment(monotonic=100.0, boot=1_000.0, wall=5_000_000)


def after(*, awake, passed=None, wall=None):
    passed = awake if passed is None else passed
    return Moment(
        monotonic=BEFORE.monotonic + awake,
        boot=BEFORE.boot + passed,
        wall=BEFORE.wall + round((passed if wall is None else wall) * 1000),
    )


@pytest.mark.parametrize(
    ("what", "moment", "missed", "jumped"),
    [
        ("time passes", after(awake=5.0), 0, 0),
        ("a busy machine comes late", after(awake=9.9), 0, 0),
        ("it slept for two hours", after(awake=5.0, passed=7_205.0), 7_200, 0),
        ("the process was stopped for a minute", after(awake=65.0), 60, 0),
        ("the clock was set back by an hour", after(awake=5.0, wall=-3_595.0), 0, -3_600),
        ("the clock was set forward by a day", after(awake=5.0, wall=86_405.0), 0, 86_400),
        ("it slept, and the clock was set", after(awake=5, passed=105, wall=1_105), 100, 1_000),
        ("the clock is trimmed by a second", after(awake=5.0, wall=6.0), 0, 0),
        ("what knows no sleep stands still", after(awake=5.0, passed=0.0, wall=5.0), 0, 0),
    ],
)
def test_a_gap_is_what_was_slept_through_or_by_what_the_clock_was_set(what, moment, missed, jumped):
    gap = between(BEFORE, moment, expected=5.0)
    assert (gap.missed, gap.jumped) == (pytest.approx(missed), pytest.approx(jumped)), what
    assert bool(gap) is bool(missed or jumped)


def test_the_boot_clock_goes_on():
    first = boottime()
    assert boottime() >= first > 0
