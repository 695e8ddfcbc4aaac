"""``netsky send``: words for an actor, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsky_runtime.clock import SystemClock
from netsky_runtime.errors import DeadlineExceeded, NetskyError, UsageError
from netsky_runtime.health import LAST_TURN_FAILED
from netsky_runtime.states import ActorStatus, HealthState, InputMode, InputStatus, Source
from netsky_tui.cli import roster
from netsky_tui.cli.calling import call_or_store, daemon
from netsky_tui.cli.invocation import Invocation
from netsky_tui.cli.options import ActorId, AsJson, body_text
from netsky_tui.cli.output import emit, narrate, say
from netsky_tui.cli.reading import read, run

if TYPE_CHECKING:
    from netsky_runtime.control.handle import Handle
    from netsky_runtime.paths import Home

_ROUND = 5.0
"""Seconds of one ``wait`` request; then it is looked again whether anything is in the way."""
_GRACE = 10.0
_LONGEST = 7 * 86_400.0


def register(app: typer.Typer) -> None:
    """Add the verb to the root command."""
    app.command("send")(send)


def send(
    ctx: typer.Context,
    actor: ActorId,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The words; - reads standard input.")],
    mode: Annotated[
        InputMode, typer.Option(help="When it is busy: queue, steer the turn, or interrupt it.")
    ] = InputMode.QUEUE,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the answer and print it.")] = False,
    timeout: Annotated[
        float, typer.Option(metavar="S", help="Seconds that --wait waits; the message stays.")
    ] = 600.0,
    answers: Annotated[
        str, typer.Option(metavar="ID", help="The question that this is the answer to.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Let an actor that is parked go on with it.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Send a message to an actor.

    Without a daemon it is stored, and sent by the next one.
    """
    here = Invocation.of(ctx)
    if not 0 < timeout <= _LONGEST:
        msg = f"--timeout must be more than 0 and at most {_LONGEST:g} seconds, not {timeout:g}."
        raise UsageError(msg)
    params = {
        "target": actor,
        "body": body_text(text),
        "mode": mode.value,
        "source": Source.CLI.value,
        **({"in_reply_to": answers} if answers else {}),
        **({"resume": True} if resume else {}),
    }
    if wait:
        run(_send_and_wait(here.home, params, timeout=timeout, as_json=as_json))
        return
    sent = run(call_or_store(here.home, "send", params))
    if as_json:
        emit(sent)
    else:
        say(str(sent["message_id"]))
        _tell_held(sent)


async def _send_and_wait(
    home: Home, params: dict[str, Any], *, timeout: float, as_json: bool
) -> None:
    clock = SystemClock()
    async with daemon(home) as handle:
        sent = await handle.call("send", params)
        if not as_json:
            narrate(f"{sent['message_id']} to {params['target']}: waiting for the answer")
            _tell_held(sent)
        answer = {**sent, "reply": None}
        end = clock.monotonic() + timeout
        told = ""
        while _is_open(answer) and (left := end - clock.monotonic()) > 0:
            obstacle = await _obstacle(home, handle, params["target"])
            if obstacle and obstacle != told:
                narrate(f"The message waits: {obstacle}")
            told = obstacle
            patience = min(left, _ROUND)
            waited = {"input_id": sent["input_id"], "timeout": patience}
            answer = await handle.call("wait", waited, deadline=patience + _GRACE)
    if as_json:
        emit({key: answer[key] for key in ("message_id", "input_id", "status", "reply")})
    elif answer["reply"] is not None:
        say(answer["reply"]["body"])
    _raise_unless_answered(answer, actor=params["target"], timeout=timeout)


async def _obstacle(home: Home, handle: Handle, actor: str) -> str:
    """Say what keeps an actor from answering at all; nothing when it is only a matter of time."""
    try:
        runtime = (await handle.call("status", deadline=_GRACE))["runtime"]
    except NetskyError:  # the waiting itself will tell
        return ""
    if not runtime["codex_version"]:
        return next(iter(runtime["notices"]), "there is no Codex.")
    found = await read(home, roster.one(actor), empty=None)
    if found is None or found["health_reason"] == LAST_TURN_FAILED:  # the next one may not
        return ""
    if found["health"] == HealthState.UNHEALTHY or found["status"] != ActorStatus.ACTIVE:
        return f"{actor} is {found['health']}: {found['health_reason']}."
    return ""


def _tell_held(sent: dict[str, Any]) -> None:
    if held := sent.get("held"):
        remedy = f" To let it go: {sent['remedy']}" if sent["remedy"] else ""
        narrate(f"It waits: {held}.{remedy}")


def _is_open(answer: dict[str, Any]) -> bool:
    return InputStatus(answer["status"]).open


def _raise_unless_answered(answer: dict[str, Any], *, actor: str, timeout: float) -> None:
    status = InputStatus(answer["status"])
    if status is InputStatus.ANSWERED:
        return
    look = f"`netsky messages show {answer['message_id']}` tells more."
    if status.open:
        msg = f"{actor} has not answered within {timeout:g} s; the message is {status}."
        raise DeadlineExceeded(msg, hint=f"It stays on its way. {look}")
    if status is InputStatus.UNCERTAIN:
        msg = f"It is not known whether {actor} got the message."
        raise NetskyError(
            msg, hint=f"Decide: netsky inputs resolve {answer['input_id']} resend|drop"
        )
    reason = f" ({answer['reason']})" if answer.get("reason") else ""
    msg = f"{actor} did not answer: the message is {status}{reason}."
    raise NetskyError(msg, hint=look)
