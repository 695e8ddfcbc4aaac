import asyncio

import pytest

from netsky_runtime.supervise import LONGEST_REST_SECONDS, STEADY_SECONDS, Supervisor
from tests.support.fakes import ManualClock, settle
from tests.support.patience import PATIENCE


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
    async with asyncio.timeout(PATIENCE):
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


class Broken:
    """A task that ends by an error each time, after so many seconds."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.runs = 0
        self.lasts = 0.0
        self.error: Exception = ValueError("broken")
        self.failures: list[tuple[str, str]] = []
        self.supervisor = Supervisor(
            report=lambda name, error: self.failures.append((name, str(error)))
        )

    async def run(self) -> None:
        self.runs += 1
        if self.lasts:
            await self.clock.sleep(self.lasts)
        raise self.error

    async def rests(self, times: int) -> list[float]:
        """Return how long each of the next waits is."""
        async with asyncio.timeout(PATIENCE):
            return [await self.clock.pass_next() for _ in range(times)]


@pytest.fixture
async def broken():
    made = Broken(ManualClock())
    yield made
    async with asyncio.timeout(PATIENCE):
        await made.supervisor.close()


async def test_a_kept_task_is_begun_again_after_a_rest_that_grows_and_each_end_is_reported(broken):
    broken.supervisor.keep("post", broken.run, clock=broken.clock)
    assert await broken.rests(8) == [1, 2, 4, 8, 16, 32, LONGEST_REST_SECONDS, LONGEST_REST_SECONDS]
    assert broken.runs == 9
    assert broken.failures == [("post", "broken")] * 9


async def test_a_kept_task_that_was_well_for_long_rests_shortly_again(broken):
    broken.supervisor.keep("post", broken.run, clock=broken.clock)
    assert await broken.rests(2) == [1, 2]
    broken.lasts = STEADY_SECONDS
    assert await broken.rests(3) == [4, STEADY_SECONDS, 1]


async def test_a_kept_task_that_ends_again_and_again_is_told_of_until_it_is_well(broken):
    broken.supervisor.keep("post", broken.run, clock=broken.clock)
    await settle()
    assert broken.supervisor.troubles() == []  # the log has told of the one error
    await broken.rests(1)
    [told] = broken.supervisor.troubles()
    assert "netsky's own post ends again and again by an error" in told
    assert told.endswith("ValueError: broken")
    broken.lasts = 2 * STEADY_SECONDS
    await broken.rests(1)
    assert broken.supervisor.troubles() == [told]
    await broken.clock.advance(STEADY_SECONDS - 1)
    assert broken.supervisor.troubles() == [told]
    await broken.clock.advance(1)
    assert broken.supervisor.troubles() == []


async def test_what_is_told_of_an_error_is_one_short_line_that_any_screen_can_show(broken):
    broken.error = ExceptionGroup("in a group", [OSError("file \udcff\n" + 1000 * "x")])
    broken.supervisor.keep("post", broken.run, clock=broken.clock)
    await broken.rests(1)
    [told] = broken.supervisor.troubles()
    assert "The last error: OSError: file \\udcff xxx" in told
    assert len(told) < 400


async def test_a_kept_task_that_returns_is_over(broken):
    async def gives_up() -> None:
        broken.runs += 1

    await broken.supervisor.keep("post", gives_up, clock=broken.clock)
    assert (broken.runs, broken.failures, len(broken.supervisor)) == (1, [], 0)


async def test_of_a_kept_task_that_is_over_nothing_more_is_told(broken):
    task = broken.supervisor.keep("post", broken.run, clock=broken.clock)
    await broken.rests(1)
    assert broken.supervisor.troubles() != []
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE)
    await settle()
    assert broken.supervisor.troubles() == []


async def test_close_ends_a_kept_task_at_work_and_at_rest(broken):
    broken.supervisor.keep("at rest", broken.run, clock=broken.clock)
    working = broken.supervisor.keep("at work", asyncio.Event().wait, clock=broken.clock)
    await settle()
    async with asyncio.timeout(PATIENCE):
        await broken.supervisor.close()
    assert working.cancelled()
    assert (broken.runs, len(broken.supervisor)) == (1, 0)


async def test_close_ends_a_kept_task_that_fails_while_it_is_cancelled(broken):
    begun = asyncio.Event()

    async def fails_at_the_end() -> None:
        broken.runs += 1
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("broken at the end")

    broken.supervisor.keep("post", fails_at_the_end, clock=broken.clock)
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
        await broken.supervisor.close()
    assert broken.runs == 1
    assert broken.failures == [("post", "broken at the end")]
