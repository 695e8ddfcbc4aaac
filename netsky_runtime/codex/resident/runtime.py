"""Resident Codexes as a ``ThreadRuntime``: one pane a thread, on a tmux server of netsky's own."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netsky_runtime.codex.base import (
    Capabilities,
    HistoryUnavailable,
    LaunchSpec,
    RuntimeInfo,
    ThreadGone,
    ThreadUnavailable,
)
from netsky_runtime.codex.binary import codex_home, find, version_of
from netsky_runtime.codex.resident import launching, processes
from netsky_runtime.codex.resident.command import PROMPT_VARIABLE
from netsky_runtime.codex.resident.house import House
from netsky_runtime.codex.resident.screen import read
from netsky_runtime.codex.resident.session import ResidentSession
from netsky_runtime.codex.resident.tmux import Found, TmuxServer
from netsky_runtime.codex.rollout import find_mark, find_thread
from netsky_runtime.errors import Unhealthy
from netsky_runtime.settings import door_defaults
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import psutil

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.resident.following import Following
    from netsky_runtime.codex.resident.resident import Resident
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home
    from netsky_runtime.settings import Settings


class ResidentRuntime:
    """A ``ThreadRuntime`` over Codex's own screen.

    ``log(level, message, fields)`` must not wait. ``environ`` is Codex's environment, PATH and
    CODEX_HOME included. The folder a thread works in counts as trusted by Codex.
    """

    name = RuntimeName.RESIDENT
    capabilities = Capabilities(
        resume=True,
        steer=False,
        interrupt=True,
        approvals=False,
        tools=False,
        history=True,
        survives_netsky=True,
        terminal=True,
        environment=True,
        live_text=False,
        lacks={
            "steer": "what is typed into a running Codex waits for its turn's end: "
            "queue or interrupt",
            "approvals": "Codex asks on its own screen, where you answer: attach",
        },
    )

    def __init__(
        self,
        *,
        settings: Settings,
        home: Home,
        clock: Clock,
        ids: Ids,
        environ: Mapping[str, str],
        log: Log,
    ) -> None:
        self._settings = settings
        self._home = home
        self._clock = clock
        self._ids = ids
        self._environ = dict(environ)
        self._log = log
        self._tmux = TmuxServer(socket=home.tmux_socket, environ=self._environ)
        self._opening = asyncio.Lock()
        self._making = asyncio.Lock()
        self._version = ""
        self._house: House | None = None

    async def open(self) -> None:
        """Find tmux and Codex, and begin to watch. Starts no server: the first pane does.

        Idempotent. Raises ``NoSuchDoor`` without tmux, ``CodexMissing`` or ``Unhealthy``.
        """
        async with self._opening:
            if self._house is not None:
                return
            self._tmux.program()
            binary = await asyncio.to_thread(find, self._settings.codex_bin, self._environ)
            self._version = await version_of(binary, environ=self._environ)
            house = House(
                tmux=self._tmux,
                binary=binary,
                home=self._home,
                clock=self._clock,
                environ=self._environ,
                log=self._log,
            )
            try:
                await house.open()
            except BaseException:
                await house.close()
                raise
            self._house = house

    async def info(self) -> RuntimeInfo:
        """Say which Codex this is, and aloud what nobody is asked about."""
        defaults = door_defaults(self._settings, self.name)
        notices = []
        if defaults.sandbox == "danger-full-access":
            notices.append(
                "Residents run with sandbox danger-full-access unless told otherwise: nothing "
                "contains their commands. AGENT_CODEX_SANDBOX changes it."
            )
        if defaults.approval_policy == "never":
            notices.append(
                "Residents run with approval never unless told otherwise: nobody is asked. "
                "AGENT_CODEX_APPROVAL changes it."
            )
        detail = "not open"
        if self._house is not None:
            binary = self._house.binary
            detail = f"{binary.path} (from {binary.origin}), {len(self._house)} in tmux"
        return RuntimeInfo(
            name=self.name, version=self._version, detail=detail, notices=tuple(notices)
        )

    def troubles(self) -> Sequence[str]:
        """Say of what watches panes and rollouts that it ends again and again."""
        return self._house.troubles() if self._house is not None else ()

    async def start(self, spec: LaunchSpec) -> ResidentSession:
        """Make a new thread. Its instructions are its first turn, which runs when this returns.

        Without instructions nothing is typed, and the thread has no name before its first turn;
        it has none either while Codex shows a dialog first, which the session's events tell.
        Raises ``InputRejected`` or ``ThreadUnavailable``.
        """
        house = self._opened()
        launching.check(spec)
        spec = self._marked(spec)
        async with self._making:
            found = await self._earlier(house, spec)
            if found is not None:
                resident, following = house.take(found)
            else:
                resident, following = await house.launch(spec, "")
        async with _kept_if_well(house, resident, launched=found is None):
            following.begin(speaks=bool(spec.instructions))
            await self._come_up(resident, following, speaks=bool(spec.instructions))
            return await self._session(house, resident, following)

    async def resume(self, thread_id: str, spec: LaunchSpec) -> ResidentSession:
        """Attach to a thread that has had a turn: in the pane where it lives, else in a new one.

        Raises ``ThreadGone`` or ``ThreadUnavailable``.
        """
        house = self._opened()
        home = Path(codex_home(self._environ))
        try:
            rollout = await asyncio.to_thread(find_thread, home, thread_id)
        except HistoryUnavailable as error:
            raise ThreadUnavailable(error.message, hint=error.hint) from error
        if rollout is None:
            msg = f"Codex has written nothing about a thread {thread_id!r}."
            raise ThreadGone(msg)
        launching.check(spec)
        spec = self._marked(spec)
        async with self._making:
            found = await self._living(house, thread_id, spec)
            if found is not None:
                resident, following = house.take(found)
            else:
                resident, following = await house.launch(spec, thread_id)
        async with _kept_if_well(house, resident, launched=found is None):
            try:
                await following.go_on(thread_id, rollout, lives=found is not None)
            except HistoryUnavailable as error:
                raise ThreadUnavailable(error.message, hint=error.hint) from error
            if found is None:
                await self._come_up(resident, following, speaks=False)
            return await self._session(house, resident, following)

    async def find(self, mark: str, *, since: int) -> str:
        """Return the thread that was started with this mark, living or not; empty when none.

        Raises ``HistoryUnavailable``.
        """
        if not mark:
            return ""
        try:
            panes = await asyncio.to_thread(self._tmux.panes)
        except ThreadUnavailable as error:
            raise HistoryUnavailable(error.message, hint=error.hint) from error
        for pane in panes:
            if pane.mark == mark and not pane.dead and pane.thread_id:
                return pane.thread_id
        home = Path(codex_home(self._environ))
        said = await asyncio.to_thread(find_mark, home, mark, since=since)
        return said[0] if said else ""

    async def vacate(self, label: str) -> str:
        """End the pane of a stopped actor, unless something runs there or a human needs it."""
        session = launching.session_of(label)
        async with self._making:
            for found in await asyncio.to_thread(self._tmux.panes):
                if found.session == session:
                    await self.open()
                    return await self._opened().vacate(found)
        return ""

    async def close(self, *, keep_engine: bool) -> None:
        """Let go of all panes; without ``keep_engine`` end them, and the tmux server."""
        async with self._opening:
            house, self._house = self._house, None
            if house is not None:
                await house.close()
            if not keep_engine and not await asyncio.to_thread(self._end_all):
                msg = "Processes of resident Codexes do not end."
                raise Unhealthy(msg, hint="See what still runs: ps -ef | grep codex")

    async def _earlier(self, house: House, spec: LaunchSpec) -> Found | None:
        """Return the pane of this very launch, left by a netsky that ended over it."""
        name = launching.session_name(spec)
        for found in await asyncio.to_thread(self._tmux.panes):
            if found.mark == spec.mark and not found.dead and house.held(found.pane) is None:
                return found
            if found.session == name:
                await self._end_leftover(house, found)
        return None

    async def _living(self, house: House, thread_id: str, spec: LaunchSpec) -> Found | None:
        """Return the pane in which a thread lives; nobody is attached to it afterwards."""
        name = launching.session_name(spec)
        living = None
        for found in await asyncio.to_thread(self._tmux.panes):
            if not found.dead and await _thread_in(found) == thread_id:
                living = found
                if (holder := house.held(found.pane)) is not None:
                    await house.let_go(holder)
            elif found.session == name:
                await self._end_leftover(house, found)
        return living

    async def _end_leftover(self, house: House, found: Found) -> None:
        # Of an earlier thread of the same actor, which has another now.
        self._log("warning", "ended a pane whose place is needed", {"session": found.session})
        holder = house.held(found.pane)
        if holder is not None:
            await house.let_go(holder)
        await house.end_found(found)

    async def _come_up(self, resident: Resident, following: Following, *, speaks: bool) -> None:
        blocking = await launching.come_up(
            resident.pane,
            named=following.learn_name,
            speaks=speaks,
            seconds=self._settings.turn_start_seconds,
            clock=self._clock,
        )
        if blocking is not None:
            resident.block(read(blocking).reason, blocking)

    async def _session(
        self, house: House, resident: Resident, following: Following
    ) -> ResidentSession:
        instance = await asyncio.to_thread(self._tmux.instance)
        house.watch(resident, following)
        return ResidentSession(
            resident,
            following=following,
            house=house,
            engine_id=f"tmux-{instance}",
            screen=house.screen(resident),
            seconds=self._settings.request_seconds,
            clock=self._clock,
        )

    def _end_all(self) -> bool:
        members: list[psutil.Process] = []
        told = False
        with suppress(ThreadUnavailable):  # a tmux that hangs: they can be ended without it
            living = [pane for pane in self._tmux.panes() if not pane.dead]
            members = [p for pane in living for p in processes.family(processes.leader(pane.pid))]
            self._tmux.kill_server()
            told = True
        gone = processes.end(members)
        rooms = f"{self._home.attach}{os.sep}"
        return processes.end_marked(PROMPT_VARIABLE, rooms) and gone and told

    def _marked(self, spec: LaunchSpec) -> LaunchSpec:
        return spec if spec.mark else replace(spec, mark=self._ids.tag())

    def _opened(self) -> House:
        if self._house is None:
            msg = "The resident door was not opened."
            raise ThreadUnavailable(msg)
        return self._house


@asynccontextmanager
async def _kept_if_well(house: House, resident: Resident, *, launched: bool) -> AsyncIterator[None]:
    """End a pane that was launched and let go of one that was found, whatever goes wrong.

    Also when the caller was cancelled: nobody would know of the pane, and whoever gets the thread
    instead would not write to it alone.
    """
    try:
        yield
    except BaseException:
        await (house.end(resident) if launched else house.let_go(resident))
        raise


async def _thread_in(found: Found) -> str:
    if found.thread_id:
        return found.thread_id
    leader = processes.leader(found.pid)
    written = await asyncio.to_thread(processes.open_rollout, leader)
    return written[0] if written else ""
