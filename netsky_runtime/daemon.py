"""The composition root: builds everything, and owns the order of start and stop."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from netsky_runtime import __version__, door_checks, settings, wiring
from netsky_runtime.agents.approvals import ApprovalDesk
from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.fleet import Fleet
from netsky_runtime.agents.ingest import FactWriter
from netsky_runtime.agents.kit import Kit
from netsky_runtime.agents.launch import Launcher
from netsky_runtime.agents.live import LiveState
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.checks import check_start, checks
from netsky_runtime.clock import Clock, Ids, SortableIds, SystemClock, iso
from netsky_runtime.codex.binary import codex_home
from netsky_runtime.comms.bus.folders import prepare_channel
from netsky_runtime.comms.envelope import Envelopes
from netsky_runtime.comms.post_office import PostOffice
from netsky_runtime.comms.receiving import Inbox
from netsky_runtime.comms.replies import ReplyDesk
from netsky_runtime.control.feed import Feed
from netsky_runtime.control.handle import Handle, LocalHandle
from netsky_runtime.control.server import ControlServer
from netsky_runtime.db import counts, daemon_row, engines
from netsky_runtime.db import sessions as session_rows
from netsky_runtime.db import settings as setting_rows
from netsky_runtime.db.connection import Database
from netsky_runtime.errors import CodexMissing, NetskyError
from netsky_runtime.live_verbs import LiveVerbs
from netsky_runtime.lock import HomeLock
from netsky_runtime.logbook import Logbook
from netsky_runtime.sidecar.runs import Sidecar
from netsky_runtime.states import RuntimeName
from netsky_runtime.supervise import Supervisor
from netsky_runtime.tool_verbs import ToolVerbs
from netsky_runtime.verbs import RecordVerbs, Verb, VerbTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.codex.probe import Doors
    from netsky_runtime.control import protocol
    from netsky_runtime.options import Options
    from netsky_runtime.records import DoorResult, LogRow

ATTACH_SECONDS = 10.0
"""How long a start waits for threads to come back before it says it is ready."""
FLUSH_SECONDS = 5.0
"""How long a stop waits for a database that does not take the last facts; Codex keeps them."""
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
        self.started = False
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
        options, clock, home = self.options, self.clock, self.options.home
        stack = self._stack
        if not home.database.exists():  # a first start that is refused creates nothing
            check_start(home, settings.load({}, options.environ, **options.flags), options.cwd)
        home.prepare()
        stack.enter_context(HomeLock(home.lock))

        options.progress("opening the database")
        self.database = await Database.open(home.database, backups=home.backups, clock=clock)
        stack.push_async_callback(self.database.close)
        stored = await self.database.read(setting_rows.get_all)
        self.settings = settings.load(stored, options.environ, **options.flags)
        check_start(home, self.settings, options.cwd)
        self.epoch = await self.database.write(
            lambda tx: daemon_row.take_epoch(tx, os.getpid(), clock.now())
        )
        folder = settings.work_dir(self.settings, options.cwd).resolve()
        await self.database.write(lambda tx: wiring.first_rows(tx, folder, clock.now()))

        self.log = Logbook(file=home.logs / "netsky.jsonl", clock=clock)
        self.tasks = Supervisor(report=self.log.failure)
        stack.push_async_callback(self.log.flush, self.database)
        stack.push_async_callback(self.tasks.close)
        self.tasks.spawn("logbook", self.log.run(self.database))

        options.progress("looking for a door to Codex")
        self._build(await wiring.choose(self.settings, self.doors))
        self.tasks.spawn("facts", self.facts.run())
        stack.push_async_callback(self._end_runtimes)
        stack.push_async_callback(self._store_facts)
        stack.push_async_callback(self.office.answer)  # of the turns that were just interrupted
        stack.push_async_callback(self.fleet.close)
        stack.push_async_callback(self._interrupt_turns)

        options.progress("opening the control socket")
        await self._listen()

        if options.only is None:  # else the door is that of the one thread it is for
            options.progress(f"starting {self.runtimes.chosen.value}")
        await self.fleet.start(options.only)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.fleet.settled(seconds=ATTACH_SECONDS))
            if options.only is None:
                group.create_task(self.runtimes.open_chosen(seconds=ATTACH_SECONDS))
        if options.only is None:
            for actor_id in await self.database.write(self.delegation.start_ready):
                self.fleet.wake(actor_id)
            self.tasks.spawn("post office", self.office.run())
            self.tasks.spawn("sidecars", self.sidecar.finish_leftovers())
        self._state = "ready"
        self._since = clock.now()
        self.started = True
        self.log("info", "daemon started", {"epoch": self.epoch, "version": __version__})

    def doors(self) -> Doors:
        """Return the doors of the Codex that is set, and what is known of them."""
        return wiring.doors(
            self.settings, self.options.environ, database=self.database, clock=self.clock
        )

    def _build(self, choice: wiring.Choice) -> None:
        """Make the services and introduce them to each other."""
        clock, ids, database = self.clock, self.ids, self.database
        self.live = LiveState()
        self.facts = FactWriter(database=database, clock=clock, log=self.log)
        self.runtimes = wiring.Runtimes(
            choice=choice,
            environ=self.options.environ,
            demo=self.options.demo,
            settings=self.settings,
            home=self.options.home,
            database=database,
            clock=clock,
            ids=ids,
            log=self.log,
        )
        self.desk = ApprovalDesk(
            database=database,
            clock=clock,
            log=self.log,
            session_of=self._session_of,
        )
        sessions = wiring.Sessions(
            settings=self.settings, door=lambda: self.runtimes.chosen, clock=clock, ids=ids
        )
        self.delegation = Delegation(
            clock=clock,
            ids=ids,
            limits=wiring.limits(self.settings, self.options.cwd),
            new_session=sessions,
        )
        toolbox = Toolbox(
            database=database, delegation=self.delegation, clock=clock, ids=ids, wake=self._wake
        )
        replies = ReplyDesk(ids=ids)
        kit = Kit(
            database=database,
            clock=clock,
            ids=ids,
            log=self.log,
            facts=self.facts,
            live=self.live,
            desk=self.desk,
            envelopes=Envelopes(),
            settle=replies.settle,
            refuse=replies.refuse,
            call_tool=toolbox.call,
            runtime=self.runtimes.get,
            launcher=Launcher(self.options.home, prepare_channel, self.options.forwarder),
            new_session=sessions,
            start_ready=self.delegation.start_ready,
            give_back=self.delegation.give_back,
            wake=self._wake,
            tell=self.runtimes.tell,
        )
        self.fleet = Fleet(kit=kit, supervisor=self.tasks)
        self.office = PostOffice(
            root=self.options.home.channels,
            database=database,
            clock=clock,
            ids=ids,
            wake=self._wake,
            log=self.log,
        )
        self.sidecar = Sidecar(
            root=self.options.home.channels,
            database=database,
            fleet=self.fleet,
            supervisor=self.tasks,
            office=self.office,
            settings=self.settings,
            door=partial(wiring.sidecar_door, self.settings, self.doors, self.runtimes.chosen),
            cwd=wiring.limits(self.settings, self.options.cwd).work_dir,
            clock=clock,
            ids=ids,
        )
        inbox = Inbox(database=database, clock=clock, ids=ids, wake=self._wake)
        records = RecordVerbs(
            database=database,
            inbox=inbox,
            delegation=self.delegation,
            clock=clock,
            ids=ids,
            wake=self._wake,
            look_again=self.fleet.reconcile,
            capabilities_of=self.fleet.capabilities_of,
        )
        lives = LiveVerbs(
            database=database,
            fleet=self.fleet,
            desk=self.desk,
            delegation=self.delegation,
            check_door=partial(wiring.check_door, self.doors),
            codex_home=codex_home(self.options.environ),
            wake=self._wake,
        )
        tools = ToolVerbs(database=database, call_tool=toolbox.call, turn_of=self._turn_of)
        own: dict[str, Verb] = {
            "status": self.status,
            "doctor": self.doctor,
            "stop": self._stop_verb,
            "codex.run": self.sidecar.run,
        }
        self.verbs = VerbTable(records.table(), lives.table(), tools.table(), own)

    async def dispatch(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Run a verb to its end, also when whoever asked goes away in the middle of it.

        Else a decision could be stored and never sent, or an actor given work and not woken.
        """
        if method in _READING:
            return await self.verbs(method, params)

        async def finish() -> dict[str, Any] | NetskyError:
            try:
                return await self.verbs(method, params)
            except NetskyError as error:
                return error  # the caller's, not a failure of ours to be reported

        outcome = await asyncio.shield(self.tasks.spawn(method, finish()))
        if isinstance(outcome, NetskyError):
            raise outcome
        return outcome

    def _wake(self, actor_id: str) -> None:
        self.fleet.wake(actor_id)

    def _session_of(self, actor_id: str) -> ThreadSession | None:
        return self.fleet.session_of(actor_id)

    def _turn_of(self, actor_id: str) -> str:
        thread = self.fleet.session_of(actor_id)
        return thread.active_turn if thread is not None else ""

    async def _listen(self) -> None:
        self.feed = Feed(
            database=self.database, live=self.live, clock=self.clock, set_watched=self._watch
        )
        await self.feed.start(self._stack)
        self.log.on_line(self._tell)
        self.server = ControlServer(
            self.options.home.control_socket,
            dispatch=self.dispatch,
            feed=self.feed,
            identity=self._identity,
        )
        await self.server.start(self._stack)

    def _tell(self, row: LogRow) -> None:
        """Say to every room what has gone wrong: nobody reads a log all day."""
        if row.level == "error":
            told = " ".join(f"{key} {value}" for key, value in row.fields.items())
            self.feed.notice("error", f"{row.message}: {told}" if told else row.message)

    def _watch(self, actor_ids: frozenset[str]) -> None:
        self.tasks.spawn("watch", self.fleet.watch(actor_ids))

    def _identity(self) -> dict[str, Any]:
        return {"version": __version__, "pid": os.getpid(), "epoch": self.epoch}

    def handle(self) -> Handle:
        """Return what the room in this process works with."""
        return LocalHandle(dispatch=self.dispatch, feed=self.feed)

    async def engine_carries_others(self, actor_id: str) -> bool:
        """Whether the engine carries the thread of anybody but this actor."""
        engine = await self.database.read(lambda tx: engines.running(tx, RuntimeName.APP_SERVER))
        current = await self.database.read(session_rows.list_current)
        others = [session for session in current if session.actor_id != actor_id]
        return engine is not None and any(each.engine_id == engine.id for each in others)

    async def status(self, _request: protocol.Empty) -> dict[str, Any]:
        """Say how the daemon is, what it runs on and how much there is."""
        numbers = await self.database.read(counts.status_counts)
        info = await self.runtimes.info()
        return {
            "daemon": {
                "state": self._state,
                "pid": os.getpid(),
                "epoch": self.epoch,
                "since": iso(self._since),
            },
            "runtime": {
                "name": info.name.value,
                "codex_version": info.version,
                "detail": info.detail,
                "survives_netsky": self.runtimes.survives(),
                "notices": list(info.notices),
            },
            "doors": {name: dict(why) for name, why in self.runtimes.lacks().items()},
            "counts": {
                "actors": numbers.actors,
                "tasks": numbers.tasks,
                "messages": numbers.messages,
                "inputs_pending": numbers.inputs_pending,
                "approvals_pending": numbers.approvals_pending,
                "screens_blocked": numbers.screens_blocked,
                "turns_running": len(self.fleet.running()),
            },
            "rooms": self.server.clients,
        }

    async def doctor(self, _request: protocol.Empty) -> dict[str, Any]:
        """Check what the daemon stands on, and knock at every door to Codex."""
        info = await self.runtimes.info()
        results: Sequence[DoorResult] = ()
        with suppress(CodexMissing):  # the runtime's own check says so
            results = await self.doors().look()
        found = await asyncio.to_thread(checks, self.options.home, info, self.settings, results)
        return {"checks": found, "doors": door_checks.doors(self.settings, results)}

    async def _stop_verb(self, request: protocol.Stop) -> dict[str, Any]:
        self.ask_to_stop(keep_engine=request.keep_engine)
        return {}

    def ask_to_stop(self, *, keep_engine: bool) -> None:
        """Let whoever hosts this daemon end it; the first to ask chooses about the engine."""
        if not self.asked_to_stop.is_set():
            self.keep_engine = keep_engine
            self.asked_to_stop.set()

    async def stop(self, *, keep_engine: bool) -> None:
        """End everything in the reverse order of the start. Idempotent, bounded in time.

        With ``keep_engine`` running turns go on in the engine; otherwise they are interrupted
        and the engine is ended.
        """
        self.ask_to_stop(keep_engine=keep_engine)
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop(), name="stop")
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self._state = "stopping"
        self.log("info", "daemon stops", {"keep_engine": self.keep_engine})
        self.feed.closing("the daemon stops")
        try:
            await self._stack.aclose()
        finally:
            self.stopped.set()

    async def _interrupt_turns(self) -> None:
        if not self.keep_engine:
            await self.fleet.drain()

    async def _store_facts(self) -> None:
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self.facts.flush()
        except TimeoutError:
            self.log("error", "facts were not stored before the end", {})

    async def _end_runtimes(self) -> None:
        await self.runtimes.close(keep_engine=self.keep_engine)
