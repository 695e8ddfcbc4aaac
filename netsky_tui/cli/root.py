"""The ``netsky`` command: the room, the headless daemon, the demo, and a noun for each verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import netsky_runtime
from netsky_runtime.errors import NetskyError, UsageError
from netsky_tui.cli import (
    actors,
    approvals,
    attention,
    backups,
    budgets,
    channel,
    check,
    codex,
    doctor,
    events,
    hosting,
    inputs,
    ledger,
    logs,
    messages,
    notes,
    opening,
    pausing,
    restarting,
    rules,
    send,
    settings,
    status,
    stopping,
    tasks,
    tools,
    torture,
    trace,
)
from netsky_tui.cli.exits import Exit, report
from netsky_tui.cli.invocation import Invocation, take_common
from netsky_tui.cli.output import say

_EPILOG = (
    "Anywhere on the line: --home DIR (default $NETSKY_HOME, else ~/.netsky) and --runtime "
    "auto|app_server|mcp_server|resident|scripted: the door to Codex of the actor that this "
    "command starts or moves, or of all new actors of the daemon that it starts.\n\n"
    "Exit status: 0 fine, 1 failed, 2 usage, 3 not found, 4 no daemon, 5 unhealthy, 6 timeout."
)


_LOOK_THEMSELVES = frozenset({actors.app.info.name, torture.torture.__name__})
"""Commands that know what to do with a runtime that is named."""
_CLOSE = 0.75
"""From 0 to 1: how much of a name must be as it was typed."""
_COMPLETE = "_NETSKY_COMPLETE"
_COMPLETION_WORDS = frozenset({"--install-completion", "--show-completion", "--help"})


class QuickHelp:
    """Mixin: a ``--help`` whose absence is False, not None.

    For None typer loads pydantic to convert it, 0.1 s at every run.
    """

    def get_help_option(self, ctx: Any) -> Any:
        """Return the option."""
        option = super().get_help_option(ctx)  # type: ignore[misc]  # the other base has it
        if option is not None:
            option.default = False
        return option


class Verb(QuickHelp, TyperCommand):
    """A command."""


class Noun(QuickHelp, TyperGroup):
    """A group of commands, which suggests only names that are close to what was typed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; typer's own suggestions would take ``bogus`` for ``logs``."""
        self.suggest_commands = False
        try:
            return super().resolve_command(ctx, args)
        except typer.TyperException as error:
            close = get_close_matches(args[0], self.commands, cutoff=_CLOSE)
            if close and hasattr(error, "message"):
                names = ", ".join(repr(name) for name in close)
                error.message = f"{error.message.rstrip('.')}. Did you mean {names}?"
            raise


class Root(Noun):
    """Takes the options common to all verbs, and stands a reader that goes away."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Store the invocation and parse what is left."""
        given, rest = take_common(args, strict=not ctx.resilient_parsing)
        ctx.obj = Invocation.build(given)
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; a closed pipe (``| head``) ends it quietly."""
        try:
            status = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.OK
        return status


def _version(wanted: bool) -> None:
    if wanted:
        say(f"netsky {netsky_runtime.__version__}")
        raise typer.Exit


def netsky(
    ctx: typer.Context,
    no_tui: Annotated[
        bool, typer.Option("--no-tui", help="Run the daemon headless, in the foreground.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> int | None:
    """Run a control room for many Codex agents.

    Without a verb it opens the room: it hosts the daemon, or attaches to the one that runs.
    """
    here = Invocation.of(ctx)
    here.home.check_place()
    if ctx.invoked_subcommand is None:
        return hosting.headless(here) if no_tui else opening.room(here)
    if ctx.invoked_subcommand not in _LOOK_THEMSELVES:
        here.refuse_runtime()
    if no_tui:
        msg = f"--no-tui does not go before {ctx.invoked_subcommand}."
        raise UsageError(msg, hint="For the demo: `netsky demo --no-tui`.")
    return None


def build(*, completion: bool) -> typer.Typer:
    """Make the whole command.

    ``completion`` adds typer's own options for it, which load pydantic (0.1 s) at every run.
    """
    app = typer.Typer(
        cls=Root,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=_EPILOG,
    )
    app.callback(invoke_without_command=True)(netsky)
    for module in (status, doctor, check, send, pausing, stopping, restarting, hosting):
        module.register(app)
    for module in (tools, codex, trace, backups, torture):
        module.register(app)
    nouns = (
        *(actors, tasks, messages, inputs, approvals, attention, budgets),
        *(events, notes, logs, settings),
        *(rules, ledger, channel),
    )
    for noun in nouns:
        app.add_typer(noun.app, cls=Noun)
    for owner in (app, *(noun.app for noun in nouns)):
        for command in owner.registered_commands:
            command.cls = Verb
    return app


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. Every error is told, none is a traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    as_json = "--json" in arguments
    completion = _COMPLETE in os.environ or not _COMPLETION_WORDS.isdisjoint(arguments)
    command = typer.main.get_command(build(completion=completion))
    try:
        status = command.main(args=arguments, prog_name="netsky", standalone_mode=False)
    except NetskyError as error:
        return report(error, as_json=as_json)
    except typer.TyperException as error:
        wrong = UsageError(_sentence(_told(error)), hint=_help(error))
        return report(wrong, as_json=as_json)
    return int(status or Exit.OK)


def _told(error: typer.TyperException) -> str:
    name = getattr(error, "option_name", "")
    if name[1:].isdecimal():  # click takes a number below 0 for an option
        return f"{name} is no option, and no number here may be below 0."
    return error.format_message().replace(": Value error, ", ": ")  # pydantic's word for it


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _help(error: typer.TyperException) -> str:
    context = getattr(error, "ctx", None)
    return f"See `{context.command_path} --help`." if context else "See `netsky --help`."
