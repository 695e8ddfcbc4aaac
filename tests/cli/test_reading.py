"""Verbs that read the database, with no daemon anywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from netsky_runtime.db import posting, turns
from netsky_runtime.states import MessageKind, Source, TurnStatus
from netsky_tui.cli.exits import Exit
from tests.cli import world
from tests.cli.world import EVIL, PATCH, STORED
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.paths import Home
    from tests.cli.conftest import Netsky, Seed

READS = [
    ["status"],
    ["actors", "list"],
    ["actors", "show", "worker1"],
    ["tasks", "list"],
    ["tasks", "show", "t2"],
    ["messages", "list"],
    ["messages", "show", "m-4"],
    ["inputs", "list"],
    ["approvals", "list"],
    ["approvals", "show", "a1"],
    ["events", "tail"],
    ["notes", "list"],
    ["logs", "tail"],
    ["settings", "list"],
]


def test_a_worker_whose_last_turn_failed_stands_out_in_both_lists(
    netsky: Netsky, seed: Seed
) -> None:
    async def failed(tx: Tx) -> None:
        await world.build(tx)
        await tx.execute("DELETE FROM approvals")  # a waiting one is told before anything else
        await turns.complete(
            tx,
            "th-1",
            "turn-1",
            status=TurnStatus.FAILED,
            completed_at=world.NOW,
            error="no",
            final_text="",
        )
        draft = posting.Draft(
            source=Source.ACTOR,
            kind=MessageKind.REPORT,
            sender="worker1",
            target="manager0",
            body="The turn failed.",
            task_id="t1",
            metadata={"status": "failed"},
        )
        await posting.post(tx, draft, ids=CountingIds(), now=world.NOW)

    seed(failed)
    listed = netsky("tasks", "list", "--json").data
    assert {task["id"]: task["last_turn_failed"] for task in listed} == {"t1": True, "t2": False}
    assert "failed turn" in netsky("tasks", "list").out.splitlines()[1]
    (worker,) = [a for a in netsky("actors", "list", "--json").data if a["id"] == "worker1"]
    assert (worker["health"], worker["health_reason"]) == ("unhealthy", "last turn failed")


@pytest.fixture
def built(seed: Seed) -> None:
    seed(world.build)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["actors", "list"], "netsky"),
        (["tasks", "list"], "netsky tasks add"),
        (["messages", "list"], "netsky send manager0"),
        (["inputs", "list"], "No inputs wait."),
        (["approvals", "list"], "No approvals wait."),
        (["events", "tail"], "No events yet."),
        (["notes", "list"], "netsky notes add"),
        (["logs", "tail"], "The log is empty."),
    ],
)
def test_an_empty_home_says_what_to_do_next_and_is_left_untouched(
    netsky: Netsky, home: Home, line: list[str], says: str
) -> None:
    ran = netsky(*line)
    assert ran.status == 0
    assert says in ran.out
    assert not home.root.exists()
    assert netsky(*line, "--json").out in ("[]\n", "")


@pytest.mark.parametrize(
    "line", [["actors", "show", "x"], ["tasks", "show", "t9"], ["messages", "show", "m"]]
)
def test_what_does_not_exist_exits_3_in_an_empty_home_and_in_a_full_one(
    netsky: Netsky, seed: Seed, line: list[str]
) -> None:
    assert netsky(*line).status == 3
    seed(world.build)
    ran = netsky(*line)
    assert (ran.status, ran.out) == (3, "")
    assert "hint: " in ran.err


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("line", READS)
def test_no_reading_verb_lets_a_body_steer_the_terminal(netsky: Netsky, line: list[str]) -> None:
    for arguments in (line, [*line, "--json"]):
        ran = netsky(*arguments)
        assert ran.status == 0, ran.err
        assert ran.out
        assert not {"\x1b", "\x07", "\u202e"} & set(ran.out)


@pytest.mark.usefixtures("built")
def test_actors_have_the_shape_that_scripts_rely_on(netsky: Netsky) -> None:
    found = netsky("actors", "list", "--json").data
    assert [actor["id"] for actor in found] == ["manager0", "worker1"]
    worker = found[1]
    expected = {
        "id": "worker1",
        "kind": "worker",
        "health": "blocked",
        "health_reason": "approval",
        "manager": "manager0",
    }
    assert expected.items() <= worker.items()
    session = {"runtime": "scripted", "thread_id": "th-1", "state": "live", "cwd": "/src"}
    assert session.items() <= worker["session"].items()
    assert found[0]["session"] is None


@pytest.mark.usefixtures("built")
def test_an_actor_is_shown_with_its_tasks_and_turns(netsky: Netsky) -> None:
    shown = netsky("actors", "show", "worker1", "--json").data
    assert [task["id"] for task in shown["tasks"]] == ["t1"]
    assert [turn["id"] for turn in shown["turns"]] == ["turn-1"]
    assert "approval" in netsky("actors", "show", "worker1").out


@pytest.mark.usefixtures("built")
def test_tasks_have_the_shape_that_scripts_rely_on(netsky: Netsky) -> None:
    found = netsky("tasks", "list", "--json").data
    expected = {
        "id": "t2",
        "title": f"Write {EVIL}",
        "status": "blocked",
        "priority": "P2",
        "owner": None,
        "manager": "manager0",
        "depends_on": ["t1"],
    }
    assert expected.items() <= found[1].items()
    assert [t["id"] for t in netsky("tasks", "list", "--status", "blocked", "--json").data] == [
        "t2"
    ]
    assert [t["id"] for t in netsky("tasks", "list", "--owner", "worker1", "--json").data] == ["t1"]


@pytest.mark.usefixtures("built")
def test_a_task_is_shown_with_what_it_waits_for_and_its_notes(netsky: Netsky) -> None:
    assert netsky("tasks", "show", "t2", "--json").data["unmet"] == ["t1"]
    assert "Because" in netsky("tasks", "show", "t1").out


@pytest.mark.usefixtures("built")
def test_messages_are_one_object_a_line(netsky: Netsky) -> None:
    found = netsky("messages", "list", "--json").lines
    assert [message["body"] for message in found] == ["hello", STORED]
    assert [m["body"] for m in netsky("messages", "list", "--limit", "1", "--json").lines] == [
        STORED
    ]
    shown = netsky("messages", "show", found[0]["id"], "--json").data
    assert [delivery["status"] for delivery in shown["deliveries"]] == ["pending"]


@pytest.mark.usefixtures("built")
def test_inputs_that_are_held_say_why(netsky: Netsky) -> None:
    assert netsky("pause", "--for", "2h").status == 0
    (one,) = netsky("inputs", "list", "--json").data
    assert one["waits"].startswith("paused until ")
    assert one["waits"] in netsky("inputs", "list").out
    assert f"waits: {one['waits']}" in netsky("trace", one["id"]).out


@pytest.mark.parametrize("line", ["actors list", "approvals list", "attention"])
@pytest.mark.usefixtures("built")
def test_what_nobody_looks_at_is_said_to_be_what_was_last_known(netsky: Netsky, line: str) -> None:
    ran = netsky(*line.split())
    assert ran.out
    assert "this is what was last known" in ran.err


@pytest.mark.usefixtures("built")
def test_events_of_an_actor_that_is_not_there_are_not_found(netsky: Netsky) -> None:
    assert netsky("events", "tail", "--actor", "nobody").status == Exit.NOT_FOUND


@pytest.mark.usefixtures("built")
def test_inputs_that_wait_are_listed(netsky: Netsky) -> None:
    found = netsky("inputs", "list", "--json").data
    assert [(one["actor"], one["status"]) for one in found] == [("manager0", "queued")]
    assert netsky("inputs", "list", "--actor", "worker1").out == "No inputs wait.\n"


@pytest.mark.usefixtures("built")
def test_approvals_have_the_shape_that_scripts_rely_on(netsky: Netsky) -> None:
    assert (
        netsky("approvals", "list", "--json").data[0].items()
        >= {
            "id": "a1",
            "actor": "worker1",
            "kind": "file_change",
            "command": "",
            "cwd": "",
            "reason": EVIL,
            "patch": PATCH,
            "questions": [],
            "available_decisions": ["accept", "decline"],
            "status": "pending",
        }.items()
    )


@pytest.mark.usefixtures("built")
def test_an_approval_is_shown_with_its_patch_and_the_command_that_decides(netsky: Netsky) -> None:
    out = netsky("approvals", "show", "a1").out
    assert "+new" in out
    assert "netsky approvals decide a1 accept|decline\n" in out


@pytest.mark.usefixtures("built")
def test_the_last_events_come_oldest_first(netsky: Netsky) -> None:
    found = netsky("events", "tail", "-n", "3", "--json").lines
    assert [event["data"]["text"] for event in found] == ["say 27", "say 28", "say 29"]
    assert found[0]["actor"] == "worker1"
    same = netsky("events", "tail", "-n", "3", "--actor", "worker1", "--json").lines
    assert same == found
    assert netsky("events", "tail", "--actor", "manager0", "--json").lines == []
    assert "say 29" in netsky("events", "tail").out


@pytest.mark.usefixtures("built")
def test_status_without_a_daemon_counts_what_is_stored(netsky: Netsky) -> None:
    ran = netsky("status", "--json")
    assert ran.status == 0
    assert ran.data["daemon"] == {"state": "stopped", "pid": None, "epoch": None, "since": None}
    assert ran.data["runtime"].keys() >= {"name", "codex_version"}
    counts = ran.data["counts"]
    assert (counts["tasks"], counts["messages"]) == (2, 2)
    assert (counts["inputs_pending"], counts["approvals_pending"]) == (1, 1)
    assert "1 thing waits for you: netsky attention" in netsky("status").err


def test_settings_tell_where_their_values_come_from(
    netsky: Netsky, seed: Seed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netsky_runtime.db import settings

    async def store(tx: Any) -> None:
        await settings.set_(tx, "model", "stored", now=world.NOW)
        await settings.set_(tx, "runtime", "scripted", now=world.NOW)

    seed(store)
    monkeypatch.setenv("AGENT_CODEX_MODEL", "from-environment")
    rows = {row["key"]: row for row in netsky("settings", "list", "--json").data}
    assert (rows["runtime"]["value"], rows["runtime"]["origin"]) == ("scripted", "settings")
    assert (rows["model"]["value"], rows["model"]["origin"]) == (
        "from-environment",
        "AGENT_CODEX_MODEL",
    )
    assert rows["max_live_workers"]["origin"] == "default"
    assert netsky("settings", "get", "runtime").out == "scripted\n"


def test_a_file_that_is_no_database_is_told_with_exit_5(netsky: Netsky, home: Home) -> None:
    home.prepare()
    home.database.write_text("no database " * 100)
    ran = netsky("tasks", "list", "--json")
    assert ran.status == 5
    assert ran.error["message"]
    checks = {c["name"]: c for c in json.loads(netsky("doctor", "--json").out)["checks"]}
    assert checks["database"]["state"] == "fail"
