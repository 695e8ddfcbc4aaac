"""The signs of life of the turns that run, on monotonic time.

Only what a turn itself does is a sign of life of it: its items, its fragments, its questions, its
usage. Rate-limit notices, what other threads do, what another turn left behind, a status that is
told again and usage that is repeated on resume are none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.events import CodexEvent, EventKind

if TYPE_CHECKING:
    from netsky_runtime.clock import Clock

SIGNS: Final = frozenset(
    {
        EventKind.TURN_STARTED,
        EventKind.ITEM_STARTED,
        EventKind.ITEM_COMPLETED,
        EventKind.APPROVAL_REQUESTED,
        EventKind.APPROVAL_RESOLVED,
        EventKind.TOOL_REQUESTED,
        EventKind.USAGE,
        EventKind.PLAN,
        EventKind.DIFF,
        EventKind.ERROR,
        EventKind.DELTA,
    }
)
"""The kinds of events that are a sign of life of the turn they name."""
_MODEL = frozenset({"user_message", "agent_message", "reasoning", "plan"})
"""Types of items that are the model's; all others are work that may take long and say nothing."""


@dataclass(slots=True)
class Pulse:
    """How one running turn lives."""

    thread_id: str
    turn_id: str
    heard: float
    """Monotonic time of its last sign of life, or since when it has patience anew."""
    at: int
    """The same as ms since the epoch."""
    mute: bool = False
    """Whether its door tells no live text: only finished items are heard of."""
    fragment: bool = False
    """Whether that sign is no fact, and so stored nowhere."""
    working: dict[str, str] = field(default_factory=dict)
    """Work outside the model that was begun and is not done: type by item id."""
    calls: set[str] = field(default_factory=set)
    """Tool calls that wait for netsky itself."""


class Pulses:
    """The pulse of every actor whose turn runs."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._pulses: dict[str, Pulse] = {}
        self._signs: dict[str, int] = {}
        self._tokens: dict[str, int] = {}

    def of(self, actor_id: str) -> Pulse | None:
        """Return the pulse of the turn the actor is in, as far as is known."""
        return self._pulses.get(actor_id)

    def signs(self, actor_id: str) -> int:
        """Return a number that grows with every sign of life of the actor's turns."""
        return self._signs.get(actor_id, 0)

    def follow(self, actor_id: str, thread_id: str, turn_id: str, *, mute: bool) -> Pulse:
        """Return the pulse of a turn that runs; one that is new here has fresh patience."""
        known = self._pulses.get(actor_id)
        if known is not None and (known.thread_id, known.turn_id) == (thread_id, turn_id):
            known.mute = mute
            return known
        clock = self._clock
        made = Pulse(thread_id, turn_id, heard=clock.monotonic(), at=clock.now(), mute=mute)
        self._pulses[actor_id] = made
        return made

    def hear(self, actor_id: str, thread_id: str, event: CodexEvent) -> None:
        """Take in an event that came with the actor's thread ``thread_id``."""
        if event.kind not in SIGNS or event.thread_id != thread_id:
            return
        if event.kind is EventKind.TURN_STARTED:
            self.follow(actor_id, thread_id, event.turn_id, mute=False)
        pulse = self._pulses.get(actor_id)
        # An item without a turn is told of too, by some Codex: it can only be of the running one.
        if pulse is None or event.turn_id not in {"", pulse.turn_id}:
            return
        if event.kind is EventKind.USAGE and not self._spent(actor_id, event):
            return
        self._note(pulse, event)
        self.beat(actor_id, fragment=event.kind is EventKind.DELTA)

    def beat(self, actor_id: str, *, fragment: bool) -> None:
        """Count a sign of life of the turn the actor is in."""
        pulse = self._pulses.get(actor_id)
        if pulse is None:
            return
        pulse.heard, pulse.at = self._clock.monotonic(), self._clock.now()
        pulse.fragment = fragment
        self._signs[actor_id] = self.signs(actor_id) + 1

    def answered(self, actor_id: str, call_id: str) -> None:
        """Note that netsky has answered a tool call: the turn's patience begins anew."""
        pulse = self._pulses.get(actor_id)
        if pulse is not None and call_id in pulse.calls:
            pulse.calls.discard(call_id)
            self.excuse(actor_id)

    def excuse(self, actor_id: str) -> None:
        """Give the turn fresh patience: it waited for somebody, or nobody could hear it."""
        pulse = self._pulses.get(actor_id)
        if pulse is not None:
            pulse.heard = self._clock.monotonic()

    def excuse_all(self) -> None:
        """Give every turn fresh patience."""
        for actor_id in self._pulses:
            self.excuse(actor_id)

    def _spent(self, actor_id: str, event: CodexEvent) -> bool:
        """Whether the totals are not those that were told before."""
        total = int(event.data.get("total_tokens") or 0)
        before, self._tokens[actor_id] = self._tokens.get(actor_id, 0), total
        return total != before

    @staticmethod
    def _note(pulse: Pulse, event: CodexEvent) -> None:
        match event.kind:
            case EventKind.ITEM_STARTED:
                kind = str(event.data.get("type") or "")
                if kind and kind not in _MODEL:
                    pulse.working[event.item_id] = kind
            case EventKind.ITEM_COMPLETED:
                pulse.working.pop(event.item_id, None)
            case EventKind.TOOL_REQUESTED:
                pulse.calls.add(str(event.data.get("call_id") or ""))
            case _:
                pass
