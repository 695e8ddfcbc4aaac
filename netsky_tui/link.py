"""How the room gets a daemon and a database to read. The app knows only these protocols."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from netsky_tui.source import Source

Say = Callable[[str], None]
"""Told one line of progress."""


class Push(Protocol):
    """Something the daemon says unasked (control/feed.py)."""

    @property
    def kind(self) -> str:
        """``facts``, ``live``, ``changed``, ``notice`` or ``closing``."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """What comes with it."""
        ...


class Handle(Protocol):
    """The part of ``control.handle.Handle`` that the room uses."""

    hosting: bool

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Ask the daemon. Raises ``NetskyError``."""
        ...

    def pushes(self) -> AsyncIterator[Push]:
        """Yield what the daemon says; ends when it is gone."""
        ...

    async def close(self) -> None:
        """Let go."""
        ...


class Connector(Protocol):
    """Finds, starts and stops what the room stands on."""

    async def source(self) -> Source | None:
        """Open the database for reading; None while there is none. Raises ``NetskyError``."""
        ...

    async def connect(self, say: Say) -> Handle:
        """Attach to the daemon of this home, or host one. Raises ``NetskyError``."""
        ...

    async def attach(self) -> Handle:
        """Attach to a running daemon. Raises ``NoDaemon``."""
        ...

    async def told_to_stop(self) -> bool:
        """Wait until somebody else stops the daemon that this room hosts; True: keep the engine."""
        ...

    async def stop(self, *, keep_engine: bool) -> None:
        """End the daemon that this room hosts; nothing when it hosts none."""
        ...
