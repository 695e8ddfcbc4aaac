"""What each kind of runtime needs to be put to the contract, behind one face."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.base import (
    Batch,
    Decision,
    LaunchSpec,
    ThreadGone,
    ToolResult,
    ToolSpec,
    Unsupported,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.states import DecisionWord
from tests.real_codex.conftest import Bench, Told
from tests.support.den import Den
from tests.support.fakes import CountingIds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AsyncExitStack
    from pathlib import Path

    from netsky_runtime.codex.base import HistoricTurn, ThreadRuntime, ThreadSession

NOTE_DOWN = ToolSpec(
    name="note_down",
    description="Note something down.",
    schema={
        "type": "object",
        "properties": {"body": {"type": "string"}},
        "required": ["body"],
        "additionalProperties": False,
    },
)
ACCEPT = Decision(word=DecisionWord.ACCEPT)
ACCEPT_FOR_SESSION = Decision(word=DecisionWord.ACCEPT_FOR_SESSION)
DECLINE = Decision(word=DecisionWord.DECLINE)
CANCEL = Decision(word=DecisionWord.CANCEL)
_NUMBER = re.compile(r"\(i-(\d+)\)")


class Rig(Protocol):
    """One kind of runtime over one home."""

    project: Path
    launch: Mapping[str, Any]
    """What its threads are started with, other than those of the others."""
    reads_rollout: bool
    """Its events are read from Codex's rollout, where the messages carry ids of Codex's own and
    no batch ids, of words only the end is told, no fragments, and a failure at the turn's end."""
    says_hi: str
    """A command all of whose output is told."""

    def runtime(self) -> ThreadRuntime:
        """Return a runtime as a new netsky of this home would make it, not yet open."""
        ...

    async def kill_engine(self) -> None:
        """End what carries the threads of the latest runtime, without a word."""
        ...

    async def until_hanging(self) -> None:
        """Return when the model has an input with ``HANG``."""
        ...

    def release(self) -> None:
        """Let the model go on, where it can."""
        ...


class ScriptedRig:
    def __init__(self, root: Path, stack: AsyncExitStack) -> None:
        self.project = root / "project"
        self.launch: Mapping[str, Any] = {}
        self.reads_rollout = False
        self.says_hi = "echo hi"
        self._directory = root / "threads"
        self._ids = CountingIds()
        self._stack = stack
        self._latest: ScriptedRuntime | None = None

    def runtime(self) -> ThreadRuntime:
        runtime = ScriptedRuntime(
            directory=self._directory, clock=SystemClock(), ids=self._ids, script=OrdersInText()
        )
        self._stack.push_async_callback(runtime.close, keep_engine=False)
        self._latest = runtime
        return runtime

    async def kill_engine(self) -> None:
        assert self._latest is not None
        killer = await self._latest.start(spec_for(self))
        await killer.submit(batch("DIE", 99))

    async def until_hanging(self) -> None:
        """Nothing to wait for: the model of a script has its input with the first event."""

    def release(self) -> None:
        """Nothing to release: a script that hangs waits for an interrupt or a steer."""


class AppServerRig:
    def __init__(self, bench: Bench) -> None:
        self.project = bench.project
        self.launch: Mapping[str, Any] = {}
        self.reads_rollout = False
        self.says_hi = "echo hi"
        self._bench = bench

    def runtime(self) -> ThreadRuntime:
        return self._bench.runtime()

    async def kill_engine(self) -> None:
        os.killpg(self._bench.engine().pid, signal.SIGKILL)

    async def until_hanging(self) -> None:
        await asyncio.to_thread(self._bench.model.wait_hanging)

    def release(self) -> None:
        self._bench.model.release()


class McpServerRig:
    def __init__(self, bench: Bench) -> None:
        self.project = bench.project
        self.launch: Mapping[str, Any] = {}
        self.reads_rollout = False
        # 0.153.4 may lose what is written before it listens, after 150 ms.
        self.says_hi = "sleep 0.4; echo hi"
        self._bench = bench

    def runtime(self) -> ThreadRuntime:
        return self._bench.mcp_runtime()

    async def kill_engine(self) -> None:
        os.killpg(self._bench.engine().pid, signal.SIGKILL)

    async def until_hanging(self) -> None:
        await asyncio.to_thread(self._bench.model.wait_hanging)

    def release(self) -> None:
        self._bench.model.release()


class ResidentRig:
    def __init__(self, den: Den) -> None:
        self.project = den.bench.project
        # Instructions would be a first turn, and no test counts it.
        self.launch: Mapping[str, Any] = {"instructions": "", "model": den.model}
        self.reads_rollout = True
        self.says_hi = "echo hi"
        self._den = den

    def runtime(self) -> ThreadRuntime:
        return self._den.runtime()

    async def kill_engine(self) -> None:
        server = int(self._den.tmux("display-message", "-p", "#{pid}"))
        os.kill(server, signal.SIGKILL)

    async def until_hanging(self) -> None:
        await asyncio.to_thread(self._den.bench.model.wait_hanging)

    def release(self) -> None:
        self._den.bench.model.release()


