"""Where the rollout of a thread is. Every function here blocks: call it in a thread.

Codex keeps ``$CODEX_HOME/sessions/YYYY/MM/DD/rollout-<time>-<threadid>.jsonl``, by the day the
thread began, and moves archived threads to ``$CODEX_HOME/archived_sessions`` without folders.
The file is made when the first turn starts, never before.
"""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import HistoryUnavailable
from netsky_runtime.codex.members import part
from netsky_runtime.codex.rollout.items import item, user_message
from netsky_runtime.codex.rollout.lines import Head, Line, head_of, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSIONS: Final = "sessions"
ARCHIVED: Final = "archived_sessions"
CLOCK_SECONDS: Final = 60
"""How far the clock of the disk may be behind netsky's own."""
LINE_BYTES: Final = 64 * 1024 * 1024
"""The longest line that is searched for a mark; Codex takes messages of 1 MiB."""
HEAD_BYTES: Final = 4 * 1024 * 1024
"""The longest first line that is read: it carries the instructions and the tools' schemas."""

_THREAD_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,120}")
_NAME = re.compile(r"rollout-\d{4}-\d\d-\d\dT[\d-]+?-(?P<thread>[0-9A-Za-z][0-9A-Za-z_-]*)\.jsonl")
_NUMBER = re.compile(r"\d+")


def find_thread(codex_home: Path, thread_id: str) -> Path | None:
    """Return the rollout of a thread, the newest when there are several.

    ``None`` is certain: raises ``HistoryUnavailable`` when a folder cannot be read.
    """
    if not _THREAD_ID.fullmatch(thread_id):
        return None
    end = f"-{thread_id}.jsonl"
    try:
        return next((path for path in _rollouts(codex_home) if path.name.endswith(end)), None)
    except OSError as error:
        raise _unsearched(error) from error


def find_mark(codex_home: Path, mark: str, *, since: int) -> tuple[str, Path] | None:
    """Return id and rollout of the thread in which somebody said ``mark``.

    Only user messages count, and only files changed at or after ``since`` (milliseconds since the
    epoch), or ``CLOCK_SECONDS`` before. A sub-agent's thread and a fork begin with words of the
    thread they came from, and are passed over. Of several threads it is the one that was changed
    last, of those whose very first message says it, if there are any: in others a thread may be
    quoted, as in the report that its actor makes to another. ``None`` is certain: raises
    ``HistoryUnavailable`` when not all could be searched.
    """
    if not mark:
        return None
    later: tuple[str, Path] | None = None
    try:
        for path in _changed(codex_home, since / 1000 - CLOCK_SECONDS):
            thread_id, at_once = _says(path, mark)
            if at_once:
                return thread_id, path
            if thread_id:
                later = later or (thread_id, path)
    except OSError as error:  # also when one was archived meanwhile: it is found the next time
        raise _unsearched(error) from error
    return later


def says(path: Path, mark: str) -> bool:
    """Whether a user message of a thread carries the mark, as far as its rollout can be read.

    Never one of a sub-agent or a fork, see ``find_mark``.
    """
    try:
        return bool(_says(path, mark)[0])
    except OSError:
        return False


def read_head(path: Path) -> Head | None:
    """Return what a rollout's first line says; ``None`` when it is not written yet, or not one."""
    try:
        with path.open("rb") as file:
            line = parse(file.readline(HEAD_BYTES))
    except OSError:
        return None
    return head_of(line) if line else None


def _rollouts(codex_home: Path) -> Iterator[Path]:
    """Yield all rollouts of a home, the newest thread first, the archived ones last."""
    for day in _days(codex_home / SESSIONS):
        yield from _files(day)
    yield from _files(codex_home / ARCHIVED)


def _changed(codex_home: Path, since: float) -> list[Path]:
    """Return the rollouts that were changed since, the one changed last first."""
    times = [(path.stat().st_mtime, path) for path in _rollouts(codex_home)]
    return [path for time, path in sorted(times, reverse=True) if time >= since]


def _unsearched(error: OSError) -> HistoryUnavailable:
    msg = f"Codex's rollouts cannot be searched: {error.strerror or error}."
    return HistoryUnavailable(msg, hint=f"See {error.filename}." if error.filename else "")


def _says(path: Path, mark: str) -> tuple[str, bool]:
    """Return the thread's id when one of its user messages carries the mark; whether the first.

    Raises ``OSError``, also when the mark stands in a line that is too long to be read.
    """
    wanted, first = mark.encode(), True
    with path.open("rb") as file:
        head = head_of(line) if (line := parse(file.readline(LINE_BYTES))) else None
        if head is None or head.parent_id or head.forked_from:
            return "", False
        while raw := file.readline(LINE_BYTES):
            if wanted not in raw:
                first = first and not _is_message(raw)
                continue
            if len(raw) == LINE_BYTES and not raw.endswith(b"\n"):
                raise OSError(errno.EFBIG, "a line with the mark is too long", str(path))
            if (line := parse(raw)) and mark in _user_words(line):
                return head.thread_id, first
    return "", False


def _is_message(raw: bytes) -> bool:
    line = parse(raw) if b'"user_message"' in raw or b'"UserMessage"' in raw else None
    return line is not None and bool(_user_words(line))


def _user_words(line: Line) -> str:
    if line.type != "event_msg":
        return ""
    if line.kind == "user_message":
        return str(user_message(line.payload)["text"])
    said = item(part(line.payload, "item")) if line.kind == "item_completed" else {}
    return str(said["text"]) if said.get("type") == "user_message" else ""


def _days(sessions: Path) -> Iterator[Path]:
    for year in _numbered(sessions):
        for month in _numbered(year):
            yield from _numbered(month)


def _numbered(folder: Path) -> list[Path]:
    """Return the folders named by a number, the highest first."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if _NUMBER.fullmatch(e.name) and e.is_dir()]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names, key=int, reverse=True)]


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if _NAME.fullmatch(e.name)]
    except FileNotFoundError:
        return []
    return [folder / name for name in sorted(names, reverse=True)]
