"""Attaching to a thread again: what comes with the answer, and what a refusal is the sign of.

From 0.145 on the last turn alone is asked for: all of them at once are deprecated from 0.153 on,
``history`` reads them by pages, and only the answer to ``thread/resume`` shows a running turn
with the patch that waits to be approved (``thread/turns/list`` leaves it out from 0.153 on).
0.120 does not know these members, ignores them, and answers with every turn.

"No rollout found" is said of a thread that is archived, of one that is loaded and has had no
turn, and of one that is nowhere. ``thread/unarchive`` tells the first, and from 0.153 on refuses
what a living process holds, this engine too: "already has an active writer". A thread whose first
turn has only just begun is refused in the same words (0.145), or with "list_turns is not
supported yet"; for some milliseconds its status is still idle.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server import failures
from netsky_runtime.codex.app_server.normalise import last_turn
from netsky_runtime.codex.app_server.unload import bring_back
from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.members import part
from netsky_runtime.codex.rollout import last_usage
from netsky_runtime.wire.errors import RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.codex.app_server.door import Door
    from netsky_runtime.codex.app_server.link import ThreadLink

LAST_TURN_SINCE: Final = (0, 145)
LAST_TURN: Final[Mapping[str, Any]] = {
    "excludeTurns": True,
    "initialTurnsPage": {"limit": 1, "sortDirection": "desc", "itemsView": "full"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejoined:
    """The answer to ``thread/resume``."""

    thread_id: str
    answer: Mapping[str, Any]
    turns: Any
    """The turns that came along, the last one last: as Codex tells them, so perhaps no list."""

    @property
    def rollout(self) -> str:
        """Where Codex writes the thread down; empty when it does not say."""
        return str(part(self.answer, "thread").get("path") or "")


async def resume(door: Door, thread_id: str, params: Mapping[str, Any]) -> Rejoined:
    """Attach to a thread that has had a turn, also to one in the archive.

    Raises ``ThreadGone`` when there is none, ``ThreadUnavailable`` when that is not certain.
    """
    try:
        try:
            return await join(door, thread_id, params)
        except RpcError as error:
            if not failures.gone(error) or not await _is_to_be_asked_again(door, thread_id):
                raise
        return await join(door, thread_id, params)
    except WireError as error:
        raise failures.resuming(error) from error


async def join(door: Door, thread_id: str, params: Mapping[str, Any]) -> Rejoined:
    """Ask once. Raises ``WireError``."""
    last = LAST_TURN if door.version >= LAST_TURN_SINCE else {}
    answer = await door.ask("thread/resume", {**params, **last, "threadId": thread_id})
    answer = answer if isinstance(answer, dict) else {}
    turns = part(answer, "initialTurnsPage").get("data") or part(answer, "thread").get("turns")
    return Rejoined(thread_id=thread_id, answer=answer, turns=turns)


async def tell_usage(door: Door, link: ThreadLink, joined: Rejoined) -> None:
    """Tell what the thread has used so far: Codex repeats that only together with all turns."""
    turn_id = str(last_turn(joined.turns).get("id") or "")
    if not turn_id or not joined.rollout:
        return
    try:
        usage = await asyncio.to_thread(last_usage, Path(joined.rollout))
    except OSError as error:
        fields = {"thread": joined.thread_id, "reason": str(error)}
        door.log("info", "what a thread has used could not be read", fields)
        return
    if usage is not None:
        at = door.clock.now()
        link.catch_up(CodexEvent(EventKind.USAGE, joined.thread_id, at, turn_id, data=usage))


async def _is_to_be_asked_again(door: Door, thread_id: str) -> bool:
    """Whether a thread without a rollout may have one by now; ``False`` when it is nowhere.

    Raises ``WireError``, and ``ThreadUnavailable`` while somebody is at its first turn.
    """
    held = False
    try:
        if await bring_back(door, thread_id):
            fields = {"thread": thread_id}
            door.log("info", "a thread was taken out of Codex's archive", fields)
            return True
    except RpcError as error:
        if not failures.held(error):
            raise
        held = True
    try:
        status = await door.status(thread_id)
    except RpcError as error:
        if not failures.unknown_thread(error):
            raise
        status = "not_loaded"
    if status == "not_loaded" and held:
        msg = "Another Codex holds the thread and has not written it down yet."
        raise ThreadUnavailable(msg)
    if status not in ("not_loaded", "idle"):
        msg = "The thread's first turn has only just begun."
        raise ThreadUnavailable(msg)
    return status == "idle"
