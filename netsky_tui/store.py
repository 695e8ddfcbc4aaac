"""What the room knows, as it is shown: view-models folded from snapshots and pushes. No Textual."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from netsky_runtime import likeness
from netsky_runtime.attention.items import Urgency
from netsky_runtime.records import MANAGER0, OWNER
from netsky_runtime.states import ApprovalStatus, AttentionKind, DecisionWord
from netsky_tui import notices
from netsky_tui.drawing import actors, approvals, attention, events, messages, tasks
from netsky_tui.notices import Notice, Weight
from netsky_tui.source import ActorFacts, Ask, MessageFacts, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from netsky_runtime.approval_records import Approval
    from netsky_runtime.attention.items import AttentionItem
    from netsky_tui.drawing.actors import ActorRow
    from netsky_tui.drawing.approvals import ApprovalRow
    from netsky_tui.drawing.attention import AttentionRow
    from netsky_tui.drawing.events import EventRow
    from netsky_tui.drawing.messages import MessageRow
    from netsky_tui.drawing.tasks import TaskRow

LINGER = 5000
"""Milliseconds a decided approval stays in view."""

DOING = {
    DecisionWord.ACCEPT: "accepting…",
    DecisionWord.ACCEPT_FOR_SESSION: "accepting for the session…",
    DecisionWord.DECLINE: "declining…",
    DecisionWord.CANCEL: "declining and interrupting…",
}


_NOTHING: Mapping[str, str] = MappingProxyType({})


class Part(StrEnum):
    """What can have changed."""

    ACTORS = "actors"
    TASKS = "tasks"
    MESSAGES = "messages"
    EVENTS = "events"
    ATTENTION = "attention"
    STATUS = "status"


ALL = frozenset(Part)


class LinkState(StrEnum):
    """How the room stands to the daemon."""

    STARTING = "starting"
    HOSTING = "hosting"
    ATTACHED = "attached"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    STOPPED = "stopped"
    """Somebody has ended the daemon, and this room waits to be told to host."""
    STOPPING = "stopping"


@dataclass(slots=True)
class Daemon:
    """What the daemon says about itself."""

    link: LinkState = LinkState.STARTING
    detail: str = ""
    pid: int = 0
    epoch: int = 0
    runtime: str = ""
    codex_version: str = ""
    rooms: int = 0
    detail_of_runtime: str = ""
    survives: bool = True
    """Whether turns go on without netsky."""
    notices: tuple[str, ...] = ()
    trouble: str = ""
    """Why nothing can be stored just now, with what to do."""
    doors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of each door that is in use: what it cannot do, and why."""


