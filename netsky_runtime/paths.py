"""Where a home keeps its files."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from netsky_runtime.errors import Unhealthy
from netsky_runtime.tilde import expand

if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_PATH_LIMIT = 100
"""Bytes; Linux allows 107 and macOS 103, and Codex may put a suffix on the engine's."""
AGENT_VARIABLE = "NETSKY_AGENT_OF"
"""Names the home whose engine or tmux has started a process. No proof, but what is left to tell
it by when it has left its parents, its session and its process group."""


@dataclass(frozen=True, slots=True)
class Home:
    """The one folder of a netsky, and the sockets that belong to it."""

    root: Path
    sockets: Path
    """Same as ``root`` unless that path is too long for a Unix socket."""

    @classmethod
    def locate(cls, environ: Mapping[str, str] | None = None) -> Home:
        """Find the home named by ``NETSKY_HOME``, default ``~/.netsky``. Touches no disk.

        Raises ``UsageError`` for a home of a user who does not exist.
        """
        environ = os.environ if environ is None else environ
        root = expand(environ.get("NETSKY_HOME") or "~/.netsky").absolute()
        if len(os.fsencode(root / "netsky.sock")) <= SOCKET_PATH_LIMIT:
            return cls(root=root, sockets=root)
        import hashlib  # with tempfile 6 ms of every command, and few homes need them
        import tempfile

        runtime = Path(environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        return cls(root=root, sockets=runtime / f"netsky-{os.getuid()}-{digest}")

    @property
    def database(self) -> Path:
        """The spine."""
        return self.root / "meta.db"

    @property
    def control_socket(self) -> Path:
        """Where the daemon listens."""
        return self.sockets / "netsky.sock"

    @property
    def engine_socket(self) -> Path:
        """Where the engine listens."""
        return self.sockets / "engine.sock"

    @property
    def lock(self) -> Path:
        """Held by the one daemon of this home."""
        return self.root / "daemon.lock"

    @property
    def logs(self) -> Path:
        """Structured logs, and the engine's bounded stderr."""
        return self.root / "logs"

    @property
    def backups(self) -> Path:
        """Databases from before a migration."""
        return self.root / "backups"

    @property
    def scripted(self) -> Path:
        """Threads of the scripted runtime."""
        return self.root / "scripted"

    @property
    def channels(self) -> Path:
        """The file bus: a folder for each actor and each program that writes to one."""
        return self.root / "channels"

    @property
    def attach(self) -> Path:
        """What a resident Codex is started with and says at the end of its turns, by actor."""
        return self.root / "attach"

    @property
    def mark(self) -> tuple[str, str]:
        """The variable that what agents start bears in its environment, and its value."""
        return AGENT_VARIABLE, str(self.root)

    @property
    def tmux_socket(self) -> Path:
        """Where the tmux server of this home's resident Codexes listens."""
        return self.sockets / "tmux.sock"

    @property
    def keymap(self) -> Path:
        """The operator's own keys for the room."""
        return self.root / "keys.toml"

    def check_place(self) -> None:
        """Raise ``Unhealthy`` when something that is no folder stands where the home would be."""
        for place in (self.root, *self.root.parents):
            try:
                if stat.S_ISDIR(place.stat().st_mode):
                    return
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return  # who needs the home itself says what is wrong with it
            msg = f"The home {self.root} cannot be: {place} is not a folder."
            raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.")

    def exposure(self) -> str:
        """Say that the home lies below a folder for temporary files, if it does.

        Codex's sandbox workspace-write lets actors write to ``/tmp`` and to ``$TMPDIR``.
        """
        folders = ("/tmp", os.environ.get("TMPDIR"))  # noqa: S108 - nothing is put there
        place = self.root.resolve()
        if not any(place.is_relative_to(Path(folder).resolve()) for folder in folders if folder):
            return ""
        return "Codex lets actors write to the folder for temporary files: keep the home elsewhere."

    def prepare(self) -> None:
        """Create the folders, private to this user.

        Raises ``Unhealthy`` when the home is not writable or belongs to somebody else.
        """
        try:
            for folder in (self.root, self.sockets, self.logs, self.backups):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _claim(folder)
        except OSError as error:
            msg = f"The home {self.root} cannot be used: {error.strerror or error}."
            raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.") from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            msg = f"The home {self.root} is not writable."
            raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.")


def _claim(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        msg = f"{folder} is not a folder of yours."
        raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
