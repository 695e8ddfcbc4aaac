"""Options and arguments that several verbs share, with shell completion of ids."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from netsky_runtime.errors import NetskyError, UsageError
from netsky_runtime.records import MAX_BODY_BYTES
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.reading import read, run
from netsky_tui.cli.text import one_line

if TYPE_CHECKING:
    from netsky_runtime.db.connection import Tx

_COMPLETIONS = 200


def _complete(
    ctx: typer.Context, body: Callable[[Tx], Awaitable[Sequence[tuple[str, str]]]]
) -> list[tuple[str, str]]:
    try:
        found = run(read(Invocation.of(ctx).home, body, empty=()))
    except NetskyError:  # a completion has nobody to complain to
        return []
    return [(name, one_line(about)[:60]) for name, about in found]


def complete_actor(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the actors."""

    async def body(tx: Tx) -> list[tuple[str, str]]:
        from netsky_runtime.db import actors

        return [(a.id, a.objective) for a in await actors.list_all(tx)]

    return [pair for pair in _complete(ctx, body) if pair[0].startswith(incomplete)]


def complete_task(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the tasks that are not closed."""

    async def body(tx: Tx) -> list[tuple[str, str]]:
        from netsky_runtime.db import tasks
        from netsky_runtime.states import TaskStatus

        wanted = [status for status in TaskStatus if not status.closed]
        found = await tasks.list_(tx, statuses=wanted, limit=_COMPLETIONS)
        return [(t.id, t.title) for t in found]

    return [pair for pair in _complete(ctx, body) if pair[0].startswith(incomplete)]


def complete_approval(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the approvals that wait."""

    async def body(tx: Tx) -> list[tuple[str, str]]:
        from netsky_runtime.db import approvals
        from netsky_runtime.states import ApprovalStatus

        pending = [ApprovalStatus.PENDING]
        found = await approvals.list_(tx, statuses=pending, limit=_COMPLETIONS)
        return [(a.id, a.command or a.reason or a.kind) for a in found]

    return [pair for pair in _complete(ctx, body) if pair[0].startswith(incomplete)]


def complete_setting(incomplete: str) -> list[str]:
    """Offer the names of settings."""
    from netsky_runtime.settings import Settings

    return [key for key in Settings.model_fields if key.startswith(incomplete)]


def examples(*lines: str) -> str:
    """Return command lines to copy, as they stand at the end of a verb's help."""
    return "\n".join(("\b", "For example:", *(f"  {line}" for line in lines)))


AsJson = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
ActorId = Annotated[
    str,
    typer.Argument(metavar="ACTOR", help="For example manager0.", autocompletion=complete_actor),
]
TaskId = Annotated[
    str, typer.Argument(metavar="ID", help="For example t3.", autocompletion=complete_task)
]
ApprovalId = Annotated[
    str, typer.Argument(metavar="ID", help="For example a1.", autocompletion=complete_approval)
]
SettingKey = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="As `settings list` shows it.", autocompletion=complete_setting
    ),
]


def body_text(text: str) -> str:
    """Return TEXT, or standard input for ``-``, less one line break at its end.

    Raises ``UsageError`` for input that is too long or not UTF-8.
    """
    if text != "-":
        return text
    import sys

    data = sys.stdin.buffer.read(MAX_BODY_BYTES + 2)
    if len(data) > MAX_BODY_BYTES + 1:
        msg = f"Standard input is longer than the limit of {MAX_BODY_BYTES // 1024} KiB."
        raise UsageError(msg, hint="Put it into a file and send the file's path.")
    try:
        return data.decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        msg = f"Standard input is not UTF-8 text: {error.reason} at byte {error.start}."
        raise UsageError(msg) from error
