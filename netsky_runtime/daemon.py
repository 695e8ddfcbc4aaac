"""The composition root: builds everything, and owns the order of start and stop."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from netsky_runtime import __version__, door_choice, lock, settings, wiring
from netsky_runtime.attention.desktop import Desktop
from netsky_runtime.attention.herald import Herald
from netsky_runtime.checks import check_start
from netsky_runtime.clock import Clock, Ids, SortableIds, SystemClock, iso
from netsky_runtime.control.feed import Feed
from netsky_runtime.control.handle import Handle, LocalHandle
from netsky_runtime.control.server import ControlServer, make_way
from netsky_runtime.db import engines, trouble
from netsky_runtime.db import sessions as session_rows
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.db.connection import Database
from netsky_runtime.db.counts import status_counts
from netsky_runtime.errors import DatabaseError, Fenced, NetskyError
from netsky_runtime.gate import Gate, check_self
from netsky_runtime.housekeeping import Housekeeping
from netsky_runtime.logbook import Logbook
from netsky_runtime.services import Services
from netsky_runtime.states import RuntimeName
from netsky_runtime.status_verbs import StatusVerbs
from netsky_runtime.storage_watch import StorageWatch
from netsky_runtime.supervise import Supervisor
from netsky_runtime.verbs import VerbTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.codex.probe import Doors
    from netsky_runtime.control import protocol
    from netsky_runtime.db.counts import Counts
    from netsky_runtime.options import Options
    from netsky_runtime.records import LogRow
    from netsky_runtime.settings import Settings

ATTACH_SECONDS = 10.0
"""How long a start waits for threads to come back before it says it is ready."""
FLUSH_SECONDS = 5.0
"""How long a stop waits for a database that does not take the last facts; Codex keeps them."""
TAKEN_OVER = "another netsky has taken over this home"
_READING = frozenset({"status", "doctor", "wait"})


class Daemon:
    """Everything that runs on one home. Made by ``host``, ended by ``stop``."""

    def __init__(self, options: Options, *, clock: Clock, ids: Ids) -> None:
        self.options = options
        self.clock = clock
        self.ids = ids
        self.stopped = asyncio.Event()
        """Set when the daemon has ended, whoever asked for it."""
        self.asked_to_stop = asyncio.Event()
        self.keep_engine = False
        self.hand_over = False
        """Whether a room that is attached shall host the home from now on."""
        self.started = False
        self.taken_over = False
        """Whether another netsky owns the home now: this one has written nothing since."""
        self._stack = AsyncExitStack()
        self._stopping: asyncio.Task[None] | None = None
        self._state = "starting"
        self._since = clock.now()

    @classmethod
    async def host(
        cls,
        options: Options,
        *,
        clock: Clock | None = None,
        ids: Ids | None = None,
        made: Callable[[Daemon], None] = lambda _daemon: None,
    ) -> Daemon:
        """Start a daemon on this home; ``made`` is told of it before anything has started.

        Raises ``DaemonRunning``, ``DatabaseError``, ``Unhealthy`` or ``UsageError``; nothing is
        left running then.
        """
        clock = clock or SystemClock()
        daemon = cls(options, clock=clock, ids=ids or SortableIds(clock))
        made(daemon)
        try:
            await daemon._start()
        except BaseException:
            # An engine that works is left alone, unless the start was stopped by a signal.
            if not daemon.asked_to_stop.is_set():
                daemon.keep_engine = True
            await daemon._stack.aclose()
            raise
        return daemon

    async def _start(self) -> None:
        numbers = await self._open_home()
        await self._make_services(numbers)
        self.options.progress("opening the control socket")
        await self._listen()
        await self._set_to_work()
        self._state = "ready"
        self._since = self.clock.now()
        self.started = True
        self.log("info", "daemon started", {"epoch": self.epoch, "version": __version__})

    async def _open_home(self) -> Counts:
        """Make the home this daemon's own; return how much there is in it."""
        options, clock, home = self.options, self.clock, self.options.home
        stack = self._stack
        if not home.database.exists():  # a first start that is refused creates nothing
            check_start(home, settings.load({}, options.environ, **options.flags), options.cwd)
        home.prepare()
        await stack.enter_async_context(lock.held(home.lock, clock=clock))
        # Before the epoch is taken: a daemon that lost its lock and still answers goes on alone.
        make_way(home.control_socket)

        self.log = Logbook(file=home.logs / "netsky.jsonl", clock=clock)
        options.progress("opening the database")
        self.database = await Database.open(home.database, backups=home.backups, clock=clock)
        stack.push_async_callback(self.database.close)
        numbers = await self.database.read(lambda tx: status_counts(tx, now=clock.now()))
        stored = await self.database.read(setting_rows.get_all)
        self.settings = settings.load(stored, options.environ, **options.flags)
        check_start(home, self.settings, options.cwd)
        await check_self("to start netsky", home=home, database=self.database)
        self.epoch = await self.database.own(pid=os.getpid(), now=clock.now(), lost=self._home_lost)
        folder = settings.work_dir(self.settings, options.cwd).resolve()
        await self.database.write(lambda tx: wiring.first_rows(tx, folder, clock.now()))
        return numbers

    async def _make_services(self, numbers: Counts) -> None:
        """Make all that works here, and settle the order in which it ends."""
        options, clock, stack = self.options, self.clock, self._stack
        # What goes on by itself waits for a disk that is full; who asks for something is refused.
        self.tasks = Supervisor(report=self.log.failure, context=trouble.waiting())
        stack.push_async_callback(self.log.flush, self.database)
        stack.push_async_callback(self.tasks.close)
        # What lives as long as the daemon is kept: what must outlive an error of its own lies in
        # the service (lines, facts, who climbs the ladder) or on the disk, and is taken up again.
        self.tasks.keep("logbook", partial(self.log.run, self.database), clock=clock)

        options.progress("looking for a door to Codex")
        self.services = Services(
            options=options,
            settings=self.settings,
            choice=await door_choice.choose(self.settings, self.doors),
            doors=self.doors,
            database=self.database,
            supervisor=self.tasks,
            clock=clock,
            ids=self.ids,
            log=self.log,
        )
        exposed = options.home.exposure()
        if exposed and self.settings.sandbox == "workspace-write" and not options.demo:
            self.services.runtimes.tell(f"The home is {options.home.root}. {exposed}")
        self.housekeeping = self._housekeeping()
        own = self._status_verbs(numbers)
        self.verbs = VerbTable(self.services.verbs, own.table(), {"stop": self._stop_verb})
        self.tasks.keep("facts", self.services.facts.run, clock=clock)
        stack.push_async_callback(self._end_runtimes)
        stack.push_async_callback(self._store_facts)
        # The answers to the turns that are interrupted just before.
        stack.push_async_callback(self.services.office.answer)
        stack.push_async_callback(self.services.fleet.close)
        stack.push_async_callback(self._interrupt_turns)

    async def _set_to_work(self) -> None:
        """Bring the actors back, and begin what goes on by itself."""
        options, clock = self.options, self.clock
        if options.only is None:  # else the door is that of the one thread it is for
            options.progress(f"starting {self.services.runtimes.chosen.value}")
        await self.services.fleet.start(options.only)
        self.tasks.keep("watchdog", self.services.watchdog.run, clock=clock)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.services.fleet.settled(seconds=ATTACH_SECONDS))
            if options.only is None:
                group.create_task(self.services.runtimes.open_chosen(seconds=ATTACH_SECONDS))
        if options.only is None:
            for actor_id in await self.database.write(self.services.delegation.start_ready):
                self.services.fleet.wake(actor_id)
            self.tasks.keep("post office", self.services.office.run, clock=clock)
            self.tasks.spawn("sidecars", self.services.sidecar.finish_leftovers())
            self.tasks.keep("housekeeping", self.housekeeping.run, clock=clock)
            self.tasks.keep("herald", self._herald().run, clock=clock)
        await self.services.budgets.look_again()

    def doors(self) -> Doors:
        """Return the doors of the Codex that is set, and what is known of them."""
        return door_choice.doors(
            self.settings, self.options.environ, database=self.database, clock=self.clock
        )

    async def dispatch(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Run a verb to its end, also when whoever asked goes away in the middle of it.

        Else a decision could be stored and never sent, or an actor given work and not woken.
        """
        if method in _READING:
            return await self.verbs(method, params)

        async def finish() -> dict[str, Any] | NetskyError:
            try:
                with trouble.refusing():
                    return await self.verbs(method, params)
            except NetskyError as error:
                return error  # the caller's, not a failure of ours to be reported

        outcome = await asyncio.shield(self.tasks.spawn(method, finish()))
        if isinstance(outcome, NetskyError):
            raise outcome
        return outcome

    async def _listen(self) -> None:
        self.feed = Feed(
            database=self.database,
            live=self.services.live,
            clock=self.clock,
            set_watched=self._watch,
        )
        await self.feed.start(self._stack)
        self.log.on_line(self._tell)
        self.storage = StorageWatch(
            database=self.database,
            clock=self.clock,
            log=self.log,
            tell=self.feed.notice,
            facts_waiting=lambda: len(self.services.facts),
        )
        self.tasks.keep("storage watch", self.storage.run, clock=self.clock)
        self.server = ControlServer(
            self.options.home.control_socket,
            gate=Gate(home=self.options.home, database=self.database, log=self.log),
            dispatch=self.dispatch,
            feed=self.feed,
            identity=self._identity,
        )
        await self.server.start(self._stack)

    def _herald(self) -> Herald:
        return Herald(
            database=self.database,
            clock=self.clock,
            log=self.log,
            rooms=lambda: self.feed.rooms,
            ring=lambda text: self.feed.notice("ring", text),
            desktop=Desktop(environ=self.options.environ),
        )

    def _housekeeping(self) -> Housekeeping:
        async def as_set_now() -> Settings:
            stored = await self.database.read(setting_rows.get_all)
            return settings.load(stored, self.options.environ, **self.options.flags)

        return Housekeeping(
            database=self.database,
            backups=self.options.home.backups,
            settings=as_set_now,
            clock=self.clock,
            log=self.log,
        )

    def _status_verbs(self, numbers: Counts) -> StatusVerbs:
        return StatusVerbs(
            home=self.options.home,
            settings=self.settings,
            database=self.database,
            clock=self.clock,
            supervisor=self.tasks,
            services=self.services,
            housekeeping=self.housekeeping,
            doors=self.doors,
            daemon=self._standing,
            storage=self._storage_state,
            rooms=lambda: self.server.clients,
            numbers=numbers,
        )

    def _tell(self, row: LogRow) -> None:
        """Say to every room what has gone wrong: nobody reads a log all day."""
        if row.level == "error":
            told = " ".join(f"{key} {value}" for key, value in row.fields.items())
            self.feed.notice("error", f"{row.message}: {told}" if told else row.message)

    def _watch(self, actor_ids: frozenset[str]) -> None:
        self.tasks.spawn("watch", self.services.fleet.watch(actor_ids))

    def _standing(self) -> dict[str, Any]:
        return {
            "state": self._state,
            "pid": os.getpid(),
            "epoch": self.epoch,
            "since": iso(self._since),
        }

    def _storage_state(self) -> dict[str, Any]:
        return self.storage.state()

    def _identity(self) -> dict[str, Any]:
        """Say who this is, and what whoever takes the home over is to start with."""
        told = {"version": __version__, "pid": os.getpid(), "epoch": self.epoch}
        return told if self.options.only is not None else told | {"launch": self.options.launch()}

    def handle(self) -> Handle:
        """Return what the room in this process works with."""
        return LocalHandle(dispatch=self.dispatch, feed=self.feed)

    async def engine_carries_others(self, actor_id: str) -> bool:
        """Whether the engine carries the thread of anybody but this actor."""
        engine = await self.database.read(lambda tx: engines.running(tx, RuntimeName.APP_SERVER))
        current = await self.database.read(session_rows.list_current)
        others = [session for session in current if session.actor_id != actor_id]
        return engine is not None and any(each.engine_id == engine.id for each in others)

    async def _stop_verb(self, request: protocol.Stop) -> dict[str, Any]:
        self.ask_to_stop(keep_engine=request.keep_engine)
        return {}

    def _home_lost(self) -> None:
        """End, and leave everything that works on to the netsky that has the home now."""
        self.taken_over = True
        self.keep_engine = True  # also when the stop that is under way was to end it
        self.log("error", TAKEN_OVER, {"epoch": self.epoch})
        self.ask_to_stop(keep_engine=True)

    def ask_to_stop(self, *, keep_engine: bool, hand_over: bool = False) -> None:
        """Let whoever hosts this daemon end it; the first to ask chooses what becomes of the rest.

        With ``hand_over`` only this process wants to leave: a room that is attached takes over.
        """
        if not self.asked_to_stop.is_set():
            self.keep_engine, self.hand_over = keep_engine, hand_over
            self.asked_to_stop.set()

    async def stop(self, *, keep_engine: bool) -> None:
        """End everything in the reverse order of the start. Idempotent, bounded in time.

        With ``keep_engine`` running turns go on in the engine, and a room that is attached takes
        over; otherwise they are interrupted and the engine is ended. What was asked for before
        counts.
        """
        self.ask_to_stop(keep_engine=keep_engine, hand_over=keep_engine)
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(), name="stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._state = "stopping"
        self.database.trouble.hurry()  # nobody waits any more for a disk that is full
        self.log("info", "daemon stops", {"keep_engine": self.keep_engine})
        if self.taken_over:
            self.feed.closing(TAKEN_OVER)
        elif self.hand_over or self.options.only is not None:  # one turn's netsky, that is over
            self.feed.closing("netsky has left this home where it ran")
        else:
            self.feed.closing("netsky was stopped", stopped=True)
        try:
            await self._stack.aclose()
        except (Fenced, DatabaseError) as error:
            # Who has the home now, or the next start, finds the rest in the threads' histories.
            self.options.progress(f"not everything could be stored: {error}")
        finally:
            self.stopped.set()

    async def _interrupt_turns(self) -> None:
        if not self.keep_engine:
            await self.services.fleet.drain()

    async def _store_facts(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.services.facts.flush()
        except TimeoutError:
            self.log("error", "facts were not stored before the end", {})

    async def _end_runtimes(self) -> None:
        await self.services.runtimes.close(keep_engine=self.keep_engine)
