"""Where everything the facts connection reads goes: to the thread it is about, at once.

The reader calls in here and waits for nobody: no database, no screen, no lock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.link import Question, ThreadLink
from netsky_runtime.codex.app_server.normalise import notification
from netsky_runtime.codex.bounds import UNREADABLE, bounded
from netsky_runtime.codex.events import CodexEvent, EventKind, well_formed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.log import Log
    from netsky_runtime.wire.peer import RequestId

STRAYS_KEPT: Final = 2000
NOTICES_KEPT: Final = 10
WAITING_KEPT: Final = 500
"""Threads whose questions wait for a parent that is not attached, and perhaps never will be."""
MISSED_KEPT: Final = 200
"""Events of each such thread: the newest."""
GENERATIONS: Final = 64
"""Sub-agents of sub-agents: deeper than that only a circle goes."""
NOT_SERVED: Final = -32601
NOT_UNDERSTOOD: Final = -32602


@dataclass(frozen=True, slots=True)
class Waiting:
    """What came of a thread before it was known whose it is."""

    questions: list[Question] = field(default_factory=list)
    events: deque[CodexEvent] = field(default_factory=lambda: deque(maxlen=MISSED_KEPT))
    """They follow the answer to its ``thread/resume``, which may not have been handled yet."""


class Hub:
    """Routes notifications and requests of one engine connection to its threads.

    ``refuse(request_id, code, message)`` is called for requests netsky does not serve or cannot
    read, ``look_up(thread id)`` for questions of a thread nobody knows; ``stirred(thread_id)`` at
    the facts of a thread that is watched. What cannot be read never ends the reader: it is
    kept raw, where it tells its thread, and logged once a method.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        log: Log,
        refuse: Callable[[RequestId, int, str], None],
        look_up: Callable[[str], None],
        stirred: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._log = log
        self._refuse = refuse
        self._look_up = look_up
        self._stirred = stirred
        self._links: dict[str, ThreadLink] = {}
        self._parents: dict[str, str] = {}
        self._starting = 0
        self._strays: deque[CodexEvent | Question] = deque(maxlen=STRAYS_KEPT)
        # Threads that are being looked up or resumed, or whose parent is not attached.
        self._waiting: dict[str, Waiting] = {}
        self._unloaded: set[str] = set()
        self._unreadable: set[str] = set()
        self._rate_limits: Any = None
        self.notices: deque[str] = deque(maxlen=NOTICES_KEPT)
        """What Codex told about itself, for the operator."""

    def link(self, thread_id: str) -> ThreadLink | None:
        """Return the link of a thread, or of the thread whose sub-agent it belongs to."""
        for _ in range(GENERATIONS):
            link = self._links.get(thread_id)
            if link is not None or thread_id not in self._parents:
                return link
            thread_id = self._parents[thread_id]
        return None

    @property
    def parents(self) -> Mapping[str, str]:
        """Loaded threads of Codex's own sub-agents that were heard of, and who made them."""
        return {c: parent for c, parent in self._parents.items() if c not in self._unloaded}

    def add(self, link: ThreadLink) -> None:
        """Route a thread's events to this link. One that was there before is ended."""
        before = self._links.get(link.thread_id)
        if before is not None:
            before.end(None)
        self._links[link.thread_id] = link
        for stray in [s for s in self._strays if s.thread_id == link.thread_id]:
            self._strays.remove(stray)
            self._deliver(link, stray)
        for question in self._waiting.pop(link.thread_id, Waiting()).questions:
            self._ask(link, question)

    def remove(self, link: ThreadLink) -> None:
        """Stop routing to this link."""
        if self._links.get(link.thread_id) is link:
            del self._links[link.thread_id]

    def hold(self, thread_id: str) -> None:
        """Keep the questions of a sub-agent's thread, and what nobody hears yet, for ``adopt``.

        Repeated ones come before the answer to ``thread/resume``, which brings their patches.
        """
        self._waiting.setdefault(thread_id, Waiting())

    def adopt(self, child: str, parent: str, turns: Any = ()) -> None:
        """Route a sub-agent's thread to the thread that made it, with all that was kept of it.

        ``turns`` are those that came with the answer to the child's ``thread/resume``. While
        the thread that made it is not attached, that stays kept: when it is, its sub-agents'
        threads are adopted anew.
        """
        self._parents[child] = parent
        self._unloaded.discard(child)
        link = self.link(child)
        if link is None:
            while len(self._waiting) > WAITING_KEPT:
                self.forsake(next(iter(self._waiting)))
            return
        link.keep_patches(turns)
        kept = self._waiting.pop(child, Waiting())
        if child not in link.children:
            at = self._clock.now()
            link.take(CodexEvent(EventKind.THREAD_STARTED, child, at, data={"parent_id": parent}))
        for event in kept.events:
            link.take(event)  # before the questions: it may be the patch that one is about
        for question in {str(question.id): question for question in kept.questions}.values():
            self._ask(link, question)

    def forsake(self, thread_id: str) -> None:
        """Note that nobody knows this thread; its questions stay for other clients."""
        for question in self._waiting.pop(thread_id, Waiting()).questions:
            message = "a question of a thread that is not netsky's is left to others"
            fields = {"thread": thread_id, "method": question.method}
            self._log("warning", message, fields)

    def starting(self, change: int) -> None:
        """Count threads being started: until their ids are known, strange events are kept."""
        self._starting += change
        if not self._starting:
            strays, self._strays = self._strays, deque(maxlen=STRAYS_KEPT)
            for stray in strays:
                if isinstance(stray, Question):
                    self._strange(stray)

    def end_all(self, reason: str | None) -> None:
        """End every session's events: with ``SESSION_LOST`` when there is a reason."""
        links, self._links = self._links, {}
        self._strays.clear()
        self._waiting.clear()
        for link in links.values():
            link.end(reason)

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Route one notification."""
        at = self._clock.now()
        try:
            self._notified(method, params, at)
        except UNREADABLE as error:
            self._keep_raw(method, params, at, error)

    def on_live_text(self, method: str, params: dict[str, Any]) -> None:
        """Route one notification of the live connection: no fact, so nothing of it is kept."""
        try:
            event = notification(method, params, self._clock.now())
            link = self.link(event.thread_id) if event is not None else None
            if event is not None and link is not None:
                link.take(well_formed(event))
        except UNREADABLE as error:
            self._log_unreadable(method, error)

    def on_request(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        """Hold what a human or a tool answers; refuse the rest."""
        if method != approvals.TOOL_CALL and method not in approvals.KINDS:
            self._refuse(request_id, NOT_SERVED, f"netsky does not do {method}")
            return
        question = Question(request_id, method, params)
        thread_id = question.thread_id
        link = self.link(thread_id)
        if thread_id in self._waiting and thread_id not in self._links:
            self._waiting[thread_id].questions.append(question)
        elif link is not None:
            self._ask(link, question)
        elif self._starting:
            self._strays.append(question)
        else:
            self._strange(question)

    def _notified(self, method: str, params: dict[str, Any], at: int) -> None:
        event = notification(method, params, at)
        if event is None:
            self._no_event(method, params, at)
            return
        link = self._links.get(well_formed(event).thread_id)
        if link is None:
            self._astray(event)
            return
        if event.kind is EventKind.THREAD_STARTED:
            return  # our own
        link.take(event)
        if link.watched:
            self._stirred(event.thread_id)
        if event.kind is EventKind.ITEM_COMPLETED and event.data["type"] == "other":
            self._look_for_children(event)

    def _keep_raw(self, method: str, params: dict[str, Any], at: int, error: Exception) -> None:
        self._log_unreadable(method, error)
        thread_id = params.get("threadId")
        link = self.link(thread_id) if isinstance(thread_id, str) else None
        if link is None or not isinstance(thread_id, str):
            return
        data = {"method": method, "params": bounded(params)}
        link.take(CodexEvent(EventKind.UNKNOWN, thread_id, at, data=data))
        if method == "turn/completed" and thread_id == link.thread_id:
            # Some turn has ended, who knows how: history does.
            link.active_turn = ""
            link.take(CodexEvent(EventKind.RESYNC, thread_id, at))

    def _log_unreadable(self, method: str, error: Exception) -> None:
        if method not in self._unreadable and len(self._unreadable) < STRAYS_KEPT:
            self._unreadable.add(method)
            message = "a message of Codex has another shape than is known"
            self._log("warning", message, {"method": method, "error": repr(error)})

    def _ask(self, link: ThreadLink, question: Question) -> None:
        try:
            link.ask(question, self._clock.now())
        except UNREADABLE as error:
            self._log_unreadable(question.method, error)
            self._refuse(question.id, NOT_UNDERSTOOD, f"netsky cannot read this {question.method}")

    def _no_event(self, method: str, params: dict[str, Any], at: int) -> None:
        if method == "serverRequest/resolved":
            self._resolved(params.get("threadId") or "", str(params.get("requestId")), at)
        elif method in ("configWarning", "deprecationNotice"):
            details = params.get("details")
            notice = str(params.get("summary") or "") + (f" ({details})" if details else "")
            if notice and notice not in self.notices:
                self.notices.append(notice)

    def _resolved(self, thread_id: str, request_id: str, at: int) -> None:
        if thread_id in self._waiting:
            kept = self._waiting[thread_id].questions
            kept[:] = [question for question in kept if str(question.id) != request_id]
        link = self.link(thread_id)
        if link is not None:
            link.resolved(request_id, at)

    def _astray(self, event: CodexEvent) -> None:
        if event.kind is EventKind.THREAD_STARTED and event.data["parent_id"]:
            self._parents[event.thread_id] = event.data["parent_id"]
        elif event.kind is EventKind.THREAD_STATUS and event.thread_id in self._parents:
            unloaded = event.data["status"] == "not_loaded"
            (self._unloaded.add if unloaded else self._unloaded.discard)(event.thread_id)
        elif event.kind is EventKind.TURN_COMPLETED and event.thread_id in self._waiting:
            kept = self._waiting[event.thread_id].questions
            kept[:] = [question for question in kept if question.turn_id != event.turn_id]
        link = self.link(event.thread_id)
        if link is not None:
            link.take(event)
        elif event.kind is EventKind.RATE_LIMITS:
            self._account_wide(event)
        elif event.thread_id in self._waiting:
            self._waiting[event.thread_id].events.append(event)
        elif self._starting and event.thread_id:
            self._strays.append(event)

    def _look_for_children(self, event: CodexEvent) -> None:
        # Nothing else tells of a sub-agent before it asks: its thread is not subscribed to.
        raw = event.data["raw"]
        named = raw.get("receiverThreadIds")
        children = [*(named if isinstance(named, list) else ()), raw.get("agentThreadId")]
        for child in children:
            if not isinstance(child, str) or not child or child in self._waiting:
                continue
            if self.link(child) is None:
                self.hold(child)
                self._look_up(child)

    def _account_wide(self, event: CodexEvent) -> None:
        # Codex repeats it after every model call; only news is worth a row a thread.
        if event.data == self._rate_limits:
            return
        self._rate_limits = event.data
        for link in self._links.values():
            link.take(CodexEvent(event.kind, link.thread_id, event.at, data=event.data))

    def _strange(self, question: Question) -> None:
        if question.thread_id in self._waiting:
            self._waiting[question.thread_id].questions.append(question)
            return
        self._waiting[question.thread_id] = Waiting([question])
        self._look_up(question.thread_id)

    def _deliver(self, link: ThreadLink, stray: CodexEvent | Question) -> None:
        if isinstance(stray, Question):
            self._ask(link, stray)
        elif stray.kind is not EventKind.THREAD_STARTED:
            link.take(stray)
