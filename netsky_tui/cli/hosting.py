"""Commands that start a daemon or a room: ``netsky``, ``netsky --no-tui``, ``netsky demo``."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.states import RuntimeName
from netsky_tui.cli import opening
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.output import narrate
from netsky_tui.cli.reading import run

if TYPE_CHECKING:
    from netsky_runtime.options import Options


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("demo")(demo)


def headless(here: Invocation) -> int:
    """Run the daemon in the foreground until it is told to stop."""
    return _headless(opening.options(here))


def demo(
    ctx: typer.Context,
    no_tui: Annotated[bool, typer.Option("--no-tui", help="Without the room.")] = False,
) -> int:
    """Open the room on scripted threads: no account, no network.

    Its home is thrown away when it ends.
    """
    if not no_tui:
        opening.need_terminal()
    with _throw_away(Invocation.of(ctx)) as options:
        if not no_tui:
            return opening.open_room(options)
        narrate(f"home: {options.home.root}")
        return _headless(options)


@contextmanager
def _throw_away(here: Invocation) -> Iterator[Options]:
    # What actors may write to lies beside the home, never around it.
    with tempfile.TemporaryDirectory(prefix="netsky-demo-", ignore_cleanup_errors=True) as folder:
        work = Path(folder, "work")
        work.mkdir()
        own = Invocation.build({"--home": str(Path(folder, "home"))}, here.environ)
        scripted = replace(opening.options(own), cwd=work, demo=True)
        yield replace(scripted, flags={"runtime": RuntimeName.SCRIPTED.value})


def _headless(options: Options) -> int:
    from netsky_runtime.headless import run_headless

    return run(run_headless(options, narrate=narrate))
