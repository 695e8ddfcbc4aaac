"""Whether Codex is logged in: asked while people look, and never what they wait for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from netsky_runtime.wire.errors import WireError

if TYPE_CHECKING:
    from netsky_runtime.codex.app_server.door import Door

PATIENCE: Final = 1.0
"""Seconds after the question that anybody waits for its answer; then the last one is told."""


class Account:
    """Keeps what ``account/read`` last said, asks again when looked at, one question at a time."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._logged_out = False
        self._asking: asyncio.Task[None] | None = None
        self._until = 0.0

    async def logged_out(self) -> bool:
        """Whether Codex needs a login and has none, as far as is known; within ``PATIENCE``."""
        loop = asyncio.get_running_loop()
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._ask(), name="codex account")
            self._until = loop.time() + PATIENCE
        await asyncio.wait({self._asking}, timeout=max(0.0, self._until - loop.time()))
        return self._logged_out

    async def close(self) -> None:
        """End the question, if one is open. Idempotent."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            await asyncio.wait({asking})

    async def _ask(self) -> None:
        try:
            answer = await self._door.ask("account/read", {"refreshToken": False})
        except WireError as error:
            self._door.log("info", "the account could not be read", {"reason": error.message})
            return
        told = answer if isinstance(answer, dict) else {}
        self._logged_out = bool(told.get("requiresOpenaiAuth")) and not told.get("account")
