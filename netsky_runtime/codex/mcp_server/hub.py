"""Where everything that an mcp-server says goes: to the thread it is about, at once.

The reader calls in here and waits for nobody: no database, no screen, no lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.bounds import UNREADABLE, bounded
from netsky_runtime.codex.mcp_server import approvals, normalise
from netsky_runtime.codex.mcp_server.approvals import Question

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import RuntimeFailure
    from netsky_runtime.codex.mcp_server.thread import Thread
    from netsky_runtime.log import Log
    from netsky_runtime.wire.peer import RequestId

KINDS_LOGGED: Final = 200
NOT_SERVED: Final = -32601
NOT_UNDERSTOOD: Final = -32602


class Hub:
    """The threads of one process, by id, and by call until they have one.

    ``refuse(request_id, code, message)`` is called for requests that netsky does not serve or
    cannot read, ``reply(request_id)`` for a ping. What cannot be read never ends the reader: it
    is kept raw, and logged once a kind.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        log: Log,
        refuse: Callable[[RequestId, int, str], None],
        reply: Callable[[RequestId], None],
    ) -> None:
        self._clock = clock
        self._log = log
        self._refuse = refuse
        self._reply = reply
        self._all: set[Thread] = set()
        self._threads: dict[str, Thread] = {}
        self._unnamed: dict[RequestId, Thread] = {}
        self._unreadable: set[str] = set()

    def thread(self, thread_id: str) -> Thread | None:
        """Return a thread of this process."""
        return self._threads.get(thread_id)

    def add(self, thread: Thread) -> None:
        """Take in a thread, which has no name yet."""
        self._all.add(thread)

    def expect(self, request_id: RequestId, thread: Thread) -> None:
        """Note that the events of this call name the thread."""
        self._unnamed[request_id] = thread

    def unexpect(self, request_id: RequestId) -> None:
        """Note that the call is over."""
        self._unnamed.pop(request_id, None)

    def name(self, thread: Thread, thread_id: str) -> None:
        """Learn the id of a thread; the first one counts."""
        if thread_id and not thread.id:
            thread.named(thread_id)
            self._threads[thread_id] = thread

    def forget(self, thread: Thread) -> None:
        """Have nothing to do with a thread any more: nothing is routed to it, or from it."""
        self._all.discard(thread)
        if self._threads.get(thread.id) is thread:
            del self._threads[thread.id]

    def end_all(self, reason: str | None, failure: Callable[[], RuntimeFailure]) -> int:
        """End every session's events: with ``SESSION_LOST`` when there is a reason.

        Returns how many sessions there were.
        """
        threads, self._all = self._all, set()
        self._threads.clear()
        self._unnamed.clear()
        sessions = sum(thread.attended for thread in threads)
        for thread in threads:
            thread.end(reason, failure)
        return sessions

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Route one notification."""
        if method != normalise.EVENT:
            return
        thread = self._about(params)
        if thread is None:
            return
        at = self._clock.now()
        try:
            thread.take(params, at)
        except UNREADABLE as error:
            kind = str(normalise.message_of(params).get("type"))
            self._log_unreadable(kind, error)
            thread.garbled(params, at, {"method": kind, "params": bounded(params)})

    def on_request(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        """Hold what a human answers; refuse the rest."""
        if method == "ping":
            self._reply(request_id)
            return
        if method != approvals.METHOD:
            self._refuse(request_id, NOT_SERVED, f"netsky does not do {method}")
            return
        thread = self._threads.get(approvals.thread_of(params))
        if thread is None:
            self._refuse(request_id, NOT_UNDERSTOOD, "netsky has no such thread here")
            return
        question = Question(id=request_id, params=params, announced=thread.announced(params))
        try:
            thread.ask(question, self._clock.now())
        except UNREADABLE as error:
            self._log_unreadable(method, error)
            self._refuse(request_id, NOT_UNDERSTOOD, f"netsky cannot read this {method}")

    def _about(self, params: dict[str, Any]) -> Thread | None:
        thread_id = normalise.thread_of(params)
        known = self._threads.get(thread_id)
        if known is not None:
            return known
        request_id = normalise.request_of(params)
        thread = self._unnamed.get(request_id) if request_id is not None else None
        if thread is None or (thread_id and thread.id):
            return None  # of another thread, about which nobody asked
        self.name(thread, thread_id)
        return thread

    def _log_unreadable(self, kind: str, error: Exception) -> None:
        if kind not in self._unreadable and len(self._unreadable) < KINDS_LOGGED:
            self._unreadable.add(kind)
            message = "a message of Codex has another shape than is known"
            self._log("warning", message, {"kind": kind, "error": repr(error)})
