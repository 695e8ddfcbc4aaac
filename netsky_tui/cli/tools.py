"""``netsky tools``: the MCP server that gives a Codex thread its tools."""

from __future__ import annotations

import typer

from netsky_tui.cli.invocation import Invocation


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("tools")(tools)


def tools(ctx: typer.Context) -> int:
    """Serve netsky's tools to one Codex thread, over MCP.

    On standard input and output. Codex starts it, where netsky gave it to a thread: there is
    nothing to type.
    """
    from netsky_runtime.tools_door.main import main  # asyncio, which the help does without

    return main(Invocation.of(ctx).environ)
