"""``netsky codex``: one bounded turn of a worker, its reply put on the bus."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.counting import count
from netsky_runtime.errors import DaemonRunning, NetskyError, NoDaemon, UsageError
from netsky_tui.cli import opening
from netsky_tui.cli.calling import daemon
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import AsJson, body_text, examples
from netsky_tui.cli.output import emit, narrate, say
from netsky_tui.cli.reading import run

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.options import Options

_GRACE = 60.0
"""Seconds beyond its own deadline that the daemon may take to say how it went."""
_LONGEST = 86_400.0
_LOOK = 0.25
"""Seconds between two looks at a home that another netsky holds."""
_EXAMPLES = examples(
    'netsky codex 3 --prompt "Say which tests are slow"',
    "git diff | netsky codex 3 --prompt - --fresh",
    "netsky codex 3 --drain",
)


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("codex", epilog=_EXAMPLES)(codex)


def codex(
    ctx: typer.Context,
    number: Annotated[int, typer.Argument(metavar="N", help="Of worker N; more than 0.")],
    prompt: Annotated[
        str | None, typer.Option(metavar="TEXT", help="The brief; - reads standard input.")
    ] = None,
    drain: Annotated[
        bool, typer.Option("--drain", help="Take the next envelope of its inbox.")
    ] = False,
    model: Annotated[
        str, typer.Option(metavar="M", help="Default: $AGENT_CODEX_MODEL, else gpt-5.4-mini.")
    ] = "",
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget its last conversation.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds until the turn is stopped.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Run one turn of worker N and put its reply on the bus.

    The reply is printed, and goes to whom the brief came from: to agent0 (manager0), unless it
    was drained from another. The next call goes on in the same conversation. Nobody watches:
    unless set otherwise its commands may do anything (danger-full-access) and nothing is asked.
    """
    here = Invocation.of(ctx)
    if number < 1:
        msg = f"N must be more than 0, not {number}: agent0 is manager0, who is no sidecar."
        raise UsageError(msg, hint="Write to manager0 with `netsky send manager0`.")
    if (prompt is None) is not drain:
        msg = "Exactly one of --prompt and --drain is needed."
        raise UsageError(msg, hint=f'For example: netsky codex {number} --prompt "Say hello"')
    if not 0 < timeout <= _LONGEST:
        msg = f"--timeout must be more than 0 and at most {_LONGEST:g} seconds, not {timeout:g}."
        raise UsageError(msg)
    params = {
        "number": number,
        "prompt": None if prompt is None else body_text(prompt),
        "drain": drain,
        "model": model or here.environ.get("AGENT_CODEX_MODEL", ""),
        "fresh": fresh,
        "timeout": timeout,
    }
    outcome = run(_run(here, params))
    for each in outcome["poisoned"]:
        narrate(f"{each['file']} was passed over: {each['reason']}")
    if lost := outcome["previous_thread_id"]:
        narrate(f"thread {lost} is known to no door any more; agent{number} goes on in a new one")
        narrate(f"new thread {outcome['thread_id']} (was {lost})")
    if as_json:
        emit(outcome)
    else:
        size, thread_id = count(outcome["bytes"], "byte"), outcome["thread_id"]
        narrate(f"agent{number}: answered on thread {thread_id} ({size} of reply)")
        if outcome["reply"]:
            say(outcome["reply"])


async def _run(here: Invocation, params: dict[str, Any]) -> dict[str, Any]:
    """Take its turn on the home: others may run one there, or a daemon starts or ends."""
    clock, said = SystemClock(), set[str]()
    until = clock.monotonic() + params["timeout"]

    def once(sentence: str) -> None:
        if sentence not in said:
            said.add(sentence)
            narrate(f"agent{params['number']}: {sentence}")

    while True:
        try:
            return await _try(here, params, once)
        except DaemonRunning:
            if clock.monotonic() > until:
                raise
        once("waits until another netsky has done its turn")
        await clock.sleep(_LOOK)


async def _try(
    here: Invocation, params: dict[str, Any], once: Callable[[str], None]
) -> dict[str, Any]:
    """Let the daemon do it, or be the daemon of this one actor for so long."""
    try:
        async with daemon(here.home) as handle:
            once("one turn, by the netsky that runs")
            return await handle.call("codex.run", params, deadline=params["timeout"] + _GRACE)
    except NoDaemon:
        only = frozenset({f"worker{params['number']}"})
        return await _host(replace(opening.options(here), only=only), params)


async def _host(options: Options, params: dict[str, Any]) -> dict[str, Any]:
    from netsky_runtime.daemon import Daemon  # 0.3 s, and only without a daemon

    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if me is not None:
            loop.add_signal_handler(number, me.cancel)
    hosted = await Daemon.host(options)
    try:
        narrate(f"agent{params['number']}: one turn")
        return await hosted.dispatch("codex.run", params)
    except asyncio.CancelledError as error:
        msg = "The turn was stopped by a signal."
        raise NetskyError(msg, hint="Its sender is told so, by the bus.") from error
    finally:
        # An engine that an earlier netsky left to others goes on, and so do its turns.
        keep = await hosted.engine_carries_others(f"worker{params['number']}")
        await hosted.stop(keep_engine=keep)
