"""``netsky actors``: who works, for whom, and how they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.counting import count
from netsky_runtime.errors import UsageError
from netsky_runtime.states import Priority
from netsky_tui import vitals
from netsky_tui.cli import attaching, roster
from netsky_tui.cli.calling import call, say_how_old
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import (
    ActorId,
    AsJson,
    body_text,
    complete_actor,
    complete_task,
    examples,
)
from netsky_tui.cli.output import Column, emit, fields, narrate, say, table
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import age, cut, one_line

app = typer.Typer(name="actors", no_args_is_help=True)
attaching.register(app)

_COLUMNS = (
    Column("ID"),
    Column("HEALTH", state=True),
    Column("SINCE"),
    Column("WHY", flex=True),
    Column("MANAGER"),
    Column("RUNTIME"),
    Column("SESSION", state=True),
    Column("CWD", flex=True),
)


_GETS_A_DOOR = frozenset({"start-manager", "start-worker", "move"})


@app.callback()
def actors(ctx: typer.Context) -> None:
    """Show, start, stop and move managers and workers."""
    if ctx.invoked_subcommand not in _GETS_A_DOOR:
        Invocation.of(ctx).refuse_runtime()


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List managers and workers, how they are, and their doors."""
    found = run(read(Invocation.of(ctx).home, roster.everyone, empty=()))
    if as_json:
        emit(found)
    elif not found:
        say("No actors yet. manager0 is there as soon as a daemon has run: netsky")
    else:
        now = SystemClock().now()
        table(_COLUMNS, [_row(actor, now) for actor in found])
        say_how_old(Invocation.of(ctx).home)


def _row(actor: dict[str, Any], now: int) -> tuple[object, ...]:
    session = actor["session"] or {}
    how = (actor["health"], age(actor["since"], now), vitals.why(roster.health_in(actor), now))
    where = (session.get("runtime"), session.get("state"), session.get("cwd"))
    return (actor["id"], *how, actor["manager"], *where)


@app.command("show")
def show(ctx: typer.Context, actor: ActorId, as_json: AsJson = False) -> None:
    """Show one actor: how it is, and how that is known.

    Then its session, its tasks, its last turns, and what was done about a turn of its that hung.
    """
    found = run(read(Invocation.of(ctx).home, roster.one(actor), empty=None))
    if found is None:
        raise roster.unknown(actor)
    if as_json:
        emit(found)
        return
    now = SystemClock().now()
    session = found["session"] or {}
    how = roster.health_in(found)
    fields(
        {
            "actor": found["id"],
            "kind": found["kind"],
            "status": found["status"],
            "health": found["health"],
            "why": vitals.told(how, now),
            "known by": vitals.known_by(how, now),
            "manager": found["manager"],
            "objective": found["objective"],
            "inputs waiting": found["inputs_pending"],
            "approvals waiting": found["approvals_pending"],
            "tasks": "\n".join(f"{t['id']} {t['status']}: {t['title']}" for t in found["tasks"]),
            "runtime": session.get("runtime"),
            "session": session.get("state"),
            "thread": session.get("thread_id"),
            "previous thread": session.get("previous_thread_id"),
            "screen blocked": session.get("blocked"),
            "screen": found["screen"].rstrip("\n"),
            "cwd": session.get("cwd"),
            "model": session.get("model"),
            "sandbox": session.get("sandbox"),
            "approval policy": session.get("approval_policy"),
            "budgets": "\n".join(map(_bound, found["budgets"])),
            "came back": session.get("differences"),
            "last turns": "\n".join(_turn(turn, now) for turn in found["turns"]),
            "what was done": "\n".join(_rung(rung, now) for rung in found["rungs"]),
        }
    )


def _bound(gauge: dict[str, Any]) -> str:
    numbers = f"{gauge['used']:,} of {count(gauge['limit'], 'token')} used"
    return f"{gauge['scope']} {gauge['subject']}".rstrip() + f": {numbers}"


def _rung(rung: dict[str, Any], now: int) -> str:
    came = rung["outcome"] or "under way"
    detail = f" ({rung['detail']})" if rung["detail"] else ""
    return f"{age(rung['at'], now)} ago {rung['rung']}: {rung['evidence']}; {came}{detail}"


def _turn(turn: dict[str, Any], now: int) -> str:
    words = turn["error"] or turn["final_text"]
    said = f": {cut(one_line(words), 100)}" if words else ""
    if turn["completed_at"] is None:  # it runs, or nobody saw its end
        return f"began {age(turn['started_at'], now)} ago, {turn['status']}{said}"
    return f"{age(turn['completed_at'], now)} ago {turn['status']}{said}"


