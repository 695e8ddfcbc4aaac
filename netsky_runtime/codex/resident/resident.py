"""A pane with a Codex in it, and what its rollout has told so far."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.resident.screen import Capture, Look, Reading, read, tail
from netsky_runtime.codex.rollout import RolloutReader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psutil

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import Batch
    from netsky_runtime.codex.resident.pane import Pane
    from netsky_runtime.codex.resident.typing import Typist

FINISHED_KEPT: Final = 256
_OPEN: Final = frozenset({Look.READY, Look.BUSY, Look.DEAD})


class Resident:
    """The state of one pane. Only the event loop touches it."""

    def __init__(
        self,
        *,
        pane: Pane,
        leader: psutil.Process | None,
        mark: str,
        typist: Typist,
        clock: Clock,
    ) -> None:
        self.pane = pane
        self.leader = leader
        """The shell that Codex runs in."""
        self.mark = mark
        self.typist = typist
        self.thread_id = ""
        self.rollout: Path | None = None
        self.channel = ThreadChannel("", clock=clock)
        self._reader = RolloutReader()
        self.lost = ""
        """Why nothing more can be done with it; empty while it is attached."""
        self.typing = False
        """Whether netsky itself types at this moment: then words in the composer are its own."""
        self.reason = ""
        """Why nothing can be typed, as it was told last."""
        self.elsewhere = False
        """Whether the screen shows another thread: no screen says that this is over."""
        self._clock = clock
        self._doubt = ""
        self.cut = ""
        """A turn without an end that no living Codex works on; empty when there is none."""
        self._awaited: tuple[Batch, asyncio.Event] | None = None
        self._finished: deque[str] = deque(maxlen=FINISHED_KEPT)
        self._ends: dict[str, asyncio.Event] = {}

    @property
    def active_turn(self) -> str:
        """The turn that runs, as far as the rollout tells."""
        turn_id = self._reader.turn_id
        return "" if turn_id == self.cut else turn_id

    @property
    def begun(self) -> bool:
        """Whether a turn has been heard of."""
        return bool(self._reader.turn_id or self._finished)

    def named(self, thread_id: str, rollout: Path) -> None:
        """Learn which thread this is and where it is written."""
        self.thread_id = thread_id
        self.rollout = rollout
        self.channel.name(thread_id)
        self._reader = RolloutReader(thread_id)

    def caught_up(self, reader: RolloutReader, *, cut: str) -> None:
        """Go on where this reader is; ``cut`` is a turn that ended without a word."""
        self._reader = reader
        self.cut = cut

    def feed(self, line: bytes) -> None:
        """Take in a line of the rollout, and tell what it says."""
        for event in self._reader.feed(line):
            if event.kind is EventKind.TURN_COMPLETED and event.turn_id == self.cut:
                continue  # history has told it: the next turn's beginning is its end
            if event.kind is EventKind.ITEM_COMPLETED and event.data["type"] == "user_message":
                self._heard(str(event.data.get("text", "")))
            elif event.kind is EventKind.TURN_COMPLETED:
                self._finished.append(event.turn_id)
                if event.turn_id in self._ends:
                    self._ends.pop(event.turn_id).set()
            self.channel.put(event)

    def restarted(self) -> None:
        """Begin anew with another file: everything is told again."""
        self._reader = RolloutReader(self.thread_id)
        self.channel.put(self._event(EventKind.RESYNC, {}))

    def expect(self, batch: Batch) -> asyncio.Event:
        """Return what is set when the rollout shows this batch as a user message."""
        heard = asyncio.Event()
        self._awaited = (batch, heard)
        return heard

    def expect_no_more(self) -> None:
        """Wait for no batch any longer."""
        self._awaited = None

    def turn_over(self, turn_id: str) -> asyncio.Event:
        """Return what is set when the turn has ended."""
        over = self._ends.setdefault(turn_id, asyncio.Event())
        if turn_id in self._finished:
            self._ends.pop(turn_id).set()
        return over

    def seen(self, shot: Capture, *, look_again: Callable[[], None]) -> None:
        """Take in what the pane shows. What blocks it must be seen twice to be told.

        A screen may be caught while it is drawn, and somebody who types may be about to send.
        """
        if self.elsewhere:
            return
        reading = read(shot)
        reason = "" if reading.look in _OPEN or self._is_own(reading) else _reason(reading)
        if reason == self.reason:
            self._doubt = ""
        elif reason and reason != self._doubt:
            self._doubt = reason
            look_again()
        elif reason:
            self.block(reason, shot)
        else:
            self.clear()

    def clear(self) -> None:
        """Tell that it is over, if something blocked."""
        self._doubt = ""
        self.elsewhere = False
        if self.reason:
            self.reason = ""
            data = {"reason": "", "screen": ""}
            self.channel.put(self._event(EventKind.BLOCKED, data))

    def block(self, reason: str, shot: Capture, *, elsewhere: bool = False) -> None:
        """Tell that nothing can be typed, why, and what the screen shows."""
        self._doubt = ""
        self.elsewhere = elsewhere
        if reason != self.reason:
            self.reason = reason
            data = {"reason": reason, "screen": tail(shot)}
            self.channel.put(self._event(EventKind.BLOCKED, data))

    def end(self, reason: str | None) -> None:
        """End the events, with ``SESSION_LOST`` when there is a reason. The first call counts."""
        if not self.lost:
            self.lost = reason or "The session was closed."
            self.channel.end(reason)
            for over in self._ends.values():
                over.set()
            if self._awaited is not None:
                self._awaited[1].set()

    def _heard(self, text: str) -> None:
        if self._awaited is None:
            return
        batch, heard = self._awaited
        if is_batch(text, batch):
            self._awaited = None
            heard.set()

    def _is_own(self, reading: Reading) -> bool:
        return reading.look is Look.TYPED and self.typing

    def _event(self, kind: EventKind, data: dict[str, Any]) -> CodexEvent:
        return CodexEvent(kind, self.thread_id, self._clock.now(), data=data)


def is_batch(text: str, batch: Batch) -> bool:
    """Whether a user message is this batch: by its ids, or word for word without outer blanks."""
    if batch.input_ids and all(input_id in text for input_id in batch.input_ids):
        return True
    return text.strip() == batch.text.strip()


def _reason(reading: Reading) -> str:
    return reading.reason or "Codex does not finish starting."
