"""What the doctor makes of the doors' answers and of what they allow."""

import pytest

from netsky_runtime import door_checks, settings
from netsky_runtime.records import DoorResult
from netsky_runtime.states import RuntimeName

APP, MCP, RESIDENT = RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER, RuntimeName.RESIDENT


def results(*open_doors):
    return [
        DoorResult(
            door=door,
            open=door in open_doors,
            version="0.163.0" if door in open_doors else "",
            milliseconds=134,
            reason="" if door in open_doors else "It ended.",
            tried_at=1,
        )
        for door in (APP, MCP, RESIDENT)
    ]


def states(chosen, *open_doors):
    checks = door_checks.checks(settings.load({"runtime": chosen}, {}), results(*open_doors))
    return [check["state"] for check in checks]


@pytest.mark.parametrize(
    ("open_doors", "expected"),
    [
        ((APP, MCP, RESIDENT), ["ok", "ok", "ok"]),
        ((APP,), ["ok", "shut", "shut"]),
        ((RESIDENT,), ["shut", "shut", "ok"]),
        ((), ["fail", "fail", "fail"]),
    ],
)
def test_one_open_door_is_enough(open_doors, expected):
    assert states("auto", *open_doors) == expected


def test_the_door_that_is_set_has_to_be_open():
    assert states("mcp_server", APP, RESIDENT) == ["ok", "fail", "ok"]
    assert states("mcp_server", MCP) == ["shut", "ok", "shut"]
    assert states("scripted") == ["shut", "shut", "shut"]


@pytest.mark.parametrize(
    ("runtime", "open_doors", "expected"),
    [
        ("auto", (APP, MCP, RESIDENT), MCP),
        ("auto", (APP, RESIDENT), APP),
        ("resident", (APP, MCP, RESIDENT), RESIDENT),
        ("auto", (), None),
    ],
)
def test_sidecars_prefer_the_mcp_server_unless_a_door_is_set(runtime, open_doors, expected):
    chosen = settings.load({"runtime": runtime}, {})
    assert door_checks.taken_by_sidecars(chosen, results(*open_doors)) is expected


def test_where_no_door_is_open_it_is_said_how_to_get_a_codex():
    checks = door_checks.checks(settings.load({}, {}), results())
    (hint,) = {check["hint"] for check in checks}
    assert "NETSKY_CODEX_BIN" in hint
    assert "pip install" in hint


def test_a_door_tells_its_time_its_reason_and_whether_it_is_taken():
    checks = door_checks.checks(settings.load({}, {}), results(MCP, RESIDENT))
    details = [check["detail"] for check in checks]
    assert details == [
        "tried for 134 ms: It ended.",
        "0.163.0, answered in 134 ms; new actors get it (auto)",
        "0.163.0, answered in 134 ms",
    ]
    checks = door_checks.checks(settings.load({}, {}), results(APP, MCP))
    assert checks[0]["detail"].endswith("; new actors get it (auto)")
    assert checks[1]["detail"].endswith("; netsky codex takes it (auto)")
    taken = {d["door"]: d["taken"] for d in door_checks.doors(settings.load({}, {}), results(MCP))}
    assert taken == {APP: False, MCP: True, RESIDENT: False}


def test_actors_whose_approvals_nobody_watches_are_told_aloud():
    checks = {check["name"]: check for check in door_checks.containment(settings.load({}, {}))}
    assert checks["containment"]["state"] == "ok"
    for name, model in (("resident", "gpt-5.4,"), ("sidecar", "gpt-5.4-mini,")):
        check = checks[f"containment of {name}"]
        assert check["state"] == "warn"
        assert check["detail"].startswith(model)
        assert "danger-full-access" in check["detail"]
        assert "asks nobody" in check["hint"]
        assert "AGENT_CODEX_SANDBOX" in check["hint"]


def test_what_was_set_for_all_is_told_once():
    same = {"sandbox": "read-only", "approval_policy": "on-request"}
    (check,) = door_checks.containment(settings.load(same, {}))
    assert (check["name"], check["state"]) == ("containment", "ok")
    wild = {"sandbox": "danger-full-access", "approval_policy": "never"}
    (check,) = door_checks.containment(settings.load(wild, {}))
    assert (check["name"], check["state"]) == ("containment", "warn")
