"""``netsky`` with nothing else on the line: the room, without loading the command line (0.1 s)."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Final

from netsky_runtime.errors import NetskyError, UsageError
from netsky_tui.cli.exits import report
from netsky_tui.cli.invocation import FORWARD_OUTBOX, Invocation
from netsky_tui.cli.output import narrate

if TYPE_CHECKING:
    from netsky_runtime.options import Options

# -P: the thread's folder must not come first where Python looks for modules.
FORWARDER: Final = (sys.executable, "-P", "-m", "netsky_tui", *FORWARD_OUTBOX)
"""How a daemon runs this verb beside a thread."""


def main() -> int:
    """Open the room on the home of the environment and return the exit status."""
    try:
        here = Invocation.build({})
        here.home.check_place()
        return room(here)
    except NetskyError as error:
        return report(error, as_json=False)


def room(here: Invocation) -> int:
    """Open the room: attach to the daemon that runs, or host one."""
    need_terminal()
    return open_room(options(here))


def options(here: Invocation) -> Options:
    """Return what a daemon on this home is started with."""
    from netsky_runtime.options import Options

    flags = {"runtime": here.runtime} if here.runtime else {}
    return Options(
        home=here.home,
        environ=here.environ,
        flags=flags,
        forwarder=FORWARDER,
        progress=narrate,
    )


def open_room(options: Options) -> int:
    """Run the room to its end."""
    gc.disable()  # until the room runs: nothing of what is loaded for it is garbage
    from netsky_tui.room import run_room

    return run_room(options)


def need_terminal(what: str = "The room", *, instead: str = "netsky --no-tui") -> None:
    """Raise ``UsageError`` where the room, or ``what``, could not be seen or typed into."""
    # Textual draws on standard error.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        msg = f"{what} needs a terminal, and standard input, output or error is none."
        raise UsageError(msg, hint=f"Without one: {instead}")
