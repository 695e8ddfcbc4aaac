"""What carries scripted threads: stands for the process that real Codex runs them in."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from netsky_runtime.codex.base import AnswerLost, InputRejected, ThreadUnavailable, TurnRunning
from netsky_runtime.codex.scripted.files import ThreadFile
from netsky_runtime.codex.scripted.language import refusal
from netsky_runtime.codex.scripted.perform import (
    FAILURE,
    LIMITED,
    DiedError,
    FailedError,
    LimitedError,
    Performance,
    StoppedError,
)
from netsky_runtime.codex.scripted.thread import ScriptedThread
from netsky_runtime.states import TurnStatus
from netsky_runtime.supervise import Supervisor

if TYPE_CHECKING:
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import Batch, LaunchSpec
    from netsky_runtime.codex.scripted.orders import Script
    from netsky_runtime.codex.scripted.session import ScriptedSession
    from netsky_runtime.codex.scripted.thread import RunningTurn

MAX_INPUT_CHARS = 1 << 20


class ScriptedEngine:
    """Threads that share one fate and one counter of request ids."""

    def __init__(self, engine_id: str, *, directory: Path, clock: Clock, script: Script) -> None:
        self.id = engine_id
        self.dead = ""
        """Why it is gone; empty while it lives."""
        self.threads: dict[str, ScriptedThread] = {}
        self.sessions: set[ScriptedSession] = set()
        self._directory = directory
        self._clock = clock
        self._script = script
        self._requests = count()
        self._supervisor = Supervisor(report=_report)

    def make(self, thread_id: str, spec: LaunchSpec) -> ScriptedThread:
        """Make a thread that has had no turn."""
        tools = frozenset(tool.name for tool in spec.tools)
        return self.threads.setdefault(thread_id, self._thread(thread_id, spec, tools))

    async def find(self, thread_id: str, spec: LaunchSpec) -> ScriptedThread | None:
        """Find a thread that has had a turn, in memory or on disk.

        Raises ``ThreadUnavailable`` when its file cannot be read.
        """
        if not ThreadFile.may_exist(thread_id):
            return None
        known = self.threads.get(thread_id)
        if known is None:
            file = ThreadFile(self._directory, thread_id)
            try:
                remembered = await asyncio.to_thread(file.load)
            except (OSError, ValueError, KeyError) as error:
                msg = f"The file of thread {thread_id} cannot be read: {error}."
                raise ThreadUnavailable(msg) from error
            if remembered is None:
                return None
            made = self._thread(thread_id, spec, frozenset(remembered.launch["tools"]))
            made.recall(remembered)
            # Somebody else may have loaded it while this one was reading.
            known = self.threads.setdefault(thread_id, made)
        if not known.turns:
            return None
        known.spec = spec
        return known

    async def submit(self, thread: ScriptedThread, batch: Batch) -> None:
        """Begin a turn. Raises what ``ThreadSession.submit`` does."""
        if thread.running is not None:
            msg = f"Turn {thread.running.id} runs on thread {thread.id}."
            raise TurnRunning(msg)
        lost = self.refuse(thread, batch)
        try:
            turn = thread.begin(batch)
        except OSError as error:
            msg = f"The file of thread {thread.id} cannot be written: {error}."
            raise ThreadUnavailable(msg) from error
        turn.task = self._supervisor.spawn(f"turn {turn.id}", self._run(thread, turn))
        await asyncio.sleep(0)  # as in real Codex, the first events come before the answer
        if lost:
            raise AnswerLost("The answer was lost on order; the input was taken.", connected=True)

    def refuse(self, thread: ScriptedThread, batch: Batch) -> bool:
        """Fail as the text orders; ``True`` when it is to be taken and its answer lost."""
        if len(batch.text) > MAX_INPUT_CHARS:
            msg = f"The input has {len(batch.text)} characters; {MAX_INPUT_CHARS} are allowed."
            raise InputRejected(msg)
        ordered = refusal(batch.text)
        if ordered is None:
            return False
        word, times = ordered
        if word == "reject":
            raise InputRejected("The input was rejected on order.")
        failed = thread.refused.get(batch.text, 0)
        if failed >= times:
            return False
        thread.refused[batch.text] = failed + 1
        if word == "unavailable":
            raise ThreadUnavailable("The thread is unavailable on order.")
        if word == "lost":
            # As when the way to the engine breaks: nothing that was sent comes any more.
            raise AnswerLost("The answer was lost on order, and the input too.", connected=False)
        return word == "lost-consumed"

    def die(self, reason: str) -> None:
        """Be gone at once, as after SIGKILL: no turn ends, every session is lost."""
        if self.dead:
            return
        self.dead = reason
        current = asyncio.current_task()
        for thread in self.threads.values():
            task = thread.running.task if thread.running else None
            if task is not None and task is not current:
                task.cancel()
        for session in list(self.sessions):
            session.lost(reason)

    async def close(self) -> None:
        """Be gone, and wait until nothing of it runs. Idempotent."""
        self.die("the scripted engine was ended")
        await self._supervisor.close()

    async def _run(self, thread: ScriptedThread, turn: RunningTurn) -> None:
        performance = Performance(thread, turn, script=self._script, clock=self._clock)
        try:
            try:
                await performance.run()
            except StoppedError:
                thread.end(turn, TurnStatus.INTERRUPTED)
            except FailedError:
                thread.end(turn, TurnStatus.FAILED, error=FAILURE)
            except LimitedError:
                thread.end(turn, TurnStatus.FAILED, error=LIMITED, usage_limit=True)
            else:
                thread.end(turn, TurnStatus.COMPLETED)
        except DiedError:
            self.die("the scripted engine died on order")
        except OSError as error:
            self.die(f"the file of thread {thread.id} cannot be written: {error}")
        except Exception as error:
            thread.end(turn, TurnStatus.FAILED, error=f"the script is broken: {error!r}")
            raise

    def _thread(self, thread_id: str, spec: LaunchSpec, tools: frozenset[str]) -> ScriptedThread:
        return ScriptedThread(
            thread_id,
            spec=spec,
            tools=tools,
            file=ThreadFile(self._directory, thread_id),
            clock=self._clock,
            requests=self._requests,
        )


def _report(name: str, error: BaseException) -> None:
    context = {"message": f"{name} failed", "exception": error}
    asyncio.get_running_loop().call_exception_handler(context)
