from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.rollout import RolloutReader
from tests.codex.rollout_files import (
    APP,
    EVERY,
    MCP,
    THREADS,
    TUI,
    events,
    items,
    line,
    lines,
    told,
)

DONE, CUT, FAILED = "completed", "interrupted", "failed"
ENDS = {
    "app": [DONE] * 11 + [CUT, FAILED, DONE, CUT, DONE, DONE, DONE],
    "mcp": [DONE] * 5 + [CUT, FAILED, CUT, DONE],
    "tui": [DONE] * 3 + [FAILED, CUT, DONE, CUT, DONE, CUT],
}
KILLED = {"app": 14, "mcp": 7, "tui": 6}
"""Which turn the process was killed in."""
ORDERS = {
    "app": [
        "HANG hello SAY[ready]",
        "RUN[echo hi; exit 3] SAY[ran]",
        "ESC[echo out > out.txt] SAY[escalated]",
        "ESC[echo no > no.txt] SAY[declined]",
        "PATCH SAY[patched]",
        'TOOL[start_worker {"title":"x"}]ENDTOOL SAY[tooled]',
    ],
    "mcp": ["hello SAY[ready]", "RUN[echo hi; exit 3] SAY[ran]"],
    "tui": ["HANG hello SAY[ready]", "RUN[echo hi; exit 3] SAY[ran]", "PATCH SAY[patched]"],
}
WHOLE_COMMANDS = (*APP[2:], "0.120.0-tui", *TUI[2:])
"""Threads whose rollout tells the end of a command, with the shell that ran it."""


def door(name: str) -> str:
    return name.rpartition("-")[2]


def of_kind(found: list[CodexEvent], kind: EventKind) -> list[CodexEvent]:
    return [event for event in found if event.kind is kind]


def turn(number: int, found: list[CodexEvent]) -> list[CodexEvent]:
    """Return the events of one turn."""
    turn_id = of_kind(found, EventKind.TURN_STARTED)[number].turn_id
    return [event for event in found if event.turn_id == turn_id]


@pytest.mark.parametrize("name", THREADS)
def test_every_turn_starts_once_and_ends_as_it_did(name: str) -> None:
    found = events(name)

    ends = of_kind(found, EventKind.TURN_COMPLETED)
    started = [event.turn_id for event in of_kind(found, EventKind.TURN_STARTED)]
    assert [end.turn_id for end in ends] == started
    assert len(set(started)) == len(started)
    assert [end.data["status"] for end in ends] == ENDS[door(name)]


@pytest.mark.parametrize("name", THREADS)
def test_only_the_turn_that_a_crash_cut_has_no_end_time(name: str) -> None:
    ends = of_kind(events(name), EventKind.TURN_COMPLETED)

    assert [n for n, end in enumerate(ends) if end.data["completed_at"] is None] == [
        KILLED[door(name)]
    ]


@pytest.mark.parametrize("name", THREADS)
def test_user_messages_are_what_was_sent_and_not_codexs_own_context(name: str) -> None:
    sent = [data["text"] for data in items(events(name), "user_message")]

    orders = ORDERS[door(name)]
    assert sent[: len(orders)] == orders
    assert not [text for text in sent if "<" in text or "AGENTS.md" in text]


@pytest.mark.parametrize("name", THREADS)
def test_the_agents_words_are_told_once_each(name: str) -> None:
    said = [data["text"] for data in items(events(name), "agent_message")]

    assert said[:2] == ["ready", "ran"]
    assert "resumed" in said
    assert all(said.count(text) == 1 for text in said)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_recorded_is_unknown(name: str) -> None:
    assert [e.data["method"] for e in events(name) if e.kind is EventKind.UNKNOWN] == []


@pytest.mark.parametrize("name", EVERY)
def test_every_event_says_its_thread_and_a_time(name: str) -> None:
    found = events(name)

    assert len({event.thread_id for event in found}) == 1
    assert found[0].thread_id.startswith("01a1fe")
    times = [event.at for event in found]
    assert times == sorted(times)
    assert times[0] > 1_795_000_000_000


