"""netsky's own tmux server: sessions made, found again and ended, through libtmux.

The server listens on a socket of the home, reads nobody's configuration and outlives netsky.
Every method blocks for a few milliseconds a command, for ``COMMAND_SECONDS`` when the server hangs
and then raises ``ThreadUnavailable``: call it in a thread.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import NoSuchDoor, ThreadUnavailable
from netsky_runtime.codex.resident import processes
from netsky_runtime.codex.resident.bounded import BoundedServer
from netsky_runtime.errors import Unhealthy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from libtmux.common import tmux_cmd

WIDTH: Final = 200
HEIGHT: Final = 50
"""The size of a screen that nobody looks at; an attached terminal gives it its own."""
HISTORY_LINES: Final = 20_000
_OPTIONS: Final = {
    # What Codex said last is kept when it ends, to be shown.
    "remain-on-exit": "on",
    "history-limit": str(HISTORY_LINES),
    "status-right": "ctrl-b d: leave Codex working",
    "status-right-length": "40",
    "mouse": "on",
}
_FIELDS: Final = (
    "pane_id",
    "pane_pid",
    "session_name",
    "pane_dead",
    "@netsky_mark",
    "@netsky_thread",
    "session_attached",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A pane of the server that netsky has made, this one or an earlier one."""

    pane: str
    pid: int
    session: str
    dead: bool
    mark: str
    thread_id: str
    attached: bool = False
    """Whether the session is shown on somebody's terminal."""


class TmuxServer:
    """The server of one home. It is started with the first session."""

    def __init__(self, *, socket: Path, environ: Mapping[str, str]) -> None:
        self._socket = socket
        self._path = environ.get("PATH")
        self._server: BoundedServer | None = None

    def program(self) -> str:
        """Return the tmux that is used. Raises ``NoSuchDoor`` when there is none.

        ``Unhealthy`` instead where its server may still carry panes: no other door may have them.
        """
        found = shutil.which("tmux", path=self._path)
        if found is None:
            if self._socket.exists():
                msg = "There is no tmux any more, and Codexes may still work in its server."
                raise Unhealthy(msg, hint="Install it again: apt install tmux")
            msg = "There is no tmux, which a resident Codex lives in."
            raise NoSuchDoor(msg, hint="Install it: apt install tmux")
        return found

    def instance(self) -> str:
        """Return which server this is: its process and start; empty when none runs."""
        said = self._run("display-message", "-p", "#{pid}-#{start_time}", strict=False)
        return said[0] if said else ""

    def make(
        self, session: str, command: str, *, cwd: str, options: Mapping[str, str]
    ) -> tuple[str, int]:
        """Run a shell command in a new session; return its pane and process.

        Its user options are set in the same breath, or a crash could leave a pane nobody knows.
        Raises ``ThreadUnavailable``.
        """
        settings: list[str] = []
        if not self.instance():
            # No pane may be born before these hold. This session ends with the first other.
            settings += ["new-session", "-d", "-s", _FIRST, "exec cat", ";"]
        for name, value in _OPTIONS.items():
            settings += ["set-option", "-g", name, value, ";"]
        created = ["new-session", "-d", "-P", "-F", "#{pane_id} #{pane_pid}", "-s", session]
        size = ["-x", str(WIDTH), "-y", str(HEIGHT), "-c", cwd]
        marks: list[str] = []
        for name, value in options.items():
            marks += [";", "set-option", "-t", f"={session}:", name, _word(value)]
        said = self._run(*settings, *created, *size, command, *marks)
        self._run("kill-session", "-t", f"={_FIRST}", strict=False)
        pane, pid = said[0].split()
        return pane, int(pid)

    def name_thread(self, session: str, thread_id: str) -> None:
        """Note which thread lives in a session."""
        self._run("set-option", "-t", f"={session}:", "@netsky_thread", thread_id, strict=False)

    def panes(self) -> list[Found]:
        """Return all panes that netsky has made and that are still there; none without server.

        None is certain: whoever finds no pane of a thread starts another for it.
        """
        form = "\t".join(f"#{{{field}}}" for field in _FIELDS)
        done = self._do("list-panes", "-a", "-F", form)
        said = " ".join(done.stderr)
        if done.returncode and not _NO_SERVER.search(said):
            msg = f"tmux does not tell its panes: {said or _SILENT}."
            raise ThreadUnavailable(msg)
        rows = [row.split("\t") for row in done.stdout]
        return [
            Found(
                pane=pane,
                pid=int(pid),
                session=session,
                dead=dead == "1",
                mark=mark,
                thread_id=thread_id,
                attached=attached != "0",
            )
            for pane, pid, session, dead, mark, thread_id, attached in (
                row for row in rows if len(row) == len(_FIELDS)
            )
            if mark
        ]

    def kill(self, session: str) -> None:
        """Close a session: what runs in it is told by SIGHUP. Does nothing when it is gone."""
        self._run("kill-session", "-t", f"={session}", strict=False)

    def kill_server(self) -> None:
        """End the server and with it every session. Does nothing when there is none.

        Returns when its process has gone: to one that is going, a client would still connect.
        tmux leaves its socket behind, which is removed.
        """
        pid = self.instance().partition("-")[0]
        server = processes.leader(int(pid)) if pid else None
        self._run("kill-server", strict=False)
        if processes.end([server] if server is not None else []):
            self._socket.unlink(missing_ok=True)

    def _run(self, *words: str, strict: bool = True) -> list[str]:
        done = self._do(*words)
        if done.returncode and strict:
            msg = f"tmux made no session: {' '.join(done.stderr) or _SILENT}."
            raise ThreadUnavailable(msg)
        return [] if done.returncode else list(done.stdout)

    def _do(self, *words: str) -> tmux_cmd:
        if self._server is None:
            self._server = BoundedServer(
                socket_path=self._socket, config_file="/dev/null", tmux_bin=self.program()
            )
        try:
            return self._server.cmd(*words)
        except OSError as error:
            msg = f"tmux cannot be run: {error.strerror or error}."
            raise ThreadUnavailable(msg) from error


def _word(text: str) -> str:
    # A word that ends in a semicolon would end the command.
    return f"{text[:-1]}\\;" if text.endswith(";") else text


_FIRST: Final = "netsky-first"
_SILENT: Final = "it does not say why"
_NO_SERVER: Final = re.compile(
    r"^no server running|^error connecting .*\(No such file"
    r"|^no current target|^server exited"  # one that has lost its last session and goes
)
