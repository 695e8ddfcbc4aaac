"""The torture: start, work, kill, look, and start again, until the plan is at its end."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import psutil

from netsky_runtime.counting import count
from netsky_runtime.db import rows
from netsky_runtime.db.connection import ReadDatabase
from netsky_runtime.errors import Unhealthy
from netsky_runtime.invariants import check
from netsky_runtime.states import RuntimeName
from netsky_runtime.torture.accounts import Accounts
from netsky_runtime.torture.daemon import START_SECONDS, Daemon
from netsky_runtime.torture.load import GoneError, Operator
from netsky_runtime.torture.plan import Kill, Target, plan
from netsky_runtime.torture.points import BY_NAME, Step
from netsky_runtime.torture.reckoning import reckon
from netsky_runtime.torture.report import Report
from netsky_runtime.torture.slaying import engines, kill_engine, of_home

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.invariants.histories import Heard
    from netsky_runtime.paths import Home

REACH_SECONDS: Final = 4.0
"""A daemon that has not come to its place by then is killed where it is."""
PAUSE_SECONDS: Final = 0.2
"""Between one round of deeds and the next."""
REST_SECONDS: Final = 45.0
"""How long nothing may change in the end while something is open."""
QUIET_LOOKS: Final = 3
LOOK_SECONDS: Final = 0.1
DYING_SECONDS: Final = 5.0
"""How long a daemon that does not answer any more may take to be gone."""
_OPEN = """
SELECT count(*) FROM actor_inputs WHERE status IN ('queued', 'handed', 'seen')
"""
_BUSY = "SELECT count(*) FROM approvals WHERE status = 'pending'"


class Torture:
    """One run on one home, which is thrown away by whoever made it."""

    def __init__(
        self,
        home: Home,
        *,
        runtime: RuntimeName,
        seed: int,
        kills: int,
        environ: Mapping[str, str],
        cwd: Path,
        clock: Clock,
        progress: Callable[[str], None],
    ) -> None:
        self.report = Report(runtime=runtime.value, seed=seed)
        self._home = home
        self._plan = plan(seed, kills, runtime)
        self._seed = seed
        self._environ = environ
        self._cwd = cwd
        self._clock = clock
        self._progress = progress
        self._accounts = Accounts()
        self._log = home.root.parent / "victims.log"
        self._daemon: Daemon | None = None
        self._spare: Daemon | None = None
        """The next one, which has loaded everything and waits for its first order."""
        self._measured: Daemon | None = None
        self._heard: Heard | None = None
        """What the histories told at the last look."""

    async def run(self) -> Report:
        """Carry out the plan, let everything come to rest, and count. Raises ``Unhealthy``."""
        began = self._clock.monotonic()
        try:
            for number, kill in enumerate(self._plan):
                await self._cycle(number, kill)
                if number % 10 == 9:
                    self._tell(number + 1)
            await self._rest()
        finally:
            await self._clean_up()
        self.report.seconds = self._clock.monotonic() - began
        return self.report

    def _tell(self, done: int) -> None:
        broken = len(self.report.found())
        self._progress(
            f"{done} of {count(len(self._plan), 'kill')}, "
            f"{count(len(self._accounts.sent), 'input')} accepted, "
            f"{count(broken, 'finding') if broken else 'nothing found'}"
        )

    async def _cycle(self, number: int, kill: Kill) -> None:
        """Let a daemon live until it is killed, and look at what it left."""
        daemon = await self._living(kill)
        if kill.starting:
            await self._clock.sleep(kill.seconds)
        else:
            await self._until_ready(daemon)
            await self._work(number, daemon, kill)
        await self._strike(daemon, kill)
        self.report.places[kill.place] += 1
        self.report.targets[kill.target.value] += 1
        await self._look(live=not daemon.dead)

    async def _living(self, kill: Kill | None) -> Daemon:
        """Return the daemon, another one when it is dead."""
        if self._daemon is None or self._daemon.dead:
            self._daemon = self._spare or await self._another()
            self._spare = None if kill is None else await self._another()
        await self._daemon.arm(kill)
        return self._daemon

    async def _another(self) -> Daemon:
        return await Daemon.start(self._home, environ=self._environ, cwd=self._cwd, log=self._log)

    async def _until_ready(self, daemon: Daemon) -> None:
        """Wait for the start. One that dies by its own trap meanwhile is as good."""
        try:
            async with asyncio.timeout(START_SECONDS):
                await daemon.settled.wait()
        except TimeoutError as error:
            msg = f"A daemon did not become ready within {START_SECONDS:g} s."
            raise Unhealthy(msg, hint=f"See {self._log}.") from error
        if daemon.ready is not None and daemon is not self._measured:
            self._measured = daemon
            self.report.reconcile.append(daemon.ready)

    async def _work(self, number: int, daemon: Daemon, kill: Kill) -> None:
        """Give the daemon work until it is dead, has struck, or its time is over."""
        dice = random.Random(f"{self._seed}:{number}")  # noqa: S311 - to be repeated
        seconds = REACH_SECONDS if kill.point else kill.seconds
        handle = await daemon.connect()
        if handle is None:
            await self._unless_dead(daemon, "takes no connection")
            return
        step = BY_NAME[kill.point].step if kill.point else dice.choice(list(Step))
        database = await ReadDatabase.open(self._home.database)
        operator = Operator(self._accounts, database, self._clock, dice, handle)
        try:
            async with asyncio.TaskGroup() as group:
                working = (
                    group.create_task(self._asking(daemon, operator, step)),
                    group.create_task(self._chores(daemon, operator)),
                )
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await daemon.over.wait()
                for task in working:
                    task.cancel()
        finally:
            await handle.close()
            await database.close()

    async def _asking(self, daemon: Daemon, operator: Operator, step: Step) -> None:
        try:
            while True:
                await operator.work(step)
                await self._clock.sleep(PAUSE_SECONDS)
        except* GoneError as gone:
            await self._unless_dead(daemon, f"does not answer: {gone.exceptions[0].__cause__}")

    async def _chores(self, daemon: Daemon, operator: Operator) -> None:
        try:
            await operator.chores()
        except GoneError as gone:
            await self._unless_dead(daemon, f"does not answer: {gone.__cause__}")

    async def _unless_dead(self, daemon: Daemon, what: str) -> None:
        """Tell what only a dead daemon may do; one that dies is given a moment to be gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DYING_SECONDS):
                await daemon.over.wait()
        if not daemon.over.is_set():
            self.report.failures.append(f"a daemon that lives {what}")

    async def _strike(self, daemon: Daemon, kill: Kill) -> None:
        """Kill, unless the trap has."""
        if daemon.dead and not daemon.struck:
            ended = f"a daemon ended by itself with {daemon.status}, {kill.place} was to come"
            self.report.failures.append(f"{ended}: {self._last_words()}")
        if kill.point and not daemon.struck:
            self.report.missed[kill.point] += 1
            if not daemon.dead and not await daemon.answers():
                await self._unless_dead(daemon, "answers nobody")
        if kill.target is Target.ENGINE:
            if not daemon.struck:
                await asyncio.to_thread(kill_engine, self._home.database)
            return
        if kill.target is Target.TREE:
            await asyncio.to_thread(kill_engine, self._home.database)
        await daemon.kill(tree=kill.target is Target.TREE)

    async def _look(self, *, live: bool) -> None:
        """Check the invariants on what there is now."""
        if not self._home.database.exists():
            return
        database = await ReadDatabase.open(self._home.database)
        try:
            found = await check(self._home, self._environ, database, live=live)
        finally:
            await database.close()
        self._heard = found.heard
        self.report.checks += 1
        self.report.invariants = max(self.report.invariants, len(found.checks))
        for each in found.violations:
            told = f"{each.invariant} {each.check}: {each.sentence}"
            if told not in self.report.violations:
                self.report.violations.append(told)
                self._progress(f"violated: {told}")

    async def _rest(self) -> None:
        """Let the last daemon finish everything, stop it, and compare."""
        self._progress("letting everything come to rest")
        daemon = await self._living(None)
        if self._spare is not None:
            await self._spare.kill(tree=True)
        await self._until_ready(daemon)
        handle = await daemon.connect()
        if handle is None:
            last = f"the last daemon takes no connection: {self._last_words()}"
            self.report.failures.append(last)
            return
        database = await ReadDatabase.open(self._home.database)
        try:
            dice = random.Random(self._seed)  # noqa: S311 - to be repeated
            operator = Operator(self._accounts, database, self._clock, dice, handle)
            with suppress(GoneError):
                await operator.say()  # it works after all that
            await self._settle(operator, database)
            if not await daemon.answers():
                self.report.failures.append("the last daemon answers nobody")
            await handle.close()
            await self._look(live=True)
            await daemon.stop()
            await self._look(live=False)
            if self._heard is not None:
                deeds = await asyncio.to_thread(self._deeds)
                await reckon(self.report, self._accounts, database, self._heard, deeds=deeds)
        finally:
            await database.close()
        if self._log.stat().st_size:
            self.report.failures.append(f"a daemon had something to say: {self._last_words()}")
        self.report.orphans += [f"pid {p.pid} {p.name()}" for p in of_home(self._home.root.parent)]

    def _deeds(self) -> list[str] | None:
        """Return what accepted commands have made, where they really run."""
        if self.report.runtime != RuntimeName.APP_SERVER:
            return None
        return [path.name for path in self._cwd.iterdir()]

    async def _settle(self, operator: Operator, database: ReadDatabase) -> None:
        """Do the owner's chores until nothing is open any more, or nothing changes any more."""

        async def open_(tx: Tx) -> int:
            return int(await rows.value(tx, _OPEN)) + int(await rows.value(tx, _BUSY))

        left, since = await database.read(open_), self._clock.monotonic()
        quiet = 0
        while quiet < QUIET_LOOKS and self._clock.monotonic() - since < REST_SECONDS:
            with suppress(GoneError):
                await operator.tidy()
            before, left = left, await database.read(open_)
            if left != before:
                since = self._clock.monotonic()
            quiet = 0 if left else quiet + 1
            await self._clock.sleep(LOOK_SECONDS)

    async def _clean_up(self) -> None:
        """Leave no process behind, whichever way it went."""
        for daemon in (self._daemon, self._spare):
            if daemon is not None and not daemon.dead:
                await daemon.kill(tree=True)
        if engines(self._home.database):
            await asyncio.to_thread(kill_engine, self._home.database)
        for process in of_home(self._home.root.parent):
            with suppress(psutil.Error):
                process.kill()

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return " | ".join(lines[-3:]) or "it said nothing"
