"""Words on their way into a thread, and which turn has heard them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from netsky_runtime.codex.base import RuntimeFailure
    from netsky_runtime.wire.peer import RequestId

WORDS_KEPT: Final = 1000
"""Messages whose batch is remembered, for the history of a process's lifetime."""


@dataclass(slots=True, kw_only=True)
class Call:
    """One ``tools/call``, from when it is sent until it is answered and its turn is known."""

    id: RequestId
    text: str
    batch_id: str
    """Empty for words of netsky's own, which only make Codex read the thread."""
    begun: asyncio.Future[RuntimeFailure | None]
    """Resolved when its turn has begun, or cannot begin."""
    turn_id: str = ""
    """Its turn, once that is certain."""
    heard: bool = False
    """Whether an event has shown its words."""
    answered: bool = False

    def settle(self, failure: RuntimeFailure | None) -> None:
        """Tell who waits what became of it; the first time counts."""
        if not self.begun.done():
            self.begun.set_result(failure)


class Calls:
    """The calls of one thread, the oldest first."""

    def __init__(self) -> None:
        self._calls: dict[RequestId, Call] = {}
        self._batches: dict[tuple[str, str], str] = {}

    def add(self, call: Call) -> None:
        """Take in a call that is about to be sent."""
        self._calls[call.id] = call

    def drop(self, call: Call) -> None:
        """Forget a call that nothing will come of."""
        self._calls.pop(call.id, None)

    def clear(self) -> list[Call]:
        """Forget all calls, and return them."""
        calls = list(self._calls.values())
        self._calls.clear()
        return calls

    @property
    def ever_heard(self) -> bool:
        """Whether the thread has heard any of netsky's messages."""
        return bool(self._batches)

    @property
    def waiting(self) -> list[Call]:
        """Calls whose turn is not known."""
        return [call for call in self._calls.values() if not call.turn_id]

    @property
    def reading(self) -> list[Call]:
        """Calls without an answer: Codex reads the thread for one of them."""
        return [call for call in self._calls.values() if not call.answered]

    def answered(self, call: Call) -> None:
        """Note that Codex reads no more for this call."""
        call.answered = True
        if call.turn_id:
            self.drop(call)

    def heard(self, text: str, turn_id: str) -> Call | None:
        """Return the call whose words a turn has just heard, ``None`` when they are nobody's."""
        for call in self._calls.values():
            if not call.heard and call.text == text and call.turn_id in ("", turn_id):
                break
        else:
            return None
        call.turn_id, call.heard = turn_id, True
        if call.answered:
            self.drop(call)
        if call.batch_id:
            while len(self._batches) >= WORDS_KEPT:
                del self._batches[next(iter(self._batches))]
            self._batches[turn_id, text] = call.batch_id
        return call

    def gone_with(self, turn_id: str) -> None:
        """Note that what netsky itself says and nobody has heard went with an interrupted turn."""
        for call in self.waiting:
            if not call.batch_id:
                call.turn_id = turn_id

    def batch(self, turn_id: str, text: str) -> str:
        """Return the batch that a message of a turn was sent with, empty when not known."""
        return self._batches.get((turn_id, text), "")
