from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from netsky_runtime.codex.base import HistoryUnavailable
from netsky_runtime.codex.rollout import find_mark, find_thread, locate, read_head
from tests.codex.rollout_files import line, path

THREAD = "01a1fe8e-8f55-78b0-a902-f22a9589f656"
OTHER = "01a1fe8e-97fa-7570-a509-2a569ed364d8"
MARK = "q7x2m9kd"


def rollout(
    home: Path, thread_id: str, *said: bytes, day: str = "2026/11/21", time: str = "T14-41-58"
) -> Path:
    folder = home / "sessions" / day
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"rollout-{day.replace('/', '-')}{time}-{thread_id}.jsonl"
    file.write_bytes(b"".join(raw + b"\n" for raw in said))
    return file


def meta(thread_id: str, **more: object) -> bytes:
    return line("session_meta", id=thread_id, cwd="/w", cli_version="0.145.0", source="cli", **more)


def says(text: str) -> bytes:
    return line("event_msg/user_message", message=text)


def changed_at(file: Path, seconds: float) -> Path:
    os.utime(file, (seconds, seconds))
    return file


def test_a_thread_is_found_by_its_id(tmp_path: Path) -> None:
    wanted = rollout(tmp_path, THREAD)
    rollout(tmp_path, OTHER)

    assert find_thread(tmp_path, THREAD) == wanted


def test_of_several_rollouts_of_a_thread_the_newest_is_found(tmp_path: Path) -> None:
    rollout(tmp_path, THREAD, day="2026/11/09")
    wanted = rollout(tmp_path, THREAD, day="2026/11/10", time="T09-00-00")
    rollout(tmp_path, THREAD, day="2026/11/10", time="T08-00-00")

    assert find_thread(tmp_path, THREAD) == wanted


def test_an_archived_thread_is_found(tmp_path: Path) -> None:
    file = rollout(tmp_path, THREAD)
    (tmp_path / "archived_sessions").mkdir()
    wanted = Path(shutil.move(file, tmp_path / "archived_sessions"))

    assert find_thread(tmp_path, THREAD) == wanted


@pytest.mark.parametrize(
    "hostile",
    ["", "*", "[0-9a-f]*", "../../etc/passwd", f"x/{THREAD}", "a" * 500, ".", "\0", "a\nb", "-"],
)
def test_an_id_is_no_pattern_and_no_path(tmp_path: Path, hostile: str) -> None:
    rollout(tmp_path, THREAD)

    assert find_thread(tmp_path, hostile) is None


def test_part_of_an_id_finds_nothing(tmp_path: Path) -> None:
    rollout(tmp_path, THREAD)

    assert find_thread(tmp_path, THREAD[1:]) is None
    assert find_thread(tmp_path, THREAD.upper()) is None


def test_a_home_without_sessions_has_no_threads(tmp_path: Path) -> None:
    assert find_thread(tmp_path, THREAD) is None
    assert find_mark(tmp_path, MARK, since=0) is None


def test_what_is_no_rollout_is_passed_over(tmp_path: Path) -> None:
    folder = rollout(tmp_path, OTHER).parent
    (folder / f"notes-{THREAD}.jsonl").write_text("")
    (folder / f"rollout-2026-11-21T14-41-58-{THREAD}.jsonl.zst").write_text("")
    (tmp_path / "sessions" / "latest").symlink_to(folder)

    assert find_thread(tmp_path, THREAD) is None


def test_a_thread_is_found_by_the_mark_that_was_said_in_it(tmp_path: Path) -> None:
    rollout(tmp_path, OTHER, meta(OTHER), says("hello"))
    wanted = rollout(tmp_path, THREAD, meta(THREAD), says(f"hello <{MARK}>"))

    assert find_mark(tmp_path, MARK, since=0) == (THREAD, wanted)


@pytest.mark.parametrize("name", ["0.120.0-tui", "0.145.0-mcp", "0.153.4-tui", "0.169.0-app"])
def test_a_mark_is_found_in_every_format(tmp_path: Path, name: str) -> None:
    file = rollout(tmp_path, THREAD)
    shutil.copy(path(name), file)
    head = read_head(file)

    found = find_mark(tmp_path, "SAY[ready]", since=0)

    assert head is not None
    assert found == (head.thread_id, file)
    assert head.cwd == "/home/operator/project"
    assert head.version == name.rpartition("-")[0]


def test_a_mark_that_only_an_agent_or_a_tool_has_said_does_not_count(tmp_path: Path) -> None:
    context = [{"type": "input_text", "text": f"<environment_context>{MARK}"}]
    agent = {"type": "AgentMessage", "id": "a", "content": [{"type": "Text", "text": MARK}]}
    rollout(
        tmp_path,
        THREAD,
        meta(THREAD, base_instructions={"text": MARK}),
        says("hello"),
        line("event_msg/agent_message", message=MARK),
        line("event_msg/item_completed", item=agent),
        line("response_item/message", role="user", content=context),
        line("response_item/function_call_output", call_id="c", output=f"user_message {MARK}"),
        line("compacted", message=MARK),
    )

    assert find_mark(tmp_path, MARK, since=0) is None


def test_a_sub_agent_or_a_fork_that_repeats_the_mark_is_not_the_thread(tmp_path: Path) -> None:
    first = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says(MARK)), 1000)
    spawn = {"subagent": {"thread_spawn": {"parent_thread_id": THREAD, "depth": 1}}}
    child = line("session_meta", id="c", source=spawn)
    rollout(tmp_path, "c0", child, meta(THREAD), says(MARK), time="T16-00-00")
    rollout(tmp_path, "f0", meta("f", forked_from_id=THREAD), says(MARK), time="T17-00-00")

    assert find_mark(tmp_path, MARK, since=0) == (THREAD, first)


