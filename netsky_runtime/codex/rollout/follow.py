"""Rollouts followed as they grow: one watcher for all threads of a CODEX_HOME.

The kernel tells what changed, through watchfiles; a look once a second finds what it failed to
tell (a folder that was made a moment before, a full inotify queue, no watches left).
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from watchfiles import Change

from netsky_runtime.codex.rollout.locate import SESSIONS
from netsky_runtime.codex.rollout.tail import Position, read
from netsky_runtime.supervise import Supervisor
from netsky_runtime.watching import changes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from netsky_runtime.clock import Clock
    from netsky_runtime.log import Log

Stamp = tuple[int, int, int]

STEP_MS: Final = 20
"""How long nothing more must happen before changes are told: most of the latency."""
DEBOUNCE_MS: Final = 60
"""How long changes are held back at most while more come."""
LOOK_SECONDS: Final = 1.0
RETRY_SECONDS: Final = 60.0
"""Until the kernel is asked again that would not watch."""


class Follow:
    """The lines of one file, whole and in order, and then those that are appended.

    Iterate it, one consumer. A file that does not exist yet is waited for. One that was cut or
    replaced is read again from its start, and ``restarts`` counts it.
    """

    def __init__(self, path: Path, offset: int) -> None:
        self.path = path
        self._position = Position(offset)
        self._lines: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._changed.set()
        self._over = False

    @property
    def restarts(self) -> int:
        """How often the line that came last was read from the start of another file."""
        return self._position.restarts

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._lines:
            await self._changed.wait()
            if self._over:
                raise StopAsyncIteration
            self._changed.clear()
            await self._fill()
        return self._lines.popleft()

    def wake(self) -> None:
        """Look at the file again: it may have changed."""
        self._changed.set()

    def close(self) -> None:
        """End the iteration; lines that were read already still come."""
        self._over = True
        self._changed.set()

    async def _fill(self) -> None:
        try:
            # The position moves only here, so a read that nobody waits for any more does no harm.
            self._position, lines = await asyncio.to_thread(read, self.path, self._position)
        except OSError:
            return  # it may be readable again when it changes, or at the next look
        if lines:
            self._lines.extend(lines)
            self._changed.set()


class RolloutWatch:
    """Watches the rollouts of a CODEX_HOME, and files below ``roots``."""

    def __init__(
        self, codex_home: Path, *, clock: Clock, log: Log, roots: Sequence[Path] = ()
    ) -> None:
        self._roots = (codex_home / SESSIONS, *roots)
        self._clock = clock
        self._log = log
        self._follows: WeakSet[Follow] = WeakSet()
        self._stamps: Mapping[str, Stamp] = {}
        self._tasks = Supervisor(report=self._failed)

    async def open(self) -> None:
        """Begin. What is followed before that is told of afterwards.

        Makes the folder of the sessions, which Codex does not before the first thread.
        """
        await asyncio.to_thread(self._prepare)
        self._tasks.keep("rollout watch", self._watch, clock=self._clock)
        self._tasks.keep("rollout look", self._look, clock=self._clock)

    def lines(self, path: Path, *, offset: int = 0) -> Follow:
        """Follow a file from a byte on, which must be the start of a line.

        A file outside the watched folders is looked at once a second only. Keep what is returned:
        when nobody holds it, it is not followed any more.
        """
        follow = Follow(path, offset)
        self._follows.add(follow)
        return follow

    def troubles(self) -> Sequence[str]:
        """Say of what watches that it ends again and again."""
        return self._tasks.troubles()

    async def close(self) -> None:
        """End every iteration. Idempotent."""
        await self._tasks.close()
        for follow in self._follows:
            follow.close()

    async def _watch(self) -> None:
        while True:
            roots = [root for root in self._roots if await asyncio.to_thread(root.is_dir)]
            try:
                async for told in changes(
                    *roots, step=STEP_MS, debounce=DEBOUNCE_MS, ignore_permission_denied=True
                ):
                    if self._told(told):
                        await self._check()
            except OSError as error:  # the kernel has no watches left, or a name is no UTF-8
                fields = {"reason": str(error)}
                self._log("warning", "rollouts are only looked at once a second", fields)
            await self._clock.sleep(RETRY_SECONDS)

    def _told(self, changed: Iterable[tuple[Change, str]]) -> bool:
        """Pass on what changed; return whether there may be more in a folder that is new.

        What was written into a folder before the kernel was asked to watch it is not told.
        """
        told = list(changed)
        self._wake({name for _, name in told})
        return any(change is Change.added and Path(name).name.isdigit() for change, name in told)

    async def _look(self) -> None:
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            await self._check()

    async def _check(self) -> None:
        paths = {str(follow.path) for follow in self._follows}
        stamps = await asyncio.to_thread(_stamps, paths)
        self._wake({path for path in paths if stamps.get(path) != self._stamps.get(path)})
        self._stamps = stamps

    def _wake(self, changed: set[str]) -> None:
        for follow in self._follows:
            if str(follow.path) in changed:
                follow.wake()

    def _prepare(self) -> None:
        with suppress(OSError):  # Codex makes it, or says why it cannot
            self._roots[0].mkdir(mode=0o700, parents=True, exist_ok=True)

    def _failed(self, name: str, error: BaseException) -> None:
        self._log("error", "following rollouts has failed", {"task": name, "error": repr(error)})


def _stamps(paths: Iterable[str]) -> Mapping[str, Stamp]:
    found = {}
    for path in paths:
        with suppress(OSError):
            now = Path(path).stat()
            found[path] = (now.st_ino, now.st_size, now.st_mtime_ns)
    return found
