"""``netsky channel forward-outbox``, also without the command line: one runs beside every pane.

Started by its shortest form it loads no typer, which saves 17 MB in each of fifty.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.comms.bus.folders import OUTBOX, Channel
from netsky_runtime.comms.bus.forwarding import forward
from netsky_runtime.comms.bus.names import Names
from netsky_runtime.errors import NetskyError, Unhealthy
from netsky_tui.cli.exits import Exit, report
from netsky_tui.cli.invocation import FORWARD_OUTBOX, Invocation
from netsky_tui.cli.output import narrate

if TYPE_CHECKING:
    from collections.abc import Sequence


def is_plain(line: Sequence[str]) -> bool:
    """Whether a command line is the verb and an address, and nothing else."""
    return len(line) == 3 and tuple(line[:2]) == FORWARD_OUTBOX and not line[-1].startswith("-")


def main(address: str) -> int:
    """Follow the outbox until the tmux session of this process is gone; return the status."""
    try:
        here = Invocation.build({})
        here.home.check_place()
        serve(here, address)
    except NetskyError as error:
        return report(error, as_json=False)
    return Exit.OK


def serve(here: Invocation, address: str, *, once: bool = False, tmux_session: str = "") -> None:
    """Deliver what lies in an outbox, and unless ``once`` what comes, until the session is gone.

    ``tmux_session`` is its name; by default it is the one that this process was started in.
    """
    here.home.prepare()
    channel, names = Channel(here.home.channels, address), Names()
    told: set[str] = set()
    met: set[str] = set()

    def passed_over(name: str, reason: str, *, poisoned: bool) -> None:
        met.add(name)
        if name not in told:  # what is left is met again and again
            narrate(f"{name} {'went to poison' if poisoned else 'is left'}: {reason}")

    def work() -> None:
        met.clear()
        try:
            forward(channel, names=names, passed_over=passed_over)
        except Unhealthy as error:
            if once:
                raise
            passed_over(OUTBOX, error.message, poisoned=False)
        told.clear()
        told.update(met)

    if once:
        work()
        return
    from netsky_runtime.comms.bus.following import TmuxSession, follow  # watchfiles: 50 ms

    session = TmuxSession.of(here.environ)
    if tmux_session:
        socket = session.socket if session else here.home.tmux_socket
        session = TmuxSession(socket, f"={tmux_session}")
    ends = "its tmux session ends, or Ctrl+C" if session else "Ctrl+C; --once delivers and ends"
    narrate(f"Delivers what comes to {channel}/{OUTBOX}, until {ends}.")
    follow(channel, work, session=session)
