"""Killing processes as the kernel would: at once, with no last words. Linux and macOS."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import psutil

from netsky_runtime.wire.birth import is_same_process

if TYPE_CHECKING:
    from pathlib import Path

_ENGINES = "SELECT pid, pid_started FROM engines WHERE state = 'running' AND pid > 0"


def engines(database: Path) -> list[int]:
    """Return the engines that this home's rows name and that are alive."""
    if not database.exists():
        return []
    uri = f"{database.as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=5)) as connection:
            rows = connection.execute(_ENGINES).fetchall()
    except sqlite3.OperationalError:  # killed before its tables were made
        return []
    return [pid for pid, started in rows if is_same_process(pid, started)]


def kill_engine(database: Path) -> bool:
    """Kill the engine with all that it has started; say whether there was one."""
    found = engines(database)
    for pid in found:
        kill_tree(pid)
    return bool(found)


def kill_tree(pid: int) -> None:
    """Kill a process and everything below it, the lowest last."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()


def of_home(root: Path) -> list[psutil.Process]:
    """Return every process that was started for a throw-away home.

    By its environment, in which ``root`` is its HOME; whoever looks at the home from another
    terminal has his own.
    """
    return [process for process in psutil.process_iter() if _of(process, root)]


def _of(process: psutil.Process, root: Path) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return process.environ().get("HOME") == str(root)
    except (psutil.Error, OSError):
        return False
