"""``netsky tasks``: durable work items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.records import Task
from netsky_runtime.states import Priority, TaskStatus
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, TaskId, body_text, complete_task
from netsky_tui.cli.output import Column, emit, fields, narrate, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Note

app = typer.Typer(name="tasks", help="Durable work items.", no_args_is_help=True)

_COLUMNS = (
    Column("ID"),
    Column("PRIO", state=True),
    Column("STATUS", state=True),
    Column("TITLE", flex=True),
    Column("OWNER"),
    Column("MANAGER"),
    Column("NEEDS"),
    Column("AGE"),
)

PriorityOption = Annotated[
    Priority | None, typer.Option(help="P0 is the most urgent.", show_default=False)
]


@app.command("add")
def add(
    ctx: typer.Context,
    title: Annotated[str, typer.Argument(metavar="TITLE", help="One line.")],
    body: Annotated[
        str, typer.Option(metavar="TEXT", help="What is to be done; - reads stdin.")
    ] = "",
    priority: PriorityOption = None,
    estimate_minutes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How long it may take.")
    ] = None,
    depends_on: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Repeat for several.", autocompletion=complete_task),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add a task.

    It stays open until a manager, or `netsky actors start-worker --task ID`, gives it to a
    worker.
    """
    params: dict[str, Any] = {"title": title, "body": body_text(body) if body else ""}
    params |= {"priority": priority.value} if priority else {}
    params |= {"estimate_minutes": estimate_minutes} if estimate_minutes else {}
    params |= {"depends_on": depends_on} if depends_on else {}
    answer = _write(ctx, "tasks.add", params)
    if as_json:
        emit(answer)
    else:
        say(str(answer["task_id"]))


@app.command("list")
def list_(
    ctx: typer.Context,
    status: Annotated[
        list[TaskStatus] | None, typer.Option(help="Only these; repeat for several.")
    ] = None,
    owner: Annotated[str, typer.Option(metavar="ACTOR", help="Only this actor's.")] = "",
    as_json: AsJson = False,
) -> None:
    """List tasks, oldest first."""

    async def body(tx: Tx) -> tuple[tuple[Task, ...], frozenset[str], dict[str, tuple[str, ...]]]:
        from netsky_runtime.db import readiness, tasks, views

        found = await tasks.list_(tx, statuses=status or None)
        return found, await views.failed_reports(tx), await readiness.in_vain(tx)

    nothing: tuple[tuple[Task, ...], frozenset[str], dict[str, tuple[str, ...]]]
    nothing = (), frozenset(), {}
    found, failed, in_vain = run(read(Invocation.of(ctx).home, body, empty=nothing))
    chosen = [task for task in found if not owner or task.owner_id == owner]
    if as_json:
        emit(
            [
                {
                    **shapes.task(task),
                    "last_turn_failed": task.id in failed,
                    "stuck_behind": list(in_vain.get(task.id, ())),
                }
                for task in chosen
            ]
        )
    elif not chosen:
        say("No tasks." if found or status else "No tasks yet. Add one: netsky tasks add TITLE")
    else:
        now = SystemClock().now()
        table(
            _COLUMNS,
            [
                _row(task, now, failed=task.id in failed, stuck=task.id in in_vain)
                for task in chosen
            ],
        )


def _row(task: Task, now: int, *, failed: bool, stuck: bool) -> tuple[object, ...]:
    needs = " ".join(task.depends_on)
    since = age(task.created_at, now)
    who = (task.owner_id, task.manager_id)
    how = "stuck" if stuck else "failed turn" if failed else task.status
    return (task.id, task.priority, how, task.title, *who, needs, since)


