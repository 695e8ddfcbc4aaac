"""The doors to Codex of a daemon: made, opened, told of and closed."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from netsky_runtime import leftover
from netsky_runtime.codex.base import NoSuchDoor, RuntimeInfo, ThreadRuntime
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.codex.scripted.demo import DemoScript
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.door_stores import EngineRows
from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Database
    from netsky_runtime.door_choice import Choice
    from netsky_runtime.log import Log
    from netsky_runtime.paths import Home
    from netsky_runtime.settings import Settings

TOLD_KEPT: Final = 10
"""Notices about threads and doors that are remembered."""


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


def _instead(asked: RuntimeName, taken: RuntimeName) -> str:
    return f"New actors get {taken.value}: {asked.value}, which was asked for, is not there."
