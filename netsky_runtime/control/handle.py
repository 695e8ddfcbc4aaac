"""One way to talk to a daemon, in this process or another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from netsky_runtime.control.vocabulary import SUBSCRIBE, WATCH, Push, PushKind, answer_seconds
from netsky_runtime.counting import count
from netsky_runtime.errors import DeadlineExceeded

if TYPE_CHECKING:
    from netsky_runtime.control.feed import Feed

__all__ = ["Dispatch", "Handle", "LocalHandle", "Push", "PushKind"]

Dispatch: TypeAlias = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""Runs one request. Raises ``NetskyError``; may be cancelled at any await."""


class Handle(Protocol):
    """What the room and the command line hold of a daemon."""

    hosting: bool
    """Whether the daemon lives in this process and ends with it."""

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Ask something within ``deadline`` seconds, else ``vocabulary.answer_seconds``.

        Raises what the daemon raised, ``NoDaemon`` when it is gone and was not asked,
        ``Unhealthy`` when it went away before it answered, ``DeadlineExceeded``.
        """
        ...

    def pushes(self) -> AsyncIterator[Push]:
        """Yield what the daemon says unasked, ``CLOSING`` being the last. For one task.

        Says ``subscribe {facts: false}`` unless ``subscribe`` or ``watch`` was said before.
        """
        ...

    async def close(self) -> None:
        """Let go. Idempotent."""
        ...


class LocalHandle:
    """A daemon in this process."""

    hosting = True

    def __init__(self, *, dispatch: Dispatch, feed: Feed) -> None:
        self._dispatch = dispatch
        self._subscription = feed.open()

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Ask something within ``deadline`` seconds; see ``Handle``."""
        params = params or {}
        if deadline is None:
            deadline = answer_seconds(method)
        try:
            async with asyncio.timeout(deadline) as limit:
                if method in (WATCH, SUBSCRIBE):
                    return await self._subscription.call(method, params)
                return await self._dispatch(method, params)
        except TimeoutError as error:
            if not limit.expired():
                raise
            msg = f"{method} was not answered within {count(deadline, 'second')}."
            raise DeadlineExceeded(msg) from error

    async def pushes(self) -> AsyncIterator[Push]:
        """Yield what the daemon says unasked."""
        if not self._subscription.listening:
            await self._subscription.call(SUBSCRIBE, {"facts": False})
        while (push := await self._subscription.next()) is not None:
            yield push

    async def close(self) -> None:
        """Stop listening; the daemon goes on."""
        self._subscription.close()
