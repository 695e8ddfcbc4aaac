"""What an actor behind each door is started with, unless somebody has said otherwise."""

import pytest

from netsky_runtime import settings
from netsky_runtime.errors import UsageError
from netsky_runtime.settings import DoorDefaults, door_defaults
from netsky_runtime.states import RuntimeName

WATCHED = DoorDefaults(model="", sandbox="workspace-write", approval_policy="on-request")
RESIDENT = DoorDefaults(model="gpt-5.4", sandbox="danger-full-access", approval_policy="never")
SIDECAR = DoorDefaults(model="gpt-5.4-mini", sandbox="danger-full-access", approval_policy="never")


@pytest.mark.parametrize("door", [RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER])
def test_where_approvals_are_watched_the_common_defaults_hold(door):
    assert door_defaults(settings.load({}, {}), door) == WATCHED


def test_where_nobody_watches_them_nothing_is_asked():
    nothing_set = settings.load({}, {})
    assert door_defaults(nothing_set, RuntimeName.RESIDENT) == RESIDENT
    for door in (RuntimeName.APP_SERVER, RuntimeName.RESIDENT):
        assert door_defaults(nothing_set, door, sidecar=True) == SIDECAR


@pytest.mark.parametrize(
    ("stored", "environ", "flags"),
    [
        ({"sandbox": "read-only", "approval_policy": "on-request", "model": "m"}, {}, {}),
        (
            {},
            {
                "AGENT_CODEX_SANDBOX": "read-only",
                "AGENT_CODEX_APPROVAL": "on-request",
                "AGENT_CODEX_MODEL": "m",
            },
            {},
        ),
        ({}, {}, {"sandbox": "read-only", "approval_policy": "on-request", "model": "m"}),
    ],
    ids=["stored", "environment", "flags"],
)
def test_what_was_set_holds_behind_every_door(stored, environ, flags):
    chosen = settings.load(stored, environ, **flags)
    wanted = DoorDefaults(model="m", sandbox="read-only", approval_policy="on-request")
    for door in RuntimeName:
        for sidecar in (False, True):
            assert door_defaults(chosen, door, sidecar=sidecar) == wanted


def test_a_default_that_was_set_on_purpose_is_no_default():
    chosen = settings.load({"sandbox": "workspace-write", "model": ""}, {})
    found = door_defaults(chosen, RuntimeName.RESIDENT)
    assert found == DoorDefaults(model="", sandbox="workspace-write", approval_policy="never")


def test_every_door_can_be_set_and_nothing_else():
    for word in ("auto", *RuntimeName):
        assert settings.load({"runtime": str(word)}, {}).runtime == word
    with pytest.raises(UsageError, match="AGENT_RUNTIME") as refused:
        settings.load({}, {"AGENT_RUNTIME": "tmux"})
    assert refused.value.hint == "Give AGENT_RUNTIME a valid value, or unset it."


def test_a_setting_tells_the_doors_where_its_default_is_another():
    assert settings.own_defaults("model") == {"resident": "gpt-5.4", "sidecar": "gpt-5.4-mini"}
    assert settings.own_defaults("effort") == {}


def test_a_stored_value_that_is_not_valid_any_more_is_left_out_where_it_can_be_mended():
    stored = {"quiet_hours": "always", "model": "m", "unknown": "kept for another version"}
    assert settings.valid(stored) == {"model": "m", "unknown": "kept for another version"}
