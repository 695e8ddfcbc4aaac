"""One daemon per home: a lock on a file, held by the kernel for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from netsky_runtime.errors import DaemonRunning, HomeBusy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

    from netsky_runtime.clock import Clock

BRIEF_SECONDS: Final = 10.0
"""How long whoever can wait waits for a command that holds the home."""
_LOOK_SECONDS: Final = 0.02
_BRIEF: Final = "a command"


class HomeLock:
    """Context manager around ``flock``. Raises ``DaemonRunning`` when somebody else holds it.

    It is ``HomeBusy`` when that is a command, which is ``brief``.
    """

    def __init__(self, path: Path, *, brief: bool = False) -> None:
        self._path = path
        self._mark = f" {_BRIEF}" if brief else ""
        self._file: int | None = None

    def __enter__(self) -> HomeLock:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder, _, what = os.pread(file, 32, 0).decode("ascii", "replace").partition(" ")
            os.close(file)
            if what == _BRIEF:
                msg = f"A command (pid {holder}) works on this home."
                raise HomeBusy(msg, hint="Try again when it is over.") from error
            msg = f"Another netsky{f' (pid {holder})' if holder else ''} runs on this home."
            hint = "Attach with `netsky`, or end it with `netsky stop`."
            raise DaemonRunning(msg, hint=hint) from error
        told = f"{os.getpid()}{self._mark}".encode()
        os.pwrite(file, told, 0)
        os.ftruncate(file, len(told))
        self._file = file
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


@asynccontextmanager
async def held(path: Path, *, clock: Clock, brief: bool = False) -> AsyncIterator[None]:
    """Hold the home, once the commands that do are over; raises what ``HomeLock`` does."""
    deadline = clock.monotonic() + BRIEF_SECONDS
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(HomeLock(path, brief=brief))
                break
            except HomeBusy:
                if clock.monotonic() >= deadline:
                    raise
            await clock.sleep(_LOOK_SECONDS)
        yield
