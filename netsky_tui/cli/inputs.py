"""``netsky inputs``: messages on their way into a thread."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.states import InputStatus
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, complete_actor
from netsky_tui.cli.output import Column, emit, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import ActorInput

app = typer.Typer(name="inputs", help="Messages on their way into a thread.", no_args_is_help=True)

_COLUMNS = (
    Column("ID"),
    Column("AGE"),
    Column("ACTOR"),
    Column("MODE"),
    Column("STATUS", state=True),
    Column("TRIES"),
    Column("MESSAGE"),
    Column("WHY", flex=True),
)

InputId = Annotated[str, typer.Argument(metavar="ID", help="As `inputs list` shows it.")]


class Resolution(StrEnum):
    """What a human can do with an input that may or may not have arrived."""

    RESEND = "resend"
    DROP = "drop"


@app.command("list")
def list_(
    ctx: typer.Context,
    actor: Annotated[
        str, typer.Option(metavar="ACTOR", help="Only this one's.", autocompletion=complete_actor)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the inputs that are not settled.

    Also those that are uncertain: they wait for a human.
    """

    async def body(tx: Tx) -> list[tuple[ActorInput, str]]:
        from netsky_runtime.db import actors, holds, inputs

        why = await holds.reasons(tx, now=SystemClock().now())
        ids = [actor] if actor else [each.id for each in await actors.list_all(tx)]
        found = [waiting for each in ids for waiting in await inputs.open_for(tx, each)]
        found += [one for one in await inputs.uncertain(tx) if one.actor_id in ids]
        return [
            (one, why.get(one.actor_id, "") if one.status is InputStatus.QUEUED else "")
            for one in sorted(found, key=lambda one: one.created_at)
        ]

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.actor_input(one) | {"waits": waits or None} for one, waits in found])
    elif not found:
        say("No inputs wait.")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [_row(one, waits, now) for one, waits in found])


def _row(one: ActorInput, waits: str, now: int) -> tuple[object, ...]:
    since = age(one.created_at, now)
    how = (one.mode, one.status, one.attempts or None)
    return (one.id, since, one.actor_id, *how, one.message_id, waits or one.reason)


@app.command("cancel")
def cancel(ctx: typer.Context, input_id: InputId, as_json: AsJson = False) -> None:
    """Take back an input that the thread has not consumed."""
    _settle(ctx, "inputs.cancel", {"input_id": input_id}, as_json=as_json)


@app.command("resolve")
def resolve(
    ctx: typer.Context,
    input_id: InputId,
    action: Annotated[Resolution, typer.Argument(metavar="ACTION", help="resend or drop.")],
    as_json: AsJson = False,
) -> None:
    """Decide about an uncertain input.

    Nobody can know whether it arrived, so it was not sent again.
    """
    params = {"input_id": input_id, "action": action.value}
    _settle(ctx, "inputs.resolve", params, as_json=as_json)


def _settle(ctx: typer.Context, method: str, params: dict[str, Any], *, as_json: bool) -> None:
    answer = run(call_or_store(Invocation.of(ctx).home, method, params))
    if as_json:
        emit({"input_id": params["input_id"], **answer})
    else:
        say(f"{params['input_id']} {answer['status']}")
