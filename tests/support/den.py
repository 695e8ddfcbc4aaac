"""A home for resident Codexes, and a human's fingers on their screens."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.base import Batch, LaunchSpec
from netsky_runtime.codex.resident import ResidentRuntime
from netsky_runtime.settings import Settings
from tests.real_codex.conftest import PATIENCE, bench_over
from tests.support.pane import PASTE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.torture.model_server import ModelServer
    from tests.real_codex.conftest import Bench

MODELS = {"0.163.0": "gpt-5.4", "0.153.4": "gpt-5.5"}
"""One that the version knows and does not want to replace, by a dialog, at its start."""


WATCHER = "tmux: client"
"""Of netsky's own connection: it goes with it."""


@dataclass
class Den:
    """Resident Codexes of one version, over a bench."""

    bench: Bench
    codex: Path
    model: str
    runtimes: list[ResidentRuntime] = field(default_factory=list)

    def runtime(self, *, codex: Path | None = None, **settings: Any) -> ResidentRuntime:
        """Return a runtime as a netsky of this home would make it, not yet open."""
        clock = SystemClock()
        known: dict[str, Any] = {"codex_bin": str(codex or self.codex), "request_seconds": PATIENCE}
        runtime = ResidentRuntime(
            settings=Settings(**(known | settings)),
            home=self.bench.home,
            clock=clock,
            ids=SortableIds(clock),
            environ=self.bench.environ,
            log=self.bench.log,
        )
        self.runtimes.append(runtime)
        return runtime

    async def opened(self, **changes: Any) -> ResidentRuntime:
        runtime = self.runtime(**changes)
        await runtime.open()
        return runtime

    def spec(self, **changes: Any) -> LaunchSpec:
        spec = LaunchSpec(
            cwd=str(self.bench.project),
            instructions="You are worker1 of mark tag12345. SAY[at your service]",
            sandbox="read-only",
            approval_policy="on-request",
            model=self.model,
            config={"features": {"multi_agent": False, "goals": False}},
            mark="tag12345",
            label="worker1",
        )
        return replace(spec, **changes)

    @property
    def codex_config(self) -> Path:
        """The configuration that Codex reads and writes."""
        return Path(self.bench.environ["CODEX_HOME"]) / "config.toml"

    def locks(self) -> list[Path]:
        """Return what Codexes of this den lock while they have threads loaded, one for each."""
        return [*Path(self.bench.environ["CODEX_HOME"]).glob("thread-writer-locks/[!.]*.lock")]

    def script(self, body: str) -> Path:
        """Return a shell script in Codex's place that has its version; CODEX is the real one."""
        path = self.bench.root / "codex"
        body = body.replace("CODEX", shlex.quote(str(self.codex)))
        asked = f'[ "$1" = --version ] && exec {shlex.quote(str(self.codex))} --version'
        path.write_text(f"#!/bin/sh\n{asked}\n{body}\n")
        path.chmod(0o755)
        return path

    def tmux(self, *words: str) -> str:
        """Run tmux as a human of another terminal could; return what it says."""
        done = subprocess.run(
            ["tmux", "-S", str(self.bench.home.tmux_socket), "-N", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def type(self, *keys: str, session: str = "worker1") -> None:
        """Press keys, by tmux's names for them."""
        self.tmux("send-keys", "-t", f"={session}:", *keys)

    async def say(self, line: str, session: str = "worker1") -> None:
        """Type a line and send it off, once it is to be seen and Codex takes Enter for a key."""
        self.type("-l", line, session=session)
        await self.until_shown(line, session)
        await asyncio.sleep(PASTE_SECONDS)
        self.type("Enter", session=session)

    def screen(self, session: str = "worker1") -> str:
        """Return what a human sees."""
        return self.tmux("capture-pane", "-p", "-t", f"={session}:")

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(PATIENCE):
            while not seen():  # noqa: ASYNC110 - no screen tells when it changes
                await asyncio.sleep(0.05)

    async def until_shown(self, text: str, session: str = "worker1") -> None:
        """Wait until a screen shows a text."""
        await self.until(lambda: text in self.screen(session))

    async def until_idle(self, session: ThreadSession) -> None:
        """Wait until no turn runs, and the screen says so too."""
        await self.until(lambda: bool(session.thread_id) and not session.active_turn)
        await self.until(lambda: "esc to interrupt" not in self.screen())

    def sessions(self) -> list[str]:
        """Return the tmux sessions that are there, the watching one left out."""
        names = self.tmux("list-sessions", "-F", "#{session_name}").split()
        return [name for name in names if name != "netsky-watch"]

    def processes(self) -> list[str]:
        """Return the command of every process that works in this den's CODEX_HOME."""
        home = self.bench.environ["CODEX_HOME"]
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if process.environ().get("CODEX_HOME") == home and process.name() != WATCHER:
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found

    def beside(self, companion: Sequence[str]) -> list[str]:
        """Return the processes that are this companion."""
        return [command for command in self.processes() if command == " ".join(companion)]

    def codexes(self) -> list[int]:
        """Return the processes that are Codex itself."""
        home = self.bench.environ["CODEX_HOME"]
        found = []
        for process in psutil.process_iter():
            try:
                if process.name() == "codex" and process.environ().get("CODEX_HOME") == home:
                    found.append(process.pid)
            except psutil.Error:
                continue
        return found

    async def close(self) -> None:
        """End everything, as a clean stop does."""
        for runtime in self.runtimes[:-1]:
            await runtime.close(keep_engine=True)
        for runtime in self.runtimes[-1:]:
            await runtime.close(keep_engine=False)


@asynccontextmanager
async def den_over(version: str, codex: Path, model: ModelServer, root: Path) -> AsyncIterator[Den]:
    """Give a den; after a clean stop it must have left no pane, process, socket and error."""
    async with bench_over(codex, model, root) as bench:
        den = Den(bench, codex, MODELS[version])
        try:
            yield den
        finally:
            await den.close()
            sessions, processes = den.sessions(), den.processes()
            den.tmux("kill-server")
        assert not bench.home.tmux_socket.exists()
        assert sessions == []
        assert processes == []
        assert [entry for entry in bench.logged if entry[0] == "error"] == []


def batch(text: str, number: int = 1) -> Batch:
    return Batch(id=f"batch-{number}", text=text, input_ids=())
