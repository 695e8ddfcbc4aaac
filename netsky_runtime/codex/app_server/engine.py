"""The detached engine: started once, found again after a crash, replaced when it must be.

``codex app-server --listen unix://…`` in a session of its own carries all threads and outlives
netsky. Its row says which process it is; what listens on the socket says the same or is
replaced, when no turn runs in it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.app_server.probe import Found, probe
from netsky_runtime.codex.app_server.stderr_log import StderrLog
from netsky_runtime.codex.binary import (
    CodexBinary,
    codex_home,
    make_codex_home,
    real_path,
    version_tuple,
)
from netsky_runtime.counting import count
from netsky_runtime.errors import Unhealthy
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName
from netsky_runtime.wire.birth import is_same_process, process_started
from netsky_runtime.wire.groups import end_group
from netsky_runtime.wire.last_words import how_ended

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.engine_store import EngineStore
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home

ANSWER_SECONDS: Final = 15.0
"""How long a living engine may take for the handshake before it counts as hung."""
START_SECONDS: Final = 20.0
TERM_SECONDS: Final = 2.0
"""After each of the two SIGTERMs: the first only drains."""
DRAIN_SECONDS: Final = 20.0
REAP_SECONDS: Final = 2.0
FATE_SECONDS: Final = 0.5
"""How long an engine whose connection has ended may take to be gone, for its end to be told."""
SHORT_LIFE: Final = 60.0
"""An engine that lived shorter than this makes its successor wait."""
MAX_BACKOFF: Final = 30.0
SOCKET_SINCE: Final = (0, 145)
"""The first Codex that listens on a Unix socket."""
QUOTED: Final = 400
"""Characters of an engine's last words in an error."""
_POLL_SECONDS: Final = 0.05


class NoSocketEngine(Unhealthy):
    """A Codex from before Unix sockets; standard input may do."""