@app.command("show")
def show(ctx: typer.Context, task_id: TaskId, as_json: AsJson = False) -> None:
    """Show one task with its notes."""

    async def body(
        tx: Tx,
    ) -> tuple[Task, tuple[Note, ...], tuple[str, ...], tuple[str, ...]] | None:
        from netsky_runtime.db import notes, readiness, tasks

        task = await tasks.require(tx, task_id)
        unmet = await tasks.unmet(tx, task_id)
        stuck = (await readiness.in_vain(tx)).get(task_id, ())
        return task, tuple(await notes.list_(tx, task_id=task_id)), unmet, stuck

    found = run(read(Invocation.of(ctx).home, body, empty=None))
    if found is None:
        msg = f"There is no task {task_id!r}."
        raise NotFound(msg, hint="`netsky tasks list` shows all.")
    task, its_notes, unmet, stuck = found
    if as_json:
        emit(
            {
                **shapes.task(task),
                "unmet": list(unmet),
                "stuck_behind": list(stuck),
                "notes": [shapes.note(n) for n in its_notes],
            }
        )
        return
    now = SystemClock().now()
    fields(
        {
            "task": task.id,
            "title": task.title,
            "status": task.status,
            "priority": task.priority,
            "owner": task.owner_id,
            "manager": task.manager_id,
            "estimate": f"{task.estimate_minutes} min" if task.estimate_minutes else None,
            "depends on": " ".join(task.depends_on),
            "waits for": " ".join(unmet),
            "stuck behind": " ".join(stuck),
            "created": f"{age(task.created_at, now)} ago",
            "changed": f"{age(task.updated_at, now)} ago",
        }
    )
    if task.body:
        say(f"\n{task.body}")
    for note in its_notes:
        say(f"\n{note.author}, {age(note.created_at, now)} ago: {note.body}")


@app.command("set")
def set_(
    ctx: typer.Context,
    task_id: TaskId,
    status: Annotated[
        TaskStatus | None, typer.Option(show_default=False, help="Its new state.")
    ] = None,
    priority: PriorityOption = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="One line.")] = "",
    note: Annotated[str, typer.Option(metavar="TEXT", help="A note that says why.")] = "",
    as_json: AsJson = False,
) -> None:
    """Change a task."""
    changes = {
        "status": status and status.value,
        "priority": priority and priority.value,
        "title": title,
        "note": note,
    }
    given = {key: value for key, value in changes.items() if value}
    if not given:
        msg = "Nothing to change was named."
        raise UsageError(msg, hint="Give --status, --priority, --title or --note.")
    _change(ctx, "tasks.set", {"id": task_id, **given}, as_json=as_json)


@app.command("depend")
def depend(
    ctx: typer.Context,
    task_id: TaskId,
    on: Annotated[
        str, typer.Argument(metavar="ON", help="For example t2.", autocompletion=complete_task)
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Let it wait for ON no longer.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make task ID wait until task ON is done.

    A task that has begun cannot wait any more. One whose ON failed or was cancelled is stuck
    until the dependency is removed, or ON is opened again.
    """
    params: dict[str, Any] = {"id": task_id, "on": on}
    params |= {"remove": True} if remove else {}
    _change(ctx, "tasks.depend", params, as_json=as_json)


@app.command("done")
def done(ctx: typer.Context, task_id: TaskId, as_json: AsJson = False) -> None:
    """Call a task done; what waited for it can start."""
    _change(ctx, "tasks.done", {"id": task_id}, as_json=as_json)


@app.command("cancel")
def cancel(ctx: typer.Context, task_id: TaskId, as_json: AsJson = False) -> None:
    """Cancel a task."""
    _change(ctx, "tasks.cancel", {"id": task_id}, as_json=as_json)


def _change(ctx: typer.Context, method: str, params: dict[str, Any], *, as_json: bool) -> None:
    answer = _write(ctx, method, params)
    if as_json:
        emit({"id": params["id"], **answer})
    elif stuck := answer.get("stuck"):
        names = ", ".join(stuck)
        narrate(f"Stuck behind it: {names}. `netsky tasks depend` with --remove frees one.")


def _write(ctx: typer.Context, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return run(call_or_store(Invocation.of(ctx).home, method, params))
