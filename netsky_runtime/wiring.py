"""Small adapters with which the daemon introduces rooms to each other that never meet."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime import leftover
from netsky_runtime.agents import launch
from netsky_runtime.agents.hiring import Limits
from netsky_runtime.codex.base import NoSuchDoor, RuntimeInfo, ThreadRuntime
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.codex.scripted.demo import DemoScript
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db import actors, engines, sessions
from netsky_runtime.db import doors as door_rows
from netsky_runtime.errors import CodexMissing, DatabaseError, NetskyError, Unhealthy
from netsky_runtime.records import MANAGER0, OWNER, Actor, DoorResult, Engine, Session
from netsky_runtime.settings import Settings, allowed_roots, work_dir
from netsky_runtime.states import ActorKind, ActorStatus, EngineState, RuntimeName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.codex.probe import Doors, Fingerprint
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home


TOLD_KEPT: Final = 10
"""Notices about threads and doors that are remembered."""


async def first_rows(tx: Tx, cwd: Path, now: int) -> None:
    """Make the owner and manager0 in a home that has none.

    Until its first session manager0 has no other folder than ``cwd``.
    """
    if await actors.get(tx, OWNER) is None:
        owner = Actor(
            id=OWNER,
            kind=ActorKind.OWNER,
            status=ActorStatus.ACTIVE,
            created_at=now,
            updated_at=now,
        )
        await actors.insert(tx, owner)
    present = await actors.get(tx, MANAGER0)
    if present is None:
        manager0 = Actor(
            id=MANAGER0,
            kind=ActorKind.MANAGER,
            status=ActorStatus.ACTIVE,
            manager_id=OWNER,
            cwd=str(cwd),
            created_at=now,
            updated_at=now,
        )
        await actors.insert(tx, manager0)
    elif present.cwd != str(cwd) and await sessions.current(tx, MANAGER0) is None:
        await actors.set_cwd(tx, MANAGER0, str(cwd), now=now)


class EngineRows:
    """Keeps the identity of a runtime's engine in the database, for the next start to find it."""

    def __init__(self, *, database: Database, clock: Clock, runtime: RuntimeName) -> None:
        self._database = database
        self._clock = clock
        self._runtime = runtime

    async def load(self) -> Engine | None:
        """Return the runtime's engine that should be running."""
        return await self._database.read(lambda tx: engines.running(tx, self._runtime))

    async def save(self, engine: Engine) -> None:
        """Remember an engine that was just started."""
        await self._database.write(lambda tx: engines.insert(tx, engine))

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        """Record the end of an engine."""
        now = self._clock.now()
        await self._database.write(
            lambda tx: engines.end(tx, engine_id, state=state, reason=reason, now=now)
        )


class DoorRows:
    """Keeps in the database what handshakes with doors have shown."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def load(self, binary: Fingerprint) -> Mapping[RuntimeName, DoorResult]:
        """Return what is known of this binary."""
        return await self._database.read(
            lambda tx: door_rows.of_binary(
                tx, binary.path, size=binary.size, mtime_ns=binary.mtime_ns
            )
        )

    async def save(self, binary: Fingerprint, result: DoorResult) -> None:
        """Remember a result in place of the door's last one.

        While nothing can be stored it is forgotten: then the door is tried again.
        """
        with suppress(sqlite3.Error, DatabaseError):
            await self._database.write(
                lambda tx: door_rows.keep(
                    tx, binary.path, result, size=binary.size, mtime_ns=binary.mtime_ns
                )
            )


@dataclass(frozen=True, slots=True)
class Choice:
    """The door of new actors."""

    runtime: RuntimeName
    notices: tuple[str, ...] = ()
    """Why ``auto`` passed the doors before it."""


def doors(
    settings: Settings, environ: Mapping[str, str], *, database: Database, clock: Clock
) -> Doors:
    """Return the doors of the Codex that these settings name, remembered in the database."""
    from netsky_runtime.codex.probe import Doors

    store = DoorRows(database=database)
    return Doors(store=store, named=settings.codex_bin, environ=environ, clock=clock)


async def choose(settings: Settings, doors: Callable[[], Doors]) -> Choice:
    """Take the door that was set, else the first that is open.

    Without any it is app_server, for its error to be shown.
    """
    if settings.runtime != "auto":
        return Choice(RuntimeName(settings.runtime))
    try:
        best, closed = await doors().best()
    except CodexMissing:
        return Choice(RuntimeName.APP_SERVER)
    notices = tuple(f"{result.door.value} is not open: {result.reason}" for result in closed)
    return Choice(best.door if best else RuntimeName.APP_SERVER, notices)


async def sidecar_door(
    settings: Settings, doors: Callable[[], Doors], best: RuntimeName
) -> RuntimeName:
    """Return the door of a sidecar's new thread: the one that was set, else mcp_server if open."""
    if settings.runtime == "auto" and (await doors().ask(RuntimeName.MCP_SERVER)).open:
        return RuntimeName.MCP_SERVER
    return best


