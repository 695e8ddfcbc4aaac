"""``netsky budgets``: how many tokens may be used, and how many were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import UsageError
from netsky_runtime.states import BudgetScope
from netsky_tui.cli import shapes
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, examples
from netsky_tui.cli.output import Column, emit, narrate, say, table
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.budgets import Gauge
    from netsky_runtime.db.connection import Tx

app = typer.Typer(
    name="budgets",
    help="How many tokens may be used.",
    no_args_is_help=True,
)

_COLUMNS = (
    Column("BUDGET"),
    Column("OF"),
    Column("USED"),
    Column("LIMIT"),
    Column("LEFT"),
    Column("%"),
    Column("FROM", flex=True),
)

Scope = Annotated[BudgetScope, typer.Argument(metavar="actor|task|day", help="What it bounds.")]


@app.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the budgets there are and what is used of each.

    A turn counts with everything Codex counts for it, cached input among it.
    """

    async def body(tx: Tx) -> tuple[Gauge, ...]:
        from netsky_runtime.db import budgets

        return await budgets.every(tx, now=SystemClock().now())

    found = run(read(Invocation.of(ctx).home, body, empty=()))
    if as_json:
        emit([shapes.gauge(gauge) for gauge in found])
    elif not found:
        say("No budgets. Set one: netsky budgets set day 5000000")
    else:
        table(_COLUMNS, [_row(gauge) for gauge in found])


@app.command(
    "set",
    epilog=examples(
        "netsky budgets set actor worker3 200000",
        "netsky budgets set actor worker3 +100000",
        "netsky budgets set task T12 500000",
        "netsky budgets set day 5000000",
    ),
)
def set_(
    ctx: typer.Context,
    scope: Scope,
    rest: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME] TOKENS",
            help="The actor or task, then tokens; +N is what is used by now and N more; 0: none.",
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Bound the tokens of an actor, a task or the day.

    The day is that of all actors together, from midnight to midnight. Whoever waited for more
    goes on at once; a turn that is over it is interrupted.
    """
    words = 1 if scope is BudgetScope.DAY else 2
    if len(rest) != words:
        named = "the day takes" if words == 1 else f"one {scope} takes its name and"
        msg = f"The budget of {named} a number of tokens."
        raise UsageError(msg, hint="See `netsky budgets set --help`.")
    *subject, number = rest
    params = {
        "scope": scope.value,
        "subject": "".join(subject),
        "tokens": _tokens(number),
        "more": number.startswith("+"),
    }
    _tell(run(call_or_store(Invocation.of(ctx).home, "budgets.set", params)), as_json=as_json)


@app.command("clear")
def clear(
    ctx: typer.Context,
    scope: Scope,
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="The actor or task.")] = "",
    as_json: AsJson = False,
) -> None:
    """Take a budget away; the default in the settings holds."""
    params = {"scope": scope.value, "subject": name}
    _tell(run(call_or_store(Invocation.of(ctx).home, "budgets.clear", params)), as_json=as_json)


def _row(gauge: Gauge) -> tuple[object, ...]:
    origin = "set" if gauge.set_by_owner else "settings"
    numbers = (f"{number:,}" for number in (gauge.used, gauge.limit, gauge.left))
    return (gauge.scope, gauge.subject or "all", *numbers, f"{gauge.part:.0%}", origin)


def _tokens(text: str) -> int:
    digits = text.removeprefix("+").replace(",", "").replace("_", "")
    if not (digits.isascii() and digits.isdecimal()):
        msg = f"{text!r} is no number of tokens."
        raise UsageError(msg, hint="Write it like 200000, or +100000 for so many more.")
    return int(digits)


def _tell(answer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit(answer)
    elif answer["limit"] is None:
        narrate(f"No budget of {answer['subject'] or 'the day'}.")
    else:
        narrate(f"{answer['used']:,} of {answer['limit']:,} used, {answer['left']:,} left")
