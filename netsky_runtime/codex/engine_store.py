"""Where a door keeps which process carries its threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from netsky_runtime.records import Engine
    from netsky_runtime.states import EngineState


class EngineStore(Protocol):
    """Keeps the row of a door's process; the daemon gives one over the database."""

    async def load(self) -> Engine | None:
        """Return the engine that runs, as far as is known."""
        ...

    async def save(self, engine: Engine) -> None:
        """Remember an engine that was started or adopted."""
        ...

    async def ended(self, engine_id: str, state: EngineState, reason: str) -> None:
        """Remember that it is over."""
        ...
