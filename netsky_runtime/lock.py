"""One daemon per home: a lock on a file, held by the kernel for as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from netsky_runtime.errors import DaemonRunning

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class HomeLock:
    """Context manager around ``flock``. Raises ``DaemonRunning`` when somebody else holds it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def __enter__(self) -> HomeLock:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip()
            os.close(file)
            msg = f"Another netsky{f' (pid {holder})' if holder else ''} runs on this home."
            hint = "Attach with `netsky`, or end it with `netsky stop`."
            raise DaemonRunning(msg, hint=hint) from error
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
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
