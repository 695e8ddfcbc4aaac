"""netsky as an operator runs it: a process, and commands against it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

PATIENCE = 60.0
"""Seconds until a wait counts as a hang."""
LOOK_SECONDS = 0.01
"""Between two looks: who looks without a rest takes the processor from what he waits for."""


class Netsky:
    """One home, its daemon and its command line."""

    def __init__(self, root: Path, *, environ: Mapping[str, str]) -> None:
        self.root = root
        self.home = root / "home"
        self.work = root / "work"
        self.work.mkdir(parents=True, exist_ok=True)
        kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
        self.environ = {
            **kept,
            "HOME": str(root),
            "NETSKY_HOME": str(self.home),
            "PYTHONWARNINGS": "error",
            **environ,
        }
        self.daemon: subprocess.Popen[bytes] | None = None
        self.pids: set[int] = set()

    @property
    def argv(self) -> list[str]:
        """The command, without its arguments."""
        return [sys.executable, "-m", "netsky_tui"]

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start a headless daemon and wait until it is ready."""
        told = self._told_ready()
        log = (self.root / "daemon.log").open("ab")
        self.daemon = subprocess.Popen(
            [*self.argv, "--no-tui", *args],
            env=self.environ,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        self.pids.add(self.daemon.pid)
        self.until(lambda: self._ready(told))
        return self.daemon

    def _told_ready(self) -> int:
        """How often a daemon of this home has printed that it is ready."""
        return sum(line.startswith("ready") for line in self.log().splitlines())

    def _ready(self, told_before: int) -> bool:
        assert self.daemon is not None
        if self.daemon.poll() is not None:
            raise AssertionError(f"the daemon ended:\n{self.log()}")
        if self._told_ready() == told_before:
            return False
        told = self.run("status", "--json")
        if told.returncode != 0:
            return False
        return bool(json.loads(told.stdout)["daemon"]["state"] == "ready")

    def log(self) -> str:
        """What the daemon has printed."""
        log = self.root / "daemon.log"
        return log.read_text(errors="replace") if log.exists() else ""

    def run(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self.argv, *args],
            env=self.environ,
            cwd=self.work,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def json(self, *args: str) -> Any:
        """Run a command that must succeed and return what it printed as JSON."""
        told = self.run(*args, "--json")
        assert told.returncode == 0, f"{args}: exit {told.returncode}\n{told.stderr}\n{self.log()}"
        return json.loads(told.stdout)

    def ask(self, text: str, *, to: str = "manager0") -> Any:
        """Send a message and wait for its answer."""
        return self.json("send", to, text, "--wait", "--timeout", str(int(PATIENCE)))

    def send(self, text: str, *, to: str = "manager0", mode: str = "queue") -> str:
        """Send a message without waiting; return its input id."""
        return str(self.json("send", to, text, "--mode", mode)["input_id"])

    def until(self, look: Callable[[], Any]) -> Any:
        """Look again until what is seen is true; return it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if seen := look():
                return seen
            time.sleep(LOOK_SECONDS)  # noqa: TID251 - no loop here, and nobody tells
        raise AssertionError(f"did not happen within {PATIENCE} s: {look}\n{self.log()}")

    def input(self, input_id: str) -> Any:
        """Return one input as it is stored."""
        (found,) = self._rows("SELECT * FROM actor_inputs WHERE id = ?", input_id)
        return dict(found)

    def _rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        with closing(sqlite3.connect(f"file:{self.home}/meta.db?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            return database.execute(query, values).fetchall()

    def settled(self, input_id: str) -> Any:
        """Wait until an input is settled."""

        def look() -> Any:
            row = self.input(input_id)
            open_ = {"queued", "handed", "seen"}
            return row if row and row["status"] not in open_ else None

        return self.until(look)

    def seen(self, input_id: str) -> Any:
        """Wait until an input is in the thread's history."""
        return self.until(lambda: (row := self.input(input_id)) and row["status"] == "seen" and row)

    def pending(self, count: int = 1) -> Any:
        """Wait until so many approvals are pending."""

        def look() -> Any:
            # The command is run for an answer, not to wait for it.
            if len(self._rows("SELECT id FROM approvals WHERE status = 'pending'")) < count:
                return None
            found = [a for a in self.json("approvals", "list") if a["status"] == "pending"]
            return found if len(found) >= count else None

        return self.until(look)

    def engine(self) -> psutil.Process | None:
        """Return the Codex engine of this home."""
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if "app-server" in line and any(str(self.home) in part for part in line):
                return process
        return None

    def kill(self) -> None:
        """SIGKILL the daemon."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait(PATIENCE)

    def stop(self, *args: str) -> int:
        """``netsky stop`` and wait for the daemon to end; return the daemon's exit status."""
        assert self.daemon is not None
        told = self.run("stop", *args)
        assert told.returncode == 0, told.stderr
        return self.daemon.wait(PATIENCE)

    def processes(self) -> list[psutil.Process]:
        """Return every process that this home's netsky has started."""
        return [process for process in psutil.process_iter() if self._ours(process)]

    def _ours(self, process: psutil.Process) -> bool:
        if process.pid == os.getpid():
            return False
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return False
            told = [*process.cmdline(), *process.environ().values()]
        except (psutil.Error, OSError):
            return False
        return any(part.startswith(str(self.root)) for part in told)

    def empty(self) -> bool:
        """Wait until none of them is left."""
        return bool(self.until(lambda: not self.processes()))

    def leaves_nothing(self) -> None:
        """Stop what still runs, and see that neither a process nor a socket is left."""
        if self.daemon is not None and self.daemon.poll() is None:
            assert self.stop() == 0
        assert self.empty()
        assert [path for path in self.home.rglob("*") if path.is_socket()] == []

    def tmux(self, *words: str) -> str:
        """Run tmux as a human of another terminal could; return what it says."""
        done = subprocess.run(
            ["tmux", "-S", str(self.home / "tmux.sock"), "-N", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.stdout

    def clean_up(self) -> None:
        """End whatever is left, whichever way the test went."""
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait(PATIENCE)
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()