async def check_door(doors: Callable[[], Doors], door: RuntimeName) -> None:
    """Raise ``Unhealthy`` for a door that somebody asked for and that is not open."""
    if door is RuntimeName.SCRIPTED:
        return
    result = await doors().ask(door)
    if not result.open:
        msg = f"{door.value} is not open. {result.reason}"
        raise Unhealthy(msg, hint="`netsky doctor` tells which doors are open.")


class Runtimes:
    """The doors to Codex, each made when the first actor needs it."""

    def __init__(
        self,
        *,
        choice: Choice,
        environ: Mapping[str, str],
        demo: bool,
        settings: Settings,
        home: Home,
        database: Database,
        clock: Clock,
        ids: Ids,
        log: Log,
    ) -> None:
        self._environ = {**environ, **dict((home.mark,))}
        self._demo = demo
        self._settings = settings
        self._home = home
        self._database = database
        self._clock = clock
        self._ids = ids
        self._log = log
        self._made: dict[RuntimeName, ThreadRuntime] = {}
        self._shut = ""
        """Why the chosen door did not open at the start."""
        self._choice = choice
        self._told: list[str] = []
        self.chosen = choice.runtime
        """The door of new actors."""

    def get(self, name: RuntimeName) -> ThreadRuntime:
        """Return the runtime of that name."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: RuntimeName) -> ThreadRuntime:
        match name:
            case RuntimeName.SCRIPTED:
                return ScriptedRuntime(
                    directory=self._home.scripted,
                    clock=self._clock,
                    ids=self._ids,
                    script=DemoScript() if self._demo else OrdersInText(),
                )
            # What a demo, or a fleet behind one door, does not need is not loaded.
            case RuntimeName.APP_SERVER:
                from netsky_runtime.codex.app_server.runtime import AppServerRuntime

                return AppServerRuntime(
                    settings=self._settings,
                    home=self._home,
                    store=self._engines(name),
                    clock=self._clock,
                    ids=self._ids,
                    environ=self._environ,
                    log=self._log,
                )
            case RuntimeName.MCP_SERVER:
                from netsky_runtime.codex.mcp_server.runtime import McpServerRuntime

                return McpServerRuntime(
                    settings=self._settings,
                    home=self._home,
                    store=self._engines(name),
                    clock=self._clock,
                    ids=self._ids,
                    environ=self._environ,
                    log=self._log,
                )
            case RuntimeName.RESIDENT:
                from netsky_runtime.codex.resident.runtime import ResidentRuntime

                return ResidentRuntime(
                    settings=self._settings,
                    home=self._home,
                    clock=self._clock,
                    ids=self._ids,
                    environ=self._environ,
                    log=self._log,
                )

    def _engines(self, name: RuntimeName) -> EngineRows:
        return EngineRows(database=self._database, clock=self._clock, runtime=name)

    async def open_chosen(self, *, seconds: float) -> None:
        """Open the door of new actors, also where those that there are have others.

        For one that this Codex or machine does not have at all, new actors get the best that
        opens. That, and one that does not open within ``seconds``, is told by ``info``.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._open_chosen()
        except TimeoutError:
            self._shut = f"{self.chosen.value} did not open within {seconds:g} s."
        except NetskyError as error:
            self._shut = str(error)

    async def _open_chosen(self) -> None:
        asked = self.chosen
        try:
            await self.get(asked).open()
        except NoSuchDoor as error:
            for name in ORDER:
                with suppress(Unhealthy):  # it tells why where it is asked for itself
                    await self.get(name).open()
                    self.chosen = name
                    self.tell(f"{_instead(asked, name)} {error.message}")
                    return
            raise

    def tell(self, notice: str) -> None:
        """Have ``info`` tell the operator of something too, the latest ``TOLD_KEPT`` of them."""
        kept = [told for told in self._told if told != notice]
        self._told = [*kept, notice][-TOLD_KEPT:]

    async def info(self) -> RuntimeInfo:
        """Describe the door of new actors; one that cannot open says why in its notices."""
        try:
            info = await self.get(self.chosen).info()
        except NetskyError as error:
            info = RuntimeInfo(name=self.chosen, version="", notices=(str(error),))
        notices = [*self._told, *info.notices, *self._choice.notices]
        if not info.version and self._shut and self._shut not in notices:
            notices.insert(0, self._shut)
        return replace(info, notices=tuple(notices))

    def troubles(self) -> Sequence[str]:
        """Return a sentence on each thing behind any door that ends by errors again and again."""
        return [told for made in self._made.values() for told in made.troubles()]

    def lacks(self) -> Mapping[str, Mapping[str, str]]:
        """Return, of each door that is in use, what it cannot do and why."""
        return {name.value: made.capabilities.lacks for name, made in self._made.items()}

    def survives(self) -> bool:
        """Whether turns of new actors go on without netsky."""
        return self.get(self.chosen).capabilities.survives_netsky

    async def close(self, *, keep_engine: bool) -> None:
        """Close every door, the last one opened first; one that fails keeps none of them open.

        Without ``keep_engine`` what works behind a door that nobody opened this time ends too.
        """
        while self._made:
            name, runtime = self._made.popitem()
            try:
                await runtime.close(keep_engine=keep_engine)
            except NetskyError as error:
                self._log("error", "a door did not close", {"door": name, "error": str(error)})
        if keep_engine:
            return
        try:
            await leftover.end_all(
                self._home, self._environ, database=self._database, clock=self._clock, log=self._log
            )
        except NetskyError as error:
            self._log("error", "something works on without netsky", {"error": str(error)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Makes session rows with this daemon's settings and door."""

    settings: Settings
    door: Callable[[], RuntimeName]
    """The door of new actors just now."""
    clock: Clock
    ids: Ids

    def __call__(
        self, actor: Actor, *, model: str = "", runtime: RuntimeName | None = None
    ) -> Session:
        """Return the row, not yet stored, of an actor that has no session."""
        return launch.new_session(
            actor,
            self.settings,
            runtime=runtime or self.door(),
            ids=self.ids,
            now=self.clock.now(),
            model=model,
        )


def _instead(asked: RuntimeName, taken: RuntimeName) -> str:
    return f"New actors get {taken.value}: {asked.value}, which was asked for, is not there."


def limits(settings: Settings, cwd: Path) -> Limits:
    """Return what bounds the fleet of a daemon that was started in ``cwd``."""
    return Limits(
        max_live_workers=settings.max_live_workers,
        work_dir=work_dir(settings, cwd).resolve(),
        allowed_roots=allowed_roots(settings, cwd),
    )


def readiness(runtime: Mapping[str, Any], pid: int) -> list[str]:
    """Return what a headless daemon says of its runtime, as ``status`` describes it."""
    notices = list(runtime["notices"])
    if runtime["codex_version"]:
        first = f"ready: {runtime['name']} {runtime['codex_version']}, pid {pid}"
    else:
        why = notices.pop(0) if notices else "it has not been started yet."
        first = f"ready, pid {pid}, but without Codex: {why}"
    return [first, *(f"notice: {notice}" for notice in notices)]
