"""What is known of one thread of an mcp-server: its events, its turn, its calls, its questions.

Codex reads a thread's events for a call of one of its tools, and stops when it answers that call.
It answers at the end of a turn and at an error. What follows from it is seen on 0.120, 0.145 and
0.153.4:

- An interrupted turn ends with an event and no answer. Its call goes on reading, beside the next
  one: either may get the next event, or the next answer. So a turn's end is the event's, and two
  events that come close together may change places.
- A failed turn is answered at its error, before its end is read. The next call reads that end,
  takes it for its own and is answered at once, while its turn begins: then nobody reads the
  thread. It takes one more call, with whatever words, until its events are heard. A call that
  comes before Codex has ended the failed turn, some milliseconds later, is put into that turn,
  and its words are asked of no model: so the thread is left alone for a moment.
- The words of that one more call wait in the turn for the model's next question. When the turn is
  interrupted before, nobody hears them, and their call is never answered (0.153.4).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from netsky_runtime.codex.base import AnswerLost
from netsky_runtime.codex.channel import ThreadChannel
from netsky_runtime.codex.events import CodexEvent, EventKind
from netsky_runtime.codex.mcp_server import approvals, normalise
from netsky_runtime.codex.mcp_server.calls import Calls
from netsky_runtime.states import DecisionWord, TurnStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from netsky_runtime.clock import Clock
    from netsky_runtime.codex.base import LaunchSpec, RuntimeFailure
    from netsky_runtime.codex.mcp_server.approvals import Question
    from netsky_runtime.codex.mcp_server.calls import Call
    from netsky_runtime.codex.mcp_server.tool import Answer

ENDS_KEPT: Final = 64
ITEMS_KEPT: Final = 1000
REST_SECONDS: Final = 0.5
"""For how long nothing is said to a thread after a failed turn was told."""
NOTE: Final = (
    "[{sender}] This line asks for nothing new. Go on with the message before it, and end with "
    "your answer to that."
)
"""What is said to a thread that nobody reads, so that its turn is heard. The model may answer it
with what it has already answered: a turn's last words are then still those that count."""
_SILENT = "It was sent, and Codex has answered without a word of it."
_ITEMS = (EventKind.ITEM_STARTED, EventKind.ITEM_COMPLETED)
_TOTALS = (EventKind.USAGE, EventKind.RATE_LIMITS)


def note(spec: LaunchSpec) -> str:
    """Return the words that make Codex read a thread again, with the mark of netsky's words."""
    return NOTE.format(sender=f"netsky {spec.mark}".strip())


