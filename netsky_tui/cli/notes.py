"""``netsky notes``: why things are as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.clock import SystemClock
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, body_text, complete_task
from netsky_tui.cli.output import Column, emit, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Note

app = typer.Typer(name="notes", help="Durable explanations.", no_args_is_help=True)

_COLUMNS = (
    Column("ID"),
    Column("AUTHOR"),
    Column("TASK"),
    Column("AGE"),
    Column("NOTE", flex=True),
)

TaskOption = Annotated[
    str, typer.Option("--task", metavar="ID", help="The task.", autocompletion=complete_task)
]


@app.command("add")
def add(
    ctx: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="- reads standard input.")],
    task: TaskOption = "",
    as_json: AsJson = False,
) -> None:
    """Write a note, about a task or about nothing in particular."""
    params = {"body": body_text(text), **({"task_id": task} if task else {})}
    answer = run(call_or_store(Invocation.of(ctx).home, "notes.add", params))
    if as_json:
        emit(answer)
    else:
        say(str(answer["note_id"]))


@app.command("list")
def list_(
    ctx: typer.Context,
    task: TaskOption = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The last N.")] = 200,
    as_json: AsJson = False,
) -> None:
    """List notes, oldest first."""

    async def body(tx: Tx) -> tuple[Note, ...]:
        from netsky_runtime.db import notes

        return tuple(await notes.list_(tx, task_id=task or None, limit=limit))

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.note(note) for note in found])
    elif not found:
        say("No notes yet. Write one: netsky notes add TEXT [--task ID]")
    else:
        now = SystemClock().now()
        rows = [(n.id, n.author, n.task_id, age(n.created_at, now), n.body) for n in found]
        table(_COLUMNS, rows)
