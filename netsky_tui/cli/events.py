"""``netsky events``: the facts of the threads, as netsky stored them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import Clock, SystemClock
from netsky_runtime.errors import NoDaemon
from netsky_tui.cli import shapes
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, complete_actor
from netsky_tui.cli.output import emit, say
from netsky_tui.cli.reading import present, read, reader, run
from netsky_tui.cli.text import cut, one_line, pad

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netsky_runtime.db.connection import Tx
    from netsky_runtime.fact_records import StoredEvent
    from netsky_runtime.paths import Home

app = typer.Typer(name="events", help="What happened in the threads.", no_args_is_help=True)

_PAGE = 500
_POLL_SECONDS = 0.2
_TEXT_CELLS = 200


@app.command("tail")
def tail(
    ctx: typer.Context,
    actor: Annotated[
        str, typer.Option(metavar="ACTOR", help="Only this one's.", autocompletion=complete_actor)
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=0, metavar="N", help="The last N.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl+C.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the last events, oldest first.

    With --json one object a line.
    """
    home = Invocation.of(ctx).home
    show = _show_json if as_json else _show
    if follow:
        run(_follow(home, actor or None, limit, show, clock=SystemClock()))
        return

    async def body(tx: Tx) -> Sequence[StoredEvent]:
        return await _last(tx, actor or None, limit)

    found = run(read(home, body, empty=()))
    show(found)
    if not found and not as_json:
        say("No events yet. They come when an actor works: netsky send manager0 TEXT")


async def _follow(home: Home, actor: str | None, limit: int, show: Any, *, clock: Clock) -> None:
    from netsky_runtime.db import events

    if not present(home.database):
        msg = "This home has no database yet, so there is nothing to follow."
        raise NoDaemon(msg, hint="Start a daemon with `netsky` or `netsky --no-tui`.")
    async with reader(home) as database:

        async def start(tx: Tx) -> tuple[Sequence[StoredEvent], int]:
            return await _last(tx, actor, limit), await events.last_seq(tx)

        first, seq = await database.read(start)
        show(first)
        version = -1
        while True:
            # An integer that changes when anybody commits: waiting costs no query.
            if (now := await database.data_version()) == version:
                await clock.sleep(_POLL_SECONDS)
                continue
            version = now
            while page := await database.read(_after(seq, actor)):
                show(page)
                seq = page[-1].seq


def _after(seq: int, actor: str | None) -> Any:
    async def body(tx: Tx) -> Sequence[StoredEvent]:
        from netsky_runtime.db import events

        return await events.after(tx, seq, limit=_PAGE, actor_id=actor)

    return body


async def _last(tx: Tx, actor: str | None, limit: int) -> Sequence[StoredEvent]:
    from netsky_runtime.db import actors, events

    if actor is not None:
        await actors.require(tx, actor)  # a name that is not there would look like silence
    if limit == 0:
        return ()
    if actor is not None:
        return await events.recent(tx, actor, limit=limit)
    newest = await events.last_seq(tx)
    return await events.after(tx, newest - limit, limit=limit)


def _show_json(found: Sequence[StoredEvent]) -> None:
    for event in found:
        emit(shapes.event(event))


def _show(found: Sequence[StoredEvent]) -> None:
    for event in found:
        at = _clock_time(event.at)
        say(f"{at}  {pad(event.actor_id, 10)}  {pad(event.kind, 18)}  {summary(event)}".rstrip())


def _clock_time(at: int) -> str:
    import datetime

    moment = datetime.datetime.fromtimestamp(at / 1000, tz=datetime.UTC).astimezone()
    return moment.strftime("%H:%M:%S")


def summary(event: StoredEvent) -> str:
    """Say an event's essence in one short line."""
    data = event.data
    words = [
        str(data[key])
        for key in ("type", "status", "tool", "command", "reason", "text", "message", "error")
        if data.get(key)
    ]
    return cut(one_line(" ".join(words)), _TEXT_CELLS)
