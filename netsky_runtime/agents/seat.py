"""An actor's place at its thread: the state that its runner's parts share."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.agents.kit import Kit
    from netsky_runtime.agents.matching import InputIds
    from netsky_runtime.agents.move import Move
    from netsky_runtime.codex.base import Capabilities, ThreadSession
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
        self.open_turn = ""
        """Turn that was heard to start and whose end is not recorded yet."""
        self.asked = ""
        """Turn that was asked to stop while that could not be stored."""
        self.overdue: float | None = None
        """Monotonic time since when it is not known whether the awaited batch was taken."""
        self.attached_at = 0.0
        """Monotonic time since when the thread is attached."""
        self.engine_changed = False
        """What carries the thread is another process than before, and history was not read yet."""
        self.closing = False
        """The actor is being stopped: nothing more is handed to its thread."""
        self.move: Move | None = None
        """The door that its thread is to go through instead; nothing is handed over meanwhile."""
        self.problem = ""
        """Why the actor has no live thread just now, in words; empty when all is well."""
        self.wake = asyncio.Event()
        self.lock = asyncio.Lock()
        """Held by whoever moves this actor's inputs: submitting, settling, reconciling."""

    @property
    def held(self) -> bool:
        """Whether nothing more is to be handed to the thread just now."""
        return self.closing or self.move is not None

    @property
    def session(self) -> Session:
        """The session row. Only while there is one: the runner attaches first."""
        if self.row is None:
            msg = f"{self.actor_id} has no session"
            raise RuntimeError(msg)
        return self.row

    def changed(self, **fields: Any) -> Session:
        """Note what was stored of the session; return its row as it is now.

        Listener and dispatcher both change it: what the other noted meanwhile stays.
        """
        self.row = replace(self.session, **fields)
        return self.row

    @property
    def capabilities(self) -> Capabilities:
        """What the door of the session can do. Only while there is a session."""
        return self.kit.runtime(self.session.runtime).capabilities

    @property
    def busy(self) -> bool:
        """Whether a turn runs, was asked for, or has an end that is not recorded yet."""
        return bool(self.awaiting) or self.busy_with_a_turn

    @property
    def busy_with_a_turn(self) -> bool:
        """Whether a turn is known to run, or its end is not recorded yet."""
        running = self.thread.active_turn if self.thread is not None else ""
        return bool(self.open_turn or running)

    def turn_over(self) -> None:
        """Note that nothing runs and nothing is awaited any more; what waits may go."""
        self.awaiting = self.open_turn = ""
        self.overdue = None
        self.wake.set()

    @property
    def input_ids(self) -> InputIds:
        """Finds this session's input ids in a text."""
        tag = self.row.tag if self.row else ""
        find: Callable[..., tuple[str, ...]] = self.kit.envelopes.input_ids_in
        return lambda text: find(text, tag=tag)
