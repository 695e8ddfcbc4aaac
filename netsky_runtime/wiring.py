"""What a home begins with: its first actors, their sessions and the limits of its fleet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from netsky_runtime.agents import launch
from netsky_runtime.agents.hiring import Limits
from netsky_runtime.db import actors, sessions
from netsky_runtime.records import MANAGER0, OWNER, Actor, Session
from netsky_runtime.settings import Settings, allowed_roots, work_dir
from netsky_runtime.states import ActorKind, ActorStatus

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from netsky_runtime.clock import Clock, Ids
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.states import RuntimeName


async def first_rows(tx: Tx, cwd: Path, now: int) -> None:
    """Make the owner and manager0 in a home that has none.

    Until its first session manager0 has no other folder than ``cwd``.
    """
    if await actors.get(tx, OWNER) is None:
        owner = Actor(
            id=OWNER,
            kind=ActorKind.OWNER,
            status=ActorStatus.ACTIVE,
            created_at=now,
            updated_at=now,
        )
        await actors.insert(tx, owner)
    present = await actors.get(tx, MANAGER0)
    if present is None:
        manager0 = Actor(
            id=MANAGER0,
            kind=ActorKind.MANAGER,
            status=ActorStatus.ACTIVE,
            manager_id=OWNER,
            cwd=str(cwd),
            created_at=now,
            updated_at=now,
        )
        await actors.insert(tx, manager0)
    elif present.cwd != str(cwd) and await sessions.current(tx, MANAGER0) is None:
        await actors.set_cwd(tx, MANAGER0, str(cwd), now=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sessions:
    """Makes session rows with this daemon's settings and door."""

    settings: Settings
    door: Callable[[], RuntimeName]
    """The door of new actors just now."""
    clock: Clock
    ids: Ids

    def __call__(
        self, actor: Actor, *, model: str = "", runtime: RuntimeName | None = None
    ) -> Session:
        """Return the row, not yet stored, of an actor that has no session."""
        return launch.new_session(
            actor,
            self.settings,
            runtime=runtime or self.door(),
            ids=self.ids,
            now=self.clock.now(),
            model=model,
        )


def limits(settings: Settings, cwd: Path) -> Limits:
    """Return what bounds the fleet of a daemon that was started in ``cwd``."""
    return Limits(
        max_live_workers=settings.max_live_workers,
        work_dir=work_dir(settings, cwd).resolve(),
        allowed_roots=allowed_roots(settings, cwd),
    )
