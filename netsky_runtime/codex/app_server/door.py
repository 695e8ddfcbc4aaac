"""One opened way into an engine: its connections, and what is asked through them.

A door is made at ``open`` and thrown away when its facts connection ends; sessions keep the
door they came through, so that what they ask after that fails instead of reaching another
engine.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server import failures, rejoin
from netsky_runtime.codex.app_server.hub import GENERATIONS, Hub
from netsky_runtime.codex.app_server.normalise import history, parent_of, status_of
from netsky_runtime.codex.app_server.silence import Unanswered
from netsky_runtime.codex.base import HistoricTurn, HistoryUnavailable
from netsky_runtime.codex.bounds import UNREADABLE
from netsky_runtime.codex.members import part
from netsky_runtime.wire.errors import PeerClosed, RequestTimedOut, RpcError, WireError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.app_server.connection import Connection
    from netsky_runtime.codex.app_server.live import LiveText
    from netsky_runtime.log import Log
    from netsky_runtime.wire.peer import RequestId

PAGE: Final = 50
MAX_PAGES: Final = 2000
FIRST_PAUSE: Final = 0.05
MUTE: Final = 3
"""So many deadlines without a word, and nobody is believed to be there."""
LONGEST_PAUSE: Final = 30.0
"""Seconds between the tries to find, or to join, a sub-agent's thread."""


