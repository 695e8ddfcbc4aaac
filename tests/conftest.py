"""What holds for every room's tests."""

from __future__ import annotations

import gc
import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

OTHER_PROGRAMS = ("real_codex", "real_tmux", "e2e")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skipped test on real Codex a failure where CI is set: there it must run."""
    report = yield
    if report.skipped and os.environ.get("CI") and item.get_closest_marker("real_codex"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where it must run: {report.longrepr}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that race with other programs a second try, which is told at the run's end.

    More than ``--max-suite-reruns`` of them fail the run. What needed one is a defect to be
    followed, of the test or of netsky: ``--force-reruns=0`` takes nobody's second try.
    """
    for item in items:
        if any(item.get_closest_marker(name) for name in OTHER_PROGRAMS):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_configure() -> None:
    # A million objects stay from test to test, and looking through them all over and over took a
    # third of the time of the room's tests. What a test leaves in circles is young, and found.
    gc.set_threshold(20_000, 20, 10)
    # A runner in the background ignores Ctrl+C, and so would every program that a test starts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
