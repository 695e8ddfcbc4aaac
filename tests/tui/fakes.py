"""A daemon and a database in memory, for tests whose subject is the room."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from netsky_runtime.agents.ways import closed
from netsky_runtime.approval_records import Rule
from netsky_runtime.attention.items import (
    About,
    AttentionItem,
    Urgency,
    about_approval,
    about_blocked,
    key_of,
)
from netsky_runtime.budgets import Gauge
from netsky_runtime.codex.doors import ORDER
from netsky_runtime.codex.mcp_server import McpServerRuntime
from netsky_runtime.codex.resident.runtime import ResidentRuntime
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.db.trace import Chain, InputTrace, Step, Trace
from netsky_runtime.errors import NetskyError, NoDaemon, NotFound
from netsky_runtime.records import OWNER, ActorInput, Message
from netsky_runtime.states import (
    ActorStatus,
    ApprovalStatus,
    AttentionKind,
    Direction,
    InputMode,
    InputStatus,
    MessageKind,
    MessageStatus,
    RuntimeName,
    Source,
)
from netsky_runtime.vital_records import Rung
from netsky_tui.source import ActorPast, Ask, MessageFacts, Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

NOW = 1_795_185_000_000
"""20 November 2026, 14:30:00 UTC."""


CAPABILITIES = {
    RuntimeName.APP_SERVER: replace(ScriptedRuntime.capabilities, terminal=True, lacks={}),
    RuntimeName.MCP_SERVER: McpServerRuntime.capabilities,
    RuntimeName.RESIDENT: ResidentRuntime.capabilities,
    RuntimeName.SCRIPTED: ScriptedRuntime.capabilities,
}
DOORS = {name.value: dict(can.lacks) for name, can in CAPABILITIES.items()}


def way_of(fact: MessageFacts) -> Trace:
    """Return the way of a message that was answered."""
    message = fact.message
    item = ActorInput(
        id="i-1",
        actor_id=message.target,
        message_id=message.id,
        mode=InputMode.QUEUE,
        status=InputStatus.ANSWERED,
        created_at=message.created_at,
    )
    steps = [
        Step(status=status, batch_id="", reason="", at=message.created_at + late)
        for late, status in enumerate(
            (InputStatus.QUEUED, InputStatus.HANDED, InputStatus.SEEN, InputStatus.ANSWERED)
        )
    ]
    traced = InputTrace(input=item, steps=tuple(steps), turn=None, recovered_by=(), waits="")
    chain = Chain(
        message=message, causes=(), deliveries=(), inputs=(traced,), task=None, answers=()
    )
    return Trace(
        kind="message",
        id=message.id,
        actor_id="",
        turn=None,
        task=None,
        chains=(chain,),
        more=False,
    )


class FakeDoor:
    """As much of a runtime as tells what it can do."""

    def __init__(self, name: RuntimeName) -> None:
        self.capabilities = CAPABILITIES[name]


class SteadyClock:
    """Wall time stands still, waiting is short; ``monotonic`` moves only when told."""

    def __init__(self, now: int = NOW) -> None:
        self._now = now
        self.seconds = 100.0

    def now(self) -> int:
        return self._now

    def pass_seconds(self, seconds: float) -> None:
        self.seconds += seconds
        self._now += int(seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.01))


class RunningClock(SteadyClock):
    """Like the machine's, for looking at the room by hand."""

    def now(self) -> int:
        return NOW + int(time.monotonic() * 1000) % 100_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def waits(kind: AttentionKind, ref: str, actor: str, since: int, about: About) -> AttentionItem:
    """Something that waits."""
    key = key_of(kind, ref)
    return AttentionItem(key=key, kind=kind, ref=ref, actor=actor, since=since, about=about)


@dataclass(frozen=True)
class FakePush:
    kind: str
    data: Mapping[str, Any]


