"""``netsky pause`` and ``netsky unpause``: nothing is sent to anybody for a while."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import UsageError
from netsky_tui.cli.calling import call_or_store
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson
from netsky_tui.cli.output import emit, narrate
from netsky_tui.cli.reading import run

_SPAN = re.compile(r"(?:(\d{1,4})d)?(?:(\d{1,5})h)?(?:(\d{1,6})m)?(?:(\d{1,8})s)?")


def register(app: typer.Typer) -> None:
    """Add the verbs to the root command."""
    app.command("pause")(pause)
    app.command("unpause")(unpause)


def pause(
    ctx: typer.Context,
    until: Annotated[
        str, typer.Option(metavar="TIME", help="14:30, or 2026-01-31T14:30; local time.")
    ] = "",
    for_: Annotated[str, typer.Option("--for", metavar="SPAN", help="2h, 90m, 1d12h.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send nothing to any actor for a while.

    Until a time, or until `netsky unpause`. Running turns go on, and messages are stored. A
    restart of netsky keeps the pause.
    """
    if until and for_:
        msg = "--until and --for say the same thing twice."
        raise UsageError(msg, hint="Give one of them, or none to pause until `netsky unpause`.")
    now = SystemClock().now()
    end = moment(until, now) if until else now + span(for_) if for_ else None
    answer = run(call_or_store(Invocation.of(ctx).home, "pause", {"until": end}))
    if as_json:
        emit(answer)
    else:
        narrate(f"Now {answer['reason']}. Running turns go on; `netsky unpause` ends it.")


def unpause(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Send again, also after a limit of Codex's."""
    answer = run(call_or_store(Invocation.of(ctx).home, "unpause", {}))
    if as_json:
        emit(answer)
    elif not answer["ended"]:
        narrate("Nothing was paused.")


def moment(text: str, now: int) -> int:
    """Return a local time in ms since the epoch; an hour alone is its next one.

    Raises ``UsageError`` for what is no time, or is past.
    """
    here = datetime.fromtimestamp(now / 1_000, UTC).astimezone()
    try:
        if "T" in text or "-" in text:
            then = datetime.fromisoformat(text)
            then = then.astimezone() if then.tzinfo is None else then
        else:
            hour = time.fromisoformat(text)
            then = datetime.combine(here.date(), hour).astimezone()
            if then <= here:
                then = datetime.combine(here.date() + timedelta(days=1), hour).astimezone()
    except ValueError as error:
        msg = f"{text!r} is no time."
        raise UsageError(msg, hint="Write it like 14:30, or 2026-01-31T14:30.") from error
    if then <= here:
        msg = f"{text} is past."
        raise UsageError(msg)
    return round(then.timestamp() * 1_000)


def span(text: str) -> int:
    """Return a span of time in ms. Raises ``UsageError``."""
    match = _SPAN.fullmatch(text)
    parts = match.groups() if match else ("0",) * 4
    days, hours, minutes, seconds = (int(part or 0) for part in parts)
    found = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not found:
        msg = f"{text!r} is no span of time."
        raise UsageError(msg, hint="Write it like 2h, 90m or 1d12h.")
    return round(found.total_seconds() * 1_000)
