"""Writing verbs: through the daemon, or under the home's lock when none runs."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from netsky_runtime.errors import NoDaemon
from netsky_tui.cli.output import narrate
from netsky_tui.cli.reading import present

if TYPE_CHECKING:
    from netsky_runtime.control.client import RemoteHandle
    from netsky_runtime.paths import Home

_KNOCK = 1.0
"""Seconds to see whether anybody listens."""


@asynccontextmanager
async def daemon(home: Home) -> AsyncIterator[RemoteHandle]:
    """Connect to the running daemon. Raises ``NoDaemon`` when there is none."""
    if not present(home.control_socket):
        raise no_daemon()
    from netsky_runtime.control.client import RemoteHandle

    handle = await RemoteHandle.connect(home.control_socket, client="cli")
    try:
        yield handle
    finally:
        await handle.close()


def listened_to(home: Home) -> bool:
    """Whether a daemon listens for this home; what cannot be told is taken for one."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(_KNOCK)
        try:
            line.connect(str(home.control_socket))
            line.shutdown(socket.SHUT_WR)
            line.recv(1)  # the daemon hangs up: it is not left with half a connection
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            return True
    return True


def say_how_old(home: Home) -> None:
    """Say that nobody looks, while no daemon runs: what was so then need not be now."""
    if not listened_to(home):
        narrate("No daemon runs: this is what was last known. `netsky` starts one.")


def no_daemon() -> NoDaemon:
    """Return the error of a verb that needs a daemon."""
    return NoDaemon(
        "No daemon runs for this home.", hint="Start one with `netsky` or `netsky --no-tui`."
    )


async def call(
    home: Home, method: str, params: Mapping[str, Any], *, deadline: float | None = None
) -> dict[str, Any]:
    """Ask the daemon, within ``deadline`` seconds or as long as the request may take.

    Raises ``NoDaemon`` or what the daemon answers.
    """
    async with daemon(home) as handle:
        return await handle.call(method, params, deadline=deadline)


async def call_or_store(home: Home, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the daemon, or do it under the home's lock and say so."""
    try:
        return await call(home, method, params)
    except NoDaemon:
        from netsky_runtime.offline import offline  # 0.2 s, and seldom needed

        async with offline(home) as verbs:
            answer = await verbs(method, params)
    narrate("queued, no daemon")
    return answer
