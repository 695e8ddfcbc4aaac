"""``netsky torture``: kill netsky over and over, and see whether anything is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.states import RuntimeName
from netsky_tui.cli.exits import Exit
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, fields, narrate, say
from netsky_tui.cli.reading import run

if TYPE_CHECKING:
    from netsky_runtime.torture.report import Report

_COUNTS = (
    *("runtime", "seed", "kills", "inputs", "lost", "doubled", "begun_too_early", "uncertain"),
    *("refused", "histories_read", "histories_unread"),
    *("approvals_decided", "approvals_lost_silently", "orphans", "invariants", "checks"),
    *("violations", "failures", "seconds"),
)


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("torture")(torture)


def torture(
    ctx: typer.Context,
    kills: Annotated[
        int, typer.Option("--kills", metavar="N", min=1, help="How often to kill.")
    ] = 200,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="The same seed plans the same kills.")
    ] = 7,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the home there, to look at.")] = False,
    as_json: AsJson = False,
) -> Exit:
    """Kill netsky over and over under load, and count what is lost.

    In a home of its own, which is thrown away. On scripted threads, or with --runtime app_server
    on real Codex with a scripted model: no account, no network. Exit status 1 when anything is
    not zero that must be.
    """
    from netsky_runtime.torture.entry import tortured

    here = Invocation.of(ctx)
    runtime = here.door or RuntimeName.SCRIPTED
    report, home = run(
        tortured(
            runtime=runtime,
            seed=seed,
            kills=kills,
            environ=here.environ,
            keep=keep,
            progress=narrate,
        )
    )
    if home is not None:
        narrate(f"home: {home}")
    if as_json:
        emit(report.told())
    else:
        _tell(report)
    return Exit.OK if report.clean else Exit.FAILED


def _tell(report: Report) -> None:
    told = report.told()
    for title, counted in (("place", told["by_place"]), ("target", told["by_target"])):
        say(f"kills by {title}:")
        for name, count in counted.items():
            missed = told["not_reached"].get(name, 0) if title == "place" else 0
            say(f"  {count:4}  {name}{f', {missed} not reached in time' if missed else ''}")
    ends = ", ".join(f"{count} {end}" for end, count in told["inputs_by_end"].items())
    say(f"inputs by end: {ends or 'none'}")
    counts = {key.replace("_", " "): value for key, value in told.items() if key in _COUNTS}
    fields(
        {**counts, "time to reconcile p50": f"{told['reconcile_p50_s']} s"}
        | {"time to reconcile p99": f"{told['reconcile_p99_s']} s"}
    )
    for line in told["broken"]:
        say(line)
