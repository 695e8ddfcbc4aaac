"""An engine that is not the one wanted: replaced as soon as no turn runs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.app_server.probe import probe

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.app_server.engine import EngineHost

LOOK_SECONDS: Final = 3.0
"""Between two looks whether a turn runs; each asks about every loaded thread."""
ANSWER_SECONDS: Final = 15.0


async def replace_when_idle(host: EngineHost, *, clock: Clock) -> None:
    """Let the engine end once nothing runs in it, nor waits for a human.

    It is only told to drain: a turn that begins in the same moment ends first, and what is sent
    meanwhile is refused by Codex and stays queued. Whoever attaches next starts another engine.
    """
    while True:
        await clock.sleep(LOOK_SECONDS)
        found = await probe(host.socket, deadline=ANSWER_SECONDS, look=True)
        if found is None:
            return
        if not found.busy:
            host.drain()
            return
