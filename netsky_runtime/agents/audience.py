"""Whose threads are asked for live text: of those that rooms show, and that somebody listens to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_runtime.codex.base import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.log import Log


class Audience:
    """Knows who looks at which actor, and asks its thread for live text as long as somebody does.

    ``session_of`` returns an actor's live thread.
    """

    def __init__(self, *, session_of: Callable[[str], ThreadSession | None], log: Log) -> None:
        self._session_of = session_of
        self._log = log
        self._watched: frozenset[str] = frozenset()
        self._listened: set[str] = set()

    async def watch(self, actor_ids: frozenset[str]) -> None:
        """Ask for live text of exactly these actors' threads, for those who look."""
        changed = self._watched ^ actor_ids
        self._watched = actor_ids
        for actor_id in changed:
            thread = self._session_of(actor_id)
            if thread is not None:
                await self._tell(thread, actor_id)

    async def listen(self, actor_id: str, on: bool) -> None:
        """Ask for live text of an actor's thread also while no room shows it, or no longer."""
        if on is (actor_id in self._listened):
            return
        (self._listened.add if on else self._listened.discard)(actor_id)
        thread = self._session_of(actor_id)
        if thread is not None:
            await self._tell(thread, actor_id)

    async def on_thread(self, actor_id: str, thread: ThreadSession) -> None:
        """Ask a thread that has just been attached, if anybody looks."""
        if actor_id in self._watched | self._listened:
            await self._tell(thread, actor_id)

    async def _tell(self, thread: ThreadSession, actor_id: str) -> None:
        try:
            await thread.watch(actor_id in self._watched | self._listened)
        except RuntimeFailure as error:
            # Facts go on without it; the room shows whole messages instead of growing ones.
            self._log("warning", "no live text", {"actor": actor_id, "error": str(error)})