@app.command(
    "start-manager",
    epilog=examples("netsky actors start-manager 'Everything about the web shop'"),
)
def start_manager(
    ctx: typer.Context,
    objective: Annotated[str, typer.Argument(metavar="OBJECTIVE", help="- reads standard input.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="For example manager3.")] = "",
    as_json: AsJson = False,
) -> None:
    """Start a manager for one lane of work.

    --runtime names its door to Codex; without it, it gets that of all new actors.
    """
    given = {"name": name, "runtime": Invocation.of(ctx).door}
    params = {"objective": body_text(objective), **_said(given)}
    answer = _ask(ctx, "actors.start_manager", params)
    if as_json:
        emit(answer)
    else:
        say(str(answer["actor_id"]))


@app.command(
    "start-worker",
    epilog=examples(
        "netsky actors start-worker 'Mend the login test' --cwd ~/shop",
        "netsky actors start-worker --task t4 --runtime resident",
    ),
)
def start_worker(
    ctx: typer.Context,
    title: Annotated[
        str, typer.Argument(metavar="[TITLE]", help="One line: what is to be done.")
    ] = "",
    body: Annotated[str, typer.Argument(metavar="[BODY]", help="The task; - reads stdin.")] = "",
    manager: Annotated[
        str,
        typer.Option(metavar="ACTOR", help="Who it reports to.", autocompletion=complete_actor),
    ] = "",
    task: Annotated[
        str,
        typer.Option(metavar="ID", help="Take this open task.", autocompletion=complete_task),
    ] = "",
    cwd: Annotated[str, typer.Option(metavar="DIR", help="Where it works.")] = "",
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Default: that of all new threads.")
    ] = "",
    priority: Annotated[
        Priority | None, typer.Option(show_default=False, help="P0 is the most urgent.")
    ] = None,
    estimate_minutes: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How long it may take.")
    ] = None,
    depends_on: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Repeat for several.", autocompletion=complete_task),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start a worker for exactly one task.

    It starts once what it depends on is done. --runtime names its door to Codex; without it, it
    gets that of all new actors.
    """
    if not title and not task:
        msg = "A worker needs a task."
        raise UsageError(msg, hint="Give a TITLE, or --task ID for one that is open.")
    options = {
        "manager": manager,
        "task_id": task,
        "cwd": str(Path(cwd).expanduser().absolute()) if cwd else "",
        "model": model,
        "runtime": Invocation.of(ctx).door,
        "priority": priority and priority.value,
        "estimate_minutes": estimate_minutes,
        "depends_on": depends_on,
    }
    params = {"title": title, "body": body_text(body) if body else "", **_said(options)}
    answer = _ask(ctx, "actors.start_worker", params)
    if as_json:
        emit(answer)
    else:
        worker = answer["actor_id"] or "no worker yet"
        say(f"{worker} {answer['task_id']} {answer['status']}")


@app.command("stop")
def stop(ctx: typer.Context, actor: ActorId, as_json: AsJson = False) -> None:
    """Stop an actor for good; what it said stays.

    Its turn is interrupted. It is not stopped while a turn of it runs where netsky cannot reach it.
    """
    answer = _ask(ctx, "actors.stop", {"actor_id": actor})
    if as_json:
        emit({"actor_id": actor, **answer})
    else:
        narrate(f"{actor} is stopped; `netsky actors resume {actor}` brings it back")
        if left := answer.get("left"):
            narrate(f"its Codex was left in tmux: {left}. Stop {actor} again to end it.")


@app.command("interrupt")
def interrupt(ctx: typer.Context, actor: ActorId, as_json: AsJson = False) -> None:
    """Interrupt the turn an actor is in."""
    answer = _ask(ctx, "actors.interrupt", {"actor_id": actor})
    if as_json:
        emit(answer)
    else:
        say(f"{actor}: turn {answer['turn_id']} interrupted")


@app.command("resume")
def resume(ctx: typer.Context, actor: ActorId, as_json: AsJson = False) -> None:
    """Let a parked or stopped actor go on.

    What a pause or a used-up budget holds waits on: it says so, and which command ends that.
    """
    answer = _ask(ctx, "actors.resume", {"actor_id": actor})
    if as_json:
        emit({"actor_id": actor, **answer})
    elif held := answer.get("held"):
        remedy = f" To let it go on: {answer['remedy']}" if answer["remedy"] else ""
        narrate(f"{actor} is back, and still waits: {held}.{remedy}")
    else:
        narrate(f"{actor} goes on")


@app.command(
    "move",
    epilog=examples(
        "netsky actors move worker3 --runtime resident",
        "netsky actors move worker3 --runtime app_server --interrupt",
    ),
)
def move(
    ctx: typer.Context,
    actor: ActorId,
    interrupt: Annotated[
        bool, typer.Option("--interrupt", help="Also out of a running turn, which ends.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Take an actor's thread to another door to Codex.

    --runtime names it. The conversation goes on there, with one writer at every moment. No thread
    can be taken to mcp_server, which knows only those that it has started itself.
    """
    door = Invocation.of(ctx).door
    if door is None:
        msg = "Where is it to move?"
        raise UsageError(msg, hint="Name the door: --runtime app_server, or --runtime resident.")
    answer = _ask(ctx, "actors.move", {"actor_id": actor, "runtime": door, "interrupt": interrupt})
    if as_json:
        emit(answer)
    else:
        thread = answer["thread_id"] or "that starts with its first message"
        say(f"{actor} is on {answer['runtime']} now, with thread {thread}")


def _said(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value}


def _ask(ctx: typer.Context, method: str, params: dict[str, Any]) -> dict[str, Any]:
    return run(call(Invocation.of(ctx).home, method, params))