@pytest.mark.parametrize("name", EVERY)
def test_a_file_read_again_tells_the_same_with_the_same_ids(name: str) -> None:
    found = events(name)

    assert events(name) == found
    ids = [(e.turn_id, e.item_id) for e in of_kind(found, EventKind.ITEM_COMPLETED)]
    assert all(turn_id and item_id for turn_id, item_id in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", THREADS)
def test_usage_is_told_as_growing_totals_and_not_repeated(name: str) -> None:
    totals = [event.data for event in of_kind(events(name), EventKind.USAGE)]

    assert totals[0] == {
        "input_tokens": 100,
        "cached_tokens": 40,
        "output_tokens": 20,
        "reasoning_tokens": 5,
        "total_tokens": 120,
        "context_window": 258400,
    }
    assert [total["total_tokens"] for total in totals] == [
        120 * (n + 1) for n in range(len(totals))
    ]


@pytest.mark.parametrize("name", THREADS)
def test_a_command_is_told_with_its_folder_end_and_output(name: str) -> None:
    command = items(turn(1, events(name)), "command")[0]

    assert command["cwd"] == "/home/operator/project"
    assert (command["status"], command["exit_code"], command["output"]) == ("failed", 3, "hi\n")
    assert command["duration_ms"] == 0
    whole = name in WHOLE_COMMANDS
    assert command["command"] == ("/bin/bash -lc 'echo hi; exit 3'" if whole else "echo hi; exit 3")


@pytest.mark.parametrize("name", APP)
def test_a_declined_command_is_told_although_codex_makes_no_item_of_it(name: str) -> None:
    command = items(turn(3, events(name)), "command")[0]

    assert command["status"] == "declined"
    assert command["exit_code"] is None
    assert "echo no > no.txt" in command["command"]


@pytest.mark.parametrize("name", [*APP, *MCP, *TUI])
def test_a_patch_is_told_with_its_changes(name: str) -> None:
    changed = items(events(name), "file_change")

    assert changed == [
        {
            "type": "file_change",
            "status": "completed",
            "changes": [
                {
                    "path": "/home/operator/project/hello.txt",
                    "kind": "add",
                    "diff": "hello from patch\n",
                }
            ],
        }
    ]


@pytest.mark.parametrize("name", APP)
def test_tool_calls_of_both_doors_are_told(name: str) -> None:
    found = events(name)

    (tool,) = items(turn(5, found), "tool_call")
    assert (tool["tool"], tool["arguments"]) == ("start_worker", {"title": "x"})
    assert (tool["status"], tool["success"], tool["result"]) == ("completed", True, "done it")
    (called,) = items(turn(6, found), "mcp_call")
    assert (called["server"], called["tool"]) == ("echo", "echo")
    assert (called["arguments"], called["status"]) == ({"word": "hi"}, "completed")
    assert "echo: hi" in json.dumps(called["result"])


@pytest.mark.parametrize("name", APP)
def test_a_plan_is_a_plan_and_no_item(name: str) -> None:
    found = turn(7, events(name))

    (plan,) = of_kind(found, EventKind.PLAN)
    wanted = [{"step": "look", "status": "in_progress"}, {"step": "act", "status": "pending"}]
    if plan.data["steps"]:  # 0.153.4 and later know the tool no more
        assert plan.data["steps"] == wanted
    kinds = [e.data["type"] for e in of_kind(found, EventKind.ITEM_COMPLETED)]
    assert kinds == ["user_message", "agent_message"]


@pytest.mark.parametrize("name", APP)
def test_a_command_that_outlives_its_turn_is_in_progress_until_codex_says_more(name: str) -> None:
    found = turn(8, events(name))

    begun = of_kind(found, EventKind.ITEM_STARTED)
    assert [event.data["status"] for event in begun] == ["in_progress", "in_progress"]
    assert begun[1].data["output"] == "begin\n"
    ended = items(found, "command")
    if name in WHOLE_COMMANDS:
        assert ended[0]["output"].endswith("end\n")  # 0.153.4 forgets what came before
        assert ended[0]["exit_code"] == 0


@pytest.mark.parametrize("name", APP)
def test_reasoning_is_told_where_its_summary_is_kept(name: str) -> None:
    assert items(turn(9, events(name)), "reasoning") == [
        {"type": "reasoning", "text": "**Thinking** about it"}
    ]


@pytest.mark.parametrize("name", APP)
def test_a_steered_message_is_a_second_one_in_the_same_turn(name: str) -> None:
    found = turn(10, events(name))

    sent = items(found, "user_message")
    assert [data["text"] for data in sent] == ["HANG SAY[one]", "and SAY[two]"]
    known = [] if name.startswith("0.120") else ["batch-steered", "batch-steer"]
    assert [data["client_id"] for data in sent if data["client_id"]] == known
    assert items(found, "agent_message")[-1]["text"] == "two"


@pytest.mark.parametrize("name", APP)
def test_a_model_other_than_before_is_told_with_its_turn(name: str) -> None:
    found = events(name)

    changed = of_kind(found, EventKind.MODEL)
    assert [event.data["model"] for event in changed] == ["gpt-5.4-mini"]
    assert changed[0].turn_id == of_kind(found, EventKind.TURN_STARTED)[13].turn_id


@pytest.mark.parametrize("name", THREADS)
def test_a_failed_turn_says_why_where_codex_writes_it_down(name: str) -> None:
    end = next(
        event
        for event in of_kind(events(name), EventKind.TURN_COMPLETED)
        if event.data["status"] == FAILED
    )

    told_why = name not in ("0.120.0-app", "0.120.0-mcp")
    wanted = "scripted failure" if told_why else "does not write down why"
    assert wanted in end.data["error"]


def test_an_old_turn_whose_model_answered_without_words_is_no_failure() -> None:
    usage = {"info": {"total_token_usage": {"total_tokens": 120}}, "rate_limits": None}
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line("event_msg/user_message", message="go"),
            line("event_msg/token_count", **usage),
            line("event_msg/task_complete", turn_id="t", last_agent_message=None),
        ]
    )

    assert found[-1].data["status"] == DONE