class Stage:
    """A runtime that is open, and shorthand for what every test does with it."""

    def __init__(self, rig: Rig, runtime: ThreadRuntime) -> None:
        self.rig = rig
        self.runtime = runtime

    async def start(self, **changes: Any) -> tuple[ThreadSession, Told]:
        session = await self.runtime.start(spec_for(self.rig, **changes))
        return session, Told(session)

    async def resume(self, thread_id: str) -> tuple[ThreadSession, Told]:
        session = await self.runtime.resume(thread_id, spec_for(self.rig))
        return session, Told(session)

    async def comes_back(self, thread_id: str) -> bool:
        """Whether a thread outlives its process; where it does not, resuming it is refused."""
        if self.runtime.capabilities.resume:
            return True
        with pytest.raises(ThreadGone):
            await self.resume(thread_id)
        return False

    async def steers(self, session: ThreadSession, turn_id: str) -> bool:
        """Whether turns can be steered; where not, that is refused with what to do instead."""
        if self.runtime.capabilities.steer:
            return True
        with pytest.raises(Unsupported) as refusal:
            await session.steer(batch("SAY[steered]", 99), turn_id=turn_id)
        assert refusal.value.hint
        return False

    async def carries_tools(self) -> bool:
        """Whether the door carries tool calls; where not, it offers none and takes no answer."""
        if self.runtime.capabilities.tools:
            return True
        session, told = await self.start()
        await says(session, told, "SAY[without tools]")
        with pytest.raises(Unsupported):
            await session.answer_tool("call", ToolResult(text="kept"))
        assert EventKind.TOOL_REQUESTED not in kinds(told)
        return False

    async def approves(self) -> bool:
        """Whether questions are answered by ``decide``; where not, that is refused."""
        if self.runtime.capabilities.approvals:
            return True
        session, _ = await self.start()
        with pytest.raises(Unsupported) as refusal:
            await session.decide("0", ACCEPT)
        assert refusal.value.hint
        return False

    async def heard(self, told: Told, number: int = 1) -> CodexEvent:
        """Return the event that shows this batch as a user message."""
        return await told.until(
            lambda event: (
                event.kind is EventKind.ITEM_COMPLETED
                and event.data["type"] == "user_message"
                and self._batch(event.data) == f"batch-{number}"
            )
        )

    async def hanging(self, told: Told, number: int = 1) -> CodexEvent:
        """Return the event that shows this batch, which has a ``HANG``, once the model hangs."""
        event = await self.heard(told, number)
        await self.rig.until_hanging()
        return event

    def batches(self, turn: HistoricTurn) -> list[str]:
        """Return the ids of the batches that are the user messages of a turn."""
        return [self._batch(item.data) for item in turn.items if item.type == "user_message"]

    def batches_told(self, told: Told) -> list[str]:
        """Return the ids of the batches that were told as user messages so far."""
        return [self._batch(message.data) for message in told.items("user_message")]

    def _batch(self, message: Mapping[str, Any]) -> str:
        if not self.rig.reads_rollout:
            return str(message.get("client_id") or "")
        found = _NUMBER.search(message["text"])
        return f"batch-{found.group(1)}" if found else ""

    async def restart(self, *, keep_engine: bool) -> None:
        """Go on with a new netsky of the same home."""
        await self.runtime.close(keep_engine=keep_engine)
        self.runtime = self.rig.runtime()
        await self.runtime.open()


def spec_for(rig: Rig, **changes: Any) -> LaunchSpec:
    spec = LaunchSpec(
        cwd=str(rig.project),
        instructions="You are manager0.",
        sandbox="read-only",
        approval_policy="on-request",
        config={"features": {"multi_agent": False, "goals": False}},
        tools=(NOTE_DOWN,),
    )
    return replace(spec, **{**rig.launch, **changes})


def batch(text: str, number: int = 1) -> Batch:
    """Return a batch whose text names its input, as netsky's envelopes do."""
    return Batch(id=f"batch-{number}", text=f"{text} (i-{number})", input_ids=(f"i-{number}",))


async def approval(told: Told) -> CodexEvent:
    return await told.next(EventKind.APPROVAL_REQUESTED)


async def says(session: ThreadSession, told: Told, text: str, number: int = 1) -> CodexEvent:
    """Have a whole turn; return its end."""
    await session.submit(batch(text, number))
    return await told.turn_end()


def kinds(told: Told) -> list[EventKind]:
    return [event.kind for event in told.events]
