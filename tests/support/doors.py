"""Several doors to the same scripted threads, each with the manners of one of Codex's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from netsky_runtime.clock import SortableIds, SystemClock
from netsky_runtime.codex.base import (
    Batch,
    HistoryUnavailable,
    LaunchSpec,
    ThreadBlocked,
    ThreadGone,
    Unsupported,
)
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.mcp_server.runtime import McpServerRuntime
from netsky_runtime.codex.scripted.files import ThreadFile
from netsky_runtime.codex.scripted.language import OrdersInText
from netsky_runtime.codex.scripted.runtime import ScriptedRuntime
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from netsky_runtime.codex.base import HistoricTurn
    from netsky_runtime.codex.scripted.session import ScriptedSession
    from netsky_runtime.errors import NetskyError


class DoorSession:
    """A scripted session behind a door; the rest of it is the scripted session's own."""

    def __init__(self, door: Door, inner: ScriptedSession, *, named: bool) -> None:
        self._door = door
        self._inner = inner
        self._named = named

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def thread_id(self) -> str:
        return self._inner.thread_id if self._named else ""

    async def submit(self, batch: Batch) -> None:
        if self._door.blocked:
            raise ThreadBlocked(self._door.blocked)
        if self._door.composer:
            raise ThreadBlocked("Somebody's words stand in Codex's composer.")
        if self._door.sticks is not None:
            self._door.composer = batch.text
            self.tell(EventKind.BLOCKED, reason=self._door.sticks.message, screen=batch.text)
            raise self._door.sticks
        await self._inner.submit(batch)
        self._named = True

    async def press_enter(self) -> None:
        """Send what stands in the composer, as a human does who was asked to look."""
        text, self._door.composer = self._door.composer, ""
        await self._inner.submit(Batch(id="", text=text, input_ids=()))
        self.tell(EventKind.BLOCKED, reason="", screen="")

    async def history(self) -> Sequence[HistoricTurn]:
        if self._door.unreadable:
            raise HistoryUnavailable(self._door.unreadable)
        turns = await self._inner.history()
        self._named = self._named or bool(turns)
        if self._door.renames:
            return [replace(turn, id=f"{self._door.name}:{turn.id}") for turn in turns]
        return turns

    def terminal(self) -> Sequence[str]:
        if self._door.name is RuntimeName.MCP_SERVER:
            msg = "This door has no screen."
            raise Unsupported(msg, hint="Move the thread.")
        return ("codex", "resume", self._inner.thread_id)

    async def release(self) -> None:
        await self._inner.release()
        self._door.left(self)
        self._door.own.discard(self._inner.thread_id)

    async def close(self) -> None:
        await self._inner.close()
        self._door.left(self)

    def tell(self, kind: EventKind, *, turn_id: str = "", **data: Any) -> None:
        """Let the door say something of the thread."""
        self._inner.receive(CodexEvent(kind, self.thread_id, 1, turn_id, data=data))


class Door(ScriptedRuntime):
    """A door to the scripted threads of one folder.

    ``writers`` is shared by the doors of a test: a thread may have one at a time.
    """

    def __init__(
        self,
        name: RuntimeName,
        folder: Path,
        *,
        writers: dict[str, str] | None = None,
        late: bool = False,
        forgets: bool = False,
        **capabilities: bool,
    ) -> None:
        clock = SystemClock()
        self._folder = folder / "scripted"
        super().__init__(
            directory=self._folder, clock=clock, ids=SortableIds(clock), script=OrdersInText()
        )
        self.name = name
        self.capabilities = replace(
            ScriptedRuntime.capabilities, lacks=McpServerRuntime.capabilities.lacks, **capabilities
        )
        self.shut: NetskyError | None = None
        """Why the door does not open."""
        self.refuses: NetskyError | None = None
        """Why it resumes nothing."""
        self.renames = False
        """Whether it tells turns under ids of its own."""
        self.blocked = ""
        """What its screen shows before anything is typed."""
        self.sticks: NetskyError | None = None
        """What it says after it has typed words that Codex does not take."""
        self.composer = ""
        """Those words: they stand there whoever comes and goes."""
        self.unreadable = ""
        self.specs: list[LaunchSpec] = []
        """What threads were started and resumed with, in order."""
        self._late = late
        self._forgets = forgets
        self.own: set[str] = set()
        """Threads that its own process carries."""
        self._writers = {} if writers is None else writers

    async def open(self) -> None:
        if self.shut is not None:
            raise self.shut
        before = self._engine
        await super().open()
        if self._engine is not before:
            self.own.clear()

    async def start(self, spec: LaunchSpec) -> Any:
        self.specs.append(spec)
        session = await super().start(spec)
        (self._folder / f"mark-{spec.mark}").write_text(session.thread_id)
        return self._enter(session, named=not self._late)

    async def resume(self, thread_id: str, spec: LaunchSpec) -> Any:
        if self.refuses is not None:
            raise self.refuses
        if self._forgets and thread_id not in self.own:
            msg = f"Session not found for thread_id: {thread_id}"
            raise ThreadGone(msg)
        other = self._writers.get(thread_id)
        assert other in {None, self.name.value}, f"{other} still writes to {thread_id}"
        self.specs.append(spec)
        return self._enter(await super().resume(thread_id, spec), named=True)

    async def find(self, mark: str, *, since: int) -> str:
        note = self._folder / f"mark-{mark}"
        thread_id = note.read_text() if note.exists() else ""
        return thread_id if thread_id and ThreadFile(self._folder, thread_id).exists() else ""

    def kill(self) -> None:
        """End what carries the threads, as SIGKILL does."""
        assert self._engine is not None
        self._engine.die("it was killed")

    def left(self, session: DoorSession) -> None:
        """Forget the thread of a session: the file is what the next door reads."""
        thread_id = session._inner.thread_id
        self._writers.pop(thread_id, None)
        if self._engine is not None:
            thread = self._engine.threads.get(thread_id)
            if thread is not None and thread.running is None:
                del self._engine.threads[thread_id]

    def _enter(self, session: ScriptedSession, *, named: bool) -> DoorSession:
        self.own.add(session.thread_id)
        self._writers[session.thread_id] = self.name.value
        return DoorSession(self, session, named=named)


def app_server(folder: Path, **how: Any) -> Door:
    return Door(RuntimeName.APP_SERVER, folder, **how)


def mcp_server(folder: Path, **how: Any) -> Door:
    """A door that names threads late and knows only those its own process has started."""
    return Door(
        RuntimeName.MCP_SERVER,
        folder,
        late=True,
        forgets=True,
        resume=False,
        steer=False,
        tools=False,
        **how,
    )


def resident(folder: Path, **how: Any) -> Door:
    """A door that names threads late and carries neither steering nor tools."""
    return Door(RuntimeName.RESIDENT, folder, late=True, steer=False, tools=False, **how)


def times_heard(folder: Path, input_id: str) -> int:
    """Return how often the threads of the folder have heard an input, all together."""
    files = (folder / "scripted").glob("*.jsonl")
    lines = [line for file in files for line in file.read_text().splitlines()]
    return sum('"user_message"' in line and f'input=\\"{input_id}\\"' in line for line in lines)
