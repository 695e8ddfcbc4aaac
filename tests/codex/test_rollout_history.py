from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from netsky_runtime.codex.base import HistoricTurn, HistoryUnavailable
from netsky_runtime.codex.rollout import fold, read_history
from netsky_runtime.states import TurnStatus
from tests.codex.rollout_files import THREADS, app_server_history, events, line, path


def comparable(turn: HistoricTurn, other: HistoricTurn) -> HistoricTurn:
    """Return a turn with those items only that another history of it has too."""
    ids = {item.id for item in other.items}
    kept = [item for item in turn.items if item.id in ids]
    # What is kept raw is spelled as each source spells it.
    plain = [replace(i, data={**i.data, "raw": None}) if i.type == "other" else i for i in kept]
    return replace(turn, items=tuple(plain))


@pytest.mark.parametrize("name", THREADS)
def test_history_is_what_app_server_tells_of_the_thread_and_more(name: str) -> None:
    ours = read_history(path(name), running=False)
    theirs = app_server_history(name)

    assert [turn.id for turn in ours] == [turn.id for turn in theirs]
    for our, their in zip(ours, theirs, strict=True):
        if our.status is TurnStatus.FAILED:
            # Until 0.145 app-server forgets a failure, or what it was.
            their = replace(their, status=our.status, error=our.error)
        assert comparable(our, their) == comparable(their, their)
        more = {item.type for item in our.items} - {item.type for item in their.items}
        assert more <= {"command", "file_change", "tool_call", "mcp_call"}


def test_history_has_the_commands_that_app_server_leaves_out() -> None:
    ours, theirs = (
        sum(item.type == "command" for turn in turns for item in turn.items)
        for turns in (
            read_history(path("0.145.0-app"), running=False),
            app_server_history("0.145.0-app"),
        )
    )

    assert (ours, theirs) == (4, 0)


@pytest.mark.parametrize("name", ["0.120.0-app", "0.169.0-app"])
def test_a_last_turn_without_an_end_runs_or_was_cut(name: str, tmp_path: Path) -> None:
    file = tmp_path / "rollout.jsonl"
    said = path(name).read_bytes().splitlines(keepends=True)
    last = max(n for n, raw in enumerate(said) if b'"task_complete"' in raw)
    file.write_bytes(b"".join(said[:last]))

    running, cut = read_history(file, running=True), read_history(file, running=False)

    assert (running[-1].status, running[-1].completed_at) == (TurnStatus.IN_PROGRESS, None)
    assert (cut[-1].status, cut[-1].completed_at) == (TurnStatus.INTERRUPTED, None)
    assert running[-1].items == cut[-1].items
    assert running[-1].items[-1].text == "after compaction"
    assert running[:-1] == cut[:-1]
    before = [turn for turn in running[:-1] if turn.status is TurnStatus.INTERRUPTED]
    assert [turn.completed_at is None for turn in before] == [False, True]


def test_an_item_that_never_ended_is_as_it_began(tmp_path: Path) -> None:
    file = tmp_path / "rollout.jsonl"
    call = line(
        "response_item/function_call",
        name="shell_command",
        call_id="c",
        arguments='{"command":"x"}',
    )
    file.write_bytes(line("event_msg/task_started", turn_id="t") + b"\n" + call + b"\n")

    (turn,) = read_history(file, running=True)

    assert [(item.id, item.type) for item in turn.items] == [("c", "command")]
    assert turn.items[0].data["status"] == "in_progress"


@pytest.mark.parametrize("where", ["in the line of its end", "in a line before"])
def test_a_turn_that_the_accounts_limit_ended_says_so(tmp_path: Path, where: str) -> None:
    limit = {"message": "You've hit your limit.", "codex_error_info": "usage_limit_exceeded"}
    before = where == "in a line before"
    end = {} if before else {"error": limit}
    lines = [
        line("event_msg/task_started", turn_id="t"),
        *([line("event_msg/error", **limit)] if before else []),
        line("event_msg/task_complete", turn_id="t", **end),
        line("event_msg/task_started", turn_id="u"),
        line("event_msg/error", message="The stream broke.", codex_error_info="other"),
        line("event_msg/task_complete", turn_id="u"),
    ]
    file = tmp_path / "rollout.jsonl"
    file.write_bytes(b"\n".join(lines) + b"\n")

    limited, failed = read_history(file, running=False)

    assert [limited.status, failed.status] == [TurnStatus.FAILED] * 2
    assert [limited.usage_limit, failed.usage_limit] == [True, False]


def test_a_rollout_that_cannot_be_read_is_said_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(HistoryUnavailable) as gone:
        read_history(tmp_path / "rollout.jsonl", running=False)

    assert str(tmp_path) in gone.value.hint


def test_events_fold_to_the_same_history_live_as_later() -> None:
    assert fold(events("0.163.0-tui"), running=False) == read_history(
        path("0.163.0-tui"), running=False
    )
