"""``netsky check``: whether everything that must be true of this home is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from netsky_runtime.counting import count
from netsky_tui.cli.calling import listened_to
from netsky_tui.cli.exits import Exit
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import Column, emit, narrate, say, table
from netsky_tui.cli.reading import present, reader, run

if TYPE_CHECKING:
    from netsky_runtime.invariants import Report

_COLUMNS = (Column("INVARIANT"), Column("CHECK"), Column("VIOLATED", flex=True, folds=True))


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("check")(check)


def check(ctx: typer.Context, as_json: AsJson = False) -> Exit:
    """Check that nothing here is lost, doubled or left over.

    Those are the invariants of a home: its rows, the histories of its threads, its processes.

    Reads only, with or without a daemon. Exit status 5 when one is violated. The numbers are
    those of the README's list.
    """
    here = Invocation.of(ctx)
    if not present(here.home.database):
        if as_json:
            emit({"ok": True, "checks": [], "violations": [], "histories": {}})
        else:
            narrate(f"There is nothing at {here.home.root} yet.")
        return Exit.OK
    report = run(_look(here))
    if as_json:
        emit(
            {
                "ok": not report.violations,
                "checks": [
                    {"invariant": each.invariant, "name": each.name, "about": each.about}
                    for each in report.checks
                ],
                "violations": [asdict(each) for each in report.violations],
                "histories": {
                    "read": len(report.heard.inputs),
                    "unread": dict(report.heard.unread),
                },
            }
        )
    else:
        _tell(report)
    return Exit.UNHEALTHY if report.violations else Exit.OK


async def _look(here: Invocation) -> Report:
    from netsky_runtime.invariants import check as check_home

    async with reader(here.home) as database:
        return await check_home(here.home, here.environ, database, live=listened_to(here.home))


def _tell(report: Report) -> None:
    if report.violations:
        found = sorted(report.violations, key=lambda each: each.invariant)
        table(_COLUMNS, [(each.invariant, each.check, each.sentence) for each in found])
    told = f"{count(len(report.checks), 'check')}, {count(len(report.violations), 'violation')}"
    say(f"{told}; the histories of {count(len(report.heard.inputs), 'thread')} were read.")
    for thread_id, why in report.heard.unread.items():
        narrate(f"The history of {thread_id} was not read: {why}.")
