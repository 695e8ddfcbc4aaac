"""Making the engine forget a thread, so that what others append to it is read when it comes back.

An engine keeps a thread that nobody is subscribed to for half an hour, and a ``thread/resume``
meanwhile goes on from memory: on 0.145 the next model request lacks what another door added,
from 0.153 on the other door is refused ("already has an active writer"). Archiving unloads at
once, also from under a joined TUI, which does not load it again; bringing it back does not load
it. Observed on 0.120, 0.145, 0.153.4, 0.163 and 0.169: 5 to 50 ms for both.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from netsky_runtime.codex.app_server import failures
from netsky_runtime.codex.base import ThreadUnavailable
from netsky_runtime.wire.errors import RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from netsky_runtime.codex.app_server.door import Door

MAX_PAGES: Final = 1000


async def unload(door: Door, thread_id: str, children: Iterable[str]) -> None:
    """Return when the engine has unloaded the thread and its rollout is where others find it.

    ``children`` are its sub-agents' threads: 0.163 archives them with it, and ends their turns.
    A thread without a turn has no rollout: nobody can continue it, so it stays as it is. Raises
    ``ThreadUnavailable`` when it is not certain; a later ``thread/resume`` of netsky finds the
    thread all the same, see ``bring_back``.
    """
    try:
        written = await _archive(door, thread_id)
        if written or not await _loaded(door, thread_id):  # it may have been archived before
            await bring_back(door, thread_id)
        for child in children if written else ():
            with suppress(RpcError):  # other versions leave it loaded, where it cannot be archived
                await bring_back(door, child)
        loaded = written and await _loaded(door, thread_id)
    except WireError as error:
        msg = f"Codex may still hold the thread: {error.message}"
        raise ThreadUnavailable(msg) from error
    if loaded:
        msg = "Codex has loaded the thread again."
        raise ThreadUnavailable(msg, hint="Close Codex's own screens of it and try again.")


async def bring_back(door: Door, thread_id: str) -> bool:
    """Take a thread out of the archive; return whether it was there.

    A netsky that was killed in ``unload`` leaves one there, and so may a human. Raises
    ``WireError``.
    """
    try:
        await door.ask("thread/unarchive", {"threadId": thread_id})
    except RpcError as error:
        if failures.no_rollout(error):
            return False
        raise
    return True


async def _archive(door: Door, thread_id: str) -> bool:
    try:
        await door.ask("thread/archive", {"threadId": thread_id})
    except RpcError as error:
        if failures.no_rollout(error):
            return False
        raise
    return True


async def _loaded(door: Door, thread_id: str) -> bool:
    params: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        page = await door.ask("thread/loaded/list", params)
        names = page.get("data") if isinstance(page, dict) else None
        if not isinstance(names, list) or thread_id in names:
            return True
        if not page.get("nextCursor"):
            return False
        params = {"cursor": str(page["nextCursor"])}
    return True
