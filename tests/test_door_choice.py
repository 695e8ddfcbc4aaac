"""Which door new actors get, and what is said of the doors before it."""

from dataclasses import replace

import pytest

from netsky_runtime import door_choice, settings
from netsky_runtime.errors import CodexMissing, Unhealthy
from netsky_runtime.records import DoorResult
from netsky_runtime.states import RuntimeName

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT
OPEN = DoorResult(door=APP, open=True, version="0.163.0", milliseconds=1, reason="", tried_at=1)


def shut(door):
    return replace(OPEN, door=door, open=False, reason=f"It has no {door.value}.")


class FakeDoors:
    """A Codex with these doors, or none at all."""

    def __init__(self, *results, missing=False):
        self.results = results
        self.missing = missing

    async def best(self):
        if self.missing:
            msg = "No Codex was found."
            raise CodexMissing(msg)
        best = next((result for result in self.results if result.open), None)
        return best, [result for result in self.results if not result.open]

    async def ask(self, door):
        return next(result for result in self.results if result.door is door)


def not_asked():
    pytest.fail("the door was set, and Codex was asked all the same")


@pytest.mark.parametrize("door", list(RuntimeName))
async def test_the_door_that_was_set_is_taken_unseen(door):
    chosen = settings.load({"runtime": door.value}, {})
    assert await door_choice.choose(chosen, not_asked) == door_choice.Choice(door)


async def test_auto_takes_the_best_open_door_and_says_why_not_the_ones_before_it():
    doors = FakeDoors(shut(APP), shut(MCP), replace(OPEN, door=RESIDENT))
    choice = await door_choice.choose(settings.load({}, {}), lambda: doors)
    assert choice.runtime is RESIDENT
    assert choice.notices == (
        "app_server is not open: It has no app_server.",
        "mcp_server is not open: It has no mcp_server.",
    )
    assert (await door_choice.choose(settings.load({}, {}), lambda: FakeDoors(OPEN))).notices == ()


async def test_with_no_door_or_no_codex_app_server_is_left_to_say_so():
    for doors in (FakeDoors(shut(APP), shut(MCP), shut(RESIDENT)), FakeDoors(missing=True)):
        choice = await door_choice.choose(settings.load({}, {}), lambda d=doors: d)
        assert choice.runtime is APP


async def test_a_door_that_somebody_asks_for_has_to_be_open():
    doors = FakeDoors(OPEN, shut(MCP))
    await door_choice.check_door(lambda: doors, APP)
    await door_choice.check_door(not_asked, RuntimeName.SCRIPTED)
    with pytest.raises(Unhealthy, match="mcp_server is not open") as refused:
        await door_choice.check_door(lambda: doors, MCP)
    assert "netsky doctor" in refused.value.hint
