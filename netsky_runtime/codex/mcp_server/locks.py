"""Codex's own lock on a thread, which an mcp-server keeps for as long as it lives.

Codex locks every thread that it has loaded, so that no second process writes to it:
``flock`` on ``$CODEX_HOME/thread-writer-locks/<thread>.lock``, a file that is made and removed
under the lock of ``.coordination.lock`` beside it. Seen on 0.153.4; 0.145 has no locks. The
app-server unloads a thread when it is told to, an mcp-server has no word for that: another Codex
says "already has an active writer" until the process ends, and all its other threads with it.
"""

from __future__ import annotations

import asyncio
import fcntl
from contextlib import closing
from typing import IO, TYPE_CHECKING, Final

import psutil

from netsky_runtime.codex.base import ThreadUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from netsky_runtime.clock import Clock

FOLDER: Final = "thread-writer-locks"
COORDINATION: Final = ".coordination.lock"
LOOKS: Final = 200
LOOK_SECONDS: Final = 0.01
"""How often, and after how long, it is looked whether other Codexes are done with their locks;
they need a few microseconds."""


async def give_up(codex_home: Path, thread_id: str, *, holder: int, clock: Clock) -> None:
    """Take away the lock of a thread that our living mcp-server, the process ``holder``, holds.

    Only for a thread into which nobody will say anything there any more: an mcp-server writes
    nothing of its own accord. Who opens the thread next makes a lock of its own. The mcp-server
    removes that one by its name when it ends: from then on, until it is opened again, only netsky
    keeps a second writer away from the thread. Raises ``ThreadUnavailable``, also when the lock is
    another Codex's, which it keeps.
    """
    for _ in range(LOOKS):
        if await asyncio.to_thread(_give_up, codex_home / FOLDER, thread_id, holder):
            return
        await clock.sleep(LOOK_SECONDS)
    msg = f"Codex has been busy with the locks of its threads for {LOOKS * LOOK_SECONDS:g} seconds."
    raise ThreadUnavailable(msg)


def _give_up(folder: Path, thread_id: str, holder: int) -> bool:
    """Return whether the lock is out of the way; not while another Codex is at the locks."""
    lock = folder / f"{thread_id}.lock"
    try:
        with closing((folder / COORDINATION).open("rb")) as coordination:
            if not _lock(coordination):
                return False
            if not _is_held(lock):
                return True
            if _who_has_open(lock, _family(holder)):
                lock.unlink()
                return True
        # All processes are asked only now that no other Codex waits for the locks.
        strangers = _who_has_open(lock, psutil.process_iter())
    except FileNotFoundError:
        return True  # a Codex without locks
    except OSError as error:
        msg = f"Codex holds the thread, and its lock cannot be taken away: {error}."
        raise ThreadUnavailable(msg) from error
    who = f" (process {', '.join(map(str, strangers))})" if strangers else ""
    msg = f"Another Codex{who} has the thread open."
    raise ThreadUnavailable(msg, hint="Close the thread there and try again.")


def _is_held(lock: Path) -> bool:
    with closing(lock.open("rb")) as file:
        return not _lock(file)


def _lock(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _family(holder: int) -> list[psutil.Process]:
    """Return the process and its descendants: an installed Codex may be a launcher of another."""
    try:
        process = psutil.Process(holder)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _who_has_open(file: Path, processes: Iterable[psutil.Process]) -> list[int]:
    path, found = str(file.resolve()), []
    for process in processes:
        try:
            names = [opened.path for opened in process.open_files()]
        except (psutil.Error, OSError):
            continue  # somebody else's, or gone
        if path in names:
            found.append(process.pid)
    return found
