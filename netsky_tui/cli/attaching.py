"""``netsky actors attach``: Codex's own screen of an actor's thread, in this terminal."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from netsky_runtime.errors import Unhealthy
from netsky_tui.cli import opening, roster
from netsky_tui.cli.calling import call
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import ActorId, examples
from netsky_tui.cli.output import narrate
from netsky_tui.cli.reading import read, run
from netsky_tui.terminal import screen

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx


def register(app: typer.Typer) -> None:
    """Add the verb to the actors."""
    app.command("attach", epilog=examples("netsky actors attach worker3"))(attach)


def attach(ctx: typer.Context, actor: ActorId) -> None:
    """Open Codex's own screen of an actor's thread.

    What you type there are your words to it. /quit leaves it, on resident Ctrl+B D; the actor
    works on. The mcp-server has no screen.
    """
    here = Invocation.of(ctx)

    async def known(tx: Tx) -> bool:
        from netsky_runtime.db import actors

        return await actors.get(tx, actor) is not None

    if not run(read(here.home, known, empty=True)):
        raise roster.unknown(actor)
    opening.need_terminal(
        "Codex's own screen", instead=f"netsky events tail --actor {actor} --follow"
    )
    answer = run(call(here.home, "actors.terminal", {"actor_id": actor}))
    shown = screen(actor, answer, here.environ)
    narrate(shown.told)
    if shown.cwd:
        os.chdir(shown.cwd)
    try:
        os.execvpe(shown.command[0], shown.command, shown.environment)  # noqa: S606 - no shell
    except OSError as error:
        msg = f"{shown.command[0]} cannot be started: {error.strerror or error}."
        raise Unhealthy(msg, hint="`netsky doctor` tells what is missing.") from error
