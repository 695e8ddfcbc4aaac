"""An outbox that is followed for as long as a tmux session lives."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import watch

from netsky_runtime.comms.bus.folders import OUTBOX, Channel
from netsky_runtime.errors import Unhealthy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CHECK_SECONDS = 3.0
"""How often the session is looked for, and the folder looked at unasked. A fork of 3 ms."""
TMUX_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class TmuxSession:
    """One session of one tmux server."""

    socket: Path
    target: str
    """As ``-t`` takes it."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> TmuxSession | None:
        """Return the session that this process was started in, by ``$TMUX``; ``None``: in none."""
        match environ.get("TMUX", "").rsplit(",", 2):
            case [socket, _pid, number]:
                return cls(Path(socket), f"${number}")
            case _:
                return None

    def lives(self) -> bool:
        """Whether it is there. Raises ``Unhealthy`` without tmux."""
        command = ["tmux", "-S", str(self.socket), "has-session", "-t", self.target]
        try:
            done = subprocess.run(command, capture_output=True, timeout=TMUX_SECONDS, check=False)
        except FileNotFoundError as error:
            msg = "There is no tmux, so no session of it can be followed."
            raise Unhealthy(msg, hint="Install tmux.") from error
        except subprocess.TimeoutExpired:
            return True  # a server that is slow is not one that is gone
        return done.returncode == 0


def follow(channel: Channel, work: Callable[[], None], *, session: TmuxSession | None) -> None:
    """Call ``work`` now, whenever the outbox changes, and a last time when ``session`` is gone.

    Without a session it goes on for ever. Raises what ``work`` raises, and ``Unhealthy``.
    """
    channel.prepare()
    work()
    checked = time.monotonic()
    for _ in _looks(channel.root / channel.folder / OUTBOX):
        work()
        if session is None or time.monotonic() - checked < CHECK_SECONDS / 2:
            continue
        if not session.lives():
            work()
            return
        checked = time.monotonic()


def _looks(folder: Path) -> Iterator[object]:
    """Yield whenever a folder should be looked at; where it cannot be watched, now and then."""
    try:
        yield from watch(
            folder,
            watch_filter=None,
            debounce=50,
            step=10,
            rust_timeout=round(CHECK_SECONDS * 1000),
            yield_on_timeout=True,
            recursive=False,
        )
    except (OSError, RuntimeError):  # no more watches for this user, or a name that is no text
        while True:
            yield None
            time.sleep(CHECK_SECONDS)  # noqa: TID251 - a process of its own, without a loop
