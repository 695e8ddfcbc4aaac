"""Commands that start a daemon or a room: ``netsky``, ``netsky --no-tui``, ``netsky demo``."""

from __future__ import annotations

import gc
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.errors import UsageError
from netsky_runtime.records import RuntimeName
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.output import narrate
from netsky_tui.cli.reading import run

if TYPE_CHECKING:
    from netsky_runtime.options import Options


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("demo")(demo)


def room(here: Invocation) -> int:
    """Open the room: attach to the daemon that runs, or host one."""
    _need_terminal()
    return _room(_options(here))


def headless(here: Invocation) -> int:
    """Run the daemon in the foreground until it is told to stop."""
    return _headless(_options(here))


def demo(
    ctx: typer.Context,
    no_tui: Annotated[bool, typer.Option("--no-tui", help="Without the room.")] = False,
) -> int:
    """Open the room on scripted threads in a throw-away home: no account, no network."""
    if not no_tui:
        _need_terminal()
    with _throw_away(Invocation.of(ctx)) as options:
        if not no_tui:
            return _room(options)
        narrate(f"home: {options.home.root}")
        return _headless(options)


@contextmanager
def _throw_away(here: Invocation) -> Iterator[Options]:
    # What actors may write to lies beside the home, never around it.
    with tempfile.TemporaryDirectory(prefix="netsky-demo-", ignore_cleanup_errors=True) as folder:
        work = Path(folder, "work")
        work.mkdir()
        own = Invocation.build({"--home": str(Path(folder, "home"))}, here.environ)
        scripted = replace(_options(own), cwd=work, demo=True)
        yield replace(scripted, flags={"runtime": RuntimeName.SCRIPTED.value})


def _options(here: Invocation) -> Options:
    from netsky_runtime.options import Options

    flags = {"runtime": here.runtime} if here.runtime else {}
    return Options(home=here.home, environ=here.environ, flags=flags, progress=narrate)


def _headless(options: Options) -> int:
    from netsky_runtime.daemon import run_headless

    return run(run_headless(options, narrate=narrate))


def _room(options: Options) -> int:
    gc.disable()  # until the room runs: nothing of what is loaded for it is garbage
    from netsky_tui.room import run_room

    return run_room(options)


def _need_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        msg = "The room needs a terminal, and standard input or output is none."
        raise UsageError(msg, hint="Without one: netsky --no-tui")
