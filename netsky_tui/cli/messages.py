"""``netsky messages``: what was said, by whom, and where it went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import NotFound
from netsky_runtime.states import InputStatus
from netsky_tui.cli import shapes
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, complete_actor
from netsky_tui.cli.output import Column, emit, fields, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Delivery, Message

app = typer.Typer(name="messages", help="What was said, and where it went.", no_args_is_help=True)

_COLUMNS = (
    Column("ID"),
    Column("AGE"),
    Column("FROM"),
    Column("TO"),
    Column("KIND"),
    Column("STATUS", state=True),
    Column("TEXT", flex=True),
)


@app.command("list")
def list_(
    ctx: typer.Context,
    actor: Annotated[
        str,
        typer.Option(metavar="ACTOR", help="To or from it.", autocompletion=complete_actor),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The last N.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List the last messages, oldest first.

    With --json one object a line.
    """

    async def body(tx: Tx) -> tuple[tuple[int, Message], ...]:
        from netsky_runtime.db import messages

        return await messages.recent(tx, limit=limit, actor_id=actor or None)

    found = [message for _, message in run(read(Invocation.of(ctx).home, body, empty=()))]
    if as_json:
        for message in found:
            emit(shapes.message(message))
    elif not found:
        say("No messages yet. Send one: netsky send manager0 TEXT")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [_row(message, now) for message in found])


def _row(message: Message, now: int) -> tuple[object, ...]:
    since = age(message.created_at, now)
    ends = (message.sender, message.target)
    return (message.id, since, *ends, message.kind, message.status, message.body)


@app.command("show")
def show(
    ctx: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="ID", help="As `messages list` shows it.")],
    as_json: AsJson = False,
) -> None:
    """Show one message whole, with its deliveries."""

    async def body(tx: Tx) -> tuple[Message, tuple[Delivery, ...], str] | None:
        from netsky_runtime.db import messages

        message = await messages.require(tx, message_id)
        deliveries = tuple(await messages.deliveries_of(tx, message_id))
        return message, deliveries, await _waits(tx, message, deliveries)

    found = run(read(Invocation.of(ctx).home, body, empty=None))
    if found is None:
        msg = f"There is no message {message_id!r}."
        raise NotFound(msg, hint="`netsky messages list` shows the last ones.")
    message, deliveries, waits = found
    if as_json:
        told = [shapes.delivery(delivery) for delivery in deliveries]
        emit({**shapes.message(message), "deliveries": told, "waits": waits or None})
        return
    fields(
        _about(message) | {"delivery": "\n".join(map(_receipt, deliveries)), "waits": waits or None}
    )
    say(f"\n{message.body}")


async def _waits(tx: Tx, message: Message, deliveries: tuple[Delivery, ...]) -> str:
    """Say what an input waits for that is not answered, as far as there is a reason."""
    from netsky_runtime.db import holds, inputs

    for delivery in deliveries:
        row = await inputs.get(tx, delivery.input_id) if delivery.input_id else None
        if row is None or not row.status.open:
            continue
        why = await holds.reasons(tx, now=SystemClock().now())
        if row.status is InputStatus.QUEUED and message.target in why:
            return why[message.target]
        return row.reason
    return ""


def _about(message: Message) -> dict[str, Any]:
    now = SystemClock().now()
    return {
        "message": message.id,
        "from": f"{message.sender} by {message.source}",
        "to": message.target,
        "kind": message.kind,
        "status": message.status,
        "sent": f"{age(message.created_at, now)} ago",
        "answers": message.in_reply_to,
        "task": message.task_id,
        "thread": message.thread_id,
        "turn": message.turn_id,
    }


def _receipt(delivery: Delivery) -> str:
    reason = f" ({delivery.error})" if delivery.error else ""
    of_input = f", input {delivery.input_id}" if delivery.input_id else ""
    return f"{delivery.sink}: {delivery.status}{reason}{of_input}"