@dataclass(slots=True)
class Store:
    """The state of one room. ``apply`` and ``live`` say what they changed."""

    ask: Ask = field(default_factory=Ask)
    daemon: Daemon = field(default_factory=Daemon)
    snapshot: Snapshot = field(default_factory=Snapshot)
    actors: tuple[ActorRow, ...] = ()
    tasks: tuple[TaskRow, ...] = ()
    messages: tuple[MessageRow, ...] = ()
    events: tuple[EventRow, ...] = ()
    approvals: tuple[ApprovalRow, ...] = ()
    """Questions of Codex's that wait, and those that were decided a moment ago."""
    attention: tuple[AttentionRow, ...] = ()
    """All that waits for the owner, those questions among it."""
    loaded: bool = False
    """Whether the database has been read at least once."""
    key_problems: tuple[str, ...] = ()
    """What is wrong in keys.toml."""
    problem: str = ""
    """Why the database cannot be read."""
    notices_key: str = "F2"
    put_away: frozenset[str] = frozenset()
    """Notices that the operator has read and wants out of the way."""
    _live: Mapping[str, Any] | None = None
    _facts: tuple[EventRow, ...] = ()
    _deciding: dict[str, DecisionWord] = field(default_factory=dict)
    _settled: dict[str, int] = field(default_factory=dict)
    _by_id: dict[str, Approval] = field(default_factory=dict)

    # -- folding ---------------------------------------------------------------------------

    def apply(self, snapshot: Snapshot, now: int) -> frozenset[Part]:
        """Take in a snapshot; return what looks different."""
        before = self.snapshot
        self.snapshot = snapshot
        first = not self.loaded
        self.loaded = True
        changed = self._derive(before, now) | ({Part.STATUS} if first else set())
        beside = ("totals", "gauges", "hold", "events_of")
        if any(getattr(before, name) != getattr(snapshot, name) for name in beside):
            changed.add(Part.STATUS)
        return frozenset(changed)

    def tick(self, now: int) -> frozenset[Part]:
        """Let time pass: ages grow, decided approvals go. Return what looks different."""
        return frozenset(self._derive(self.snapshot, now))

    def _derive(self, before: Snapshot, now: int) -> set[Part]:
        changed: set[Part] = set()
        snapshot = self.snapshot
        why = f"{self.no_codex}: {self.notices_key} notices" if self.no_codex else ""
        actor_rows = actors.rows(snapshot.actors, now, no_codex=why)
        if actor_rows != self.actors:
            self.actors = actor_rows
            changed.add(Part.ACTORS)
        if snapshot.tasks is not before.tasks or not self.tasks:
            task_rows = tasks.rows(snapshot.tasks)
            if task_rows != self.tasks:
                self.tasks = task_rows
                changed.add(Part.TASKS)
        if (message_rows := messages.rows(snapshot.messages, now)) != self.messages:
            self.messages = message_rows
            changed |= {Part.MESSAGES, Part.STATUS}
        if snapshot.events != before.events or not self._facts:
            self._facts = events.rows(snapshot.events, now)
        changed |= self._show_events()
        changed |= self._show_approvals(now)
        return changed

    def set_live(self, payload: Mapping[str, Any]) -> frozenset[Part]:
        """Take in the live text of an actor."""
        self._live = payload
        return frozenset(self._show_events())

    def _show_events(self) -> set[Part]:
        rows = self._facts if self.snapshot.events_of == self.ask.actor_id else ()
        if self._live is not None and self._live.get("actor_id") == self.ask.actor_id:
            rows = (*rows, *events.live_rows(self._live))
        if rows == self.events:
            return set()
        self.events = rows
        return {Part.EVENTS}

    # -- approvals -------------------------------------------------------------------------

    def _show_approvals(self, now: int) -> set[Part]:
        self._by_id = {approval.id: approval for approval in self.snapshot.approvals}
        rows = []
        for approval in self.snapshot.approvals:
            doing = ""
            if approval.status is ApprovalStatus.PENDING:
                if (word := self._deciding.get(approval.id)) is not None:
                    doing = DOING[word]
            else:
                self._deciding.pop(approval.id, None)
                since = self._settled.setdefault(approval.id, now)
                if now - since >= LINGER:
                    continue
            rows.append(approvals.row(approval, now, doing=doing))
        known = tuple(row.key for row in rows)
        if known != self.ask.approvals_known:
            self.ask = replace(self.ask, approvals_known=known)
        self.approvals = tuple(rows)
        queue = attention.rows(self.snapshot.attention, self.approvals, now)
        if queue == self.attention:
            return set()
        self.attention = queue
        return {Part.ATTENTION, Part.STATUS}

    def approval(self, approval_id: str) -> Approval | None:
        """Return an approval that is in view."""
        return self._by_id.get(approval_id)

    def alike(self, approval_id: str) -> tuple[Approval, ...]:
        """Return an approval that waits and the others that ask the same, itself first."""
        waiting = [
            each
            for each in self.snapshot.approvals
            if each.status is ApprovalStatus.PENDING and each.id not in self._deciding
        ]
        model = next((each for each in waiting if each.id == approval_id), None)
        if model is None:
            return ()
        kinds = {facts.actor.id: facts.actor.kind for facts in self.snapshot.actors}
        others = [each for each in waiting if each.id != approval_id]
        return (model, *likeness.alike(model, others, kinds))

    def doing(self, approval_id: str) -> str:
        """Say which decision is on its way, if one is."""
        word = self._deciding.get(approval_id)
        return DOING[word] if word is not None else ""

    def deciding(self, approval_id: str, word: DecisionWord | None, now: int) -> frozenset[Part]:
        """Note that a decision is on its way, or (None) that it did not get through."""
        if word is None:
            self._deciding.pop(approval_id, None)
        else:
            self._deciding[approval_id] = word
        return frozenset(self._show_approvals(now))

    def item(self, key: str) -> AttentionItem | None:
        """Return something that waits, as it was last read."""
        return next((item for item in self.snapshot.attention if item.key == key), None)

    @property
    def waiting(self) -> tuple[ApprovalRow, ...]:
        """Approvals that wait for a decision."""
        return tuple(row for row in self.approvals if row.waits)

    # -- the rest --------------------------------------------------------------------------

    def look_at(self, actor_id: str) -> bool:
        """Choose whose events are shown; False when they are already."""
        if actor_id == self.ask.actor_id:
            return False
        self.ask = replace(self.ask, actor_id=actor_id)
        self._show_events()
        return True

    def more(self, part: Part) -> bool:
        """Ask for older rows; False when there are none or enough."""
        ask, snapshot = self.ask, self.snapshot
        match part:
            case Part.MESSAGES:
                if len(snapshot.messages) < ask.messages or ask.messages >= 2000:
                    return False
                self.ask = replace(ask, messages=ask.messages + 200)
            case Part.EVENTS:
                if len(snapshot.events) < ask.events or ask.events >= 3000:
                    return False
                self.ask = replace(ask, events=ask.events + 300)
            case _:
                return False
        return True

    def facts(self, actor_id: str) -> ActorFacts | None:
        """Return what is known of an actor."""
        return next((f for f in self.snapshot.actors if f.actor.id == actor_id), None)

    def message(self, message_id: str) -> MessageFacts | None:
        """Return a message that is loaded."""
        return next((f for f in self.snapshot.messages if f.message.id == message_id), None)

    def lacks(self, actor_id: str) -> Mapping[str, str]:
        """Return what the actor's door cannot do, by the names of its capabilities, and why."""
        facts = self.facts(actor_id)
        session = facts.session if facts is not None else None
        return self.daemon.doors.get(session.runtime.value, _NOTHING) if session else _NOTHING

    @property
    def screens_blocked(self) -> int:
        """How many actors wait because nobody but a human may type on their screens."""
        return sum(row.kind is AttentionKind.BLOCKED for row in self.attention)

    @property
    def urgent(self) -> int:
        """For how many things somebody stands still."""
        return sum(row.waits and row.urgency is Urgency.NOW for row in self.attention)

    @property
    def targets(self) -> tuple[str, ...]:
        """Who can be written to."""
        return tuple(row.key for row in self.actors if not row.stopped) or (MANAGER0,)

    def owner_lines(self) -> tuple[str, ...]:
        """Return what the owner has sent, oldest first, for the composer's history."""
        return tuple(f.message.body for f in self.snapshot.messages if f.message.sender == OWNER)

    def set_status(self, answer: Mapping[str, Any]) -> frozenset[Part]:
        """Take in the answer of the ``status`` verb."""
        daemon, before = self.daemon, replace(self.daemon)
        about = answer.get("daemon") or {}
        runtime = answer.get("runtime") or {}
        daemon.pid, daemon.epoch = int(about.get("pid") or 0), int(about.get("epoch") or 0)
        daemon.runtime = str(runtime.get("name") or "")
        daemon.codex_version = str(runtime.get("codex_version") or "")
        daemon.notices = tuple(str(notice) for notice in runtime.get("notices") or ())
        daemon.detail_of_runtime = str(runtime.get("detail") or "")
        daemon.survives = bool(runtime.get("survives_netsky", True))
        daemon.trouble = str((answer.get("storage") or {}).get("notice") or "")
        daemon.rooms = int(answer.get("rooms") or 0)
        daemon.doors = answer.get("doors") or {}
        return frozenset({Part.STATUS}) if daemon != before else frozenset()

    def set_link(self, link: LinkState, detail: str = "") -> frozenset[Part]:
        """Note how the room stands to the daemon."""
        self.daemon.link, self.daemon.detail = link, detail
        return frozenset({Part.STATUS})

    @property
    def no_codex(self) -> str:
        """Two or three words for why no turn can run; empty when one can."""
        daemon = self.daemon
        version, detail = daemon.codex_version, daemon.detail_of_runtime
        return notices.no_codex(daemon.notices, version=version, detail=detail)

    @property
    def notices(self) -> tuple[Notice, ...]:
        """Everything there is to tell, the most pressing first."""
        return notices.arrange(
            alarms=(self.daemon.trouble, self.problem),
            own=self.key_problems,
            told=self.daemon.notices,
            why=self.no_codex,
        )

    @property
    def fresh_notices(self) -> tuple[Notice, ...]:
        """Those that were not put away."""
        return tuple(each for each in self.notices if each.text not in self.put_away)

    @property
    def alarm(self) -> str:
        """What has a line of its own; empty when nothing is as bad."""
        first = next(iter(self.fresh_notices), None)
        return first.text if first is not None and first.weight is Weight.ALARM else ""

    def put_notices_away(self) -> frozenset[Part]:
        """Show the present notices only on their page from now on."""
        self.put_away |= {notice.text for notice in self.notices}
        return frozenset({Part.STATUS})
