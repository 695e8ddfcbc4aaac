"""``netsky trace``: how far a message got, how that is known, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import NotFound
from netsky_tui import tracing
from netsky_tui.cli import shapes
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, say
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.db.trace import Chain, InputTrace, TaskTrace, Trace, TurnTrace

_PAINTED: Final = {
    "good": "ok",
    "bad": "failed",
    "warn": "warn",
    "info": "busy",
    "dim": "idle",
    "faint": "idle",
}
"""Tone of a line to a word with the same colour."""


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("trace")(trace)


def trace(
    ctx: typer.Context,
    asked: Annotated[str, typer.Argument(metavar="ID", help="Whatever a list or a log shows.")],
    as_json: AsJson = False,
) -> None:
    """Follow a message through netsky, from any id on its way.

    ID is a message, delivery, input, thread, turn, approval, task or note. Each step of an input
    has its time and how it is known.
    """
    now = SystemClock().now()

    async def body(tx: Tx) -> Trace:
        from netsky_runtime.db.trace import trace

        return await trace(tx, asked, now=now)

    found = run(read(Invocation.of(ctx).home, body, empty=None))
    if found is None:
        msg = f"Nothing here has the id {asked!r}."
        raise NotFound(msg, hint="This home has no database yet: start netsky once.")
    if as_json:
        emit(_shape(found))
        return
    for line in tracing.lines(found):
        head = f"{tracing.moment(line, now):<12}  {'  ' * line.depth}"
        say(f"{head}{line.text}", like=_PAINTED.get(line.tone, ""))


def _shape(found: Trace) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "id": found.id,
        "actor": found.actor_id or None,
        "turn": _turn(found.turn),
        "task": _task(found.task),
        "messages": [_chain(chain) for chain in found.chains],
        "more": found.more,
    }


def _chain(chain: Chain) -> dict[str, Any]:
    return {
        **shapes.message(chain.message),
        "causes": [cause.id for cause in chain.causes],
        "deliveries": [shapes.delivery(delivery) for delivery in chain.deliveries],
        "inputs": [_input(each) for each in chain.inputs],
        "task": _task(chain.task),
        "answers": [shapes.message(answer) for answer in chain.answers],
    }


def _input(traced: InputTrace) -> dict[str, Any]:
    return {
        **shapes.actor_input(traced.input),
        "steps": [
            {
                "step": tracing.named(step),
                "status": step.status,
                "batch_id": step.batch_id,
                "at": step.at,
                "known_by": tracing.known_by(step),
            }
            for step in traced.steps
        ],
        "waits": traced.waits or None,
        "recovers": list(traced.input.recovers),
        "recovered_by": list(traced.recovered_by),
        "turn": _turn(traced.turn),
    }


def _turn(traced: TurnTrace | None) -> dict[str, Any] | None:
    if traced is None:
        return None
    return {
        "thread_id": traced.thread_id,
        "turn_id": traced.turn_id,
        "turn": None if traced.turn is None else shapes.turn(traced.turn),
        "facts": traced.facts,
        "approvals": [shapes.approval(each) for each in traced.approvals],
        "tool_calls": [
            {
                "tool": call.tool,
                "success": call.success,
                "text": call.text,
                "created_at": call.created_at,
            }
            for call in traced.calls
        ],
        "tasks": [task.id for task in traced.tasks],
    }


def _task(traced: TaskTrace | None) -> dict[str, Any] | None:
    if traced is None:
        return None
    return {
        **shapes.task(traced.task),
        "notes": [shapes.note(note) for note in traced.notes],
        "turns": [turn.id for turn in traced.turns],
    }
