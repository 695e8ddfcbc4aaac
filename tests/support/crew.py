"""A small fleet on the scripted runtime with a real database, for tests of actors at work."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from netsky_runtime import wiring
from netsky_runtime.agents.approvals import ApprovalDesk
from netsky_runtime.agents.budgets import BudgetKeeper, TurnStopper
from netsky_runtime.agents.delegation import Delegation
from netsky_runtime.agents.fleet import Fleet
from netsky_runtime.agents.ingest import FactWriter
from netsky_runtime.agents.kit import Kit
from netsky_runtime.agents.ladder import Ladder
from netsky_runtime.agents.launch import Launcher
from netsky_runtime.agents.live import LiveState
from netsky_runtime.agents.pause import Gate, Pauses
from netsky_runtime.agents.pulses import Pulses
from netsky_runtime.agents.rungs import Patience
from netsky_runtime.agents.toolbox import Toolbox
from netsky_runtime.agents.watchdog import Watchdog
from netsky_runtime.approval_records import Approval
from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.comms.bus.folders import prepare_channel
from netsky_runtime.comms.envelope import Envelopes
from netsky_runtime.comms.receiving import Inbox
from netsky_runtime.comms.replies import ReplyDesk
from netsky_runtime.db import approvals, inputs, messages, trouble
from netsky_runtime.db.connection import Database, Tx
from netsky_runtime.paths import Home
from netsky_runtime.records import OWNER, ActorInput, Message
from netsky_runtime.settings import Settings
from netsky_runtime.states import (
    ApprovalStatus,
    DecisionWord,
    InputMode,
    InputStatus,
    RuntimeName,
    Source,
)
from netsky_runtime.supervise import Supervisor
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import ThreadRuntime
    from netsky_runtime.db.posting import Posted

T = TypeVar("T")


class Crew:
    """Everything a fleet needs, put together the way the daemon does it."""

    def __init__(
        self,
        *,
        database: Database,
        runtime: ThreadRuntime,
        doors: Mapping[RuntimeName, ThreadRuntime],
        cwd: Path,
        clock: Clock,
        boottime: Callable[[], float] | None = None,
    ) -> None:
        self.clock = clock
        self.cwd = cwd
        self.ids = SortableIds(self.clock)
        self.database = database
        self.runtime = runtime
        self.lines: list[tuple[str, str, dict[str, Any]]] = []
        self.failures: list[str] = []
        self.supervisor = Supervisor(
            report=lambda name, error: self.failures.append(f"{name}: {error!r}"),
            context=trouble.waiting(),
        )
        self._commits = asyncio.Event()
        database.on_commit(self._commits.set)
        settings = Settings(runtime="scripted", approval_policy="on-request", max_live_workers=4)
        self.told: list[str] = []
        """What the operator is told of beside messages."""
        sessions = wiring.Sessions(
            settings=settings, door=lambda: runtime.name, clock=self.clock, ids=self.ids
        )
        self.delegation = Delegation(
            clock=self.clock,
            ids=self.ids,
            limits=wiring.limits(settings, cwd),
            new_session=sessions,
        )
        self.live = LiveState()
        self.pulses = Pulses(clock=self.clock)
        self.pauses = Pauses(
            database=database,
            clock=self.clock,
            log=self.log,
            wake_all=lambda: self.fleet.wake_all(),
        )
        self.budgets = BudgetKeeper(
            database=database,
            clock=self.clock,
            stop=TurnStopper(
                supervisor=self.supervisor,
                log=self.log,
                interrupt=lambda turn: self.fleet.interrupt(
                    turn.actor_id, turn_id=turn.id, because=turn.stopped_by
                ),
            ),
            log=self.log,
            wake=self.wake,
        )
        self.facts = FactWriter(
            database=database, clock=self.clock, log=self.log, budgets=self.budgets
        )
        self.desk = ApprovalDesk(
            database=database,
            clock=self.clock,
            log=self.log,
            session_of=lambda actor_id: self.fleet.session_of(actor_id),
            wake=self.wake,
        )
        toolbox = Toolbox(
            database=database,
            delegation=self.delegation,
            clock=self.clock,
            ids=self.ids,
            wake=self.wake,
        )
        replies = ReplyDesk(ids=self.ids)
        self.kit = Kit(
            database=database,
            clock=self.clock,
            ids=self.ids,
            log=self.log,
            facts=self.facts,
            live=self.live,
            pulses=self.pulses,
            desk=self.desk,
            envelopes=Envelopes(),
            gate=Gate(clock=self.clock),
            pauses=self.pauses,
            settle=replies.settle,
            refuse=replies.refuse,
            call_tool=toolbox.call,
            runtime=doors.__getitem__,
            launcher=Launcher(Home(root=cwd, sockets=cwd), prepare_channel, ()),
            new_session=sessions,
            start_ready=self.delegation.start_ready,
            give_back=self.delegation.give_back,
            wake=self.wake,
            tell=self.told.append,
        )
        self.fleet = Fleet(kit=self.kit, supervisor=self.supervisor)
        self.watchdog = Watchdog(
            pulses=self.pulses,
            ladder=Ladder(
                database=database,
                clock=self.clock,
                log=self.log,
                fleet=self.fleet,
                tell=self.told.append,
            ),
            fleet=self.fleet,
            patience=Patience(
                turn=settings.silent_turn_seconds, command=settings.silent_command_seconds
            ),
            database=database,
            supervisor=self.supervisor,
            clock=self.clock,
            boottime=boottime or self.clock.monotonic,
            log=self.log,
        )
        self.inbox = Inbox(database=database, clock=self.clock, ids=self.ids, wake=self.wake)

    def watch(self) -> None:
        """Let the watchdog look, from now on. The fleet's clock is what it waits by."""
        self.supervisor.keep("watchdog", self.watchdog.run, clock=self.clock)

    def log(self, level: str, message: str, fields: Any) -> None:
        self.lines.append((level, message, dict(fields)))
        self._commits.set()

    def wake(self, actor_id: str) -> None:
        self.fleet.wake(actor_id)

    async def send(
        self, body: str, *, to: str = "manager0", mode: InputMode = InputMode.QUEUE
    ) -> Posted:
        """Send as the owner."""
        return await self.inbox.receive(
            source=Source.CLI, sender=OWNER, target=to, body=body, mode=mode
        )

    async def hire(self, body: str) -> None:
        """Let manager0 start a worker with this task, and wait until it has."""
        order = json.dumps({"title": "T", "body": body})
        await self.reply_to(await self.send(f"TOOL[start_worker {order}]ENDTOOL"))

    async def question(self, *, after: Approval | None = None) -> Approval:
        """Wait for an approval that is pending, and is not ``after``."""

        async def look(tx: Tx) -> Approval | None:
            found = await approvals.list_(tx, statuses=[ApprovalStatus.PENDING])
            return next((q for q in found if after is None or q.id != after.id), None)

        asked = await self.until(look)
        assert asked is not None
        return asked

    async def decide(
        self, asked: Approval, word: DecisionWord = DecisionWord.ACCEPT, answer: Any = None
    ) -> Approval:
        """Decide as the owner."""
        return await self.desk.decide(asked.id, word, answer=answer, decided_by=OWNER)

    async def approval(self, asked: Approval) -> Approval:
        """Return the approval as it is stored now."""
        return await self.database.read(lambda tx: approvals.require(tx, asked.id))

    async def input(self, posted: Posted) -> ActorInput:
        """Return the message's input as it is stored now."""
        assert posted.input is not None
        input_id = posted.input.id
        return await self.database.read(lambda tx: inputs.require(tx, input_id))

    async def until(self, look: Callable[[Tx], Awaitable[T]], *, seconds: float = PATIENCE) -> T:
        """Look again after every commit and log line until what is seen is true; return it."""
        async with asyncio.timeout(seconds):
            while True:
                self._commits.clear()
                if seen := await self.database.read(look):
                    return seen
                await self._commits.wait()

    async def settled(self, posted: Posted) -> ActorInput:
        """Wait until the message's input is settled; return it."""
        assert posted.input is not None
        input_id = posted.input.id

        async def look(tx: Tx) -> ActorInput | None:
            row = await inputs.require(tx, input_id)
            return None if row.status.open else row

        row = await self.until(look)
        assert row is not None
        return row

    async def reached(self, posted: Posted, status: InputStatus) -> ActorInput:
        """Wait until the message's input is in ``status``; return it."""
        assert posted.input is not None
        input_id = posted.input.id

        async def look(tx: Tx) -> ActorInput | None:
            row = await inputs.require(tx, input_id)
            return row if row.status is status else None

        row = await self.until(look)
        assert row is not None
        return row

    async def reply_to(self, posted: Posted) -> Message:
        """Wait for the answer to a message."""
        row = await self.settled(posted)
        assert row.status is InputStatus.ANSWERED, row
        reply_id = row.reply_id
        assert reply_id is not None
        return await self.database.read(lambda tx: messages.require(tx, reply_id))


