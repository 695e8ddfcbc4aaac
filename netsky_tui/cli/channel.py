"""``netsky channel``: the file bus, by which actors and other programs write to each other.

Only files are read and written, and of a name that only the database knows its row is read: it
works with and without a daemon.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.clock import SortableIds, SystemClock, iso
from netsky_runtime.errors import NotFound, UsageError
from netsky_runtime.records import MANAGER0
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, body_text, examples
from netsky_tui.cli.output import emit, narrate, say
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.comms.bus.envelope import BusEnvelope
    from netsky_runtime.comms.bus.folders import Channel
    from netsky_runtime.db.connection import Tx
    from netsky_runtime.records import Actor

app = typer.Typer(
    name="channel",
    help="The file bus: any program can write to an actor.\n\n"
    "agent0 is manager0, agent3 is worker3, agentci a program of its own.",
    no_args_is_help=True,
)

STALE_SECONDS = 60.0
"""After which a drain that claimed and did not archive is taken for dead."""

Address = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="agent0, agent3, agentci, or an actor's id.")
]


@app.command(
    "send",
    epilog=examples(
        "netsky channel send agent3 'Which tests are slow?' --from agentci",
        "netsky channel drain agentci",
    ),
)
def send(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="agent0, agent3, agentci, or an actor's id.")
    ],
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The words; - reads standard input.")],
    sender: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="ID",
            help="Who writes, and reads the answer. Default: agent$AGENT_N, else the actor of "
            "$CODEX_CHANNEL_DIR, else agentcli.",
        ),
    ] = "",
    kind: Annotated[str, typer.Option(metavar="WORD", help="text, brief, cron…")] = "text",
    id_: Annotated[str, typer.Option("--id", metavar="ID", help="Default: a new one.")] = "",
    in_reply_to: Annotated[str, typer.Option(metavar="ID", help="What this answers.")] = "",
    thread: Annotated[str, typer.Option(metavar="WORD", help="Comes back with the answer.")] = "",
    key: Annotated[
        str, typer.Option(metavar="WORD", help="What is sent again under it is taken once.")
    ] = "",
    requires_ack: Annotated[
        bool, typer.Option("--requires-ack", help="Be told, too, when it is stored.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put an envelope into an inbox and print its id.

    The answer comes to the sender's own inbox: `netsky channel drain` takes it from there. A
    name that is nobody's is refused, exit status 3; a worker may be written to before it is there.
    """
    from netsky_runtime.comms.bus.addresses import bus_id_of
    from netsky_runtime.comms.bus.envelope import BusEnvelope, dump
    from netsky_runtime.comms.bus.folders import Channel
    from netsky_runtime.comms.bus.names import Names

    here, clock = Invocation.of(ctx), SystemClock()
    envelope = BusEnvelope(
        sender=bus_id_of(sender or _own_id(here)),
        text=body_text(text),
        ts=iso(clock.now()),
        id=id_ or SortableIds(clock).new("e"),
        to=bus_id_of(target),
        kind=kind,
        in_reply_to=in_reply_to,
        thread=thread,
        idempotency_key=key,
        requires_ack=requires_ack,
    )
    data = dump(envelope)
    for name in filter(None, (target, sender)):
        run(_check_somebody(here, name))
    here.home.prepare()
    channel = Channel(here.home.channels, target)
    file = channel.write_new(data, sender=envelope.sender, names=Names())
    if as_json:
        emit({"id": envelope.id, "from": envelope.sender, "to": envelope.to, "file": file})
    else:
        say(envelope.id)


