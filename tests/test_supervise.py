import asyncio

import pytest

from netsky_runtime.errors import DaemonRunning
from netsky_runtime.lock import HomeLock
from netsky_runtime.supervise import Supervisor


async def test_a_failing_task_is_reported_and_its_sibling_goes_on():
    failures: list[tuple[str, str]] = []
    supervisor = Supervisor(report=lambda name, error: failures.append((name, str(error))))
    go_on = asyncio.Event()

    async def fails():
        raise ValueError("broken")

    async def works():
        await go_on.wait()
        return "done"

    bad = supervisor.spawn("bad", fails())
    good = supervisor.spawn("good", works())
    await asyncio.wait([bad])
    go_on.set()
    assert await good == "done"
    assert failures == [("bad", "broken")]
    await supervisor.close()


async def test_close_ends_every_task_also_one_that_is_started_by_another_while_closing():
    supervisor = Supervisor(report=lambda name, error: None)
    ended: list[str] = []

    async def sleeper(name: str):
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)

    supervisor.spawn("a", sleeper("a"))
    supervisor.spawn("b", sleeper("b"))
    async with asyncio.timeout(5):
        await asyncio.sleep(0)
        await supervisor.close()
    assert sorted(ended) == ["a", "b"]
    assert len(supervisor) == 0


async def test_nothing_starts_after_close():
    supervisor = Supervisor(report=lambda name, error: None)
    await supervisor.close()

    async def work():
        pass

    with pytest.raises(RuntimeError, match="after its supervisor had closed"):
        supervisor.spawn("late", work())


def test_a_second_daemon_on_a_home_is_told_who_holds_it(tmp_path):
    first, second = HomeLock(tmp_path / "daemon.lock"), HomeLock(tmp_path / "daemon.lock")
    with first, pytest.raises(DaemonRunning, match=r"pid \d+"), second:
        pass


def test_the_lock_is_free_again_when_its_holder_is_gone(tmp_path):
    with HomeLock(tmp_path / "daemon.lock"):
        pass
    with HomeLock(tmp_path / "daemon.lock"):
        pass
