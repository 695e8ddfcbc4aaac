"""Codex's app-server as a ``ThreadRuntime``: one process, many threads, outliving netsky."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.app_server import failures, rejoin
from netsky_runtime.codex.app_server.account import Account
from netsky_runtime.codex.app_server.connection import Connection, connect
from netsky_runtime.codex.app_server.door import Door
from netsky_runtime.codex.app_server.engine import EngineHost, NoSocketEngine
from netsky_runtime.codex.app_server.launch import differences, resume_params, start_params
from netsky_runtime.codex.app_server.link import ThreadLink
from netsky_runtime.codex.app_server.live import LiveText
from netsky_runtime.codex.app_server.normalise import FACTS_OPT_OUT
from netsky_runtime.codex.app_server.replacement import replace_when_idle
from netsky_runtime.codex.app_server.session import AppServerSession
from netsky_runtime.codex.app_server.silence import told as silence_told
from netsky_runtime.codex.app_server.stdio import StdioEngine
from netsky_runtime.codex.base import (
    Capabilities,
    InputRejected,
    LaunchSpec,
    RuntimeInfo,
    ThreadUnavailable,
)
from netsky_runtime.codex.binary import CodexBinary, find, version_of, version_tuple
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.members import part
from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_runtime.states import RuntimeName
from netsky_runtime.supervise import Supervisor
from netsky_runtime.wire.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.engine_store import EngineStore
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home
    from netsky_runtime.settings import Settings

CONNECT_SECONDS: Final = 15.0
TRIM_SECONDS: Final = 30.0
TOOLS_SINCE: Final = (0, 153)
"""Seen on 0.153.4: from there on Codex's own screen leaves dynamic tool calls alone."""
_CAPABILITIES: Final = Capabilities(
    resume=True,
    steer=True,
    interrupt=True,
    approvals=True,
    tools=True,
    history=True,
    survives_netsky=True,
    terminal=True,
)
_CHILD_CAPABILITIES: Final = replace(
    _CAPABILITIES,
    survives_netsky=False,
    terminal=False,
    lacks={
        "terminal": "this Codex listens on no socket, where its screen could join: "
        "install 0.145 or newer, or move it to resident"
    },
)


