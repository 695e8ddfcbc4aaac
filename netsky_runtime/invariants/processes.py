"""Invariant 8: what works for a home is known to it, and nothing else of it is left over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.db import daemon_row, engines, sessions
from netsky_runtime.invariants.checks import Check, Violation
from netsky_runtime.states import RuntimeName
from netsky_runtime.wire.birth import is_same_process

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from netsky_runtime.db.daemon_row import DaemonRow
    from netsky_runtime.db.rows import Tx
    from netsky_runtime.paths import Home
    from netsky_runtime.records import Engine

NO_STRAY: Final = Check(
    invariant=8,
    name="no_stray_process",
    about="Every Codex that was started for this home is one that its rows know.",
)
NO_STRAY_SOCKET: Final = Check(
    invariant=8,
    name="no_stray_socket",
    about="Every socket of this home is the daemon's, the engine's or tmux's.",
)
CHECKS: Final = (NO_STRAY, NO_STRAY_SOCKET)

_SERVERS = frozenset({"app-server", "mcp-server"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The processes that a home knows of."""

    daemon: DaemonRow | None
    """The last one, whether or not it runs."""
    engines: tuple[Engine, ...]
    """Those that are believed to run."""
    residents: bool
    """Whether a session goes through tmux."""

    def living(self) -> frozenset[int]:
        """Return the pids of those that do run."""
        pids = {e.pid for e in self.engines if is_same_process(e.pid, e.pid_started)}
        return frozenset(pids | ({self.daemon.pid} if self.daemon else set()))


async def known(tx: Tx) -> Known:
    """Return the processes that the rows name."""
    doors = (RuntimeName.APP_SERVER, RuntimeName.MCP_SERVER)
    found = [await engines.running(tx, door) for door in doors]
    current = await sessions.list_current(tx)
    return Known(
        daemon=await daemon_row.current(tx),
        engines=tuple(engine for engine in found if engine is not None),
        residents=any(session.runtime is RuntimeName.RESIDENT for session in current),
    )


def look(home: Home, of_home: Known, *, live: bool) -> list[Violation]:
    """Return the processes and sockets that nobody will end. Blocks for some 50 ms.

    While no daemon runs, one engine without a row is none of them: a netsky was killed between
    starting it and storing that it had, and the next finds it by its socket.
    """
    found = list(_strays(home, of_home))
    listening = [stray for stray, by_socket in found if by_socket]
    adopted = listening if not live and len(listening) == 1 else []
    return [*(stray for stray, _ in found if stray not in adopted), *_sockets(home)]


def _strays(home: Home, of_home: Known) -> Iterator[tuple[Violation, bool]]:
    """Yield what no row knows, each with whether it listens where an engine does."""
    living = of_home.living()
    for process in psutil.process_iter():
        try:
            line = process.cmdline()
            what = _started_for(home, line, process)
            if not what or (what == "tmux" and of_home.residents):
                continue
            above = {process.pid, *(parent.pid for parent in process.parents())}
        except psutil.Error:  # it has just ended, or is another user's
            continue
        if above.isdisjoint(living):
            told = f"Process {process.pid} ({what}) works for this home, which does not know it."
            yield NO_STRAY.found(told, str(process.pid)), _listens(home) in line


def _started_for(home: Home, line: Collection[str], process: psutil.Process) -> str:
    """Say what of this home a process is; empty when it is nothing that netsky starts."""
    if str(home.tmux_socket) in line or f"-S{home.tmux_socket}" in line:
        return "tmux"
    server = next((word for word in line if word in _SERVERS), "")
    ours = _listens(home) in line
    return server if server and (ours or process.cwd() == str(home.root)) else ""


def _listens(home: Home) -> str:
    return f"unix://{home.engine_socket}"


def _sockets(home: Home) -> Iterator[Violation]:
    ours = {home.control_socket, home.engine_socket, home.tmux_socket}
    for folder in {home.root, home.sockets}:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path not in ours and path.is_socket():
                yield NO_STRAY_SOCKET.found(f"Nobody knows the socket {path}.", str(path))
