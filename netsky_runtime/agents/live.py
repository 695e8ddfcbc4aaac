"""What an actor says right now: fragments folded into text, the latest state wins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.events import CodexEvent, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT_LIMIT = 64 * 1024
"""Characters of one item that are kept; the tail is what people watch."""


class LiveState:
    """The unfinished items of every actor's running turn. Nothing here is stored."""

    def __init__(self) -> None:
        self._actors: dict[str, _ActorLive] = {}
        self._callbacks: list[Callable[[str], None]] = []

    def on_change(self, callback: Callable[[str], None]) -> None:
        """Call ``callback(actor_id)`` whenever an actor's live text has changed."""
        self._callbacks.append(callback)

    def revision(self, actor_id: str) -> int:
        """Return a number that grows with every change of this actor's text."""
        state = self._actors.get(actor_id)
        return state.revision if state else 0

    def snapshot(self, actor_id: str) -> dict[str, Any]:
        """Return ``{actor_id, thread_id, turn_id, items: [{item_id, stream, text}]}``."""
        state = self._actors.get(actor_id) or _ActorLive()
        items = [
            {"item_id": item_id, "stream": stream, "text": text}
            for (item_id, stream), text in state.items.items()
        ]
        return {
            "actor_id": actor_id,
            "thread_id": state.thread_id,
            "turn_id": state.turn_id,
            "items": items,
        }

    def fold(self, actor_id: str, event: CodexEvent) -> None:
        """Take in one event; only fragments and the ends of items and turns matter."""
        match event.kind:
            case EventKind.DELTA:
                state = self._actors.setdefault(actor_id, _ActorLive())
                state.append(event)
            case EventKind.ITEM_COMPLETED:
                known = self._actors.get(actor_id)
                if known is None or not known.drop_item(event.item_id):
                    return
            case EventKind.TURN_COMPLETED | EventKind.SESSION_LOST:
                known = self._actors.get(actor_id)
                if known is None or not known.clear():
                    return
            case _:
                return
        for callback in self._callbacks:
            callback(actor_id)


class _ActorLive:
    def __init__(self) -> None:
        self.thread_id = ""
        self.turn_id = ""
        self.revision = 0
        self.items: dict[tuple[str, str], str] = {}

    def append(self, event: CodexEvent) -> None:
        if event.turn_id != self.turn_id:
            self.items.clear()
            self.thread_id, self.turn_id = event.thread_id, event.turn_id
        key = (event.item_id, str(event.data.get("stream", "")))
        text = self.items.get(key, "") + str(event.data.get("text", ""))
        self.items[key] = text[-TEXT_LIMIT:]
        self.revision += 1

    def drop_item(self, item_id: str) -> bool:
        keys = [key for key in self.items if key[0] == item_id]
        for key in keys:
            del self.items[key]
        self.revision += bool(keys)
        return bool(keys)

    def clear(self) -> bool:
        had = bool(self.items)
        self.items.clear()
        self.revision += had
        return had
