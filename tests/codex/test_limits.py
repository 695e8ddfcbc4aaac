"""What Codex tells of its account's limits."""

import pytest

from netsky_runtime.codex.limits import Reached, is_usage_limit, reached


def told(primary=None, secondary=None):
    return {"rateLimits": {"limitId": "codex", "primary": primary, "secondary": secondary}}


def window(used, minutes, resets_at):
    return {"usedPercent": used, "windowDurationMins": minutes, "resetsAt": resets_at}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (told(), None),
        (told(window(99.9, 300, 50)), None),
        (told(window(100, 300, 50)), Reached("Codex's 5 h limit", 50_000)),
        (
            told(window(100, 300, 50), window(100.0, 10_080, 900)),
            Reached("Codex's weekly limit", 900_000),
        ),
        (
            told(window(100, 300, 50), window(40, 10_080, 900)),
            Reached("Codex's 5 h limit", 50_000),
        ),
        (told(window(100, None, 50)), Reached("Codex's limit", 50_000)),
        (told(window(100, 15, 50)), Reached("Codex's 15 min limit", 50_000)),
        (told(window(100, 300, None)), None),
        (told(window("100", 300, 50)), None),
        (
            {
                "rate_limits": {
                    "primary": {"used_percent": 100.0, "window_minutes": 300, "resets_at": 50}
                }
            },
            Reached("Codex's 5 h limit", 50_000),
        ),
        (None, None),
        ([], None),
        ({"rateLimits": "much"}, None),
    ],
)
def test_a_limit_is_reached_at_a_hundred_percent_and_only_with_its_reset(raw, expected):
    assert reached(raw) == expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"message": "x", "codexErrorInfo": "usageLimitExceeded"}, True),
        ({"message": "x", "codex_error_info": "usage_limit_exceeded"}, True),
        ({"message": "x", "codexErrorInfo": "serverOverloaded"}, False),
        ({"message": "x", "codexErrorInfo": {"responseStreamDisconnected": {}}}, False),
        ({"message": "You've hit your usage limit."}, False),
        (None, False),
        ("usageLimitExceeded", False),
    ],
)
def test_only_the_kind_of_an_error_says_that_it_is_a_limit(error, expected):
    assert is_usage_limit(error) is expected
