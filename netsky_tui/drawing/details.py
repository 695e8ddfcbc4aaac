"""Details pages: a task, a message with its path, an actor with its session; and help."""

from __future__ import annotations

from typing import TYPE_CHECKING

from netsky_tui import tracing, vitals
from netsky_tui.drawing import gauges
from netsky_tui.drawing.messages import mark_of
from netsky_tui.drawing.paragraphs import Para, Writer
from netsky_tui.keymap import SCOPES, TITLES, Keymap, pretty
from netsky_tui.notices import Weight
from netsky_tui.text import clock_time, harmless, one_line
from netsky_tui.words import (
    HEALTH,
    INPUT,
    KIND_WORD,
    PARKED,
    QUESTION,
    STOPPED,
    TASK,
    UNREAD,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from netsky_runtime.db.trace import Trace
    from netsky_runtime.records import Note, Session, Task, Turn
    from netsky_tui.notices import Notice
    from netsky_tui.source import ActorFacts, ActorPast, MessageFacts

_ASKED_FOR = {"terminal": "attach", "resume": "move here"}
"""What an operator calls what a capability is needed for."""


def task_page(
    task: Task, notes: Sequence[Note], said: Sequence[MessageFacts], now: int
) -> tuple[Para, ...]:
    """Write a task with its dependencies, notes and messages."""
    out = Writer()
    mark = TASK[task.status]
    out.add(task.title, "strong")
    out.add("")
    out.field("status", f"{mark.glyph} {mark.word}", mark.tone)
    out.field("priority", task.priority.value)
    out.field("owner", task.owner_id or "nobody yet")
    out.field("manager", task.manager_id or "")
    out.field("after", ", ".join(task.depends_on))
    out.field("estimate", f"{task.estimate_minutes} min" if task.estimate_minutes else "")
    out.field("made", clock_time(task.created_at, now))
    out.field("changed", clock_time(task.updated_at, now))
    out.field("closed", clock_time(task.closed_at, now) if task.closed_at else "")
    if task.body:
        out.heading("What to do")
        out.add(task.body)
    if notes:
        out.heading("Notes")
        for note in notes:
            out.add(
                note.body, label=f"{clock_time(note.created_at, now)} {one_line(note.author)}  "
            )
    if said:
        out.heading("Messages")
        for fact in said:
            _message(out, fact, now)
    return out.done()


def message_page(fact: MessageFacts, path: Trace, now: int) -> tuple[Para, ...]:
    """Write a message with its whole body and its path."""
    out = Writer()
    message, mark = fact.message, mark_of(fact)
    out.field("from", message.sender, "strong")
    out.field("to", message.target, "strong")
    out.field("kind", KIND_WORD[message.kind] or "text")
    out.field("entered by", message.source.value)
    out.field("at", clock_time(message.created_at, now, seconds=True))
    out.field("state", f"{mark.glyph} {mark.word}".strip() or message.status.value, mark.tone)
    out.field("because", fact.reason)
    out.field("task", message.task_id or "")
    out.field("answers", message.in_reply_to or "")
    out.field("id", message.id, "dim")
    out.heading("Body")
    out.add(message.body)
    out.heading("Its way")
    _way(out, path, now)
    return out.done()


def trace_page(trace: Trace, now: int) -> tuple[Para, ...]:
    """Write the way of a message, from any id on it."""
    out = Writer()
    _way(out, trace, now)
    return out.done()


def _way(out: Writer, trace: Trace, now: int) -> None:
    for line in tracing.lines(trace):
        label = f"{tracing.moment(line, now):<13}"
        out.add(line.text, line.tone, label=label, indent=2 * line.depth)


_SCREEN_LINES = 12
"""Of the foot of a screen, where Codex asks and listens: with it a question fits into 24 rows."""


def actor_page(
    fact: ActorFacts,
    past: ActorPast,
    now: int,
    *,
    lacks: Mapping[str, str],
    attach: str,
) -> tuple[Para, ...]:
    """Write an actor with its session, its latest turns and what was done when one hung.

    ``lacks`` is what its door cannot do, and why, ``attach`` the key that shows Codex's own
    screen.
    """
    out = Writer()
    actor, session, health = fact.actor, fact.session, fact.health
    lines = harmless(past.screen).strip("\n").splitlines()
    if session is not None and session.blocked:
        out.heading("What blocks it")
        since = clock_time(session.blocked_at, now) if session.blocked_at else ""
        out.add(session.blocked, "warn", label=f"{since} ▲ ".lstrip())
        for line in lines[-_SCREEN_LINES:]:
            out.add(line, "text", indent=2)
        out.add("netsky types nothing there and answers nothing: that is yours to do.", "soft")
        out.add(f"{attach} on its row, or netsky actors attach {actor.id}", "soft")
        out.heading("Actor")
    mark = HEALTH[health.state]
    out.field("health", f"{mark.glyph} {mark.word}: {vitals.told(health, now)}", mark.tone)
    out.field("known by", vitals.known_by(health, now))
    out.field("since", clock_time(health.since, now) if health.since else "")
    out.field("status", actor.status.value)
    out.field("reports to", actor.manager_id or "")
    out.field("objective", actor.objective)
    out.field("folder", actor.cwd)
    if session is not None:
        _session(out, session, lacks)
    _past(out, past, now)
    if len(lines) > _SCREEN_LINES:
        out.heading("Its screen, whole")
        for line in lines:
            out.add(line, "dim", indent=2)
    return out.done()


def _session(out: Writer, session: Session, lacks: Mapping[str, str]) -> None:
    out.heading("Session")
    out.field("runtime", f"{session.runtime.value}, {session.state.value}")
    out.field("thread", session.thread_id or "none before its first turn")
    if session.previous_thread_id:
        out.field("before", f"{session.previous_thread_id}, which could not go on", "warn")
    out.field("model", session.model or "Codex's own choice")
    out.field("effort", session.effort)
    out.field("sandbox", session.sandbox)
    out.field("approvals", session.approval_policy)
    out.field("folder", session.cwd)
    out.field("differs", session.differences, "warn")
    out.field("ended", session.end_reason, "warn")
    if lacks:
        out.heading(f"Not on {session.runtime.value}")
        for name, why in lacks.items():
            out.field(_ASKED_FOR.get(name, name), why, "dim")


def _past(out: Writer, past: ActorPast, now: int) -> None:
    if past.gauges:
        out.heading("Budgets")
        for gauge in past.gauges:
            out.field(gauge.subject or "the day", gauges.whole(gauge), gauges.tone(gauge))
    if (usage := past.usage) is not None:
        out.heading("Tokens")
        window = f" of {usage.context_window:,}" if usage.context_window else ""
        out.field("total", f"{usage.total_tokens:,}{window}")
        out.field("in, out", f"{usage.input_tokens:,}, {usage.output_tokens:,}")
    if past.rungs:
        out.heading("What was done when a turn hung")
        for rung in past.rungs:
            out.add(vitals.rung(rung, now), "soft")
    if past.turns:
        out.heading("Latest turns")
        for turn in past.turns:
            text = one_line(turn.error or turn.final_text)[:300]
            out.add(f"{turn.status.value.replace('_', ' ')}  {text}", label=_when(turn, now))


_TOGETHER = "\u00a0"
"""A space at which no line is broken."""
_SIGNS = {
    "actor": (*HEALTH.values(), PARKED, STOPPED),
    "task": tuple(TASK.values()),
    "message": (*INPUT.values(), UNREAD, QUESTION),
}


def help_page(keymap: Keymap) -> tuple[Para, ...]:
    """Write every key, with the name to remap it by."""
    out = Writer()
    for scope, entries in SCOPES.items():
        out.heading(TITLES[scope])
        for entry in entries:
            keys = pretty(keymap.of(entry))
            out.add(f"{entry.help}   ({entry.id})", "soft", label=f"{keys:<20}")
    out.heading("Your own keys")
    out.add('keys.toml in the home folder, one line a key:  "room.help" = "f3"', "soft")
    for error in keymap.errors:
        out.add(error, "bad")
    out.heading("Signs")
    for label, marks in _SIGNS.items():
        signs = [f"{mark.glyph}{_TOGETHER}{mark.word}" for mark in marks]
        out.add("   ".join(signs), "soft", label=f"{label:<12}")
    out.field("beside", "▲2 approvals that wait   ✉3 messages that wait for their turn", "soft")
    out.field("door", "app, mcp, res, scr, when there is no room for its whole name", "soft")
    out.field("events", "$ command   ± files   ⚒ tool   ← told   ” said   ∴ thought", "soft")
    waits = keymap.say("room.decide")
    out.add(f"▲ blocked: it waits for you; {waits} goes there", "soft")
    out.add("? uncertain: open the message (Enter) to decide whether to send it again", "soft")
    return out.done()


_HEADINGS = {
    Weight.ALARM: "What keeps work from going on",
    Weight.TROUBLE: "Your own keys",
    Weight.ADVICE: "Good to know",
}


def notices_page(told: Sequence[Notice]) -> tuple[Para, ...]:
    """Write every notice, whole."""
    out = Writer()
    before: Weight | None = None
    for notice in told:
        if notice.weight is not before:
            before = notice.weight
            out.heading(_HEADINGS[notice.weight])
        else:
            out.add("")
        out.add(notice.text, "bad" if notice.weight is Weight.ALARM else "text")
    if not told:
        out.add("There is nothing to tell.", "dim")
    return out.done()


def _message(out: Writer, fact: MessageFacts, now: int) -> None:
    message = fact.message
    head = f"{clock_time(message.created_at, now)} {message.sender} → {message.target}"
    out.add(f"{head}  {KIND_WORD[message.kind]}".rstrip(), "dim")
    out.add(message.body, indent=2)


def _when(turn: Turn, now: int) -> str:
    return clock_time(turn.started_at, now) + "  "
