"""Actors as the JSON that scripts rely on, with the health that is derived from their rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from netsky_runtime.errors import NotFound
from netsky_runtime.records import ActorKind
from netsky_tui.cli import shapes

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.db.views import ActorView

_TURNS = 5


async def everyone(tx: Tx) -> list[dict[str, Any]]:
    """Return all managers and workers."""
    from netsky_runtime.db import views

    return [_shape(view) for view in await views.actor_views(tx) if _works(view)]


def one(actor_id: str) -> Callable[[Tx], Awaitable[dict[str, Any] | None]]:
    """Return a reading of one actor with its tasks and last turns; ``None``: there is no such."""

    async def body(tx: Tx) -> dict[str, Any] | None:
        from netsky_runtime.db import tasks, turns, views

        found = [view for view in await views.actor_views(tx) if view.actor.id == actor_id]
        if not found:
            return None
        its_tasks = await tasks.of_owner(tx, actor_id)
        its_turns = await turns.list_for_actor(tx, actor_id, _TURNS)
        return {
            **_shape(found[0]),
            "tasks": [shapes.task(task) for task in its_tasks],
            "turns": [shapes.turn(turn) for turn in its_turns],
        }

    return body


def unknown(actor_id: str) -> NotFound:
    """Return the error for an actor that nobody knows."""
    msg = f"There is no actor {actor_id!r}."
    return NotFound(msg, hint="`netsky actors list` names them all.")


def _works(view: ActorView) -> bool:
    return view.actor.kind is not ActorKind.OWNER
