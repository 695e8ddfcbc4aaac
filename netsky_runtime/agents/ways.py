"""Which doors a thread can go through, and why not the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.codex.base import Unsupported
from netsky_runtime.errors import Conflict, Refused
from netsky_runtime.states import RuntimeName

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.codex.base import ThreadRuntime
    from netsky_runtime.records import Session

    Runtimes = Callable[[RuntimeName], ThreadRuntime]


def closed(row: Session, to: RuntimeName, runtime: Runtimes) -> str:
    """Say why the session's thread cannot go through the door ``to``; empty when it can."""
    if row.runtime is to:
        return "it is there already"
    if RuntimeName.SCRIPTED in {row.runtime, to}:
        return "a script's thread is no thread of Codex"
    can = runtime(to).capabilities
    return can.lacks["resume"] if row.thread_id and not can.resume else ""


def check(row: Session, to: RuntimeName, runtime: Runtimes) -> None:
    """Raise ``Conflict``, ``Refused`` or ``Unsupported`` when the thread cannot go there."""
    why = closed(row, to, runtime)
    if not why:
        return
    msg = f"{row.actor_id} cannot go to {to.value}: {why}."
    if row.runtime is to:
        raise Conflict(msg)
    if RuntimeName.SCRIPTED in {row.runtime, to}:
        raise Refused(msg)
    raise Unsupported(msg, hint="app_server and resident continue any thread.")
