"""What is known of one attached thread: its events' channel, its turn, its open questions.

A review, which a human begins in Codex's own screen, is two turns in one: the end of the one is
told, the other only begins (0.153.4, 0.163). It is over when the thread says that nothing runs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.app_server import approvals
from netsky_runtime.codex.app_server.normalise import last_turn
from netsky_runtime.codex.events import CodexEvent, EventKind, well_formed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.codex.channel import ThreadChannel
    from netsky_runtime.wire.peer import RequestId

FINISHED_KEPT: Final = 64
PATCHES_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class Question:
    """A request of Codex that is held until somebody answers it."""

    id: RequestId
    method: str
    params: Mapping[str, Any]

    @property
    def thread_id(self) -> str:
        """The thread it is about: perhaps a sub-agent's."""
        return approvals.thread_of(self.params)

    @property
    def turn_id(self) -> str:
        """The turn it holds."""
        return str(self.params.get("turnId") or "")


class ThreadLink:
    """State of one thread, fed in receive order by the reader. Nothing here waits.

    Events and questions of threads that Codex's sub-agents made belong to their parent's link
    and keep their own thread id.
    """

    def __init__(self, thread_id: str, channel: ThreadChannel, *, resuming: bool) -> None:
        self.thread_id = thread_id
        self.channel = channel
        self.active_turn = ""
        self.watched = False
        self.model = ""
        """What the thread runs on, as far as it was told."""
        self.lost = ""
        """Why the thread cannot be reached any more; empty while it can."""
        self.questions: dict[str, Question] = {}
        """Held approvals by request id, as text."""
        self.tools: dict[str, Question] = {}
        """Held tool calls by call id."""
        self.children: set[str] = set()
        """Sub-agents' threads that were told of."""
        self._begun = ""
        """The turn that was told to begin last, until an end is told."""
        self._rests = False
        """Whether nothing runs, as the thread said of itself last."""
        self._finished: deque[str] = deque(maxlen=FINISHED_KEPT)
        self._over: dict[str, asyncio.Event] = {}
        self._patches: dict[str, Any] = {}
        self._metered: set[str] = set()  # threads whose usage was told
        # While the answer to thread/resume is awaited: it brings the patches that a repeated
        # question does not carry.
        self._held: list[tuple[Question, int]] | None = [] if resuming else None

    def take(self, event: CodexEvent) -> None:
        """Pass an event on, having learned from it."""
        kind = event.kind
        if kind is EventKind.DELTA:
            if self.watched:
                self.channel.put(event)
            return
        if kind is EventKind.ITEM_STARTED or kind is EventKind.ITEM_COMPLETED:
            self._learn_item(event)
        elif kind is EventKind.TURN_STARTED:
            self._learn_turn(event)
            self._learn_beginning(event)
        elif kind is EventKind.THREAD_STATUS and event.thread_id == self.thread_id:
            self._rests = event.data["status"] != "active"
        elif kind is EventKind.THREAD_STARTED:
            self.children.add(event.thread_id)
        elif kind is EventKind.USAGE:
            self._metered.add(event.thread_id)
        elif kind is EventKind.MODEL and not self._is_news(event):
            return
        self.channel.put(event)
        if kind is EventKind.TURN_COMPLETED:
            self._end_turn(event)
            self._end_untold(event)

    def catch_up(self, usage: CodexEvent) -> None:
        """Pass on what was used while nobody listened, unless a newer total was told since."""
        if usage.thread_id not in self._metered:
            self.take(usage)

    def ask(self, question: Question, at: int) -> None:
        """Hold a request and tell about it. Raises ``UNREADABLE`` before it is held."""
        event = self._asking(question, at)
        if self._held is not None:
            self._held.append((question, at))
            return
        if question.method == approvals.TOOL_CALL:
            self.tools[event.item_id] = question
        else:
            self.questions[str(question.id)] = question
        self.channel.put(event)

    def resolved(self, request_id: str, at: int) -> None:
        """Forget a question that somebody answered, and tell."""
        if self._held is not None:
            self._held = [held for held in self._held if str(held[0].id) != request_id]
        question = self.questions.pop(request_id, None)
        for call_id, call in list(self.tools.items()):
            if str(call.id) == request_id:
                del self.tools[call_id]
        thread_id = question.thread_id if question else self.thread_id
        turn_id = question.turn_id if question else ""
        item_id = approvals.item_of(question.params) if question else ""
        data = {"request_id": request_id}
        self.channel.put(
            CodexEvent(EventKind.APPROVAL_RESOLVED, thread_id, at, turn_id, item_id, data)
        )

    def resumed(self, turns: Any) -> None:
        """Take in the turns that came with the answer to ``thread/resume``; ask what was held."""
        last = last_turn(turns)
        if last.get("status") == "inProgress":
            self.started(str(last.get("id") or ""))
        self.keep_patches(turns)
        held, self._held = self._held or [], None
        for question, at in held:
            self.ask(question, at)

    def keep_patches(self, turns: Any) -> None:
        """Remember the patches of the last turn: questions about them do not carry them."""
        items = last_turn(turns).get("items")
        for raw in items if isinstance(items, list) else ():
            if isinstance(raw, dict) and raw.get("type") == "fileChange":
                self._keep_patch(str(raw.get("id") or ""), raw.get("changes"))

    def started(self, turn_id: str) -> None:
        """Note that a turn runs, unless it is known to have ended."""
        if turn_id and turn_id not in self._finished:
            self.active_turn = turn_id

    def runs_as(self, turn_id: str) -> str:
        """Return the id under which Codex stops a turn: of a review, that of the turn inside."""
        inside = turn_id == self.active_turn and self._begun not in ("", *self._finished)
        return self._begun if inside else turn_id

    def has_heard(self, turn_id: str) -> bool:
        """Whether the turn runs or has ended as far as was told here."""
        return turn_id == self.active_turn or turn_id in self._finished

    def turn_over(self, turn_id: str) -> asyncio.Event:
        """Return what is set when the turn has ended."""
        if turn_id not in self._over:
            while len(self._over) >= FINISHED_KEPT:
                del self._over[next(iter(self._over))]
            self._over[turn_id] = asyncio.Event()
            if turn_id in self._finished:
                self._over[turn_id].set()
        return self._over[turn_id]

    def end(self, reason: str | None) -> None:
        """End the events, with ``SESSION_LOST`` when there is a reason."""
        self.lost = self.lost or reason or "The session was closed."
        self.questions.clear()
        self.tools.clear()
        self.channel.end(reason)

    def _asking(self, question: Question, at: int) -> CodexEvent:
        if question.method == approvals.TOOL_CALL:
            return well_formed(approvals.tool_requested(question.params, at=at))
        changes = self._patches.get(approvals.item_of(question.params))
        return well_formed(
            approvals.requested(
                str(question.id), question.method, question.params, at=at, changes=changes
            )
        )

    def _learn_item(self, event: CodexEvent) -> None:
        if event.data["type"] == "file_change":
            if event.kind is EventKind.ITEM_STARTED:
                self._keep_patch(event.item_id, event.data["changes"])
            else:
                self._patches.pop(event.item_id, None)
        self._learn_turn(event)

    def _is_news(self, event: CodexEvent) -> bool:
        # Told with every change of any setting; a sub-agent's model is its own business.
        model = event.data["model"]
        if event.thread_id != self.thread_id or model in ("", self.model):
            return False
        self.model = model
        return True

    def _learn_turn(self, event: CodexEvent) -> None:
        if event.thread_id == self.thread_id:
            self.started(event.turn_id)

    def _learn_beginning(self, event: CodexEvent) -> None:
        if event.thread_id == self.thread_id:
            self._begun = event.turn_id

    def _end_untold(self, event: CodexEvent) -> None:
        """Tell the end of a turn that ended with this one, and of which Codex tells none."""
        if event.thread_id != self.thread_id or not self._rests:
            return
        begun, self._begun = self._begun, ""
        if begun and begun not in self._finished:
            self.take(replace(event, turn_id=begun))

    def _end_turn(self, event: CodexEvent) -> None:
        turn_id = event.turn_id
        if event.thread_id == self.thread_id:
            self._finished.append(turn_id)
            self.active_turn = ""
        if turn_id in self._over:
            self._over[turn_id].set()
        # A turn that was interrupted takes its questions with it, and not every version says so.
        for request_id, question in list(self.questions.items()):
            if question.turn_id == turn_id and question.thread_id == event.thread_id:
                self.resolved(request_id, event.at)
        for call_id, call in list(self.tools.items()):
            if call.turn_id == turn_id and call.thread_id == event.thread_id:
                del self.tools[call_id]

    def _keep_patch(self, item_id: str, changes: Any) -> None:
        while len(self._patches) >= PATCHES_KEPT:
            del self._patches[next(iter(self._patches))]
        self._patches[item_id] = changes
