"""A daemon in another process."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.control.vocabulary import (
    ACK,
    HELLO,
    PROTOCOL,
    PUSH,
    SUBSCRIBE,
    WATCH,
    Push,
    PushKind,
    answer_seconds,
    error_from_wire,
)
from netsky_runtime.errors import NetskyError, NoDaemon, Unhealthy
from netsky_runtime.wire.errors import PeerClosed, RpcError, WireError
from netsky_runtime.wire.framing import LineFraming
from netsky_runtime.wire.peer import Peer, RequestId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

CONNECT_SECONDS: Final = 10.0
WINDOW: Final = 4
"""Pages of facts that may wait here for a slow reader."""
MAX_NOTICES: Final = 1000
_KINDS: Final = {kind.value: kind for kind in PushKind}
_START: Final = "Start one with `netsky` or `netsky --no-tui`."


class RemoteHandle:
    """A connection to a daemon in another process. Made by ``connect``."""

    hosting = False

    def __init__(self, framing: LineFraming) -> None:
        self._pushes = _Unheard()
        self._peer = Peer(
            framing,
            on_request=_unexpected,
            on_notification=self._told,
            on_closed=self._ended,
            version_member=True,
        )
        self._reading = asyncio.get_running_loop().create_task(self._peer.run())
        self._listening = False
        self.daemon: Mapping[str, Any] = {}
        """What the daemon said of itself: ``protocol, version, pid, epoch, hosting``."""

    @classmethod
    async def connect(
        cls, path: Path, *, client: str, deadline: float = CONNECT_SECONDS
    ) -> RemoteHandle:
        """Connect and say hello, within ``deadline`` seconds.

        Raises ``NoDaemon`` when nobody listens on ``path``, ``Conflict`` when the daemon is of
        another protocol version, ``DeadlineExceeded`` when it does not answer.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            msg = "No daemon runs for this home."
            raise NoDaemon(msg, hint=_START) from error
        except OSError as error:
            msg = f"The daemon's socket {path} cannot be used: {error.strerror or error}."
            raise Unhealthy(msg) from error
        handle = cls(LineFraming(reader, writer))
        try:
            hello = {"protocol": PROTOCOL, "client": client}
            handle.daemon = await handle.call(HELLO, hello, deadline=deadline)
        except BaseException:
            await handle.close()
            raise
        return handle

    @property
    def closed(self) -> bool:
        """Whether the connection is over, so that nothing can be asked on it any more."""
        return self._peer.closed

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, deadline: float | None = None
    ) -> dict[str, Any]:
        """Ask something within ``deadline`` seconds; see ``Handle``."""
        sent = dict(params or {})
        if deadline is None:
            deadline = answer_seconds(method)
        if method == SUBSCRIBE:
            sent["window"] = WINDOW
        try:
            answer = await self._peer.request(method, sent, deadline=deadline)
        except RpcError as error:
            raise error_from_wire(error.message, error.data) from None
        except PeerClosed as error:
            raise _gone(method, error) from error
        self._listening = self._listening or method in (SUBSCRIBE, WATCH)
        if not isinstance(answer, dict):
            msg = f"The daemon's answer to {method} is no object."
            raise Unhealthy(msg)
        return answer

    async def pushes(self) -> AsyncIterator[Push]:
        """Yield what the daemon says unasked; see ``Handle``."""
        if not self._listening:
            try:
                await self.call(SUBSCRIBE, {"facts": False})
            except NetskyError:
                if not self._peer.closed:  # else the last push says that it is over
                    raise
        while (push := await self._pushes.next()) is not None:
            if push.kind is PushKind.FACTS:
                with suppress(WireError):  # likewise
                    await self._peer.notify(ACK, {"pages": 1})
            yield push

    async def close(self) -> None:
        """Let go of the daemon, which goes on. Idempotent."""
        await self._peer.close()
        await asyncio.wait([self._reading])

    def _told(self, method: str, params: dict[str, Any]) -> None:
        if method == PUSH:
            self._pushes.add(params.get("kind"), params.get("data"))

    def _ended(self, reason: str) -> None:
        self._pushes.add(PushKind.CLOSING, {"reason": reason})


def _unexpected(_request_id: RequestId, _method: str, _params: dict[str, Any]) -> None:
    """Leave it: no daemon of this protocol asks its clients anything."""


def _gone(method: str, error: PeerClosed) -> NetskyError:
    if not error.sent:
        return NoDaemon("The daemon has gone away.", hint=_START)
    # Not NoDaemon: whoever gets that may store the request himself, and it would be done twice.
    msg = f"The daemon went away before it answered {method}; it may have done it."
    return Unhealthy(msg, hint="Look before you try again.")


class _Unheard:
    """Pushes nobody has taken yet, bounded by kind.

    Facts by the window that the daemon keeps to, live text and changes to their latest, notices
    to ``MAX_NOTICES``.
    """

    def __init__(self) -> None:
        self._facts: deque[Push] = deque()
        self._notices: deque[Push] = deque(maxlen=MAX_NOTICES)
        self._notices_lost = 0
        self._latest: dict[PushKind, Push] = {}
        self._some = asyncio.Event()
        self._over = False

    def add(self, kind: Any, data: Any) -> None:
        known = _KINDS.get(kind) if isinstance(kind, str) else None
        if known is None or not isinstance(data, dict):
            return
        push = Push(known, data)
        match push.kind:
            case PushKind.FACTS:
                self._facts.append(push)
            case PushKind.NOTICE:
                self._notices_lost += len(self._notices) == MAX_NOTICES
                self._notices.append(push)
            case PushKind.LIVE:
                self._latest[push.kind] = self._merged(push)
            case PushKind.CLOSING:
                self._latest.setdefault(push.kind, push)
            case PushKind.CHANGED:
                self._latest[push.kind] = push
        self._some.set()

    def _merged(self, push: Push) -> Push:
        older = self._latest.get(PushKind.LIVE)
        if older is None or older.data.get("actor_id") != push.data.get("actor_id"):
            return push
        lost = 1 + int(older.data.get("lost", 0)) + int(push.data.get("lost", 0))
        return Push(PushKind.LIVE, {**push.data, "lost": lost})

    async def next(self) -> Push | None:
        while not self._over:
            self._some.clear()
            push = self._take()
            if push is not None:
                return push
            await self._some.wait()
        return None

    def _take(self) -> Push | None:
        if self._notices_lost:
            text = f"{self._notices_lost} older notices were dropped."
            self._notices_lost = 0
            return Push(PushKind.NOTICE, {"level": "warning", "text": text})
        for queue in (self._notices, self._facts):
            if queue:
                return queue.popleft()
        for kind in (PushKind.LIVE, PushKind.CHANGED):
            if kind in self._latest:
                return self._latest.pop(kind)
        closing = self._latest.get(PushKind.CLOSING)
        self._over = closing is not None
        return closing