def test_a_sub_agents_thread_names_the_one_that_made_it() -> None:
    for name in ("0.120.0-subagent", "0.169.0-subagent", "0.120.0-subagent-fork"):
        first = events(name)[0]

        assert first.kind is EventKind.THREAD_STARTED
        assert first.data["parent_id"].startswith("01a1fe")
        assert first.data["parent_id"] != first.thread_id
    assert of_kind(events("0.169.0-app"), EventKind.THREAD_STARTED) == []


def test_a_fork_is_a_thread_of_its_own_although_it_begins_with_anothers_lines() -> None:
    reader = RolloutReader()
    found = [event for said in lines("0.120.0-fork") for event in reader.feed(said)]

    assert reader.head is not None
    assert reader.head.forked_from.startswith("01a1fe")
    assert {event.thread_id for event in found} == {reader.head.thread_id}
    assert len(of_kind(found, EventKind.TURN_COMPLETED)) == 4


def test_turns_taken_back_are_said_and_stay() -> None:
    found = events("0.120.0-fork")

    (warning,) = of_kind(found, EventKind.WARNING)
    assert "the last 1 turn was" in warning.data["message"]
    assert items(found, "user_message")[-1]["text"] == "in the fork SAY[forked]"


def test_a_thread_id_that_is_given_is_kept() -> None:
    reader = RolloutReader("known")
    reader.feed(line("session_meta", id="other", cwd="/w"))

    assert reader.thread_id == "known"
    assert reader.feed(line("event_msg/task_started", turn_id="t"))[0].thread_id == "known"