class Thread:
    """State of one thread, fed in receive order by the reader. Nothing here waits."""

    def __init__(self, spec: LaunchSpec, *, clock: Clock) -> None:
        self.spec = spec
        self.made_at = clock.now()
        """In milliseconds; Codex knows nothing of the thread before."""
        self.id = ""
        """Codex's durable id; empty until the first message has named the thread."""
        self.configured: Mapping[str, Any] = {}
        """What Codex said when it made the thread: model, folder, rollout."""
        self.lost = ""
        """Why the thread cannot be reached any more; empty while it can."""
        self.active_turn = ""
        self.watched = False
        self.calls = Calls()
        self.questions: dict[str, Question] = {}
        """Held approvals by request id, as text."""
        self.unread = False
        """A turn may run whose events nobody reads."""
        self.rests_until = 0.0
        """The monotonic time before which Codex may still put words into a turn that failed."""
        self._clock = clock
        self._channel: ThreadChannel | None = None
        self._end_unread = False
        self._stopped = ""
        self._ends: dict[str, CodexEvent] = {}
        self._errors: dict[str, str] = {}
        self._told: dict[tuple[str, EventKind, str], None] = {}
        self._speaking = ""
        self._announced: dict[str, Mapping[str, Any]] = {}
        self._totals: dict[EventKind, CodexEvent] = {}

    @property
    def busy(self) -> bool:
        """Whether a turn runs, or words are on their way that may yet begin one."""
        return bool(self.active_turn or self.calls.waiting)

    @property
    def attended(self) -> bool:
        """Whether a session is attached."""
        return self._channel is not None

    @property
    def rollout(self) -> str:
        """Where Codex writes the thread down, empty when it has not said."""
        return str(self.configured.get("rollout_path") or "")

    def end_of(self, turn_id: str) -> CodexEvent | None:
        """Return the end of a turn that was told, ``None`` when it was not or is forgotten."""
        return self._ends.get(turn_id)

    def attach(self) -> ThreadChannel:
        """Return a new channel, with what a consumer who comes now has to know."""
        if self._channel is not None:
            self._channel.end(None)
        self._channel = ThreadChannel(self.id, clock=self._clock)
        at = self._clock.now()
        for event in self._totals.values():
            self._pass(replace(event, at=at))
        if self.active_turn:
            self._tell_status()
        for question in self.questions.values():
            self._pass(approvals.requested(question, at=at))
        return self._channel

    def detach(self, channel: ThreadChannel) -> None:
        """Let go of a channel; the thread goes on."""
        channel.end(None)
        if self._channel is channel:
            self._channel, self.watched = None, False

    def named(self, thread_id: str) -> None:
        """Learn the thread's id."""
        self.id = thread_id
        if self._channel is not None:
            self._channel.name(thread_id)

    def take(self, params: Mapping[str, Any], at: int) -> None:
        """Take in one notification. Raises one of ``UNREADABLE`` before anything is told."""
        events = normalise.events(params, self.id, at)
        message = normalise.message_of(params)
        kind = message.get("type")
        if kind == normalise.CONFIGURED:
            self.configured = message
        elif kind in (normalise.COMMAND_ASKED, normalise.PATCH_ASKED):
            self._announced[str(message.get("call_id") or "")] = message
        elif kind == normalise.TURN_ENDED:
            self._finish_speaking(normalise.turn_of(params), message, at)
        for event in events:
            self._take(event)

    def garbled(self, params: Mapping[str, Any], at: int, data: Mapping[str, Any]) -> None:
        """Keep a notification raw that has another shape than is known."""
        self._put(EventKind.UNKNOWN, at, data=data)
        if normalise.message_of(params).get("type") in normalise.ENDS:
            # Some turn has ended, who knows how: history does.
            self.active_turn = ""
            self._put(EventKind.RESYNC, at)

    def announced(self, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the event that came before an elicitation."""
        return self._announced.get(approvals.call_of(params), {})

    def ask(self, question: Question, at: int) -> None:
        """Hold a question and tell about it. Raises one of ``UNREADABLE`` before it is held."""
        event = approvals.requested(question, at=at)
        self.questions[str(question.id)] = question
        self._pass(event)
        self._tell_status()

    def decided(self, question: Question, word: DecisionWord) -> None:
        """Note that a question was answered. Codex does not tell so, nor that it ran nothing."""
        at = self._clock.now()
        self._resolve(question, at)
        self._tell_status()
        if word in (DecisionWord.DECLINE, DecisionWord.CANCEL):
            self._tell_declined(question, at)

    def stopping(self, turn_id: str) -> None:
        """Note that netsky has asked for the turn's end."""
        self._stopped = turn_id

    def answered(self, call: Call, answer: Answer, at: int) -> bool:
        """Take in the answer to a call; return whether nobody reads the thread now.

        The events that Codex read for the call have all been taken in before.
        """
        self.calls.answered(call)
        turn_id = self.active_turn
        if answer.failed and turn_id:
            # Its end is still to be read: by another call, if one waits.
            self._end_unread = True
            self.rests_until = self._clock.monotonic() + REST_SECONDS
            self._end(turn_id, TurnStatus.FAILED, answer.text, at)
        elif turn_id and call.turn_id == turn_id:
            stopped = self._stopped == turn_id
            status = TurnStatus.INTERRUPTED if stopped else TurnStatus.COMPLETED
            self._end(turn_id, status, self._errors.get(turn_id, ""), at)
        if answer.failed:
            self.calls.drop(call)
        if call.turn_id or answer.failed:
            return False
        self.unread = True
        if call.batch_id:
            return not self.calls.reading
        # Not even netsky's own words were read: a turn may run now that nobody hears of.
        self.calls.drop(call)
        for silent in self.calls.waiting:
            if silent.answered:
                self.calls.drop(silent)
                silent.settle(AnswerLost(_SILENT, connected=True))
        return False

    def end(self, reason: str | None, failure: Callable[[], RuntimeFailure]) -> None:
        """End the events, with ``SESSION_LOST`` when there is a reason; wake who waits."""
        self.lost = self.lost or reason or "The session was closed."
        self.active_turn = ""
        self.questions.clear()
        for call in self.calls.clear():
            call.settle(failure())
        if self._channel is not None:
            self._channel.end(reason)

    def _take(self, event: CodexEvent) -> None:
        kind = event.kind
        if kind is EventKind.DELTA:
            if self.watched:
                self._pass(event)
        elif kind in _ITEMS:
            self._take_item(event)
        elif kind is EventKind.TURN_STARTED:
            self._begin(event)
        elif kind is EventKind.TURN_COMPLETED:
            self._take_end(event)
        elif kind in _TOTALS:
            # 0.120 repeats both without news.
            last = self._totals.get(kind)
            if last is None or last.data != event.data:
                self._totals[kind] = event
                self._pass(event)
        else:
            if kind is EventKind.ERROR and not event.data["will_retry"]:
                self._errors[event.turn_id] = event.data["message"]
            self._pass(event)

    def _begin(self, event: CodexEvent) -> None:
        if event.turn_id in self._ends:
            return
        self.active_turn = event.turn_id
        self._pass(event)
        self._tell_status()
        if not self.unread and not self._end_unread:
            for call in self.calls.waiting:  # it can be the turn of no other words
                call.turn_id = event.turn_id
                call.settle(None)

    def _take_item(self, event: CodexEvent) -> None:
        # Versions tell commands and patches twice, by item and by single events.
        key = (event.turn_id, event.kind, event.item_id)
        if key in self._told:
            return
        while len(self._told) >= ITEMS_KEPT:
            del self._told[next(iter(self._told))]
        self._told[key] = None
        kind = event.data["type"]
        if kind == "user_message":
            if not self._hear(event):
                return
            batch = self.calls.batch(event.turn_id, event.data["text"])
            event = replace(event, data={**event.data, "client_id": batch})
        elif kind == "agent_message":
            self._speaking = event.item_id if event.kind is EventKind.ITEM_STARTED else ""
        self._pass(event)

    def _hear(self, event: CodexEvent) -> bool:
        """Learn from a message whose words it carries; return whether anybody said them."""
        call = self.calls.heard(event.data["text"], event.turn_id)
        if call is not None:
            if event.turn_id not in self._ends:
                self.active_turn = event.turn_id
            if call.batch_id:
                self.unread = self._end_unread = False
            call.settle(None)
        return bool(event.data["text"] != note(self.spec))

    def _finish_speaking(self, turn_id: str, message: Mapping[str, Any], at: int) -> None:
        # Of two calls that read, one may tell the turn's end before the other its last words.
        words = message.get("last_agent_message")
        if self._speaking and isinstance(words, str) and turn_id == self.active_turn:
            data = {"type": "agent_message", "text": words}
            item_id, kind = self._speaking, EventKind.ITEM_COMPLETED
            self._take_item(CodexEvent(kind, self.id, at, turn_id, item_id, data))

    def _take_end(self, event: CodexEvent) -> None:
        turn_id, data = event.turn_id, event.data
        if turn_id in self._ends:
            self._end_unread = False
            return
        error = str(data["error"]) or self._errors.get(turn_id, "")
        status = TurnStatus(data["status"])
        if error and status is TurnStatus.COMPLETED:
            status = TurnStatus.FAILED  # 0.120 ends a failed turn like any other
        self._end(turn_id, status, error, event.at, completed_at=data["completed_at"])

    def _end(
        self,
        turn_id: str,
        status: TurnStatus,
        error: str,
        at: int,
        *,
        completed_at: int | None = None,
    ) -> None:
        data = {"status": status.value, "error": error, "completed_at": completed_at or at}
        while len(self._ends) >= ENDS_KEPT:
            del self._ends[next(iter(self._ends))]
        ended = CodexEvent(EventKind.TURN_COMPLETED, self.id, at, turn_id, data=data)
        self._ends[turn_id] = ended
        if status is TurnStatus.INTERRUPTED:
            self.calls.gone_with(turn_id)
        if self.active_turn == turn_id:
            self.active_turn = ""
        held = [q for q in self.questions.values() if q.turn_id == turn_id]
        for question in held:
            self._tell_declined(question, at)
        self._errors.pop(turn_id, None)
        self._announced.clear()
        self._speaking = ""
        self._tell_status()
        self._pass(ended)
        for question in held:
            self._resolve(question, at)  # it ended with its turn, and Codex does not say so

    def _resolve(self, question: Question, at: int) -> None:
        self.questions.pop(str(question.id), None)
        data = {"request_id": str(question.id)}
        kind, item_id = EventKind.APPROVAL_RESOLVED, question.item_id
        self._put(kind, at, turn_id=question.turn_id, item_id=item_id, data=data)

    def _tell_declined(self, question: Question, at: int) -> None:
        for event in approvals.declined(question, at=at):
            self._take_item(event)

    def _tell_status(self) -> None:
        # The app-server says it itself, and who watches a thread looks for it on every door.
        active = bool(self.active_turn)
        flags = ["waitingOnApproval"] if active and self.questions else []
        data = {"status": "active" if active else "idle", "flags": flags}
        self._put(EventKind.THREAD_STATUS, self._clock.now(), data=data)

    def _put(
        self,
        kind: EventKind,
        at: int,
        *,
        turn_id: str = "",
        item_id: str = "",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self._pass(CodexEvent(kind, self.id, at, turn_id, item_id, data or {}))

    def _pass(self, event: CodexEvent) -> None:
        if self._channel is not None:
            self._channel.put(event)
