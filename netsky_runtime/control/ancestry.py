"""Who has made a connection, and whether what carries threads has started him.

Everything here blocks for a moment: call it in a thread.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.wire.birth import process_started, since_this_boot, started_then
from netsky_runtime.wire.credentials import peer_pid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MAX_RELATIVES: Final = 64
"""So many processes are looked at; who has more between himself and the first is not the owner."""
KNOCK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True)
class Carrier:
    """A process that carries threads: what it has started acts for them, not for the owner.

    It leads a process group and a session of its own, whose numbers stay taken while anybody is
    in them, also after its own end.
    """

    pid: int
    started: float
    """As ``process_started`` tells it."""
    name: str
    """In words, such as ``the engine``."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a connection."""

    pid: int
    command: str = ""
    carrier: str = ""
    """The name of the carrier he comes from; empty for the owner's own."""
    told: bool = True
    """Whether that could be found out."""


def listener(path: Path, name: str) -> Carrier | None:
    """Return who listens on a socket, ``None`` when nobody does."""
    with socket.socket(socket.AF_UNIX) as knock:
        knock.settimeout(KNOCK_SECONDS)
        try:
            knock.connect(str(path))
        except OSError:
            return None
        pid = peer_pid(knock)
    with suppress(ProcessLookupError):
        return Carrier(pid, process_started(pid), name) if pid > 0 else None
    return None


def caller(pid: int, carriers: Sequence[Carrier], *, mark: tuple[str, str]) -> Caller:
    """Tell whether a process comes from one of the carriers.

    Parents are followed to the first process, and from each the leaders of its session and of
    its group too: a child whose parent has ended keeps those. One that has left all of them can
    still bear the ``mark``, a variable and its value in its environment.
    """
    try:
        asking = psutil.Process(pid)
        relatives = _relatives(asking)
    except (psutil.Error, OSError, ValueError):
        return Caller(pid, told=False)
    command = _command(asking)
    for carrier in _living(carriers):
        if any(each.belongs_to(carrier) for each in relatives):
            return Caller(pid, command, carrier.name)
    if any(each.bears(*mark) for each in relatives):
        return Caller(pid, command, "an agent of this home")
    return Caller(pid, command, told=len(relatives) < MAX_RELATIVES)


@dataclass(frozen=True, slots=True)
class _Relative:
    process: psutil.Process
    group: int
    session: int

    def belongs_to(self, carrier: Carrier) -> bool:
        return carrier.pid in {self.process.pid, self.group, self.session}

    def bears(self, variable: str, value: str) -> bool:
        try:
            environment: Mapping[str, str] = self.process.environ()
        except (psutil.Error, OSError):
            return False  # another user's, or gone
        return environment.get(variable) == value


def _relatives(first: psutil.Process) -> tuple[_Relative, ...]:
    found: dict[int, _Relative] = {}
    waiting = [first]
    while waiting and len(found) < MAX_RELATIVES:
        process = waiting.pop()
        if process.pid in found:
            continue
        try:
            each = _Relative(process, os.getpgid(process.pid), os.getsid(process.pid))
        except OSError:
            if process is first:
                raise
            continue
        found[process.pid] = each
        waiting += _elders(each)
    return tuple(found.values())


def _elders(relative: _Relative) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        for pid in {relative.process.ppid(), relative.group, relative.session}:
            if pid > 1 and pid != relative.process.pid:
                with suppress(psutil.NoSuchProcess):
                    yield psutil.Process(pid)


def _living(carriers: Sequence[Carrier]) -> Iterator[Carrier]:
    """Leave out those whose number is another process's by now."""
    for carrier in carriers:
        try:
            if started_then(psutil.Process(carrier.pid), carrier.started):
                yield carrier
        except psutil.NoSuchProcess:
            if since_this_boot(carrier.started):
                yield carrier  # its group may live on


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:200]
    except psutil.Error:
        return ""
