"""Codex without Codex: the same contract, played by a script, with no account and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.codex.base import (
    Capabilities,
    InputRejected,
    RuntimeInfo,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.codex.scripted.engine import ScriptedEngine
from netsky_runtime.codex.scripted.files import ThreadFile
from netsky_runtime.codex.scripted.session import ScriptedSession
from netsky_runtime.errors import Unhealthy
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.base import LaunchSpec
    from netsky_runtime.codex.scripted.orders import Script

_SANDBOXES = frozenset({"read-only", "workspace-write", "danger-full-access"})
_POLICIES = frozenset({"untrusted", "on-request", "on-failure", "never"})


class ScriptedRuntime:
    """A ``ThreadRuntime`` whose engine lives in this object and whose threads live on disk.

    Turns run on ``clock``, commands and patches only pretend. Another runtime on the same
    ``directory`` resumes the threads with their history; a turn that was running then counts
    as cut by a crash.
    """

    name = RuntimeName.SCRIPTED
    capabilities = Capabilities(
        resume=True,
        steer=True,
        interrupt=True,
        approvals=True,
        tools=True,
        history=True,
        survives_netsky=False,
        terminal=False,
        lacks={"terminal": "a script has no screen of its own"},
    )

    def __init__(self, *, directory: Path, clock: Clock, ids: Ids, script: Script) -> None:
        self._directory = directory
        self._clock = clock
        self._ids = ids
        self._script = script
        self._engine: ScriptedEngine | None = None

    async def open(self) -> None:
        """Make an engine, unless one lives. Raises ``Unhealthy``."""
        if self._engine is not None and not self._engine.dead:
            return
        await self._end()
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            msg = f"The folder {self._directory} for scripted threads cannot be used: {error}."
            raise Unhealthy(msg, hint="Set NETSKY_HOME to a folder of your own.") from error
        self._engine = ScriptedEngine(
            self._ids.new("engine"),
            directory=self._directory,
            clock=self._clock,
            script=self._script,
        )

    async def info(self) -> RuntimeInfo:
        """Say what this is, for people."""
        return RuntimeInfo(
            name=self.name,
            version="scripted",
            detail="A script plays the model: no account, no network, nothing is executed.",
        )

    def troubles(self) -> Sequence[str]:
        """Return nothing: nothing is kept alive here."""
        return ()

    async def vacate(self, label: str) -> str:
        """Do nothing: a thread is a file."""
        return ""

    async def start(self, spec: LaunchSpec) -> ScriptedSession:
        """Make a new thread. Raises ``InputRejected`` or ``ThreadUnavailable``."""
        engine = self._living()
        if spec.sandbox not in _SANDBOXES or spec.approval_policy not in _POLICIES:
            msg = f"There is no sandbox {spec.sandbox!r} or no policy {spec.approval_policy!r}."
            raise InputRejected(msg)
        thread_id = self._ids.new("thread")
        while ThreadFile(self._directory, thread_id).exists():
            thread_id = self._ids.new("thread")  # ids that count start anew in a new process
        thread = engine.make(thread_id, spec)
        return ScriptedSession(engine, thread, clock=self._clock, repeat=False)

    async def resume(self, thread_id: str, spec: LaunchSpec) -> ScriptedSession:
        """Attach to a thread that has had a turn.

        Raises ``ThreadGone`` or ``ThreadUnavailable``.
        """
        engine = self._living()
        thread = await engine.find(thread_id, spec)
        if engine.dead:
            raise ThreadUnavailable(f"Nothing carries threads now: {engine.dead}.")
        if thread is None:
            raise ThreadGone(f"There is no scripted thread {thread_id!r} that has had a turn.")
        missing = sorted({tool.name for tool in spec.tools} - thread.tools)
        differences = (f"the thread was started without {', '.join(missing)}",) if missing else ()
        return ScriptedSession(
            engine, thread, clock=self._clock, repeat=True, differences=differences
        )

    async def find(self, mark: str, *, since: int) -> str:
        """Return nothing: ``start`` names a thread before anything is sent."""
        return ""

    async def close(self, *, keep_engine: bool) -> None:
        """Detach every session. The engine goes on only inside this object, with ``keep_engine``.

        ``open`` finds it again then. Otherwise everything has ended when this returns.
        """
        if self._engine is None:
            return
        for session in list(self._engine.sessions):
            await session.close()
        if not keep_engine:
            await self._end()

    def _living(self) -> ScriptedEngine:
        if self._engine is None:
            raise ThreadUnavailable("The scripted runtime is not open.")
        if self._engine.dead:
            raise ThreadUnavailable(f"Nothing carries threads now: {self._engine.dead}.")
        return self._engine

    async def _end(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            await engine.close()
