"""Where everything the facts connection reads goes: to the thread it is about, at once.

The reader calls in here and waits for nobody: no database, no screen, no lock.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.link import Question, ThreadLink
from netsky_runtime.codex.app_server.normalise import notification
from netsky_runtime.codex.events import CodexEvent, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.app_server.engine import Log
    from netsky_runtime.wire.peer import RequestId

STRAYS_KEPT: Final = 2000
NOTICES_KEPT: Final = 10
REFUSED: Final = -32601


class Hub:
    """Routes notifications and requests of one engine connection to its threads.

    ``refuse(request_id, method)`` is called for requests netsky does not serve, ``look_up(thread
    id)`` for questions of a thread nobody knows; ``stirred(thread_id)`` at the facts of a thread
    that is watched.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        log: Log,
        refuse: Callable[[RequestId, str], None],
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
        self._unknown: dict[str, list[Question]] = {}
        self._rate_limits: Any = None
        self.notices: deque[str] = deque(maxlen=NOTICES_KEPT)
        """What Codex told about itself, for the operator."""

    def link(self, thread_id: str) -> ThreadLink | None:
        """Return the link of a thread, or of the thread whose sub-agent it belongs to."""
        link = self._links.get(thread_id)
        while link is None and thread_id in self._parents:
            thread_id = self._parents[thread_id]
            link = self._links.get(thread_id)
        return link

    def add(self, link: ThreadLink) -> None:
        """Route a thread's events to this link. One that was there before is ended."""
        before = self._links.get(link.thread_id)
        if before is not None:
            before.end(None)
        self._links[link.thread_id] = link
        for stray in [s for s in self._strays if s.thread_id == link.thread_id]:
            self._strays.remove(stray)
            self._deliver(link, stray)

    def remove(self, link: ThreadLink) -> None:
        """Stop routing to this link."""
        if self._links.get(link.thread_id) is link:
            del self._links[link.thread_id]

    def adopt(self, child: str, parent: str, turns: Any = ()) -> None:
        """Route a sub-agent's thread to the thread that made it, with the questions it had.

        ``turns`` are those that came with the answer to the child's ``thread/resume``.
        """
        news = child not in self._parents
        self._parents[child] = parent
        link = self.link(child)
        held = {str(question.id): question for question in self._unknown.pop(child, ())}
        if link is None:
            return
        link.keep_patches(turns)
        at = self._clock.now()
        if news:
            link.take(CodexEvent(EventKind.THREAD_STARTED, child, at, data={"parent_id": parent}))
        for question in held.values():
            link.ask(question, at)

    def forsake(self, thread_id: str) -> None:
        """Note that nobody knows this thread; its questions stay for other clients."""
        for question in self._unknown.pop(thread_id, ()):
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
        self._unknown.clear()
        for link in links.values():
            link.end(reason)

    def on_notification(self, method: str, params: dict[str, Any]) -> None:
        """Route one notification."""
        at = self._clock.now()
        event = notification(method, params, at)
        if event is None:
            self._no_event(method, params, at)
            return
        link = self._links.get(event.thread_id)
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

    def on_request(self, request_id: RequestId, method: str, params: dict[str, Any]) -> None:
        """Hold what a human or a tool answers; refuse the rest."""
        if method != approvals.TOOL_CALL and method not in approvals.KINDS:
            self._refuse(request_id, method)
            return
        question = Question(request_id, method, params)
        link = self.link(question.thread_id)
        if link is not None:
            link.ask(question, self._clock.now())
        elif self._starting:
            self._strays.append(question)
        else:
            self._strange(question)

    def _no_event(self, method: str, params: dict[str, Any], at: int) -> None:
        if method == "serverRequest/resolved":
            link = self.link(params.get("threadId") or "")
            if link is not None:
                link.resolved(str(params.get("requestId")), at)
        elif method in ("configWarning", "deprecationNotice"):
            details = params.get("details")
            notice = str(params.get("summary") or "") + (f" ({details})" if details else "")
            if notice and notice not in self.notices:
                self.notices.append(notice)

    def _astray(self, event: CodexEvent) -> None:
        if event.kind is EventKind.THREAD_STARTED and event.data["parent_id"]:
            self._parents[event.thread_id] = event.data["parent_id"]
        link = self.link(event.thread_id)
        if link is not None:
            link.take(event)
        elif event.kind is EventKind.RATE_LIMITS:
            self._account_wide(event)
        elif self._starting and event.thread_id:
            self._strays.append(event)

    def _look_for_children(self, event: CodexEvent) -> None:
        # Nothing else tells of a sub-agent before it asks: its thread is not subscribed to.
        raw = event.data["raw"]
        children = [*(raw.get("receiverThreadIds") or ()), raw.get("agentThreadId")]
        for child in children:
            if child and self.link(child) is None and child not in self._unknown:
                self._unknown[child] = []
                self._look_up(child)

    def _account_wide(self, event: CodexEvent) -> None:
        # Codex repeats it after every model call; only news is worth a row a thread.
        if event.data == self._rate_limits:
            return
        self._rate_limits = event.data
        for link in self._links.values():
            link.take(CodexEvent(event.kind, link.thread_id, event.at, data=event.data))

    def _strange(self, question: Question) -> None:
        if question.thread_id in self._unknown:
            self._unknown[question.thread_id].append(question)
            return
        self._unknown[question.thread_id] = [question]
        self._look_up(question.thread_id)

    def _deliver(self, link: ThreadLink, stray: CodexEvent | Question) -> None:
        if isinstance(stray, Question):
            link.ask(stray, self._clock.now())
        elif stray.kind is not EventKind.THREAD_STARTED:
            link.take(stray)