class Mortal(ScriptedRuntime):
    """A scripted runtime whose engine can be killed."""

    def kill(self, reason: str = "it was killed") -> None:
        """Let the engine be gone, as after SIGKILL; the next ``open`` makes another."""
        if self._engine is not None:
            self._engine.die(reason)


def scripted(folder: Path) -> Mortal:
    """Return a runtime that keeps its threads in ``folder``."""
    clock = SystemClock()
    return Mortal(
        directory=folder / "scripted", clock=clock, ids=SortableIds(clock), script=OrdersInText()
    )


@asynccontextmanager
async def crew(
    folder: Path,
    *,
    runtime: ThreadRuntime | None = None,
    others: Sequence[ThreadRuntime] = (),
    clock: Clock | None = None,
    boottime: Callable[[], float] | None = None,
    starts: bool = True,
) -> AsyncIterator[Crew]:
    """Run a fleet on ``folder``; coming back to the same folder is a restart.

    New actors go through ``runtime``; ``others`` are doors that there are besides.
    ``clock`` is the fleet's alone: scripted turns and the database go on by the machine's.
    Without ``starts`` its actors are not brought back yet.
    ``boottime`` is that clock with the time the machine slept; without it, it never sleeps.
    """
    machine = SystemClock()
    clock = clock or machine
    database = await Database.open(folder / "meta.db", backups=folder / "backups", clock=machine)
    await database.write(lambda tx: wiring.first_rows(tx, folder, clock.now()))
    runtime = runtime or scripted(folder)
    doors = {door.name: door for door in (runtime, *others)}
    made = Crew(
        database=database, runtime=runtime, doors=doors, cwd=folder, clock=clock, boottime=boottime
    )
    made.supervisor.keep("facts", made.facts.run, clock=clock)
    try:
        if starts:
            await made.fleet.start()
        yield made
    finally:
        await made.fleet.close()
        await made.facts.flush()
        for door in doors.values():
            await door.close(keep_engine=False)
        await made.supervisor.close()
        await database.close()
    assert not made.failures
    assert not [line for line in made.lines if line[1] == "runner failed"]