def test_the_turn_without_an_end_is_known_while_it_runs() -> None:
    reader = RolloutReader()
    assert reader.turn_id == ""
    reader.feed(line("event_msg/task_started", turn_id="t"))
    assert reader.turn_id == "t"
    reader.feed(line("event_msg/turn_aborted", turn_id="t", reason="interrupted"))
    assert reader.turn_id == ""


def test_an_end_of_another_turn_leaves_the_running_one_alone() -> None:
    reader = RolloutReader()
    reader.feed(line("event_msg/task_started", turn_id="t"))
    (end,) = reader.feed(line("event_msg/task_complete", turn_id="before", started_at=1))

    assert (end.turn_id, reader.turn_id) == ("before", "t")


def test_an_interrupted_turn_ends_the_commands_that_ran_in_it() -> None:
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line("turn_context", turn_id="t", cwd="/w", model="m"),
            line(
                "response_item/function_call",
                name="exec_command",
                call_id="c",
                arguments='{"cmd":"sleep 9","workdir":"sub"}',
            ),
            line("event_msg/turn_aborted", turn_id="t", reason="interrupted"),
        ]
    )

    assert [(e.kind.value, e.item_id, e.data.get("status")) for e in found[1:]] == [
        ("item.started", "c", "in_progress"),
        ("item.completed", "c", "failed"),
        ("turn.completed", "", "interrupted"),
    ]
    assert found[2].data["cwd"] == "/w/sub"


def test_a_command_that_runs_on_ends_with_the_poll_that_sees_its_end() -> None:
    def call(name: str, call_id: str, **arguments: Any) -> bytes:
        said = json.dumps(arguments)
        return line("response_item/function_call", name=name, call_id=call_id, arguments=said)

    def output(call_id: str, said: str) -> bytes:
        return line("response_item/function_call_output", call_id=call_id, output=said)

    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            call("exec_command", "c1", cmd="make"),
            output("c1", "Chunk ID: 1\nProcess running with session ID 7\nOutput:\nbegin\n"),
            call("write_stdin", "c2", session_id=7, chars=""),
            output("c2", "Wall time: 1.5 seconds\nProcess exited with code 0\nOutput:\nend\n"),
        ]
    )

    last = found[-1]
    assert (last.kind, last.item_id) == (EventKind.ITEM_COMPLETED, "c1")
    assert last.data["output"] == "begin\nend\n"
    assert (last.data["exit_code"], last.data["duration_ms"]) == (0, 1500)
    assert {event.item_id for event in found} == {"", "c1"}


def test_a_command_cannot_pose_as_its_own_end() -> None:
    said = "Process exited with code 1\nOutput:\nProcess exited with code 0\nExit code: 0\n"
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line("response_item/function_call", name="shell", call_id="c", arguments="{}"),
            line("response_item/function_call_output", call_id="c", output=said),
        ]
    )

    assert found[-1].data["exit_code"] == 1
    assert found[-1].data["status"] == "failed"


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        ('{"output":"hi\\n","metadata":{"exit_code":2,"duration_seconds":0.5}}', (2, "hi\n", 500)),
        ("Exit code: 0\nWall time: 0.1 seconds\nOutput:\nok\n", (0, "ok\n", 100)),
        ([{"type": "input_text", "text": "odd"}], (None, "odd", None)),
        ({"content": "words", "success": False}, (None, "words", None)),
    ],
)
def test_every_form_of_a_commands_output_is_read(output: Any, wanted: tuple[Any, ...]) -> None:
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line(
                "response_item/function_call",
                name="shell",
                call_id="c",
                arguments='{"command":["bash","-lc","echo hi"]}',
            ),
            line("response_item/function_call_output", call_id="c", output=output),
        ]
    )

    data = found[-1].data
    assert (data["exit_code"], data["output"], data["duration_ms"]) == wanted
    assert data["command"] == "bash -lc 'echo hi'"


