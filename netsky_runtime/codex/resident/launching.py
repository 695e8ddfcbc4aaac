"""A Codex brought up in a pane, until it can be talked to or a human has to look."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.base import InputRejected, LaunchSpec, ThreadUnavailable
from netsky_runtime.codex.resident.command import (
    MAX_INSTRUCTIONS,
    PROMPT_VARIABLE,
    Files,
    codex_command,
    pane_command,
    script,
)
from netsky_runtime.codex.resident.screen import (
    HOW_LOOKS,
    Capture,
    Look,
    exit_code,
    read,
    says_how,
    tail,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.resident.pane import Pane

LOOK_SECONDS: Final = 0.1
DIALOG_SECONDS: Final = 2.0
"""How long a dialog must stand until a human is asked: some pass by while Codex starts."""
TRUST_PRESSES: Final = 3
QUIET_LOOKS: Final = 3
"""Looks in a row that must find the composer ready."""
UNTOLD_LOOKS: Final = 50
"""So many where it does not show that Codex has started: dialogs may come for a second or two."""
BAD_USAGE: Final = 2
"""The code with which Codex ends when its options make no sense (0.163.0)."""
_PLAIN = re.compile(r"[^A-Za-z0-9_-]")


def session_name(spec: LaunchSpec) -> str:
    """Return the name of the tmux session and of the folder."""
    return session_of(spec.label) or f"thread-{_PLAIN.sub('_', spec.mark)}"


def session_of(label: str) -> str:
    """Return the name of the tmux session of an actor; tmux bears no dots and colons."""
    return _PLAIN.sub("_", label)


def check(spec: LaunchSpec) -> None:
    """Raise ``InputRejected`` for a launch that cannot succeed."""
    if len(spec.instructions.encode()) > MAX_INSTRUCTIONS:
        msg = f"The instructions are longer than {MAX_INSTRUCTIONS} bytes."
        raise InputRejected(msg)
    if "\0" in spec.instructions:
        msg = "The instructions carry a NUL."
        raise InputRejected(msg)
    if not os.path.isdir(spec.cwd):  # noqa: PTH112 - a NUL in it is no folder, and no error
        msg = f"There is no folder {spec.cwd} to work in."
        raise InputRejected(msg)


def write_files(
    files: Files, spec: LaunchSpec, *, codex: str, environ: Mapping[str, str], thread_id: str
) -> str:
    """Write what the pane starts with, private to this user; return the command tmux runs.

    Blocks. Raises ``InputRejected``, ``ThreadUnavailable`` when the folder cannot be written.
    """
    environment = {**environ, **spec.environment, PROMPT_VARIABLE: str(files.prompt)}
    command = codex_command(
        spec,
        codex=codex,
        notify=files.notify,
        thread_id=thread_id,
        prompt=bool(spec.instructions),
    )
    launch = script(
        command,
        cwd=spec.cwd,
        environ=environment,
        companion=spec.companion,
        log=files.companion_log,
    )
    try:
        files.folder.parent.mkdir(mode=0o700, exist_ok=True)
        files.folder.mkdir(mode=0o700, exist_ok=True)
        for path, text in (
            (files.prompt, spec.instructions),
            (files.notify, ""),
            (files.companion_log, ""),
            (files.script, launch),
        ):
            _write(path, text)
    except OSError as error:
        msg = f"{files.folder} cannot be written: {error.strerror or error}."
        raise ThreadUnavailable(msg) from error
    return pane_command(files.script)


async def come_up(
    pane: Pane,
    *,
    named: Callable[[], Awaitable[bool]],
    speaks: bool,
    seconds: float,
    clock: Clock,
) -> Capture | None:
    """Wait until Codex can be talked to: its thread is named, or its composer ready.

    With ``speaks`` it was started with first words, so that a ready composer is not enough.
    Returns a screen that a human has to look at, ``None`` when all is well. The folder was
    chosen by the operator: the trust dialog, where the configuration did not avoid it, is
    answered by Enter, and nothing else is. Raises ``InputRejected`` when Codex refuses its
    options, ``ThreadUnavailable`` when it ends or stays silent; then the pane is to be ended.
    """
    start = clock.monotonic()
    looks = presses = quiet = untold = 0
    stands_since: float | None = None
    while True:
        shot = await pane.look()
        looks += 1
        reading = read(shot)
        look = reading.look
        if look is Look.DEAD and (says_how(shot) or untold == HOW_LOOKS):
            raise _ended(pane, shot)
        if look is Look.DEAD:
            untold += 1
            await clock.sleep(LOOK_SECONDS)
            continue
        if await named() and (speaks or look is Look.BUSY):
            return None
        quiet = quiet + 1 if look is Look.READY else 0
        if quiet >= (QUIET_LOOKS if reading.started else UNTOLD_LOOKS) and not speaks:
            return None
        now = clock.monotonic()
        if look is Look.TRUST and presses < TRUST_PRESSES:
            presses += await pane.press("C-m", on=shot)
        elif look in {Look.DIALOG, Look.TRUST, Look.APPROVAL, Look.TYPED}:
            stands_since = now if stands_since is None else stands_since
            if now - stands_since >= DIALOG_SECONDS:
                return shot
        else:
            stands_since = None
        if now - start >= seconds:
            what = "never began its first turn" if speaks else "never showed its composer"
            msg = f"Codex in the pane {pane.session} {what}, in {looks} looks."
            raise ThreadUnavailable(msg, hint=f"It shows: {tail(shot) or 'nothing'}")
        await clock.sleep(LOOK_SECONDS)


def _ended(pane: Pane, shot: Capture) -> Exception:
    words = tail(shot)
    msg = f"Codex in the pane {pane.session} ended at once: {words or 'it said nothing'}"
    return InputRejected(msg) if exit_code(shot) == BAD_USAGE else ThreadUnavailable(msg)


def _write(path: Path, text: str) -> None:
    # Anew, never through a link that somebody has put there.
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        file.write(text)
