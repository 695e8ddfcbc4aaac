"""A thread's past, from the rollout that Codex writes: no question to the process tells it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from netsky_runtime.codex.base import HistoricTurn, HistoryUnavailable
from netsky_runtime.codex.mcp_server.thread import note
from netsky_runtime.codex.rollout import find_mark, find_thread, read_history
from netsky_runtime.states import TurnStatus

if TYPE_CHECKING:
    from netsky_runtime.codex.base import HistoricItem
    from netsky_runtime.codex.mcp_server.thread import Thread


async def history(thread: Thread, codex_home: Path) -> tuple[HistoricTurn, ...]:
    """Return all turns, oldest first; none when the thread has had none.

    A thread that got no name may still have been made: then its mark is in a rollout. Raises
    ``HistoryUnavailable``.
    """
    running = thread.busy or thread.unread
    return await asyncio.to_thread(_history, thread, codex_home, running)


async def find(mark: str, codex_home: Path, *, since: int) -> str:
    """Return the thread in which somebody has said the mark since, empty when there is none.

    Raises ``HistoryUnavailable``.
    """
    found = await asyncio.to_thread(find_mark, codex_home, mark, since=since)
    return found[0] if found else ""


def _history(thread: Thread, codex_home: Path, running: bool) -> tuple[HistoricTurn, ...]:
    path = _rollout(thread, codex_home)
    if path is None:
        if thread.calls.ever_heard:
            msg = f"The thread {thread.id} has had a turn, and its rollout is not there."
            raise HistoryUnavailable(msg)
        return ()
    turns = read_history(path, running=running)
    return tuple(
        replace(
            _ended(thread, turn),
            items=tuple(_item(thread, turn, item) for item in _said(thread, turn)),
        )
        for turn in turns
    )


def _rollout(thread: Thread, codex_home: Path) -> Path | None:
    if thread.rollout and (told := Path(thread.rollout)).is_file():
        return told
    if thread.id:
        return find_thread(codex_home, thread.id)
    found = find_mark(codex_home, thread.spec.mark, since=thread.made_at)
    return found[1] if found else None


def _ended(thread: Thread, turn: HistoricTurn) -> HistoricTurn:
    """Return a turn as it ended, also when Codex has told that and not written it yet.

    A failed turn is answered at its error, some milliseconds before its end is written down.
    """
    told = None if turn.completed_at else thread.end_of(turn.id)
    if told is None:
        return turn
    status, end = TurnStatus(told.data["status"]), told.data["completed_at"]
    return replace(turn, status=status, completed_at=end, error=told.data["error"])


def _said(thread: Thread, turn: HistoricTurn) -> list[HistoricItem]:
    words = note(thread.spec)
    return [item for item in turn.items if item.type != "user_message" or item.text != words]


def _item(thread: Thread, turn: HistoricTurn, item: HistoricItem) -> HistoricItem:
    """Return an item; a message that this process was sent says which batch it is."""
    if item.type != "user_message" or item.client_id:
        return item
    batch = thread.calls.batch(turn.id, item.text)
    return replace(item, data={**item.data, "client_id": batch}) if batch else item
