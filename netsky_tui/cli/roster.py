"""Actors as the JSON that scripts rely on, with the health that is derived from their rows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from netsky_runtime import health
from netsky_runtime.clock import SystemClock
from netsky_runtime.codex.events import EventKind
from netsky_runtime.errors import NotFound
from netsky_runtime.states import ActorKind
from netsky_runtime.vital_records import Health
from netsky_tui.cli import shapes

if TYPE_CHECKING:
    from netsky_runtime.budgets import Hold
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.db.views import ActorView

_TURNS = 5
_RUNGS = 5


async def everyone(tx: Tx) -> list[dict[str, Any]]:
    """Return all managers and workers."""
    from netsky_runtime.db import holds, views

    held = (await holds.look(tx, now=SystemClock().now())).waiting
    found = [view for view in await views.actor_views(tx) if _works(view)]
    return [_shape(view, held.get(view.actor.id)) for view in found]


def one(actor_id: str) -> Callable[[Tx], Awaitable[dict[str, Any] | None]]:
    """Return a reading of one actor with its tasks, last turns and the screen that blocks it.

    It reads ``None`` when there is no such actor.
    """

    async def body(tx: Tx) -> dict[str, Any] | None:
        from netsky_runtime.db import budgets, events, holds, rungs, tasks, turns, views

        view = await views.actor_view(tx, actor_id)
        if view is None:
            return None
        its_tasks = await tasks.of_owner(tx, actor_id)
        its_turns = await turns.list_for_actor(tx, actor_id, _TURNS)
        its_rungs = await rungs.last_of(tx, actor_id, limit=_RUNGS)
        told = None
        if view.session is not None and view.session.blocked:
            told = await events.last_of_kind(tx, actor_id, EventKind.BLOCKED)
        now = SystemClock().now()
        held = (await holds.look(tx, now=now)).waiting.get(actor_id)
        bounds = await budgets.of_actor(tx, actor_id, now=now)
        return {
            **_shape(view, held),
            "budgets": [shapes.gauge(gauge) for gauge in bounds],
            "screen": str(told.data.get("screen") or "") if told is not None else "",
            "tasks": [shapes.task(task) for task in its_tasks],
            "turns": [shapes.turn(turn) for turn in its_turns],
            "rungs": [shapes.rung(rung) for rung in its_rungs],
        }

    return body


def health_in(shape: Mapping[str, Any]) -> Health:
    """Return the health that the JSON of an actor tells."""
    return Health(
        state=shape["health"],
        reason=shape["health_reason"],
        since=shape["since"],
        evidence=shape["health_evidence"],
        last_sign=shape["last_sign_at"],
        silent=shape["silent"],
    )


def unknown(actor_id: str) -> NotFound:
    """Return the error for an actor that nobody knows."""
    msg = f"There is no actor {actor_id!r}."
    return NotFound(msg, hint="`netsky actors list` names them all.")


def _works(view: ActorView) -> bool:
    return view.actor.kind is not ActorKind.OWNER


def _shape(view: ActorView, hold: Hold | None) -> dict[str, Any]:
    how = health.of(view, hold)
    return {
        "id": view.actor.id,
        "kind": view.actor.kind,
        "health": how.state,
        "health_reason": how.reason,
        "health_evidence": how.evidence,
        "last_sign_at": how.last_sign,
        "silent": how.silent,
        "manager": view.actor.manager_id,
        "session": shapes.session(view.session),
        "since": how.since,
        "status": view.actor.status,
        "objective": view.actor.objective,
        "turn": view.turn.id if view.turn else None,
        "inputs_pending": view.open_inputs,
        "inputs_uncertain": view.uncertain,
        "held": hold.reason if hold is not None else None,
        "approvals_pending": view.pending_approvals,
        "last_event_at": view.last_event_at,
    }
