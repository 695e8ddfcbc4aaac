"""An app-server on a child's pipes, for a Codex that listens on no Unix socket (0.120).

It carries threads the same way, and ends with netsky: that is all the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.app_server.connection import Connection
from netsky_runtime.errors import Unhealthy
from netsky_runtime.records import Engine
from netsky_runtime.states import EngineState, RuntimeName
from netsky_runtime.wire.birth import process_started
from netsky_runtime.wire.errors import WireError
from netsky_runtime.wire.process import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.binary import CodexBinary
    from netsky_runtime.codex.engine_store import EngineStore
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home
    from netsky_runtime.wire.peer import OnNotification, OnRequest

HANDSHAKE_SECONDS: Final = 20.0


class StdioEngine:
    """Starts and ends the child. Its row has no socket, so that a next netsky can end it."""

    def __init__(self, *, home: Home, store: EngineStore, clock: Clock, ids: Ids, log: Log) -> None:
        self._home = home
        self._store = store
        self._clock = clock
        self._ids = ids
        self._log = log
        self._child: Child | None = None
        self.engine: Engine | None = None

    async def open(
        self,
        binary: CodexBinary,
        version: str,
        *,
        environ: Mapping[str, str],
        engine_id: str,
        on_request: OnRequest,
        on_notification: OnNotification,
        on_closed: Callable[[str], None],
        why: str,
    ) -> Connection:
        """Start the child and shake hands. Raises ``Unhealthy`` when it does not answer either."""
        try:
            self._child = child = await Child.spawn(
                [binary.path, "app-server"],
                env=binary.environment(environ),
                cwd=self._home.root,
            )
            connection = await Connection.open(
                child.framing,
                deadline=HANDSHAKE_SECONDS,
                on_request=on_request,
                on_notification=on_notification,
                on_closed=on_closed,
                diagnosis=child.stderr_tail,
                fate=child.fate,
            )
        except WireError as error:
            await self.close()
            self._log("warning", "codex opened no socket either", {"reason": why})
            msg = f"Codex {version} at {binary.path} does not answer: {_clause(error.message)}."
            hint = "netsky needs a Codex with an app-server (0.120 or newer)."
            raise Unhealthy(msg, hint=hint) from error
        self.engine = Engine(
            id=engine_id,
            runtime=RuntimeName.APP_SERVER,
            state=EngineState.RUNNING,
            pid=child.pid,
            pid_started=process_started(child.pid),
            binary=binary.path,
            version=connection.server.version,
            codex_home=connection.server.codex_home,
            socket="",
            started_at=self._clock.now(),
        )
        await self._store.save(self.engine)
        return connection

    async def close(self) -> None:
        """End the child, if there is one. Idempotent."""
        child, self._child = self._child, None
        engine, self.engine = self.engine, None
        if child is not None:
            await child.end()
        if engine is not None:
            await self._store.ended(engine.id, EngineState.ENDED, "its pipes were closed")


def _clause(message: str) -> str:
    """Make a message, and what it quotes, fit behind a colon on one line."""
    text = " ".join(message.split()).rstrip(".")
    for verb in ("wrote", "said"):
        before, quoted, after = text.partition(f" It {verb}: ")
        text = f"{before.rstrip('.')}; it {verb}: {after}" if quoted else text
    return text[:1].lower() + text[1:]