def test_files_that_did_not_change_since_then_do_not_count(tmp_path: Path) -> None:
    changed_at(rollout(tmp_path, THREAD, meta(THREAD), says(MARK)), 1000)

    assert find_mark(tmp_path, MARK, since=1_060_500) is None
    assert find_mark(tmp_path, MARK, since=1_060_000) is not None


def test_of_two_threads_with_a_mark_the_one_changed_last_is_found(tmp_path: Path) -> None:
    wanted = rollout(tmp_path, THREAD, meta(THREAD), says(MARK), day="2026/01/01")
    changed_at(rollout(tmp_path, OTHER, meta(OTHER), says(MARK)), 1000)
    changed_at(wanted, 2000)

    assert find_mark(tmp_path, MARK, since=0) == (THREAD, wanted)


def test_a_thread_that_quotes_the_mark_later_is_not_the_one_that_began_with_it(
    tmp_path: Path,
) -> None:
    wanted = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says(MARK), says("on")), 1000)
    quoting = rollout(tmp_path, OTHER, meta(OTHER), says("hello"), says(f"it says {MARK}"))
    changed_at(quoting, 2000)

    assert find_mark(tmp_path, MARK, since=0) == (THREAD, wanted)
    wanted.unlink()
    assert find_mark(tmp_path, MARK, since=0) == (OTHER, quoting)


def test_a_mark_is_found_behind_any_number_of_newer_files(tmp_path: Path) -> None:
    wanted = changed_at(rollout(tmp_path, THREAD, meta(THREAD), says(MARK)), 1000)
    for number in range(250):
        rollout(tmp_path, f"b{number}", meta("b"), says("hello"), time="T15-00-00")

    assert find_mark(tmp_path, MARK, since=1_000_000) == (THREAD, wanted)


def test_a_rollout_that_cannot_be_read_is_no_rollout_without_the_mark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable = rollout(tmp_path, THREAD, meta(THREAD), says(MARK))
    real = Path.open

    def refused(self: Path, *args: Any) -> Any:
        if self == unreadable:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))
        return real(self, *args)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(HistoryUnavailable, match="Permission denied") as raised:
        find_mark(tmp_path, MARK, since=0)
    assert str(unreadable) in raised.value.hint


def test_a_rollout_that_was_archived_during_the_search_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = rollout(tmp_path, THREAD, meta(THREAD), says(MARK))
    real = Path.stat

    def archived(self: Path, **how: Any) -> os.stat_result:
        if self == file:
            (tmp_path / "archived_sessions").mkdir()
            shutil.move(file, tmp_path / "archived_sessions")
        return real(self, **how)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", archived)
        with pytest.raises(HistoryUnavailable):
            find_mark(tmp_path, MARK, since=0)
    wanted = tmp_path / "archived_sessions" / file.name
    assert find_mark(tmp_path, MARK, since=0) == (THREAD, wanted)


@pytest.mark.parametrize("error", [errno.EACCES, errno.EMFILE, errno.EIO])
def test_a_folder_that_cannot_be_read_is_no_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    day = rollout(tmp_path, THREAD, meta(THREAD), says(MARK)).parent
    real = os.scandir

    def refused(folder: Path) -> Any:
        if folder == day:
            raise OSError(error, os.strerror(error), str(folder))
        return real(folder)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(HistoryUnavailable, match=os.strerror(error)):
        find_thread(tmp_path, THREAD)
    with pytest.raises(HistoryUnavailable, match=os.strerror(error)):
        find_mark(tmp_path, MARK, since=0)


def test_a_link_that_leads_nowhere_just_now_may_lead_to_the_mark(tmp_path: Path) -> None:
    link = rollout(tmp_path, OTHER)
    link.unlink()
    link.symlink_to(tmp_path / "not mounted")

    assert find_thread(tmp_path, OTHER) == link
    with pytest.raises(HistoryUnavailable):
        find_mark(tmp_path, MARK, since=0)


def test_a_mark_in_a_line_that_is_too_long_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locate, "LINE_BYTES", 1000)
    rollout(tmp_path, THREAD, meta(THREAD), says("x" * 2000), says("hello"))
    assert find_mark(tmp_path, MARK, since=0) is None

    rollout(tmp_path, THREAD, meta(THREAD), says(MARK + "x" * 2000))
    with pytest.raises(HistoryUnavailable, match="too long"):
        find_mark(tmp_path, MARK, since=0)


def test_no_mark_finds_nothing(tmp_path: Path) -> None:
    rollout(tmp_path, THREAD, meta(THREAD), says(MARK))

    assert find_mark(tmp_path, "", since=0) is None


def test_half_a_first_line_is_no_head_yet(tmp_path: Path) -> None:
    file = rollout(tmp_path, THREAD)
    assert read_head(file) is None
    file.write_bytes(meta(THREAD)[:40])
    assert read_head(file) is None
    file.write_bytes(says("hello") + b"\n")
    assert read_head(file) is None
    assert read_head(tmp_path / "none.jsonl") is None


def test_a_head_says_whose_sub_agent_and_which_fork_it_is(tmp_path: Path) -> None:
    child, fork = read_head(path("0.169.0-subagent")), read_head(path("0.169.0-fork"))

    assert child is not None
    assert (child.source, child.forked_from) == ("subagent", "")
    assert child.parent_id == (fork.forked_from if fork else "")
    assert fork is not None
    assert fork.parent_id == ""
