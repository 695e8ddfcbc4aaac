"""Small adapters with which the daemon introduces rooms to each other that never meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from netsky_runtime.agents import launch
from netsky_runtime.agents.delegation import Limits
from netsky_runtime.codex.app_server.runtime import AppServerRuntime
from netsky_runtime.codex.base import RuntimeInfo, ThreadRuntime
from netsky_runtime.codex.scripted.demo import DemoScript
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db import actors, engines, sessions
from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_runtime.records import (
    MANAGER0,
    OWNER,
    Actor,
    ActorKind,
    ActorStatus,
    Engine,
    EngineState,
    RuntimeName,
    Session,
)
from netsky_runtime.settings import Settings, allowed_roots, work_dir

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from netsky_runtime.agents.ingest import Log
    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database, Tx
    from netsky_runtime.paths import Home


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
    """Keeps the identity of the engine in the database, for the next start to find it."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def load(self) -> Engine | None:
        """Return the engine that should be running."""
        return await self._database.read(lambda tx: engines.running(tx, RuntimeName.APP_SERVER))

    async def save(self, engine: Engine) -> None:
        """Remember an engine that was just started."""
        await self._database.write(lambda tx: engines.insert(tx, engine))

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        """Record the end of an engine."""
        now = self._clock.now()
        await self._database.write(
            lambda tx: engines.end(tx, engine_id, state=state, reason=reason, now=now)
        )


def chosen_runtime(settings: Settings) -> RuntimeName:
    """Return the door of new actors."""
    return RuntimeName.SCRIPTED if settings.runtime == "scripted" else RuntimeName.APP_SERVER


class Runtimes:
    """The doors to Codex, each made when the first actor needs it."""

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        demo: bool,
        settings: Settings,
        home: Home,
        database: Database,
        clock: Clock,
        ids: Ids,
        log: Log,
    ) -> None:
        self._environ = environ
        self._demo = demo
        self._settings = settings
        self._home = home
        self._database = database
        self._clock = clock
        self._ids = ids
        self._log = log
        self._made: dict[RuntimeName, ThreadRuntime] = {}
        self.chosen = chosen_runtime(settings)
        """The door of new actors."""

    def get(self, name: RuntimeName) -> ThreadRuntime:
        """Return the runtime of that name. Raises ``Unhealthy`` for one that does not exist."""
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
            case RuntimeName.APP_SERVER:
                return AppServerRuntime(
                    settings=self._settings,
                    home=self._home,
                    store=EngineRows(database=self._database, clock=self._clock),
                    clock=self._clock,
                    ids=self._ids,
                    environ=self._environ,
                    log=self._log,
                )
            case _:
                msg = f"The runtime {name.value} is not part of this netsky."
                raise Unhealthy(msg, hint="`netsky settings set runtime auto` chooses one that is.")

    async def info(self) -> RuntimeInfo:
        """Describe the door of new actors; one that cannot open says why in its notices."""
        try:
            return await self.get(self.chosen).info()
        except NetskyError as error:
            return RuntimeInfo(name=self.chosen, version="", notices=(str(error),))

    def survives(self) -> bool:
        """Whether turns of new actors go on without netsky."""
        return self.get(self.chosen).capabilities.survives_netsky

    async def close(self, *, keep_engine: bool) -> None:
        """Close every door, the last one opened first."""
        while self._made:
            _, runtime = self._made.popitem()
            await runtime.close(keep_engine=keep_engine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Makes session rows with this daemon's settings and door."""

    settings: Settings
    runtime: RuntimeName
    clock: Clock
    ids: Ids

    def __call__(self, actor: Actor, *, model: str = "") -> Session:
        """Return the row, not yet stored, of an actor that has no session."""
        return launch.new_session(
            actor,
            self.settings,
            runtime=self.runtime,
            ids=self.ids,
            now=self.clock.now(),
            model=model,
        )


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