class FakeSource:
    """Serves a snapshot that tests change with ``change``."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.whole = snapshot
        self.revision = 1
        self.asked: list[Ask] = []
        self.closed = False
        self.screen = ""
        self.rungs: tuple[Rung, ...] = ()
        self.gauges: tuple[Gauge, ...] = ()
        self.standing: tuple[Rule, ...] = ()

    def change(self, **fields: Any) -> None:
        self.whole = replace(self.whole, **fields)
        self.revision += 1

    async def version(self) -> int:
        return self.revision

    async def snapshot(self, ask: Ask) -> Snapshot:
        self.asked.append(ask)
        whole = self.whole
        approvals = tuple(
            approval
            for approval in whole.approvals
            if approval.status is ApprovalStatus.PENDING or approval.id in ask.approvals_known
        )
        queue = self.queue()
        counted: dict[Urgency, int] = {}
        for item in queue:
            counted[item.urgency] = counted.get(item.urgency, 0) + 1
        return replace(
            whole,
            attention=queue,
            totals=replace(whole.totals, waiting=counted),
            messages=whole.messages[-ask.messages :],
            events=tuple(event for event in whole.events if event.actor_id == ask.actor_id)[
                -ask.events :
            ],
            events_of=ask.actor_id,
            approvals=approvals,
        )

    def queue(self) -> tuple[AttentionItem, ...]:
        """What waits as the database would tell it, beside what the test has put there."""
        found = [
            waits(
                AttentionKind.APPROVAL,
                each.id,
                each.actor_id,
                each.created_at,
                about_approval(each),
            )
            for each in self.whole.approvals
            if each.status is ApprovalStatus.PENDING
        ]
        found += [
            waits(
                AttentionKind.BLOCKED,
                fact.actor.id,
                fact.actor.id,
                fact.session.blocked_at or NOW,
                about_blocked(fact.actor.id, fact.session.blocked),
            )
            for fact in self.whole.actors
            if fact.session is not None
            and fact.session.blocked
            and fact.actor.status is ActorStatus.ACTIVE
        ]
        found += self.whole.attention
        return tuple(sorted(found, key=lambda item: (item.urgency, item.since, item.key)))

    async def approval(self, approval_id: str) -> Any:
        return next(each for each in self.whole.approvals if each.id == approval_id)

    async def rules(self) -> Any:
        return self.standing

    async def task(self, task_id: str) -> Any:
        for fact in self.whole.tasks:
            if fact.task.id == task_id:
                said = [fact for fact in self.whole.messages if fact.message.task_id == task_id]
                return fact.task, (), said
        raise NotFound(f"There is no task {task_id}.")

    async def message(self, message_id: str, *, now: int) -> Any:
        for fact in self.whole.messages:
            if fact.message.id == message_id:
                return fact, way_of(fact)
        raise NotFound(f"There is no message {message_id}.")

    async def trace(self, asked: str, *, now: int) -> Any:
        for fact in self.whole.messages:
            if fact.message.id == asked:
                return way_of(fact)
        raise NotFound(f"Nothing here has the id {asked!r}.")

    async def actor(self, actor_id: str) -> Any:
        for fact in self.whole.actors:
            if fact.actor.id == actor_id:
                return fact, ActorPast(screen=self.screen, rungs=self.rungs, gauges=self.gauges)
        raise NotFound(f"There is no actor {actor_id}.")

    async def close(self) -> None:
        self.closed = True


class FakeHandle:
    """Answers verbs from a table and keeps what was asked."""

    def __init__(self, source: FakeSource, *, hosting: bool = True) -> None:
        self.hosting = hosting
        self.source = source
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}
        self.turns_running = 0
        self.rooms = 0
        self.notices: list[str] = []
        self.version = "0.169.0"
        self.trouble = ""
        """What the daemon says while it can store nothing."""
        self.survives = True
        self.closed = False
        self._pushes: asyncio.Queue[FakePush | None] = asyncio.Queue()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        self.calls.append((method, dict(params or {})))
        if (answer := self.answers.get(method)) is not None:
            if isinstance(answer, NetskyError):
                raise answer
            if callable(answer):
                return await answer(dict(params or {}))
            return dict(answer)
        if method == "status":
            return self.status()
        if method == "actors.ways":
            return self.ways(dict(params or {}))
        if method == "send":
            return self.send(dict(params or {}))
        if method == "approvals.decide":
            return self.decide(dict(params or {}))
        return {}

    def asked(self, method: str) -> list[dict[str, Any]]:
        return [params for name, params in self.calls if name == method]

    def status(self) -> dict[str, Any]:
        return {
            "daemon": {"state": "ready", "pid": 4242, "epoch": 7, "since": "2026-11-20T09:00:00Z"},
            "runtime": {
                "name": "app_server",
                "codex_version": self.version,
                "notices": self.notices,
                "survives_netsky": self.survives,
            },
            "counts": {"turns_running": self.turns_running},
            "storage": {"notice": self.trouble},
            "doors": DOORS,
            "rooms": self.rooms,
        }

    def ways(self, params: dict[str, Any]) -> dict[str, Any]:
        """What the daemon tells of the doors, of which mcp_server lacks ``resume``."""
        (row,) = [
            fact.session
            for fact in self.source.whole.actors
            if fact.actor.id == params["actor_id"] and fact.session
        ]
        found = {to: closed(row, to, FakeDoor) for to in ORDER}
        return {"ways": [{"runtime": to.value, "closed": why} for to, why in found.items()]}

    def send(self, params: dict[str, Any]) -> dict[str, Any]:
        whole = self.source.whole
        number = len(whole.messages) + 1
        message = Message(
            id=f"m-new{number}",
            source=Source.ROOM,
            direction=Direction.INBOUND,
            kind=MessageKind.TEXT,
            sender=OWNER,
            target=params["target"],
            body=params["body"],
            status=MessageStatus.ROUTED,
            created_at=NOW,
        )
        fact = MessageFacts(
            seq=number,
            message=message,
            input_id=f"i-new{number}",
            input_status=InputStatus.QUEUED,
            mode=InputMode(params["mode"]),
        )
        self.source.change(messages=(*whole.messages, fact))
        return {"message_id": message.id, "input_id": fact.input_id, "status": "queued"}

    def decide(self, params: dict[str, Any]) -> dict[str, Any]:
        status = {
            "accept": ApprovalStatus.ACCEPTED,
            "accept_for_session": ApprovalStatus.ACCEPTED_FOR_SESSION,
            "decline": ApprovalStatus.DECLINED,
            "cancel": ApprovalStatus.CANCELLED,
        }[params["decision"]]
        self.settle(params["id"], status)
        return {"id": params["id"], "status": status.value}

    def settle(self, approval_id: str, status: ApprovalStatus) -> None:
        whole = self.source.whole
        self.source.change(
            approvals=tuple(
                replace(approval, status=status, decided_by="owner", decided_at=NOW)
                if approval.id == approval_id
                else approval
                for approval in whole.approvals
            )
        )
        self.push("changed", revision=self.source.revision)

    def push(self, kind: str, **data: Any) -> None:
        self._pushes.put_nowait(FakePush(kind, data))

    def vanish(self) -> None:
        self._pushes.put_nowait(None)

    async def pushes(self) -> AsyncIterator[FakePush]:
        while (push := await self._pushes.get()) is not None:
            yield push

    async def close(self) -> None:
        self.closed = True


class FakeConnector:
    """Hands out a source and handles; ``trouble`` is raised instead of connecting."""

    def __init__(self, snapshot: Snapshot, *, hosting: bool = True) -> None:
        self.reader = FakeSource(snapshot)
        self.handle = FakeHandle(self.reader, hosting=hosting)
        self.trouble: NetskyError | None = None
        self.database = True
        self.gate: asyncio.Event | None = None
        self.stopped: list[bool] = []
        self.obey = asyncio.Event()
        self.progress: tuple[str, ...] = ("opening the database", "starting app_server")

    async def source(self) -> FakeSource | None:
        return self.reader if self.database else None

    async def connect(self, say: Callable[[str], None]) -> FakeHandle:
        for line in self.progress:
            say(line)
        if self.gate is not None:
            await self.gate.wait()
        if self.trouble is not None:
            raise self.trouble
        return self.handle

    async def attach(self) -> FakeHandle:
        if self.trouble is not None:
            raise self.trouble
        if self.handle.closed:
            raise NoDaemon("No daemon runs on this home.")
        return self.handle

    async def told_to_stop(self) -> bool:
        await self.obey.wait()
        return True

    async def stop(self, *, keep_engine: bool) -> None:
        self.stopped.append(keep_engine)
