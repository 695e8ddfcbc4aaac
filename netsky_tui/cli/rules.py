"""``netsky rules``: commands that the owner accepts beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, examples
from netsky_tui.cli.output import Column, emit, say, table
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Rule
    from netsky_runtime.db.connection import Tx

app = typer.Typer(
    name="rules", help="Commands that are accepted without asking you.", no_args_is_help=True
)

_COLUMNS = (
    Column("ID"),
    Column("FOR"),
    Column("ALLOW", flex=True),
    Column("FOLDER", flex=True),
    Column("STATUS", state=True),
)


@app.command(
    "add",
    epilog=examples(
        "netsky rules add --cwd . --allow 'pytest *'",
        "netsky rules add --cwd ~/project --allow 'make lint' --for worker3",
    ),
)
def add(
    ctx: typer.Context,
    cwd: Annotated[
        Path, typer.Option(metavar="DIR", help="The command's folder is this one or below it.")
    ],
    allow: Annotated[
        str,
        typer.Option(
            metavar="WORDS",
            help="The words of one command. A last * is any further words, also options.",
        ),
    ],
    who: Annotated[
        str, typer.Option("--for", metavar="WHO", help="workers, managers or an actor's name.")
    ] = "workers",
    as_json: AsJson = False,
) -> None:
    """Accept a command beforehand, from now on.

    A rule answers what is certainly that one plain command: with operators, substitutions,
    redirections, variables, globs or line breaks in it, the question is held for you.
    """
    params = {"cwd": str(cwd.expanduser().absolute()), "allow": allow, "who": who}
    made = run(call_or_store(Invocation.of(ctx).home, "rules.add", params))
    if as_json:
        emit(made)
    else:
        say(f"{made['rule_id']} allows {made['allow']} for {made['for']} in {made['cwd']}")


@app.command("list")
def list_(
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Also those that are revoked.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the rules in force."""

    async def body(tx: Tx) -> tuple[Rule, ...]:
        from netsky_runtime.db import rules

        return await rules.list_(tx, revoked=everything)

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.rule(rule) for rule in found])
    elif not found:
        say("No rules: every approval waits for you.")
    else:
        table(_COLUMNS, [_row(rule) for rule in found])


def _row(rule: Rule) -> tuple[object, ...]:
    status = "in force" if rule.revoked_at is None else "revoked"
    return (rule.id, rule.actors, rule.pattern, rule.cwd, status)


@app.command("revoke")
def revoke(
    ctx: typer.Context,
    rule_id: Annotated[str, typer.Argument(metavar="ID", help="For example r1.")],
    as_json: AsJson = False,
) -> None:
    """End a rule. What it has answered stays answered."""
    revoked = run(call_or_store(Invocation.of(ctx).home, "rules.revoke", {"id": rule_id}))
    if as_json:
        emit(revoked)
    else:
        say(f"{revoked['rule_id']} is revoked")
