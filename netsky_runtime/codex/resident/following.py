"""A resident's rollout and its ``notify`` file, followed; and the name of its thread, learned."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson

from netsky_runtime.codex.base import HistoryUnavailable
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.resident import processes
from netsky_runtime.codex.rollout import RolloutReader, RolloutWatch, find_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from netsky_runtime.codex.resident.resident import Resident
    from netsky_runtime.supervise import Supervisor


class Following:
    """Reads for one resident until ``close``."""

    def __init__(
        self,
        resident: Resident,
        *,
        notify: Path,
        codex_home: Path,
        rollouts: RolloutWatch,
        tasks: Supervisor,
        named: Callable[[str], None],
    ) -> None:
        self._resident = resident
        self._codex_home = codex_home
        self._rollouts = rollouts
        self._tasks = tasks
        self._named = named
        self._notify = notify
        self._mark = resident.mark
        self._wake: Callable[[], None] = lambda: None
        self._running: list[asyncio.Task[None]] = []

    def begin(self, *, speaks: bool) -> None:
        """Follow a thread that has no name yet, from its first line.

        One that ``speaks`` was started with first words, which carry the mark: no other thread is
        its own, whatever a human has opened on its screen. Else it is the one that is written.
        """
        self._mark = self._resident.mark if speaks else ""
        self._running.append(self._tasks.spawn("resident notify", self._read_notify()))

    async def learn_name(self) -> bool:
        """Look which thread the pane writes, if that is not known; return whether it is.

        It is known when also its first turn is: whoever asks next finds it running.
        """
        resident = self._resident
        if not resident.thread_id:
            found = await asyncio.to_thread(
                processes.open_rollout, resident.leader, mark=self._mark
            )
            if found is not None:
                self._begin(*found)
        return bool(resident.thread_id) and resident.begun

    async def look(self) -> None:
        """Learn the thread's name; or, where it was left for another, whether it is back."""
        resident = self._resident
        if not resident.thread_id:
            await self.learn_name()
        elif resident.elsewhere:
            shown = await asyncio.to_thread(processes.shown_thread, resident.leader)
            if resident.elsewhere and shown in {"", resident.thread_id}:
                resident.clear()

    async def go_on(self, thread_id: str, rollout: Path, *, lives: bool) -> None:
        """Follow a thread that has had turns; what it did before is not told again.

        Its usage is, as every door does. A turn without an end runs when the Codex that began it
        ``lives``; else it was cut. Raises ``HistoryUnavailable``.
        """
        reader, offset, usage = await asyncio.to_thread(_read_so_far, rollout, thread_id)
        self._resident.named(thread_id, rollout)
        self._resident.caught_up(reader, cut="" if lives else reader.turn_id)
        if usage is not None:
            self._resident.channel.put(usage)
        self._running.append(
            self._tasks.spawn("resident rollout", self._read_rollout(rollout, offset))
        )
        self.begin(speaks=True)

    async def close(self) -> None:
        """Read no more. Idempotent."""
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    def _begin(self, thread_id: str, rollout: Path) -> None:
        if self._resident.thread_id:
            return
        self._resident.named(thread_id, rollout)
        self._named(thread_id)
        self._running.append(self._tasks.spawn("resident rollout", self._read_rollout(rollout, 0)))

    async def _read_rollout(self, rollout: Path, offset: int) -> None:
        lines = self._rollouts.lines(rollout, offset=offset)
        self._wake = lines.wake
        restarts = 0
        async for line in lines:
            if lines.restarts != restarts:
                restarts = lines.restarts
                self._resident.restarted()
            self._resident.feed(line)

    async def _read_notify(self) -> None:
        # Codex speaks at the end of every turn, also of threads that make titles. Its word makes
        # the rollout be read at once, and names a thread whose process may not be looked into.
        async for line in self._rollouts.lines(self._notify):
            said = _notice(line)
            thread_id = str(said.get("thread-id") or "")
            if not self._resident.thread_id and self._is_ours(said):
                with suppress(HistoryUnavailable):  # its process names it, or its next turn
                    rollout = await asyncio.to_thread(find_thread, self._codex_home, thread_id)
                    if rollout is not None:
                        self._begin(thread_id, rollout)
            if thread_id == self._resident.thread_id:
                self._wake()

    def _is_ours(self, said: dict[str, Any]) -> bool:
        messages = said.get("input-messages")
        first = messages[0] if isinstance(messages, list) and messages else ""
        # A title is made from the first message: a thread that does so quotes it.
        return self._resident.mark in str(first) and not str(first).startswith("Generate ")


def _read_so_far(rollout: Path, thread_id: str) -> tuple[RolloutReader, int, CodexEvent | None]:
    reader, usage = RolloutReader(thread_id), None
    try:
        with rollout.open("rb") as file:
            offset = 0
            for line in file:
                if not line.endswith(b"\n"):
                    break
                offset += len(line)
                for event in reader.feed(line):
                    if event.kind is EventKind.USAGE:
                        usage = event
    except OSError as error:
        msg = f"The thread's rollout cannot be read: {error.strerror or error}."
        raise HistoryUnavailable(msg, hint=f"It should be at {rollout}.") from error
    return reader, offset, usage


def _notice(line: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return {}
    return said if isinstance(said, dict) else {}
