"""When the owner is rung for: bursts, quiet hours, and what is said."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime import settings
from netsky_runtime.attention.items import Waiting
from netsky_runtime.attention.ringing import (
    GAP_SECONDS,
    SETTLE_SECONDS,
    QuietHours,
    Verdict,
    verdict,
    words,
)
from netsky_runtime.errors import UsageError
from netsky_runtime.states import AttentionKind

LONG = 1e6
RING = Verdict(ring=True)


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-11-21T{time}")


def waiting(kind: AttentionKind, actor: str = "worker1") -> Waiting:
    return Waiting(key=f"{kind}:{actor}", kind=kind, actor=actor, told=False)


def test_nothing_untold_rings_never_and_is_not_asked_about_again():
    assert verdict(untold=0, waited=LONG, since_ring=LONG, quiet=0.0) == Verdict()


def test_the_first_of_a_burst_waits_for_the_others():
    assert verdict(untold=1, waited=0.25, since_ring=LONG, quiet=0.0) == Verdict(again=0.75)
    assert verdict(untold=9, waited=SETTLE_SECONDS, since_ring=LONG, quiet=0.0) == RING


def test_after_a_ring_what_comes_waits_and_rings_together():
    found = verdict(untold=3, waited=LONG, since_ring=5.0, quiet=0.0)
    assert found == Verdict(again=GAP_SECONDS - 5.0)
    assert verdict(untold=3, waited=LONG, since_ring=GAP_SECONDS, quiet=0.0) == RING


def test_in_quiet_hours_it_is_asked_again_when_they_end():
    assert verdict(untold=3, waited=LONG, since_ring=LONG, quiet=90.0) == Verdict(again=90.0)


@pytest.mark.parametrize(
    ("hours", "time", "left"),
    [
        ("22:00-07:00", "21:59:59", 0),
        ("22:00-07:00", "22:00:00", 9 * 3600),
        ("22:00-07:00", "23:59:59", 7 * 3600 + 1),
        ("22:00-07:00", "00:00:00", 7 * 3600),
        ("22:00-07:00", "06:59:59", 1),
        ("22:00-07:00", "07:00:00", 0),
        ("12:30-13:00", "12:29:59", 0),
        ("12:30-13:00", "12:45:00", 15 * 60),
        ("12:30-13:00", "13:00:00", 0),
        ("00:00-06:00", "05:00:00", 3600),
        ("18:00-00:00", "23:00:00", 3600),
    ],
)
def test_quiet_hours_may_reach_over_midnight(hours, time, left):
    found = QuietHours.parse(hours)
    assert found is not None
    assert found.left(at(time)) == left


@given(
    begins=st.integers(0, 1439),
    length=st.integers(1, 1439),
    second=st.integers(0, 86_399),
)
def test_quiet_lasts_exactly_as_long_as_it_says(begins, length, second):
    quiet = QuietHours(begins, (begins + length) % 1440)
    left = quiet.left(at("00:00:00") + timedelta(seconds=second))
    assert 0 <= left <= length * 60
    inside = (second - begins * 60) % 86_400 < length * 60
    assert (left > 0) is inside


@pytest.mark.parametrize("text", ["22:00", "22-07", "24:00-07:00", "22:60-07:00", "7:00-8:00", "x"])
def test_what_are_no_hours_is_refused_where_it_is_set(text):
    with pytest.raises(UsageError, match="quiet hours are written like 22:00-07:00"):
        settings.check("quiet_hours", text)
    with pytest.raises(UsageError, match="different times"):
        settings.check("quiet_hours", "07:00-07:00")


def test_no_hours_are_no_quiet():
    assert QuietHours.parse("") is None


@pytest.mark.parametrize("kind", list(AttentionKind))
def test_one_thing_is_named_by_its_actor(kind):
    said = words([waiting(kind)], after_quiet=False)
    assert "worker1" in said
    assert said.endswith(".")


def test_several_are_named_by_their_number():
    untold = [
        waiting(AttentionKind.APPROVAL),
        waiting(AttentionKind.APPROVAL, "worker2"),
        waiting(AttentionKind.PARKED),
    ]
    assert words(untold, after_quiet=False) == (
        "3 things wait for you: 2 approvals, 1 parked actor."
    )
    assert words(untold[:1], after_quiet=True) == (
        "While it was quiet: worker1 asks for an approval."
    )
