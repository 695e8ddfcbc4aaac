from __future__ import annotations

import pytest

from netsky_runtime.codex.app_server.normalise import (
    DELTAS,
    FACTS_OPT_OUT,
    LIVE_OPT_OUT,
    history,
    notification,
    parent_of,
    status_of,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.states import TurnStatus
from tests.codex.recorded import VERSIONS, answers, notifications

PLAIN = "plain turn with a client message id"


def events(version: str, mark: str = "") -> list[CodexEvent]:
    made = (notification(m["method"], m["params"], 5) for m in notifications(version, mark))
    return [event for event in made if event is not None]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plain_turn_reads_the_same_in_every_version(version: str) -> None:
    told = events(version, PLAIN)
    facts = [
        (event.kind.value, event.data.get("type"))
        for event in told
        if event.kind
        in (
            EventKind.TURN_STARTED,
            EventKind.TURN_COMPLETED,
            EventKind.ITEM_STARTED,
            EventKind.ITEM_COMPLETED,
        )
    ]

    assert facts == [
        ("turn.started", None),
        ("item.started", "user_message"),
        ("item.completed", "user_message"),
        ("item.started", "agent_message"),
        ("item.completed", "agent_message"),
        ("turn.completed", None),
    ]
    assert len({event.turn_id for event in told if event.turn_id}) == 1
    assert len({event.thread_id for event in told if event.thread_id}) == 1
    said = [event for event in told if event.kind is EventKind.ITEM_COMPLETED]
    assert [event.data["text"] for event in said] == ["hello SAY[ready]", "ready"]
    assert said[0].data["client_id"] == ("" if version == "0.120.0" else "input-1")
    usage = next(event for event in told if event.kind is EventKind.USAGE)
    assert usage.data["total_tokens"] == 120
    assert usage.data["cached_tokens"] == 40
    assert usage.data["context_window"]
    end = told[-1] if told[-1].kind is EventKind.TURN_COMPLETED else None
    assert end is not None
    assert end.data["status"] == "completed"
    assert end.data["completed_at"] > 0


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_recorded_is_unknown_or_breaks(version: str) -> None:
    unknown = {e.data["method"] for e in events(version) if e.kind is EventKind.UNKNOWN}

    assert unknown == set()


@pytest.mark.parametrize("version", VERSIONS)
def test_how_a_turn_ended_is_told(version: str) -> None:
    def end(mark: str) -> CodexEvent:
        return next(e for e in events(version, mark) if e.kind is EventKind.TURN_COMPLETED)

    assert end("interrupt an active turn").data["status"] == "interrupted"
    failed = end("model failure").data
    assert failed["status"] == "failed"
    assert "scripted failure" in failed["error"]
    errors = [e for e in events(version, "model failure") if e.kind is EventKind.ERROR]
    assert [error.data["will_retry"] for error in errors] == [True] * 5 + [False]


@pytest.mark.parametrize("version", VERSIONS)
def test_history_shows_what_was_consumed_and_that_a_crash_cut_it(version: str) -> None:
    mark = "killed in the middle of a turn; what history shows"
    turns = history(answers(version, mark)[-1]["thread"]["turns"])

    cut = turns[-1]
    assert cut.status is TurnStatus.INTERRUPTED
    assert cut.completed_at is None
    assert cut.items[0].type == "user_message"
    assert cut.items[0].text == "SLOW5 go"
    assert cut.items[0].client_id == ("" if version == "0.120.0" else "input-9")
    assert turns[0].status is TurnStatus.COMPLETED


def test_an_unknown_kind_is_kept_raw_with_its_thread_turn_and_item() -> None:
    params = {"threadId": "t", "turnId": "u", "itemId": "i", "news": "n" * 50_000}

    event = notification("thread/somethingNew", params, 7)

    assert event is not None
    assert (event.kind, event.thread_id, event.turn_id, event.item_id, event.at) == (
        EventKind.UNKNOWN,
        "t",
        "u",
        "i",
        7,
    )
    assert event.data["method"] == "thread/somethingNew"
    assert len(event.data["params"]["news"]) < 20_000


def test_an_unknown_kind_about_no_thread_is_no_event() -> None:
    assert notification("weather/changed", {"sun": True}, 7) is None


@pytest.mark.parametrize(
    "method",
    sorted(
        {
            "turn/started",
            "turn/completed",
            "item/started",
            "item/completed",
            "error",
            "thread/tokenUsage/updated",
            "thread/status/changed",
            "thread/started",
            "thread/closed",
            "turn/plan/updated",
            "turn/diff/updated",
            *DELTAS,
        }
    ),
)
def test_a_notification_without_any_member_is_borne(method: str) -> None:
    event = notification(method, {}, 7)

    assert event is not None
    assert event.thread_id == ""


def test_rate_limits_belong_to_no_thread_and_no_turn() -> None:
    event = notification("account/rateLimits/updated", {"rateLimits": {"limitId": "codex"}}, 7)

    assert event is not None
    assert (event.kind, event.thread_id, event.turn_id) == (EventKind.RATE_LIMITS, "", "")


def test_a_plan_and_a_diff_are_facts_of_their_turn() -> None:
    steps = [{"step": "read", "status": "completed"}, {"step": "write", "status": "inProgress"}]
    plan = notification("turn/plan/updated", {"threadId": "t", "turnId": "u", "plan": steps}, 7)
    diff = notification("turn/diff/updated", {"threadId": "t", "turnId": "u", "diff": "+a"}, 7)

    assert plan is not None
    assert plan.data["steps"][1] == {"step": "write", "status": "in_progress"}
    assert diff is not None
    assert (diff.kind, diff.turn_id, diff.data) == (EventKind.DIFF, "u", {"diff": "+a"})


def test_a_threads_status_is_told_in_netskys_words() -> None:
    waiting = {"type": "active", "activeFlags": ["waitingOnApproval"]}
    event = notification("thread/status/changed", {"threadId": "t", "status": waiting}, 7)

    assert event is not None
    assert event.data == {"status": "active", "flags": ["waitingOnApproval"]}
    assert status_of({"status": {"type": "systemError"}}) == "error"
    assert status_of({"status": {"type": "notLoaded"}}) == "not_loaded"
    assert status_of(None) == ""


def test_a_sub_agents_thread_names_the_one_that_made_it() -> None:
    spawned = {"source": {"subAgent": {"thread_spawn": {"parent_thread_id": "p", "depth": 1}}}}

    assert parent_of({"id": "c", "parentThreadId": "p"}) == "p"
    assert parent_of(spawned) == "p"
    assert parent_of({"source": "vscode", "parentThreadId": None}) == ""
    assert parent_of({"source": {"subAgent": "review"}}) == ""
    event = notification("thread/started", {"thread": {"id": "c", **spawned}}, 7)
    assert event is not None
    assert (event.thread_id, event.data) == ("c", {"parent_id": "p"})


def test_each_connection_is_spared_what_the_other_carries() -> None:
    assert set(DELTAS) <= set(FACTS_OPT_OUT)
    assert not set(DELTAS) & set(LIVE_OPT_OUT)
    for fact in ("item/completed", "turn/completed", "error", "thread/tokenUsage/updated"):
        assert fact not in FACTS_OPT_OUT
        assert fact in LIVE_OPT_OUT
    assert "serverRequest/resolved" not in FACTS_OPT_OUT


def test_a_model_that_was_chosen_or_rerouted_is_told() -> None:
    settings = {"cwd": "/p", "approvalPolicy": "never", "model": "gpt-6-astra", "effort": "low"}
    chosen = notification(
        "thread/settings/updated", {"threadId": "t", "threadSettings": settings}, 5
    )
    rerouted = notification(
        "model/rerouted",
        {"threadId": "t", "turnId": "u", "fromModel": "a", "toModel": "b", "reason": "x"},
        5,
    )

    assert chosen == CodexEvent(EventKind.MODEL, "t", 5, data={"model": "gpt-6-astra"})
    assert rerouted == CodexEvent(EventKind.MODEL, "t", 5, "u", data={"model": "b"})


def test_only_an_mcp_server_that_does_not_come_up_is_news():
    def told(status: str, error: str | None) -> CodexEvent | None:
        params = {"threadId": "t", "name": "netsky", "status": status, "error": error}
        return notification("mcpServer/startupStatus/updated", params, 1)

    assert told("starting", None) is told("ready", None) is None
    event = told("failed", "no such file")
    assert event is not None
    assert event.kind is EventKind.WARNING
    assert event.data == {"message": "MCP server netsky: no such file"}