class EngineHost:
    """Finds, starts and ends the one engine of a home."""

    def __init__(
        self,
        *,
        home: Home,
        store: EngineStore,
        clock: Clock,
        ids: Ids,
        environ: Mapping[str, str],
        log: Log,
    ) -> None:
        self._home = home
        self._store = store
        self._clock = clock
        self._ids = ids
        self._environ = environ
        self._log = log
        self._child: subprocess.Popen[bytes] | None = None
        self._heard = 0
        self._started_at = float("-inf")
        self._short_lives = 0
        self.engine: Engine | None = None
        self.parents: Mapping[str, str] = {}
        """Sub-agents' threads that were loaded in the engine when it was found."""
        self.notice = ""
        self.stderr = StderrLog(home.logs / "engine-stderr.log")

    @property
    def socket(self) -> Path:
        """Where the engine listens."""
        return self._home.engine_socket

    async def attach(self, binary: CodexBinary, version: str) -> Engine:
        """Return a living engine: the one that runs, if it is ours to keep, else a new one.

        Raises ``NoSocketEngine`` when this Codex is too old to listen on a Unix socket,
        ``Unhealthy`` when it cannot be started.
        """
        self.engine, self.notice, self.parents = None, "", {}
        row = await self._store.load()
        if row is not None and not row.socket:
            await self._end(row, EngineState.LOST, "its netsky is gone")
            row = None
        found = await self._found(row)
        if found is not None:
            engine = await self._recognise(row, found, binary)
            reason = await self._why_not(engine, found, binary, version)
            if not reason:
                self.engine, self.parents = engine, found.parents
                self._heard = await asyncio.to_thread(self.stderr.size)
                return engine
            await self._end(engine, EngineState.ENDED, reason)
        elif row is not None:
            alive = is_same_process(row.pid, row.pid_started)
            reason = "it did not answer the handshake" if alive else "its process is gone"
            await self._end(row, EngineState.LOST, reason)
        await self._back_off()
        self.engine = await self._start(binary, version)
        # What one complains of at every start is not why it ends.
        self._heard = await asyncio.to_thread(self.stderr.size)
        return self.engine

    async def end(self, reason: str) -> None:
        """End the engine: SIGTERM, SIGTERM again, SIGKILL to the group, in bounded time."""
        engine, self.engine = self.engine, None
        if engine is not None:
            await self._end(engine, EngineState.ENDED, reason)

    def drain(self) -> None:
        """Let the engine end by itself, after what runs in it."""
        engine = self.engine
        if engine is not None and is_same_process(engine.pid, engine.pid_started):
            self._log("info", "the engine is replaced", {"engine": engine.id})
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(engine.pid, signal.SIGTERM)

    async def end_left(self, reason: str) -> Engine | None:
        """End the engine that an earlier netsky left working, if it does; return it.

        Raises ``Unhealthy`` when it does not end.
        """
        row = await self._store.load()
        if row is None or not is_same_process(row.pid, row.pid_started):
            return None
        await self._end(row, EngineState.ENDED, reason)
        return row

    async def fate(self) -> str:
        """Say how the engine has ended, if it has or is just about to."""
        child, engine = self._child, self.engine
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                return how_ended(await asyncio.to_thread(child.wait, FATE_SECONDS))
        elif engine is not None and not is_same_process(engine.pid, engine.pid_started):
            return "Its process has ended."
        return ""

    def last_words(self) -> str:
        """Return what the engine has said since it was attached, to be quoted. Reads a file."""
        return self.stderr.tail(self._heard)

    def let_go(self) -> None:
        """Leave the engine to work on by itself."""
        self.engine = None
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # or Popen complains that a child still runs, as it shall
        self._child = None

    async def _found(self, row: Engine | None) -> Found | None:
        alive = row is not None and is_same_process(row.pid, row.pid_started)
        deadline = ANSWER_SECONDS if alive else ANSWER_SECONDS / 5
        found = await probe(self.socket, deadline=deadline, look=True)
        end = self._clock.monotonic() + DRAIN_SECONDS
        # What drains refuses to be attached to. It gets time for turns that need nobody.
        while found and found.draining and found.busy - found.waiting:
            if self._clock.monotonic() > end:
                break
            await self._clock.sleep(_POLL_SECONDS)
            found = await probe(self.socket, deadline=deadline, look=True)
        return found

    async def _recognise(self, row: Engine | None, found: Found, binary: CodexBinary) -> Engine:
        if row is not None:
            if found.group in (row.pid, 0):
                return row
            await self._store.ended(row.id, EngineState.LOST, "another one has its place")
        if not found.group:
            msg = f"Something netsky did not start listens on {self.socket}."
            raise Unhealthy(msg, hint="End it, or remove the socket if it is stale.")
        try:
            started = process_started(found.group)
        except ProcessLookupError:
            started = self._clock.now() / 1000  # a launcher that was killed; its child listens
        engine = self._row(binary, found, pid=found.group, started=started)
        await self._store.save(engine)
        self._log("info", "adopted an engine that had no row", {"engine": engine.id})
        return engine

    async def _why_not(
        self, engine: Engine, found: Found, binary: CodexBinary, version: str
    ) -> str:
        if found.draining:
            return "it was draining"
        wanted_home = codex_home(self._environ)
        differences = [
            f"{name} {has}, wanted is {wants}"
            for name, has, wants in (
                ("its version is", found.version, version),
                ("its binary is", engine.binary, binary.path),
                ("its CODEX_HOME is", real_path(found.codex_home), wanted_home),
            )
            if has and has != wants
        ]
        if not differences:
            return ""
        reason = "; ".join(differences)
        if not found.busy:
            return f"replaced: {reason}"
        work = count(len(found.busy), "turn runs", "turns run")
        self.notice = (
            f"The engine differs ({reason}) and keeps working: {work}. "
            "netsky replaces it as soon as none does."
        )
        return ""

    async def _back_off(self) -> None:
        lived = self._clock.monotonic() - self._started_at
        self._short_lives = self._short_lives + 1 if lived < SHORT_LIFE else 0
        if self._short_lives > 1:
            wait = min(MAX_BACKOFF, 0.5 * 2 ** (self._short_lives - 2))
            self._log("warning", "the engine keeps dying; waiting", {"seconds": wait})
            await self._clock.sleep(wait)
        self._started_at = self._clock.monotonic()

    async def _start(self, binary: CodexBinary, version: str) -> Engine:
        await asyncio.to_thread(make_codex_home, self._environ)
        await asyncio.to_thread(self._clear_socket)
        await asyncio.to_thread(self.stderr.trim)
        mark = await asyncio.to_thread(self.stderr.size)
        child = await asyncio.to_thread(self._spawn, binary)
        self._child = child
        try:
            started = process_started(child.pid)
            found = await self._await_answer(child)
            if found is None:
                raise await self._silent(child, version, mark)
            engine = self._row(binary, found, pid=child.pid, started=started)
            await self._store.save(engine)
        except BaseException:
            await self._kill(child)
            raise
        self._log("info", "engine started", {"engine": engine.id, "pid": child.pid})
        return engine

    def _spawn(self, binary: CodexBinary) -> subprocess.Popen[bytes]:
        with self.stderr.open() as stderr:
            try:
                return subprocess.Popen(
                    [binary.path, "app-server", "--listen", f"unix://{self.socket}"],
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    env=binary.environment(self._environ),
                    # Not netsky's own folder: a project's settings there are no business of all.
                    cwd=self._home.root,
                    start_new_session=True,
                )
            except OSError as error:
                msg = f"Codex at {binary.path} cannot be started: {error.strerror or error}."
                raise Unhealthy(msg, hint="Is it built for this machine?") from error

    async def _await_answer(self, child: subprocess.Popen[bytes]) -> Found | None:
        end = self._clock.monotonic() + START_SECONDS
        while self._clock.monotonic() < end:
            found = await probe(self.socket, deadline=START_SECONDS, look=False)
            if found is not None:
                return found
            if child.poll() is not None:
                break
            await self._clock.sleep(_POLL_SECONDS)
        return None

    async def _silent(self, child: subprocess.Popen[bytes], version: str, mark: int) -> Unhealthy:
        how = "ended at once" if child.poll() is not None else "does not open its socket"
        words = " ".join((await asyncio.to_thread(self.stderr.tail, mark)).split())
        said = f": {words[-QUOTED:].rstrip('.')}." if words else " and does not say why."
        msg = f"Codex {version} {how}{said}"
        if version_tuple(version) < SOCKET_SINCE:
            return NoSocketEngine(msg, hint="Install 0.145 or newer.")
        return Unhealthy(msg, hint=f"See {self.stderr.path}.")

    async def _kill(self, child: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            started = process_started(child.pid)
            await end_group(child.pid, started, terms=0, grace=0, clock=self._clock)
        await asyncio.to_thread(self._reap)

    async def _end(self, engine: Engine, state: EngineState, reason: str) -> None:
        gone = await end_group(
            engine.pid, engine.pid_started, terms=2, grace=TERM_SECONDS, clock=self._clock
        )
        await asyncio.to_thread(self._reap)
        if not gone:
            msg = f"The engine (process {engine.pid}) could not be ended."
            raise Unhealthy(msg, hint=f"End it by hand: kill -9 -{engine.pid}")
        await self._store.ended(engine.id, state, reason)
        self._log("info", "engine ended", {"engine": engine.id, "reason": reason})
        if engine.socket:
            await asyncio.to_thread(self._clear_socket)

    def _reap(self) -> None:
        # A leader counts as dead while its threads still end, and cannot be reaped so long.
        child = self._child
        if child is not None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(REAP_SECONDS)
                self._child = None

    def _clear_socket(self) -> None:
        # From 0.163 on the path is a link to a short one elsewhere.
        with suppress(OSError):
            if self.socket.is_symlink():
                target = self.socket.resolve()
                if target.is_socket() and target.stat().st_uid == os.getuid():
                    target.unlink()
        self.socket.unlink(missing_ok=True)

    def _row(self, binary: CodexBinary, found: Found, *, pid: int, started: float) -> Engine:
        return Engine(
            id=self._ids.new("e"),
            runtime=RuntimeName.APP_SERVER,
            state=EngineState.RUNNING,
            pid=pid,
            pid_started=started,
            binary=binary.path,
            version=found.version,
            codex_home=found.codex_home,
            socket=str(self.socket),
            started_at=self._clock.now(),
        )