@app.command(
    "drain",
    epilog=examples(
        "netsky channel drain agentci --all --json",
        "netsky channel drain agent3 --peek",
    ),
)
def drain(
    ctx: typer.Context,
    address: Address,
    everything: Annotated[bool, typer.Option("--all", help="All that wait, not one.")] = False,
    peek: Annotated[bool, typer.Option("--peek", help="Look, and leave them there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take the oldest envelope out of an inbox and print it.

    That none waits is an error, exit status 3. An actor's own inbox is emptied by the daemon:
    look at it with --peek.
    """
    from netsky_runtime.comms.bus.addresses import is_actors
    from netsky_runtime.comms.bus.folders import CLAIMED, DELIVERED, Channel
    from netsky_runtime.comms.bus.taking import claims

    channel = Channel(Invocation.of(ctx).home.channels, address)
    if peek:
        found = _peek(channel, everything=everything, as_json=as_json)
    else:
        if not is_actors(channel.folder):  # an actor's claims are the daemon's
            channel.return_claims(before=time.time() - STALE_SECONDS)
        found = False
        for claim in claims(channel, passed_over=_passed_over):
            found = True
            _print(claim.envelope, as_json=as_json)
            channel.move(claim.name, CLAIMED, DELIVERED)
            if not everything:
                break
    if not found:
        run(_check_somebody(Invocation.of(ctx), address))
        msg = f"No envelope waits for {address}."
        raise NotFound(msg, hint=f"They come to {channel}/inbox.")


@app.command("forward-outbox")
def forward_outbox(
    ctx: typer.Context,
    address: Address,
    once: Annotated[bool, typer.Option("--once", help="What lies there now, and no more.")] = False,
    tmux_session: Annotated[
        str,
        typer.Option(metavar="NAME", help="End with it. Default: the one this was started in."),
    ] = "",
) -> None:
    """Deliver what an actor puts into its outbox.

    Until the tmux session that it was started in is gone; netsky starts one beside each resident
    Codex.
    """
    from netsky_tui.cli.forwarding import serve

    if once and tmux_session:
        msg = "--once does not wait for any session."
        raise UsageError(msg, hint="Leave out --tmux-session.")
    serve(Invocation.of(ctx), address, once=once, tmux_session=tmux_session)


async def _check_somebody(here: Invocation, address: str) -> None:
    """Raise ``NotFound`` for an actor that is none: nobody would ever read what comes to it."""
    from netsky_runtime.comms.bus.addresses import folder_of, is_actors, is_workers, program_like

    folder = folder_of(address)
    if folder == MANAGER0 or is_workers(folder) or not is_actors(folder):
        return

    async def body(tx: Tx) -> Actor | None:
        from netsky_runtime.db import actors

        return await actors.get(tx, folder)

    if await read(here.home, body, empty=None) is None:
        msg = f"There is no actor {folder!r}."
        program = program_like(address)
        meant = f"Did you mean {program}, a program of its own? " if program else ""
        raise NotFound(msg, hint=f"{meant}`netsky actors list` names the actors.")


def _own_id(here: Invocation) -> str:
    if number := here.environ.get("AGENT_N"):
        return f"agent{number}"
    folder = Path(here.environ.get("CODEX_CHANNEL_DIR", ""))  # a manager has no number
    return folder.name if folder.parent == here.home.channels else "agentcli"


def _peek(channel: Channel, *, everything: bool, as_json: bool) -> bool:
    from netsky_runtime.comms.bus.envelope import BadEnvelope, parse
    from netsky_runtime.comms.bus.guarded import Unreadable

    found = False
    for name in channel.pending():
        try:
            envelope = parse(channel.read(name))
        except NotFound:
            continue  # somebody has just taken it
        except (BadEnvelope, Unreadable) as error:
            _passed_over(name, error.message, poisoned=False)
            continue
        found = True
        _print(envelope, as_json=as_json)
        if not everything:
            break
    return found


def _print(envelope: BusEnvelope, *, as_json: bool) -> None:
    """Print an envelope, and let whoever reads have it before its file is archived."""
    from netsky_runtime.comms.bus.envelope import content_of
    from netsky_runtime.comms.bus.wording import channel_element

    if as_json:
        emit(content_of(envelope))
    else:
        say(channel_element(envelope))
        sys.stdout.flush()


def _passed_over(name: str, reason: str, *, poisoned: bool) -> None:
    narrate(f"{name} {'went to poison' if poisoned else 'is left'}: {reason}")
