"""The second connection: live text of the threads that somebody looks at, and nothing else.

It may be dropped by the engine in a flood (a client that does not read for 2 to 3 s is); then it
is made anew. Facts never depend on it. Requests that reach it are answered on the other one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server.connection import Connection, connect
from netsky_runtime.codex.app_server.normalise import DELTAS, LIVE_OPT_OUT
from netsky_runtime.supervise import Supervisor
from netsky_runtime.wire.errors import RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.log import Log

CONNECT_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 1.0


class LiveText:
    """Keeps a connection subscribed to the watched threads; ``deliver`` gets their deltas."""

    def __init__(
        self,
        socket: Path,
        *,
        deliver: Callable[[str, dict[str, Any]], None],
        deadline: float,
        clock: Clock,
        log: Log,
    ) -> None:
        self._socket = socket
        self._deliver = deliver
        self._deadline = deadline
        self._clock = clock
        self._log = log
        self._wanted: set[str] = set()
        self._joined: set[str] = set()
        self._too_early: set[str] = set()
        self._connection: Connection | None = None
        self._wake = asyncio.Event()
        self._following = asyncio.Lock()
        self._tasks = Supervisor(report=self._failed)
        self._task: asyncio.Task[None] | None = None

    def watch(self, thread_id: str, on: bool) -> None:
        """Want the text of a thread, or no longer. Takes effect soon."""
        if on:
            self._wanted.add(thread_id)
        else:
            self._wanted.discard(thread_id)
            self._too_early.discard(thread_id)
        self._wake.set()
        if self._task is None and self._wanted:
            self._task = self._tasks.keep("codex live text", self._run, clock=self._clock)

    def troubles(self) -> Sequence[str]:
        """Say of what keeps the subscriptions that it ends again and again."""
        return self._tasks.troubles()

    async def leave(self, thread_id: str) -> None:
        """Want its text no longer; return when nothing is being asked about it any more.

        What joins a thread loads it. Raises ``TimeoutError``.
        """
        self.watch(thread_id, False)
        async with asyncio.timeout(self._deadline), self._following:
            pass

    def stirred(self, thread_id: str) -> None:
        """Hear that something happened in a thread: one without a turn could not be joined."""
        if thread_id in self._too_early:
            self._too_early.discard(thread_id)
            self._wake.set()

    def forget(self) -> None:
        """Want nothing any more: the engine is gone."""
        self._wanted.clear()
        self._too_early.clear()

    async def close(self) -> None:
        """End the connection and the task. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _run(self) -> None:
        self._wake.set()  # begun again it is subscribed to nothing
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    async with self._following:
                        await self._follow()
                except WireError as error:
                    self._log("info", "live text interrupted", {"reason": error.message})
                    await self._drop()
                    await self._clock.sleep(RETRY_SECONDS)
                    self._wake.set()
        finally:
            await self._drop()

    async def _follow(self) -> None:
        if self._connection is not None and self._connection.closed:
            await self._drop()
        if self._connection is None:
            if not self._wanted:
                return
            self._connection = await connect(
                self._socket,
                deadline=CONNECT_SECONDS,
                opt_out=LIVE_OPT_OUT,
                on_request=self._leave_it,
                on_notification=self._on_notification,
                on_closed=self._on_closed,
            )
        for thread_id in sorted(self._wanted - self._joined - self._too_early):
            await self._join(self._connection, thread_id)
        for thread_id in sorted(self._joined - self._wanted):
            await self._ask(self._connection, "thread/unsubscribe", {"threadId": thread_id})
            self._joined.discard(thread_id)

    async def _join(self, connection: Connection, thread_id: str) -> None:
        params = {"threadId": thread_id, "excludeTurns": True}
        if await self._ask(connection, "thread/resume", params):
            self._joined.add(thread_id)
        else:
            self._too_early.add(thread_id)

    async def _ask(self, connection: Connection, method: str, params: dict[str, Any]) -> bool:
        try:
            await connection.request(method, params, deadline=self._deadline)
        except RpcError:
            return False
        return True

    def _failed(self, _name: str, error: BaseException) -> None:
        self._log("error", "live text has failed", {"error": repr(error)})

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._joined.clear()
        if connection is not None:
            await connection.close()

    def _on_notification(self, method: str, params: dict[str, Any]) -> None:
        if method in DELTAS:
            self._deliver(method, params)

    def _leave_it(self, request_id: int | str, method: str, params: dict[str, Any]) -> None:
        """Answer nothing: the facts connection has the same request."""

    def _on_closed(self, reason: str) -> None:
        self._wake.set()