class AppServerRuntime:
    """A ``ThreadRuntime`` over ``codex app-server``.

    ``log(level, message, fields)`` must not wait. ``environ`` is the engine's environment, PATH
    and CODEX_HOME included. What the capabilities say of ``survives_netsky``, ``terminal`` and
    ``tools`` is certain after ``open``.
    """

    name = RuntimeName.APP_SERVER

    def __init__(
        self,
        *,
        settings: Settings,
        home: Home,
        store: EngineStore,
        clock: Clock,
        ids: Ids,
        environ: Mapping[str, str],
        log: Log,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ids = ids
        self._environ = dict(environ)
        self._log = log
        self._host = EngineHost(
            home=home, store=store, clock=clock, ids=ids, environ=self._environ, log=log
        )
        self._stdio = StdioEngine(home=home, store=store, clock=clock, ids=ids, log=log)
        self._door: Door | None = None
        self._account: Account | None = None
        self._binary: CodexBinary | None = None
        self._version = ""
        self._notice = ""
        self._problem = ""
        self._opening = asyncio.Lock()
        self._tasks = Supervisor(report=self._failed)
        self._trimmer: asyncio.Task[None] | None = None
        self._replacing: asyncio.Task[None] | None = None
        self.capabilities = _CAPABILITIES

    async def open(self) -> None:
        """Find the engine, or start one, and connect.

        Idempotent; after everything was lost it starts anew, more slowly each time an engine
        lives shortly. Raises ``CodexMissing`` or ``Unhealthy``.
        """
        async with self._opening:
            if self._door is not None and self._door.usable:
                return
            await self._shut()
            try:
                await self._open()
            except NetskyError as error:
                self._problem = str(error)
                raise
            self._problem = ""
            if self._trimmer is None:
                self._trimmer = self._tasks.keep(
                    "codex stderr cap", self._keep_trimmed, clock=self._clock
                )

    async def info(self) -> RuntimeInfo:
        """Say which Codex this is, and what the operator should know about it."""
        known = (self._problem, self._notice, self._host.notice)
        notices = [notice for notice in known if notice]
        door = self._door
        if door is None or not door.usable or self._binary is None:
            if self._opening.locked() and not notices:
                notices.append("Codex is being started; messages wait for it.")
            return RuntimeInfo(
                name=self.name, version=self._version, detail="not open", notices=tuple(notices)
            )
        if self._account is not None and await self._account.logged_out():
            notices.append(f"Codex is not logged in. Run: {self._binary.path} login")
        notices.extend(door.hub.notices)
        engine = self._host.engine or self._stdio.engine
        silent_since, silence = silence_told(
            door.unanswered, monotonic=self._clock.monotonic(), pid=engine.pid if engine else None
        )
        if silence:
            notices.insert(0, silence)
        where = "engine" if self.capabilities.survives_netsky else "child"
        pid = f", {where} {engine.pid}" if engine else ""
        return RuntimeInfo(
            name=self.name,
            version=self._version,
            detail=f"{self._binary.path} (from {self._binary.origin}){pid}",
            notices=tuple(notices),
            silent_since=silent_since,
        )

    def troubles(self) -> Sequence[str]:
        """Say of what trims stderr or follows live text that it ends again and again."""
        live = self._door.live if self._door is not None else None
        return [*self._tasks.troubles(), *(live.troubles() if live is not None else ())]

    async def vacate(self, label: str) -> str:
        """Do nothing: the engine itself unloads a thread that nobody listens to."""
        return ""

    async def start(self, spec: LaunchSpec) -> AppServerSession:
        """Make a new thread. Raises ``InputRejected`` or ``ThreadUnavailable``."""
        door = self._usable_door()
        door.hub.starting(1)
        try:
            try:
                answer = await door.ask("thread/start", start_params(spec, version=door.version))
            except WireError as error:
                raise failures.starting(error) from error
            thread_id = str(part(answer, "thread").get("id") or "")
            if not thread_id:
                msg = "Codex started a thread and did not say which."
                raise InputRejected(msg)
            link = self._link(thread_id, resuming=False)
            link.model = str(answer.get("model") or "")
            self._add(door, link)
        finally:
            door.hub.starting(-1)
        return self._session(door, link, differences(spec, answer))

    async def resume(self, thread_id: str, spec: LaunchSpec) -> AppServerSession:
        """Attach to a thread that has had a turn.

        Its pending approvals and tool calls are in ``events`` again, with their ids. Raises
        ``ThreadGone`` or ``ThreadUnavailable``.
        """
        door = self._usable_door()
        link = self._link(thread_id, resuming=True)
        self._add(door, link)
        try:
            joined = await rejoin.resume(door, thread_id, resume_params(spec))
            link.model = str(joined.answer.get("model") or "")
            link.resumed(joined.turns)
            await rejoin.tell_usage(door, link, joined)
            await self._resume_children(door, thread_id)
        except BaseException:
            door.hub.remove(link)
            link.end(None)
            raise
        return self._session(door, link, differences(spec, joined.answer))

    async def find(self, mark: str, *, since: int) -> str:
        """Return nothing: ``start`` names a thread before anything is sent."""
        return ""

    async def close(self, *, keep_engine: bool) -> None:
        """Detach; without ``keep_engine`` also end the engine, in bounded time."""
        async with self._opening:
            trimmer, self._trimmer = self._trimmer, None
            if trimmer is not None:
                trimmer.cancel()
                await asyncio.wait([trimmer])
            try:
                await self._shut()
            finally:
                if keep_engine:
                    self._host.let_go()
                else:
                    await self._host.end("netsky was stopped")

    async def _open(self) -> None:
        self._binary = binary = find(self._settings.codex_bin, self._environ)
        version = await version_of(binary, environ=self._environ)
        try:
            await self._open_socket(binary, version)
        except NoSocketEngine as no_socket:
            await self._open_stdio(binary, version, no_socket)

    async def _open_socket(self, binary: CodexBinary, version: str) -> None:
        engine = await self._host.attach(binary, version)
        door = self._new_door(engine.id)
        live = LiveText(
            self._host.socket,
            deliver=door.hub.on_live_text,
            deadline=self._settings.request_seconds,
            clock=self._clock,
            log=self._log,
        )
        try:
            facts = await connect(
                self._host.socket,
                deadline=CONNECT_SECONDS,
                opt_out=FACTS_OPT_OUT,
                on_request=door.hub.on_request,
                on_notification=door.hub.on_notification,
                on_closed=door.lost,
                diagnosis=self._host.last_words,
                fate=self._host.fate,
            )
        except WireError as error:
            msg = f"The engine does not answer: {error.message}"
            raise Unhealthy(msg, hint="See engine-stderr.log in the home's logs.") from error
        self._opened(door, facts, live)
        if self._host.notice:
            replacing = replace_when_idle(self._host, clock=self._clock)
            loop = asyncio.get_running_loop()
            self._replacing = loop.create_task(replacing, name="codex replacement")
        # A screen that joins a thread answers its tool calls on 0.145, with "failed".
        self.capabilities = replace(_CAPABILITIES, tools=door.version >= TOOLS_SINCE)
        self._notice = ""

    async def _open_stdio(
        self, binary: CodexBinary, version: str, no_socket: NoSocketEngine
    ) -> None:
        door = self._new_door(self._ids.new("e"))
        facts = await self._stdio.open(
            binary,
            version,
            environ=self._environ,
            engine_id=door.engine_id,
            on_request=door.hub.on_request,
            on_notification=door.hub.on_notification,
            on_closed=door.lost,
            why=no_socket.message,
        )
        self._opened(door, facts, None)
        self.capabilities = _CHILD_CAPABILITIES
        self._notice = (
            f"Codex {self._version} does not listen on a socket: turns end when netsky ends. "
            "Install 0.145 or newer to let them work on."
        )
        self._log("warning", "codex runs as a child", {"reason": no_socket.message})

    def _opened(self, door: Door, facts: Connection, live: LiveText | None) -> None:
        self._version = facts.server.version
        door.opened(facts, version_tuple(self._version), live)
        self._door, self._account = door, Account(door)

    async def _shut(self) -> None:
        replacing, self._replacing = self._replacing, None
        if replacing is not None:
            replacing.cancel()
            await asyncio.wait([replacing])
        door, self._door = self._door, None
        account, self._account = self._account, None
        try:
            if account is not None:
                await account.close()
            if door is not None:
                door.hub.end_all(None)
                await door.close()
        finally:
            await self._stdio.close()

    async def _resume_children(self, door: Door, thread_id: str) -> None:
        # Those that were loaded when the engine was found, and those that were made since.
        parents = {**self._host.parents, **door.hub.parents}
        family = {thread_id}
        for _ in parents:  # as deep as sub-agents can have made sub-agents
            for child, parent in parents.items():
                if parent in family and child not in family:
                    family.add(child)
                    await door.adopt(child, parent)

    async def _keep_trimmed(self) -> None:
        while True:
            await self._clock.sleep(TRIM_SECONDS)
            await asyncio.to_thread(self._host.stderr.trim)

    def _failed(self, name: str, error: BaseException) -> None:
        self._log(
            "error", "a task of the app-server has failed", {"task": name, "error": repr(error)}
        )

    def _usable_door(self) -> Door:
        if self._door is None or not self._door.usable:
            msg = "There is no engine: it has ended or was not opened."
            raise ThreadUnavailable(msg)
        return self._door

    def _new_door(self, engine_id: str) -> Door:
        return Door(
            engine_id=engine_id,
            seconds=self._settings.request_seconds,
            turn_seconds=self._settings.turn_start_seconds,
            clock=self._clock,
            log=self._log,
        )

    def _session(
        self, door: Door, link: ThreadLink, different: tuple[str, ...]
    ) -> AppServerSession:
        screen: tuple[str, ...] = ()
        if self.capabilities.survives_netsky and self._binary is not None:
            screen = (self._binary.path, "--remote", f"unix://{self._host.socket}")
        return AppServerSession(door=door, link=link, screen=screen, differences=different)

    def _link(self, thread_id: str, *, resuming: bool) -> ThreadLink:
        channel = ThreadChannel(thread_id, clock=self._clock)
        return ThreadLink(thread_id, channel, resuming=resuming)

    def _add(self, door: Door, link: ThreadLink) -> None:
        if not door.usable:
            msg = "The engine has ended."
            raise ThreadUnavailable(msg)
        door.hub.add(link)
