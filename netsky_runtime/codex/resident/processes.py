"""The processes of a pane: which thread they write, and their end.

Everything here blocks: call it in a thread.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.codex.rollout import read_head, says

if TYPE_CHECKING:
    from collections.abc import Sequence

GRACE_SECONDS: Final = 3.0
KILL_SECONDS: Final = 2.0
SWEEPS: Final = 5
_POLL_SECONDS: Final = 0.02
_LOCKS: Final = "thread-writer-locks"
"""Folder below CODEX_HOME: Codex keeps ``<thread>.lock`` open for each thread that it has loaded
(0.153.4, 0.163.0; older ones lock nothing)."""


def leader(pid: int) -> psutil.Process | None:
    """Return the process of a living pane; a later one of that number is not taken for it."""
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def parent(process: psutil.Process | None) -> psutil.Process | None:
    """Return who has started a process that still lives: of a pane's leader, the tmux server."""
    try:
        return process.parent() if process is not None else None
    except psutil.NoSuchProcess:
        return None


def family(first: psutil.Process | None) -> list[psutil.Process]:
    """Return a process that still lives and its descendants."""
    try:
        if first is not None and first.is_running():
            return [first, *first.children(recursive=True)]
    except psutil.NoSuchProcess:
        pass
    return []


def end_marked(variable: str, value: str) -> bool:
    """End all of this user's processes whose environment has a variable begin with a value.

    What Codex starts lives in sessions of its own and may outlive it, but inherits this. Returns
    whether none is left, nor any that one of them started meanwhile.
    """
    for _ in range(SWEEPS):
        found = _marked(variable, value)
        if not found:
            return True
        if not end(found):
            break
    return False


def _marked(variable: str, value: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(variable, "").startswith(value):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # somebody else's, or gone
    return found


def end(processes: Sequence[psutil.Process], *, grace: float = GRACE_SECONDS) -> bool:
    """Wait until these have gone, of whom the terminal took leave; end those that have not.

    Returns whether none is left.
    """
    alive = _left(processes, grace)
    for kill in (False, True):
        for process in alive:
            _signal(process, kill=kill)
        alive = _left(alive, KILL_SECONDS)
    return not alive


def open_rollout(first: psutil.Process | None, *, mark: str = "") -> tuple[str, Path] | None:
    """Return thread and rollout that the Codex of a pane writes, ``None`` before its first turn.

    Codex keeps the file open (0.120 to 0.169), also when a human goes on to another thread: it
    is the one that was written last. A sub-agent's does not count, nor what Codex only reads: to
    list the threads of its folder it opens those of everybody else, when it starts (0.163.0) and
    whenever a human asks. With a ``mark``, nor a thread in which nobody has said that.
    """
    found: list[tuple[float, str, Path]] = []
    for path in _rollouts(_writes(first)):
        head = read_head(path)
        if head is not None and not head.parent_id:
            found.append((_written(path), head.thread_id, path))
    for _, thread_id, path in sorted(found, reverse=True):
        if not mark or says(path, mark):
            return thread_id, path
    return None


def shown_thread(first: psutil.Process | None) -> str:
    """Return the thread that the screen of a pane shows; empty when that cannot be told.

    Also one in which nobody has said anything yet, which has no rollout. Codex locks a thread
    when its screen comes to show it, anew when a human comes back to it, and keeps the locks of
    those he left: the newest tells. What a side conversation and a title are made in has no lock;
    a review's or another sub-agent's thread has, and its rollout names its parent. An older Codex
    tells by what it wrote last.
    """
    written = _writes(first)
    heads = [head for path in _rollouts(written) if (head := read_head(path)) is not None]
    beneath = {head.thread_id for head in heads if head.parent_id}
    locks = [path for path in written if path.parent.name == _LOCKS and path.name[0] != "."]
    locked = [(_written(path), path.stem) for path in locks if path.stem not in beneath]
    if locked:
        return max(locked)[1]
    last = open_rollout(first)
    return last[0] if last else ""


def _rollouts(paths: Sequence[Path]) -> list[Path]:
    return [path for path in paths if path.name.startswith("rollout-")]


def _writes(first: psutil.Process | None) -> list[Path]:
    """Return what the processes of a pane have open to write to.

    Not of one in a session of its own: that is a command of Codex's, maybe another Codex. What a
    file is open for only Linux says; elsewhere all count.
    """
    paths: list[Path] = []
    for process in family(first):
        try:
            if first is None or os.getsid(process.pid) != os.getsid(first.pid):
                continue
            files = process.open_files()
        except (psutil.Error, OSError):
            continue
        paths += [Path(file.path) for file in files if getattr(file, "mode", "a") != "r"]
    return paths


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _left(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return who still lives after so long; who is dead and not yet buried does not."""
    gone = threading.Event()  # never set: the only way to wait in a thread
    for _ in range(round(seconds / _POLL_SECONDS)):
        if not any(lives(process) for process in processes):
            break
        gone.wait(_POLL_SECONDS)
    return [process for process in processes if lives(process)]


def lives(process: psutil.Process) -> bool:
    """Whether a process has not ended; one that is dead and not yet buried has."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _signal(process: psutil.Process, *, kill: bool) -> None:
    # Whom we may not signal, somebody else's by now, does not end: whoever waits for it sees that.
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if kill:
            process.kill()
        else:
            process.terminate()
