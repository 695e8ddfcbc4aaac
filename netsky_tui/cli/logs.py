"""``netsky logs``: what netsky itself has to say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.clock import SystemClock
from netsky_tui.cli import shapes
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import Column, emit, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import LogRow

app = typer.Typer(name="logs", help="What netsky itself has to say.", no_args_is_help=True)

_COLUMNS = (
    Column("AGE"),
    Column("LEVEL", state=True),
    Column("FROM"),
    Column("MESSAGE", flex=True),
)


@app.command("tail")
def tail(
    ctx: typer.Context,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="The last N.")
    ] = 50,
    as_json: AsJson = False,
) -> None:
    """Print the last log rows, oldest first.

    With --json one object a line.
    """

    async def body(tx: Tx) -> tuple[LogRow, ...]:
        from netsky_runtime.db import logs

        return tuple(await logs.tail(tx, limit=limit))

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        for row in found:
            emit(shapes.log(row))
    elif not found:
        say("The log is empty.")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [(age(r.at, now), r.level, r.component, _text(r)) for r in found])


def _text(row: LogRow) -> str:
    if not row.fields:
        return row.message
    return f"{row.message} {json.dumps(dict(row.fields), ensure_ascii=False)}"