class Door:
    """The facts connection, the live one where there is a socket, and the small jobs between."""

    def __init__(
        self, *, engine_id: str, seconds: float, turn_seconds: float, clock: Clock, log: Log
    ) -> None:
        self.engine_id = engine_id
        self.seconds = seconds
        self.turn_seconds = turn_seconds
        self.log = log
        self.clock = clock
        self.hub = Hub(
            clock=clock,
            log=log,
            refuse=self._refuse,
            look_up=self._look_up,
            stirred=self._stirred,
        )
        self.live: LiveText | None = None
        self.version: tuple[int, ...] = ()
        self._facts: Connection | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._paged = True
        self._open: list[Unanswered] = []
        self._mute: Unanswered | None = None
        """The first of those that were given up since the engine last told anything."""

    def opened(self, facts: Connection, version: tuple[int, ...], live: LiveText | None) -> None:
        """Take the connections in, once they stand."""
        self._facts, self.version, self.live = facts, version, live

    @property
    def usable(self) -> bool:
        """Whether anything can be asked through it."""
        return self._facts is not None and not self._facts.closed

    def lost(self, reason: str) -> None:
        """Tell the sessions; called by the reader when the connection ends."""
        self.hub.end_all(reason)
        if self.live is not None:
            self.live.forget()

    async def ask(
        self, method: str, params: Mapping[str, Any], *, seconds: float | None = None
    ) -> Any:
        """Ask for facts. Raises ``RpcError``, ``PeerClosed``, ``RequestTimedOut``.

        An engine that leaves all that is asked unanswered, and tells nothing of its own either,
        for ``MUTE`` deadlines is hung up on: who attaches next finds out whether it still shakes
        hands, and replaces it when it does not.
        """
        facts = self._facts
        if facts is None:
            msg = "There is no engine."
            raise PeerClosed(msg, sent=False)
        asked = Unanswered(self.clock.now(), self.clock.monotonic(), facts.received)
        self._open.append(asked)
        try:
            return await facts.request(method, params, deadline=seconds or self.seconds)
        except RequestTimedOut:
            if facts.received == asked.heard:
                self._given_up(facts, asked)
            raise
        finally:
            self._open.remove(asked)

    @property
    def unanswered(self) -> Unanswered | None:
        """The oldest question that is unanswered, if the engine has told nothing at all since."""
        facts = self._facts
        if facts is None or facts.closed:
            return None
        known = self._open if self._mute is None else [self._mute, *self._open]
        return next((asked for asked in known if asked.heard == facts.received), None)

    def _given_up(self, facts: Connection, asked: Unanswered) -> None:
        if self._mute is None or self._mute.heard != facts.received:
            self._mute = asked
        silent = self.clock.monotonic() - self._mute.began
        if silent < MUTE * self.seconds or facts.closed:
            return
        reason = f"Codex has answered nobody for {silent:.0f} s."
        self.log("error", "the engine is hung up on", {"engine": self.engine_id, "reason": reason})
        self.lost(reason)
        self._spawn(facts.close(), "codex hang up")

    async def reply(self, request_id: RequestId, result: Mapping[str, Any]) -> None:
        """Answer a held request. Raises ``PeerClosed``, ``RequestTimedOut``."""
        if self._facts is None:
            msg = "There is no engine."
            raise PeerClosed(msg, sent=False)
        await self._facts.reply(request_id, dict(result))

    async def status(self, thread_id: str) -> str:
        """Return a thread's status in ``THREAD_STATUS``'s words. Raises ``WireError``."""
        answer = await self.ask("thread/read", {"threadId": thread_id, "includeTurns": False})
        return status_of(part(answer, "thread"))

    async def history(self, thread_id: str) -> tuple[HistoricTurn, ...]:
        """Return all turns, oldest first. Raises ``HistoryUnavailable``."""
        try:
            if self._paged:
                try:
                    return await self._pages(thread_id)
                except WireError as error:
                    if not failures.unknown_method(error) or failures.no_turn_yet(error):
                        raise
                    self._paged = False
            params = {"threadId": thread_id, "includeTurns": True}
            answer = await self.ask("thread/read", params)
            return history(part(answer, "thread").get("turns"))
        except WireError as error:
            if failures.no_turn_yet(error):
                return ()
            msg = f"The history of thread {thread_id} cannot be read: {error.message}"
            raise HistoryUnavailable(msg) from error
        except UNREADABLE as error:
            msg = f"The history of thread {thread_id} has another shape than is known: {error!r}."
            raise HistoryUnavailable(msg) from error

    async def _pages(self, thread_id: str) -> tuple[HistoricTurn, ...]:
        turns: list[HistoricTurn] = []
        params = {
            "threadId": thread_id,
            "limit": PAGE,
            "sortDirection": "asc",
            "itemsView": "full",
        }
        for _ in range(MAX_PAGES):
            page = await self.ask("thread/turns/list", params)
            turns.extend(history(page.get("data")))
            cursor = page.get("nextCursor")
            if not cursor:
                return tuple(turns)
            params["cursor"] = cursor
        msg = f"The history of thread {thread_id} has more than {MAX_PAGES} pages."
        raise HistoryUnavailable(msg)

    async def adopt(self, child: str, parent: str) -> None:
        """Subscribe to a sub-agent's thread, under the thread that made it.

        Its questions are not repeated when only its parent is resumed. What does not succeed
        now is tried again for as long as the connection lives.
        """
        if not await self._adopted(child, parent):
            self._spawn(self._adopt_later(child, parent), f"codex adopt {child}")

    async def close(self) -> None:
        """End both connections and the jobs; sessions end without ``SESSION_LOST``."""
        for job in self._jobs:
            job.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs)
        try:
            if self.live is not None:
                await self.live.close()
        finally:
            if self._facts is not None:
                await self._facts.close()

    async def _adopted(self, child: str, parent: str) -> bool:
        turns: Any = ()
        self.hub.hold(child)
        try:
            joined = await rejoin.join(self, child, {})
            turns = joined.turns
        except WireError as error:
            fields = {"thread": child, "reason": error.message}
            self.log("warning", "a sub-agent's thread could not be resumed", fields)
            final = isinstance(error, RpcError) and not failures.overloaded(error)
            return final or not self.usable
        finally:
            self.hub.adopt(child, parent, turns)
        if (link := self.hub.link(child)) is not None:
            await rejoin.tell_usage(self, link, joined)
        return True

    async def _adopt_later(self, child: str, parent: str) -> None:
        pause = FIRST_PAUSE
        await self.clock.sleep(pause)
        while not await self._adopted(child, parent):
            pause = min(2 * pause, LONGEST_PAUSE)
            await self.clock.sleep(pause)

    def _spawn(self, job: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(job, name=name)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def _refuse(self, request_id: RequestId, code: int, message: str) -> None:
        self._spawn(self._say_no(request_id, code, message), f"codex refuse {request_id}")

    async def _say_no(self, request_id: RequestId, code: int, message: str) -> None:
        self.log("info", "refused a request of Codex", {"reason": message})
        if self._facts is not None:
            try:
                await self._facts.reply_error(request_id, code, message)
            except WireError:
                return  # it is gone, and so is its question

    def _look_up(self, thread_id: str) -> None:
        self._spawn(self._find_parent(thread_id), f"codex look up {thread_id}")

    async def _find_parent(self, thread_id: str) -> None:
        pause = FIRST_PAUSE
        while not await self._found_parent(thread_id):
            await self.clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _found_parent(self, thread_id: str) -> bool:
        """Return whether there is nothing left to find out."""
        line: list[tuple[str, str]] = []
        thread = thread_id
        try:
            while self.hub.link(thread) is None and len(line) < GENERATIONS:
                params = {"threadId": thread, "includeTurns": False}
                parent = parent_of(part(await self.ask("thread/read", params), "thread"))
                if not parent:
                    break
                line.append((thread, parent))
                thread = parent
        except WireError as error:
            fields = {"thread": thread, "reason": error.message}
            self.log("warning", "a thread could not be looked up", fields)
            if failures.unknown_thread(error) or failures.unknown_method(error):
                self.hub.forsake(thread_id)
                return True
            return not self.usable
        if not line and (known := self.hub.parents.get(thread_id)):
            line.append((thread_id, known))  # told by a notification meanwhile
        if not line:
            self.hub.forsake(thread_id)
        for child, parent in reversed(line):
            await self.adopt(child, parent)
        return True

    def _stirred(self, thread_id: str) -> None:
        if self.live is not None:
            self.live.stirred(thread_id)