def test_ends_of_threads_that_persist_more_are_told() -> None:
    result = {"Err": "no such tool"}
    call = {"server": "s", "tool": "t", "arguments": {}}
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line("event_msg/exec_command_end", call_id="c", command=["ls"], stdout="a", stderr="b"),
            line("event_msg/mcp_tool_call_end", call_id="m", invocation=call, result=result),
            line("event_msg/web_search_end", call_id="w", query="netsky"),
            line("event_msg/error", message="broken"),
            line("event_msg/stream_error", message="again"),
            line("event_msg/warning", message="careful"),
            line("event_msg/task_complete", turn_id="t", started_at=1),
        ]
    )

    assert found[1].data["output"] == "ab"
    assert (found[2].data["status"], found[2].data["result"]) == ("failed", "no such tool")
    assert found[3].data == {"type": "web_search", "query": "netsky"}
    assert [event.data["will_retry"] for event in found[4:6]] == [False, True]
    assert found[6].kind is EventKind.WARNING
    assert (found[7].data["status"], found[7].data["error"]) == (FAILED, "broken")


def test_rate_limits_are_told_when_they_are_known_and_new() -> None:
    limits = {"limit_id": "codex", "primary": {"used_percent": 5.0}, "secondary": None}
    nothing = {"limit_id": "codex", "primary": None, "secondary": None}
    found = told(
        [
            line("event_msg/token_count", info=None, rate_limits=nothing),
            line("event_msg/token_count", info=None, rate_limits=limits),
            line("event_msg/token_count", info=None, rate_limits=limits),
        ]
    )

    assert [event.kind for event in found] == [EventKind.RATE_LIMITS]
    assert found[0].data == {"raw": {"rateLimits": limits}}
    assert found[0].turn_id == ""


def test_pictures_are_named_beside_the_words() -> None:
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line("event_msg/user_message", message="look", images=["data:"], local_images=["/a"]),
        ]
    )

    assert found[-1].data["text"] == "look\n[image]\n[localImage]"


def test_a_kind_that_nobody_knows_is_kept_raw_with_its_turn() -> None:
    found = told(
        [
            line("event_msg/task_started", turn_id="t"),
            line("event_msg/brand_new", news="n" * 50_000),
            line("something_else", a=1),
        ]
    )

    assert [event.data["method"] for event in found[1:]] == [
        "event_msg/brand_new",
        "something_else",
    ]
    assert found[1].turn_id == "t"
    assert len(found[1].data["params"]["news"]) < 20_000


def test_an_item_that_nobody_knows_is_other() -> None:
    item = {"type": "TimeTravel", "id": "i", "to": 1999}
    found = told([line("event_msg/item_completed", turn_id="t", item=item)])

    assert found[0].data == {"type": "other", "name": "timeTravel", "raw": item}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
SAMPLE = [json.loads(raw) for name in EVERY for raw in lines(name)]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_garbage_is_nothing(garbage: list[bytes]) -> None:
    for event in told(garbage):
        assert event.kind is EventKind.UNKNOWN


@given(st.lists(st.sampled_from(SAMPLE), max_size=12), st.data())
def test_lines_in_any_order_with_any_member_wrong_are_borne(
    sample: list[dict[str, Any]], data: st.DataObject
) -> None:
    reader = RolloutReader()
    for raw in sample:
        payload = dict(raw["payload"])
        for key in data.draw(st.sets(st.sampled_from(sorted(payload)))):
            payload[key] = data.draw(JSON)
        for event in reader.feed(json.dumps({**raw, "payload": payload}).encode()):
            assert isinstance(event.turn_id, str)
            assert isinstance(event.item_id, str)
            json.dumps(event.data)


@given(st.sampled_from(EVERY), st.data())
def test_lines_that_are_cut_anywhere_take_nothing_else_along(
    name: str, data: st.DataObject
) -> None:
    said = lines(name)
    cut = data.draw(st.integers(0, len(said) - 1))
    half = said[cut][: data.draw(st.integers(0, len(said[cut]) - 1))]

    assert told([*said[:cut], half, *said[cut:]]) == events(name)
