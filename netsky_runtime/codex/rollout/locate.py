"""Where the rollout of a thread is. Every function here blocks: call it in a thread.

Codex keeps ``$CODEX_HOME/sessions/YYYY/MM/DD/rollout-<time>-<threadid>.jsonl``, by the day the
thread began, and moves archived threads to ``$CODEX_HOME/archived_sessions`` without folders.
The file is made when the first turn starts, never before.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.rollout.items import item, user_message
from netsky_runtime.codex.rollout.lines import Head, Line, head_of, parse, part

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SESSIONS: Final = "sessions"
ARCHIVED: Final = "archived_sessions"
MARK_FILES: Final = 200
"""Files that are searched for a mark, the newest first."""
MARK_BYTES: Final = 64 * 1024 * 1024
"""How much of each: the mark is in a thread's first message."""
HEAD_BYTES: Final = 4 * 1024 * 1024
"""The longest first line that is read: it carries the instructions and the tools' schemas."""

_THREAD_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,120}")
_NAME = re.compile(r"rollout-\d{4}-\d\d-\d\dT[\d-]+?-(?P<thread>[0-9A-Za-z][0-9A-Za-z_-]*)\.jsonl")
_NUMBER = re.compile(r"\d+")


def find_thread(codex_home: Path, thread_id: str) -> Path | None:
    """Return the rollout of a thread, the newest when there are several."""
    if not _THREAD_ID.fullmatch(thread_id):
        return None
    end = f"-{thread_id}.jsonl"
    return next((path for path in rollouts(codex_home) if path.name.endswith(end)), None)


def find_mark(codex_home: Path, mark: str, *, since: float) -> tuple[str, Path] | None:
    """Return id and rollout of the thread in which somebody said ``mark``.

    Only user messages count, and only files changed at or after ``since`` (seconds since the
    epoch). A sub-agent's thread and a fork begin with words of the thread they came from, and
    are passed over. Of several threads it is the one that was changed last.
    """
    changed: list[tuple[float, Path]] = []
    for path in rollouts(codex_home):
        with suppress(OSError):  # archived or removed meanwhile
            time = path.stat().st_mtime
            if time >= since:
                changed.append((time, path))
    changed.sort(reverse=True)
    for _, path in changed[:MARK_FILES] if mark else ():
        with suppress(OSError):
            if thread_id := _says(path, mark):
                return thread_id, path
    return None


def read_head(path: Path) -> Head | None:
    """Return what a rollout's first line says; ``None`` when it is not written yet, or not one."""
    try:
        with path.open("rb") as file:
            line = parse(file.readline(HEAD_BYTES))
    except OSError:
        return None
    return head_of(line) if line else None


def rollouts(codex_home: Path) -> Iterator[Path]:
    """Yield all rollouts of a home, the newest thread first, the archived ones last."""
    for day in _days(codex_home / SESSIONS):
        yield from _files(day)
    yield from _files(codex_home / ARCHIVED)


def newest(codex_home: Path, days: int) -> list[Path]:
    """Return the rollouts of the last days on which threads began, the newest thread first."""
    return [path for day in islice(_days(codex_home / SESSIONS), days) for path in _files(day)]


def is_rollout(path: Path) -> bool:
    """Whether a file is named like a rollout."""
    return _NAME.fullmatch(path.name) is not None


def _says(path: Path, mark: str) -> str:
    """Return the thread's id when one of its user messages carries the mark."""
    head: Head | None = None
    wanted = mark.encode()
    with path.open("rb") as file:
        while file.tell() < MARK_BYTES and (raw := file.readline(MARK_BYTES)):
            if head is None:
                line = parse(raw)
                head = head_of(line) if line else None
                if head is None or head.parent_id or head.forked_from:
                    return ""
            elif wanted in raw and (line := parse(raw)) and mark in _user_words(line):
                return head.thread_id
    return ""


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
    except OSError:
        return []
    return [folder / name for name in sorted(names, key=int, reverse=True)]


def _files(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if _NAME.fullmatch(e.name)]
    except OSError:
        return []
    return [folder / name for name in sorted(names, reverse=True)]
