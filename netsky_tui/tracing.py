"""A trace as lines to read: the same in a terminal's pipe and in the room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from netsky_runtime.counting import count
from netsky_runtime.states import InputStatus
from netsky_tui.cli.text import harmless, one_line
from netsky_tui.text import clock_time
from netsky_tui.words import APPROVAL, INPUT, KIND_SHORT, KIND_WORD, TASK

if TYPE_CHECKING:
    from netsky_runtime.approval_records import Approval
    from netsky_runtime.db.trace import Call, Chain, InputTrace, Step, TaskTrace, Trace, TurnTrace
    from netsky_runtime.records import Delivery, Message, Note, Task

QUOTE: Final = 200
"""Characters shown of each text."""

_KNOWN: Final = {
    InputStatus.QUEUED: "netsky stored it",
    InputStatus.HANDED: "Codex accepted it",
    InputStatus.SEEN: "its thread shows it",
    InputStatus.ANSWERED: "its turn completed",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line: how far it is indented, the time it tells of, and a tone of the theme."""

    depth: int
    text: str
    tone: str = "text"
    at: int | None = None


def lines(trace: Trace) -> tuple[Line, ...]:
    """Write a trace from top to bottom."""
    found: list[Line] = []
    if trace.task is not None:
        found += _task(trace.task, 0)
    if trace.turn is not None and not any(each.inputs for each in trace.chains):
        found += _turn(trace.turn, 0)
    if trace.actor_id:
        found.append(Line(0, f"thread {trace.id} of {trace.actor_id}", "strong"))
    if trace.more:
        found.append(
            Line(0, f"Only {count(len(trace.chains), 'message is', 'messages are')} shown.", "dim")
        )
    for chain in trace.chains:
        found += _chain(chain, shown=trace.task)
    if not trace.chains:
        found.append(Line(0, "No message is on its way.", "dim"))
    return tuple(found)


def moment(line: Line, now: int) -> str:
    """Return the local time a line tells of, as exact as it is known; empty when it has none.

    Codex tells whole seconds of its turns.
    """
    if line.at is None:
        return ""
    rest = line.at % 1000
    return clock_time(line.at, now, seconds=True) + (f".{rest:03d}" if rest else "")


def named(step: Step) -> str:
    """Name a step: an input that is about to be sent is queued still, but more than that."""
    sending = step.status is InputStatus.QUEUED and bool(step.batch_id)
    return "sending" if sending else step.status.value


def known_by(step: Step) -> str:
    """Say how netsky knows of a step."""
    if step.status is InputStatus.QUEUED and step.batch_id:
        return f"about to be sent, in batch {step.batch_id}"
    if step.status is InputStatus.QUEUED and step.reason:
        return f"queued again: {step.reason}"
    return step.reason or _KNOWN.get(step.status, "")


def _chain(chain: Chain, *, shown: TaskTrace | None) -> list[Line]:
    found = [_said(cause, 0, "because of", "dim") for cause in chain.causes]
    found.append(_said(chain.message, 0, "message", "strong"))
    found += [_delivery(delivery) for delivery in chain.deliveries]
    for each in chain.inputs:
        found += _input(each)
    if chain.task is not None and (shown is None or shown.task.id != chain.task.task.id):
        found += _task(chain.task, 1)
    found += [_said(answer, 1, "then", "good") for answer in chain.answers]
    return found


def _input(traced: InputTrace) -> list[Line]:
    item = traced.input
    mark = INPUT[item.status]
    found = [Line(1, f"input {item.id} to {item.actor_id}: {mark.glyph} {mark.word}", mark.tone)]
    found += [
        Line(2, f"{named(step):<12}{known_by(step)}".rstrip(), "soft", step.at)
        for step in traced.steps
    ]
    if traced.waits:
        found.append(Line(2, f"waits: {traced.waits}", "warn"))
    if item.recovers:
        found.append(Line(2, f"goes on with {', '.join(item.recovers)}", "warn"))
    if traced.recovered_by:
        found.append(Line(2, f"recovered by {', '.join(traced.recovered_by)}", "warn"))
    if traced.turn is not None:
        found += _turn(traced.turn, 2)
    return found


def _turn(traced: TurnTrace, depth: int) -> list[Line]:
    turn = traced.turn
    how = turn.status.value.replace("_", " ") if turn is not None else "not recorded"
    error = f": {_quote(turn.error)}" if turn is not None and turn.error else ""
    text = f"turn {traced.turn_id} of thread {traced.thread_id}: {how}{error}"
    found = [
        Line(depth, text, "info", turn.started_at if turn is not None else None),
        Line(depth + 1, f"{count(traced.facts, 'fact')} stored", "dim"),
    ]
    done = [(call.created_at, _call(call, depth + 1)) for call in traced.calls]
    asked = [(each.created_at, _approval(each, depth + 1)) for each in traced.approvals]
    found += [line for _, line in sorted((*done, *asked), key=lambda pair: pair[0])]
    found += [_line_of(task, depth + 1) for task in traced.tasks]
    return found


def _call(call: Call, depth: int) -> Line:
    how = "" if call.success else " failed"
    return Line(
        depth,
        f"tool {call.tool}{how}: {_quote(call.text)}",
        "text" if call.success else "bad",
        call.created_at,
    )


def _approval(approval: Approval, depth: int) -> Line:
    mark = APPROVAL[approval.status]
    about = approval.command or approval.reason or KIND_SHORT[approval.kind]
    by = f" by {approval.decided_by}" if approval.decided_by else ""
    text = f"approval {approval.id} {_quote(about)}: {mark.glyph} {mark.word}{by}"
    return Line(depth, text, mark.tone, approval.created_at)


def _task(traced: TaskTrace, depth: int) -> list[Line]:
    touched = [
        Line(
            depth + 1,
            f"by a tool of {turn.actor_id} in turn {turn.id}",
            "soft",
            turn.started_at,
        )
        for turn in traced.turns
    ]
    noted = [_note(note, depth + 1) for note in traced.notes]
    told = sorted((*touched, *noted), key=lambda line: line.at or 0)
    return [_line_of(traced.task, depth), *told]


def _line_of(task: Task, depth: int) -> Line:
    mark = TASK[task.status]
    owner = f" ({task.owner_id})" if task.owner_id else ""
    text = f"task {task.id}{owner}: {mark.glyph} {mark.word}, {_quote(task.title)}"
    return Line(depth, text, mark.tone, task.created_at)


def _note(note: Note, depth: int) -> Line:
    return Line(
        depth, f"note {note.id} by {note.author}: {_quote(note.body)}", "soft", note.created_at
    )


def _delivery(delivery: Delivery) -> Line:
    error = f" ({_quote(delivery.error)})" if delivery.error else ""
    text = f"delivery {delivery.id} to {delivery.sink}: {delivery.status.value}{error}"
    return Line(1, text, "text", delivery.updated_at)


def _said(message: Message, depth: int, head: str, tone: str) -> Line:
    kind = KIND_WORD[message.kind] or "text"
    text = f"{head} {message.id}, {kind} from {message.sender} to {message.target} by "
    return Line(
        depth, f"{text}{message.source.value}: {_quote(message.body)}", tone, message.created_at
    )


def _quote(text: str) -> str:
    flat = one_line(harmless(text))
    return f"{flat[:QUOTE]}…" if len(flat) > QUOTE else flat
