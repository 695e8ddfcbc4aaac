"""A thread's history out of its rollout, for doors that have no better source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from netsky_runtime.codex.base import HistoricItem, HistoricTurn, HistoryUnavailable
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.rollout.reader import RolloutReader
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ITEMS = (EventKind.ITEM_STARTED, EventKind.ITEM_COMPLETED)


@dataclass(slots=True)
class _Turn:
    id: str
    started_at: int | None = None
    status: TurnStatus = TurnStatus.IN_PROGRESS
    completed_at: int | None = None
    error: str = ""
    usage_limit: bool = False
    items: dict[str, HistoricItem] = field(default_factory=dict)

    def historic(self, *, running: bool) -> HistoricTurn:
        cut = self.status is TurnStatus.IN_PROGRESS and not running
        return HistoricTurn(
            id=self.id,
            status=TurnStatus.INTERRUPTED if cut else self.status,
            started_at=self.started_at,
            completed_at=self.completed_at,
            error=self.error,
            items=tuple(self.items.values()),
            usage_limit=self.usage_limit,
        )


def read_history(path: Path, *, running: bool) -> tuple[HistoricTurn, ...]:
    """Return all turns of a rollout, oldest first. Blocks: call it in a thread.

    ``running`` says whether a process may still work in the thread: then a last turn without an
    end is in progress, else a crash has cut it. Turns that a human took back are still there,
    because their input was consumed. Raises ``HistoryUnavailable``.
    """
    return fold(_events(path), running=running)


def fold(events: Iterable[CodexEvent], *, running: bool) -> tuple[HistoricTurn, ...]:
    """Return the turns that these events tell. An item that never ended is as it began."""
    turns: dict[str, _Turn] = {}
    for event in events:
        if not event.turn_id:
            continue
        turn = turns.get(event.turn_id)
        if turn is None:
            turn = turns[event.turn_id] = _Turn(event.turn_id)
        if event.kind is EventKind.TURN_STARTED:
            turn.started_at = event.data["started_at"]
        elif event.kind is EventKind.TURN_COMPLETED:
            turn.status = TurnStatus(event.data["status"])
            turn.completed_at = event.data["completed_at"]
            turn.error = event.data["error"]
            turn.usage_limit = bool(event.data.get("usage_limit"))
        elif event.kind in _ITEMS:
            turn.items.pop(event.item_id, None)  # in the order in which they ended
            turn.items[event.item_id] = HistoricItem(
                id=event.item_id, type=event.data["type"], data=event.data
            )
    last = next(reversed(turns), "")
    return tuple(t.historic(running=running and t.id == last) for t in turns.values())


def _events(path: Path) -> Iterator[CodexEvent]:
    reader = RolloutReader()
    try:
        with path.open("rb") as file:
            for line in file:
                yield from reader.feed(line)
    except OSError as error:
        msg = f"The thread's rollout cannot be read: {error.strerror or error}."
        raise HistoryUnavailable(msg, hint=f"It should be at {path}.") from error
