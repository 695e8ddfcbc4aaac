"""An actor's place at its thread: the state that its runner's parts share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.matching import InputIds
    from netsky_runtime.codex.base import ThreadSession
    from netsky_runtime.records import Session


class Seat:
    """One actor, its session row and, while attached, its thread."""

    def __init__(self, actor_id: str, *, kit: Kit) -> None:
        self.actor_id = actor_id
        self.kit = kit
        self.row: Session | None = None
        self.thread: ThreadSession | None = None
        self.awaiting = ""
        """Batch that was submitted and whose turn has not ended."""
        self.problem = ""
        """Why the actor has no live thread just now, in words; empty when all is well."""
        self.wake = asyncio.Event()
        self.lock = asyncio.Lock()
        """Held by whoever moves this actor's inputs: submitting, settling, reconciling."""

    @property
    def busy(self) -> bool:
        """Whether a turn runs, or was asked for and not heard of again."""
        return bool(self.awaiting or (self.thread is not None and self.thread.active_turn))

    @property
    def input_ids(self) -> InputIds:
        """Finds this session's input ids in a text."""
        tag = self.row.tag if self.row else ""
        find: Callable[..., tuple[str, ...]] = self.kit.envelopes.input_ids_in
        return lambda text: find(text, tag=tag)
