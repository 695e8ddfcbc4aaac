"""Tells who listens on the engine's socket, and whether it is busy."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netsky_runtime.codex.app_server import failures
from netsky_runtime.codex.app_server.connection import Connection, connect
from netsky_runtime.codex.app_server.normalise import parent_of, status_of
from netsky_runtime.wire.credentials import peer_pid
from netsky_runtime.wire.errors import RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NO_THREAD = "00000000-0000-7000-8000-000000000000"
CONNECT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An engine that answered the handshake."""

    version: str
    codex_home: str
    group: int
    """Process group of the one that listens; 0 where the system does not tell."""
    busy: frozenset[str] = frozenset()
    """Threads in which a turn runs."""
    waiting: frozenset[str] = frozenset()
    """Those of them that wait for a human."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Loaded threads of Codex's own sub-agents, and who made them."""
    draining: bool = False
    """It was told to end, takes nothing new, and waits for what runs."""


async def probe(path: Path, *, deadline: float, look: bool) -> Found | None:
    """Shake hands with what listens on ``path``; with ``look``, see what its threads do.

    Returns ``None`` when nobody answers within ``deadline`` seconds.
    """
    if not os.path.exists(path):  # noqa: ASYNC240, PTH110 - one stat of a local file
        return None
    try:
        connection = await connect(
            path, deadline=deadline, on_request=_ignore_request, on_notification=_ignore
        )
    except WireError:
        return None
    try:
        group = await asyncio.to_thread(listening_group, path)
        server = connection.server
        found = Found(version=server.version, codex_home=server.codex_home, group=group)
        return await _look(connection, found, deadline) if look else found
    except WireError:
        return None
    finally:
        await connection.close()


def listening_group(path: Path) -> int:
    """Return the process group of who listens on a Unix socket, 0 when that is not told."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(CONNECT_SECONDS)
        try:
            client.connect(str(path))
            pid = peer_pid(client)
            return os.getpgid(pid) if pid else 0
        except OSError:
            return 0


async def _look(connection: Connection, found: Found, deadline: float) -> Found:
    busy, waiting, parents = set(), set(), {}
    for thread_id in await _loaded(connection, deadline):
        try:
            answer = await connection.request(
                "thread/read", {"threadId": thread_id, "includeTurns": False}, deadline=deadline
            )
        except WireError as error:
            if not isinstance(error, RpcError):
                raise
            continue  # unloaded since it was listed
        thread = answer.get("thread") or {}
        if status_of(thread) == "active":
            busy.add(thread_id)
            if (thread.get("status") or {}).get("activeFlags"):
                waiting.add(thread_id)
        if parent := parent_of(thread):
            parents[thread_id] = parent
    return Found(
        version=found.version,
        codex_home=found.codex_home,
        group=found.group,
        busy=frozenset(busy),
        waiting=frozenset(waiting),
        parents=parents,
        draining=await _draining(connection, deadline),
    )


async def _loaded(connection: Connection, deadline: float) -> list[str]:
    loaded: list[str] = []
    cursor: str | None = None
    while True:
        params = {"cursor": cursor} if cursor else {}
        try:
            page = await connection.request("thread/loaded/list", params, deadline=deadline)
        except WireError as error:
            if failures.unknown_method(error):
                return loaded
            raise
        loaded.extend(page.get("data") or ())
        cursor = page.get("nextCursor")
        if not cursor:
            return loaded


async def _draining(connection: Connection, deadline: float) -> bool:
    # Nothing tells that an engine drains but its refusal to resume: any thread will do.
    try:
        await connection.request("thread/resume", {"threadId": NO_THREAD}, deadline=deadline)
    except WireError as error:
        return failures.draining(error)
    return False


def _ignore_request(request_id: int | str, method: str, params: dict[str, Any]) -> None:
    """Leave it to others: a probe has resumed no thread."""


def _ignore(method: str, params: dict[str, Any]) -> None:
    """Drop it: a probe wants no news."""
